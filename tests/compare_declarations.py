"""Classes, functions and methods as extracted from npm packages, against lists made by other tools.

    npm install --prefix FOLDER {PACKAGES}
    python tests/compare_declarations.py FOLDER [--only PACKAGE] [--differences 10] [--out RESULTS]

Declarations (`.d.ts`) are compared with what TypeScript's own compiler says, sources with `jsdoc -X`.
Prints names, never code.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepcodeseek.index_builder.extract import extract
from deepcodeseek.index_builder.sources import read_workspace

LISTER = Path(__file__).with_name("declarations_typescript.mjs")
NPM = "npm install --prefix FOLDER typescript@5 jsdoc@4 @servicenow/glide@27 @types/three@0.180"
COMMAND = "python tests/compare_declarations.py FOLDER"
Listed = Mapping[str, frozenset[str]]  # `path Name` -> its methods


@dataclass(frozen=True)
class Package:
    """What is compared, with what."""

    name: str
    against: str  # "typescript" or "jsdoc"


PACKAGES = (
    Package("@servicenow/glide", "typescript"),
    Package("@types/three", "typescript"),
)


class Missing(Exception):
    """What the comparison needs and this computer has not, with what to do."""


@dataclass(frozen=True)
class Comparison:
    """Both lists."""

    package: Package
    ours: Listed
    theirs: Listed

    @property
    def common(self) -> list[str]:
        return sorted(self.ours.keys() & self.theirs.keys())

    def counts(self) -> dict[str, tuple[int, int, int]]:
        """What is counted -> theirs, both, ours. Methods are those of the names that both lists have."""
        theirs = sum(map(len, self.theirs.values()))
        both = sum(len(self.ours[key] & self.theirs[key]) for key in self.common)
        ours = sum(len(self.ours[key]) for key in self.common)
        return {
            "names": (len(self.theirs), len(self.common), len(self.ours)),
            "methods": (theirs, both, ours),
        }


def compare(folder: Path, package: Package) -> Comparison:
    """Read a package in both ways."""
    need(folder, package)
    folder = folder.resolve()
    scripts = [
        s
        for s in read_workspace(folder, packages=True).scripts
        if s.path.startswith(f"node_modules/{package.name}/")
    ]
    ours = {
        f"{script.path} {api.name}": frozenset(
            m.name for m in api.methods if not m.is_private
        )  # nor are those in the other list
        for script in scripts
        for api in extract(script).apis
    }
    paths = "\n".join(str(folder / script.path) for script in scripts)
    listed = _run(["node", str(LISTER), str(folder)], paths)
    theirs = {
        str(Path(key.split()[0]).relative_to(folder)) + " " + key.split()[1]: frozenset(methods)
        for key, methods in listed.items()
    }
    return Comparison(package, ours, theirs)


def _run(command: Sequence[str], given: str) -> dict[str, Any]:
    done = subprocess.run(
        command, input=given, capture_output=True, encoding="utf-8", check=True, timeout=600
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def need(folder: Path, package: Package) -> None:
    """Raises `Missing` where node, the tool or the package is not installed."""
    if shutil.which("node") is None:
        raise Missing("node is not installed: install Node.js 20 or newer")
    for name in (package.against, package.name):
        if not (folder / "node_modules" / name).is_dir():
            raise Missing(f"{name} is not installed: {NPM}")


def report(result: Comparison, differences: int) -> Iterator[str]:
    """Lines to print."""
    for what, (theirs, both, ours) in result.counts().items():
        yield (
            f"{result.package.name} {what}: theirs {theirs:,}, ours {ours:,}, "
            f"recall {both / max(1, theirs):.2%}, precision {both / max(1, ours):.2%}"
        )
    yield from _names("- ", result.theirs.keys() - result.ours.keys(), differences)
    yield from _names("+ ", result.ours.keys() - result.theirs.keys(), differences)
    differing = [key for key in result.common if result.ours[key] != result.theirs[key]]
    for key in differing[:differences]:
        yield f"  {key}"
        yield from _names("    -", result.theirs[key] - result.ours[key], 8)
        yield from _names("    +", result.ours[key] - result.theirs[key], 8)


def _names(sign: str, names: Any, limit: int) -> Iterator[str]:
    if names:
        yield f"{sign}{len(names)} {' '.join(sorted(names)[:limit])}"


def rows(folder: Path, result: Comparison) -> Iterator[dict[str, object]]:
    """As the results file holds them."""
    manifest = json.loads((folder / "node_modules" / result.package.name / "package.json").read_bytes())
    tool = json.loads((folder / "node_modules" / result.package.against / "package.json").read_bytes())
    for what, (theirs, both, ours) in result.counts().items():
        yield {
            "package": result.package.name,
            "version": manifest["version"],
            "licence": manifest["license"],
            "against": f"{tool['name']} {tool['version']}",
            "what": what,
            "n": theirs,
            "recall": round(both / max(1, theirs), 4),
            "precision": round(both / max(1, ours), 4),
            "command": f"{COMMAND} --only {result.package.name}",
        }


def main() -> int:
    parser = argparse.ArgumentParser(description="Extracted names and methods against independent lists")
    parser.add_argument("folder", type=Path, help=f"where this put the packages: {NPM}")
    parser.add_argument("--only", help="one package")
    parser.add_argument("--differences", type=int, default=10, help="how many to print")
    parser.add_argument("--out", type=Path, help="write the figures there")
    options = parser.parse_args()
    every: list[dict[str, object]] = []
    for package in (p for p in PACKAGES if options.only in (None, p.name)):
        try:
            result = compare(options.folder, package)
        except Missing as missing:
            print(missing, file=sys.stderr)
            return 2
        print(*report(result, options.differences), sep="\n")
        every += rows(options.folder, result)
    if options.out:
        options.out.write_text(json.dumps({"npm": NPM, "results": every}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
