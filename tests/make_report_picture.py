"""Makes the README's picture of the report: the example measured here and now, photographed in Chromium.

Debian's package chromium will do; the picture is no part of `make picture`, which needs no browser.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLE = Path("tests/data/example")
PICTURE = Path("tests/data/pictures/report.png")
SIZE = "1240,1330"
METHODS = ("bm25-docs", "dense-docs", "fused")


def main() -> None:
    """Index, mine, measure, report, open one miss, photograph."""
    with tempfile.TemporaryDirectory() as folder:
        page = make_page(Path(folder))
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += ["--disable-background-networking", "--virtual-time-budget=4000", f"--window-size={SIZE}"]
        command += [f"--user-data-dir={folder}/profile", f"--screenshot={PICTURE.resolve()}"]
        subprocess.run([*command, page.as_uri()], check=True, capture_output=True)
    if shutil.which("pngquant"):  # a third of the size
        subprocess.run(["pngquant", "--force", "--ext", ".png", "64", str(PICTURE)], check=True)
    print(PICTURE)


def make_page(folder: Path) -> Path:
    """The report of the example, its first miss of `fused` open and shown first."""
    index, samples, results, page = (
        folder / name for name in ("index", "samples.jsonl", "results", "r.html")
    )
    run("index", EXAMPLE, "--out", index, "--no-bases")
    run("eval", "mine", EXAMPLE, "--out", samples)
    asked = ("--index", index, "--samples", samples)
    for method in METHODS:
        run("eval", "run", *asked, "--first-only", "--method", method, "--json", results)
    files = [next(results.glob(f"{method}-*.json")) for method in METHODS[::-1]]
    run("eval", "report", *files, *asked, "--out", page)
    text = page.read_text(encoding="utf-8")
    miss = re.compile(r'<details (class="miss" data-method="fused"[^>]*data-rank="(?:[6-9]|[1-9]\d)")')
    page.write_text(miss.sub(r"<details open \1", text, count=1), encoding="utf-8")
    return page


def run(*arguments: str | Path) -> None:
    """One command of ours."""
    command = [sys.executable, "-m", "deepcodeseek.index_builder.cli", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
