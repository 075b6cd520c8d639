"""Script Includes and their methods as extracted, against lists made without the extractor.

    python tests/compare_methods.py WORKSPACE [--acorn FOLDER]

Which Script Includes there are is counted with Python's XML parser in the workspace's XML files; which
methods they have is found by `methods_acorn.mjs`. Both sides name a function inside an object of an API
`util.a`; neither counts `initialize` and `constructor`. Prints names, never code.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import platformdirs
from defusedxml import ElementTree

from deepcodeseek.index_builder.extract import extract
from deepcodeseek.index_builder.scripts import SCRIPT_INCLUDE
from deepcodeseek.index_builder.sources import read_workspace

LISTER = Path(__file__).with_name("methods_acorn.mjs")
ACORN = platformdirs.user_cache_path("deepcodeseek", appauthor=False) / "acorn"
CONSTRUCTORS = {"initialize", "constructor"}
MAX_NAMES = 8  # shown of one Script Include
Methods = Mapping[str, frozenset[str]]  # of a Script Include: `api_name path`


class Missing(Exception):
    """What the comparison needs and this computer has not, with what to do."""


@dataclass(frozen=True)
class Comparison:
    """Both lists."""

    stated: Counter[str]  # api_names in the XML files
    found: Counter[str]  # api_names that the extractor gives
    ours: Methods
    theirs: Methods
    loose: frozenset[str]  # not valid JavaScript: read by the tolerant parser
    failed: Mapping[str, str]  # neither parser reads it: left out of both sides

    @property
    def both(self) -> int:
        return sum(len(self.ours[key] & self.theirs[key]) for key in self.theirs)

    @property
    def recall(self) -> float:
        return self.both / max(1, sum(map(len, self.theirs.values())))

    @property
    def precision(self) -> float:
        return self.both / max(1, sum(len(self.ours[key]) for key in self.theirs))


def compare(workspace: Path, acorn: Path = ACORN) -> Comparison:
    """Read a workspace in both ways."""
    need_acorn(acorn)
    every = [script for script in read_workspace(workspace).scripts if script.record_type == SCRIPT_INCLUDE]
    ours: dict[str, frozenset[str]] = {}
    found = Counter[str]()
    lines: list[str] = []
    for script in every:
        (api,) = extract(script).apis
        key = f"{api.api_name} {script.path}"
        found[api.api_name] += 1
        ours[key] = frozenset(method.name for method in api.methods) - CONSTRUCTORS
        lines.append(json.dumps({"id": key, "name": script.record_name, "code": script.code}))
    command = ["node", str(LISTER), str(acorn)]
    done = subprocess.run(
        command, input="\n".join(lines), capture_output=True, encoding="utf-8", check=True, timeout=300
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return Comparison(
        stated_names(workspace),
        found,
        ours,
        {answer["id"]: frozenset(answer["methods"]) for answer in answers if "error" not in answer},
        frozenset(answer["id"] for answer in answers if answer.get("loose")),
        {answer["id"]: answer["error"] for answer in answers if "error" in answer},
    )


def need_acorn(acorn: Path = ACORN) -> None:
    """Raises `Missing` where node or the parsers are not installed."""
    if shutil.which("node") is None:
        raise Missing("node is not installed: install Node.js 20 or newer")
    if not all((acorn / "node_modules" / name).is_dir() for name in ("acorn", "acorn-loose")):
        raise Missing(f"acorn is not installed: npm install --prefix '{acorn}' acorn acorn-loose")


def stated_names(workspace: Path) -> Counter[str]:
    """api_name of every Script Include in the XML files, except those whose deletion a file states."""
    names: dict[str, str] = {}
    deleted: set[str] = set()
    for path in sorted(workspace.rglob("*.xml")):
        for record in _records(path):
            sys_id = record.findtext("sys_id") or str(path)
            if record.get("action") == "DELETE":
                deleted.add(sys_id)
            elif api_name := record.findtext("api_name"):
                names[sys_id] = api_name
    return Counter(name for sys_id, name in names.items() if sys_id not in deleted)


def _records(path: Path) -> list[Element]:
    try:
        return list(ElementTree.parse(path).iter(SCRIPT_INCLUDE))
    except ElementTree.ParseError:  # a broken file is the business of the tests of reading
        return []


def report(result: Comparison, differences: int) -> Iterator[str]:
    """Lines to print."""
    named = (result.stated & result.found).total()
    ours = sum(len(result.ours[key]) for key in result.theirs)
    theirs = sum(map(len, result.theirs.values()))
    yield f"Script Includes by api_name: {named:,} of {result.stated.total():,}"
    yield f"compared: n = {len(result.theirs):,}, of which no valid JavaScript: {len(result.loose):,}"
    yield f"left out, not read by acorn: {len(result.failed):,}"
    yield f"methods: ours {ours:,}, theirs {theirs:,}, both {result.both:,}"
    yield f"recall {result.recall:.2%}, precision {result.precision:.2%}"
    differing = [key for key in result.theirs if result.ours[key] != result.theirs[key]]
    yield f"Script Includes that differ: {len(differing):,} (- theirs only, + ours only)"
    differing.sort(key=lambda key: (-len(result.ours[key] ^ result.theirs[key]), key))
    for key in differing[:differences]:
        yield f"  {key.split()[0]}{' (invalid)' if key in result.loose else ''}"
        yield from _names("-", result.theirs[key] - result.ours[key])
        yield from _names("+", result.ours[key] - result.theirs[key])


def _names(sign: str, names: frozenset[str]) -> Iterator[str]:
    if names:
        shown = " ".join(sorted(names)[:MAX_NAMES])
        yield f"    {sign}{len(names)} {shown}{' ...' if len(names) > MAX_NAMES else ''}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Extracted methods against an independent list")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--acorn", type=Path, default=ACORN, help=f"folder of the parsers (default: {ACORN})")
    parser.add_argument("--differences", type=int, default=10, help="how many of the largest to print")
    options = parser.parse_args()
    try:
        result = compare(options.workspace, options.acorn)
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 2
    print(*report(result, options.differences), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
