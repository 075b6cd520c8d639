"""Types for an hour, many times as fast as people do, saves files, and looks whether the server grows.

python -m deepcodeseek.index_builder.soak_lsp --workspace DIR --index DIR --out FILE      `make soak`

Typed is in copies of workspace and index, as what is saved is indexed. Fails where memory at the end is more
than five percent above what it was after the first tenth of the time, or where descriptors or threads were
added since.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import click
import numpy as np

from deepcodeseek.server.index import open_index
from deepcodeseek.server.models import Encoder, find_model, load_encoder

from .atomic import write_lines
from .bench_lsp import Bench
from .lsp_client import Client
from .typist import Site, call_sites

SITES = 200
PACE = 20.0
SAVE_LINES = 50  # between two times that a file is saved, and the index brought up to date
SAVED = "saved while typing.js"
WARM = 0.1  # of the time, after which everything was loaded and every cache filled
GROWTH_PERCENT = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The server's process at one moment."""

    seconds: float
    memory_mb: float
    descriptors: int
    threads: int


@click.command()
@click.option("--workspace", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--index", "directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--seconds", default=3600.0)
def main(workspace: Path, directory: Path, out: Path, seconds: float) -> None:
    """Type in WORKSPACE and write what the server held; status 1 where it grew."""
    files = find_model("encoder")
    assert files
    encoder = load_encoder(files)
    with tempfile.TemporaryDirectory() as folder:
        typed, served = (Path(folder).resolve() / name for name in ("workspace", "index"))
        shutil.copytree(workspace, typed)
        shutil.copytree(directory, served)
        sites = call_sites(open_index(served, encoder.files.sha256), typed, SITES, seed=0)
        result = soak(encoder, sites, typed, served, seconds, click.echo)
    write_lines(out, [json.dumps(result, indent=2)])
    sys.exit(0 if is_flat(result) else 1)


def soak(
    encoder: Encoder,
    sites: Sequence[Site],
    workspace: Path,
    directory: Path,
    seconds: float,
    say: Callable[[str], None],
    save_lines: int = SAVE_LINES,
) -> dict[str, Any]:
    """Lines typed, growth in percent since the warm-up, and samples, one after each line.

    Writes into the workspace and the index.
    """
    samples: list[Sample] = []
    with Client() as client:
        options = {"indexDirectory": str(directory), "expand": True}
        client.initialize(workspace, initializationOptions=options)
        client.ready()
        bench, start = Bench(client, encoder, 0, PACE), time.monotonic()
        for site in cycle(sites):
            bench.type(site, waits=False)
            samples.append(_sample(client.process.pid, time.monotonic() - start))
            if len(samples) % save_lines == 0:
                _save(client, workspace / SAVED, len(samples))
            if len(samples) % 100 == 0:
                say(f"{samples[-1].seconds:,.0f} s: {samples[-1].memory_mb:.0f} MB, {len(samples):,} lines")
            if samples[-1].seconds > seconds:
                break
        renewed = client.status()["counters"].get("update", 0)
    warm = [each for each in samples if each.seconds > WARM * seconds]
    return {
        "lines": len(samples),
        "renewed": renewed,
        "seconds": round(samples[-1].seconds),
        "growth_percent": round(_growth(warm), 2),
        "descriptors_added": _added([each.descriptors for each in warm]),
        "threads_added": _added([each.threads for each in warm]),
        "samples": [asdict(each) for each in samples[:: max(1, len(samples) // 100)]],
    }


def _save(client: Client, path: Path, number: int) -> None:
    """A file of another content each time."""
    path.write_text(f"function savedWhileTyping() {{ return {number}; }}\n", encoding="utf-8")
    client.notify("textDocument/didSave", {"textDocument": {"uri": path.as_uri()}})


def is_flat(result: dict[str, Any]) -> bool:
    """Whether nothing grew."""
    added = result["descriptors_added"] > 0 or result["threads_added"] > 0
    return bool(result["growth_percent"] <= GROWTH_PERCENT and not added)


def soak_text(result: dict[str, Any]) -> str:
    """Markdown: how long was typed, and what the server held at its end more than after the warm-up."""
    memory = result["samples"][-1]["memory_mb"]
    descriptors, threads = (max(0, result[f"{what}_added"]) for what in ("descriptors", "threads"))
    return (
        f"After {result['seconds'] / 60:.0f} minutes and {result['lines']:,} lines, typed {PACE:.0f} times "
        f"as fast as people do, and after {result['renewed']} files saved and indexed (`make soak`), the "
        f"server's memory, {memory:.0f} MB, had changed by {result['growth_percent']:+.1f} % since the "
        f"warm-up, with {descriptors} descriptors and {threads} threads more.\n"
    )


def _growth(samples: Sequence[Sample]) -> float:
    """Percent by which memory in the last tenth of the samples is above that of the first."""
    tenth = max(1, len(samples) // 10)
    memory = np.array([each.memory_mb for each in samples])
    return float(100 * (np.median(memory[-tenth:]) / np.median(memory[:tenth]) - 1))


def _added(counts: Sequence[int]) -> int:
    """The least of the second half over the most of the first: what comes and goes does not count."""
    half = len(counts) // 2
    return min(counts[half:]) - max(counts[: half or 1])


def _sample(pid: int, seconds: float) -> Sample:
    process = Path(f"/proc/{pid}")
    pages = int((process / "statm").read_text().split()[1])
    return Sample(
        round(seconds, 1),
        round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1),
        len(list((process / "fd").iterdir())),
        len(list((process / "task").iterdir())),
    )


if __name__ == "__main__":
    main()
