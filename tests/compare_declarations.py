"""Classes, functions and methods as extracted from npm packages, against lists made by other tools.

    npm install --prefix FOLDER PACKAGES      (all of them: `--help`)
    python tests/compare_declarations.py FOLDER [--only PACKAGE] [--differences 10] [--out RESULTS]

Declarations (`.d.ts`) are compared with what TypeScript's own compiler says, sources with `jsdoc -X`.
Prints names, never code.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepcodeseek.index_builder.extract import extract
from deepcodeseek.index_builder.scripts import Script
from deepcodeseek.index_builder.sources import read_workspace

LISTER = Path(__file__).with_name("declarations_typescript.mjs")
NPM = (
    "npm install --prefix FOLDER typescript@5 jsdoc@4 @servicenow/glide@27 three@0.187 @types/three@0.187 "
    "rxjs@7 lodash@4 mocha@9 protobufjs@7"
)
COMMAND = "python tests/compare_declarations.py FOLDER"
OBJECTS = ("class", "interface", "namespace", "mixin", "typedef")  # kinds of what has methods
Listed = Mapping[str, frozenset[str]]  # `path Name` -> its methods


@dataclass(frozen=True)
class Package:
    """What is compared, with what."""

    name: str
    against: str  # "typescript" or "jsdoc"
    under: str = ""  # its sources: a folder or a file
    note: str = ""  # what is left, and why


PACKAGES = (
    Package(
        "@servicenow/glide",
        "typescript",
        note="Not found: types that are not exported (IGlideRecord, IGlideAggregate, data of GlideQuery). To "
        "TypeScript all in a file of declarations is exported; no script can write these names.",
    ),
    Package("@types/three", "typescript"),
    Package(
        "rxjs",
        "typescript",
        "src",
        "Not found: `delegate.x` of four providers, declared as `typeof` functions of the browser.",
    ),
    Package("three", "jsdoc", "src"),
    Package("lodash", "jsdoc", "lodash.js"),
    Package(
        "protobufjs",
        "jsdoc",
        "src",
        "Not found: FieldBase and NamespaceBase, as @exports renames Field and Namespace with all methods; "
        "here they go by the names that the code exports.",
    ),
    Package(
        "mocha",
        "jsdoc",
        "lib",
        "Not found: what lib/interfaces/ gives to parameters of nested functions (context.describe.only). To "
        "jsdoc the parameter is a global name.",
    ),
)


class Missing(Exception):
    """What the comparison needs and this computer has not, with what to do."""


@dataclass(frozen=True)
class Count:
    """How many there are."""

    theirs: int
    both: int
    ours: int
    right: int  # ours that the other tool knows

    @property
    def recall(self) -> float:
        return self.both / max(1, self.theirs)

    @property
    def precision(self) -> float:
        return self.right / max(1, self.ours)


@dataclass(frozen=True)
class Comparison:
    """Both lists."""

    package: Package
    ours: Listed
    theirs: Listed
    known: Listed  # theirs, and what the other tool knows but does not hold for documented

    @property
    def common(self) -> list[str]:
        return sorted(self.ours.keys() & self.theirs.keys())

    def counts(self) -> dict[str, Count]:
        """Methods are those of the names that both lists have."""
        theirs = sum(map(len, self.theirs.values()))
        both = sum(len(self.ours[key] & self.theirs[key]) for key in self.common)
        ours = sum(len(self.ours[key]) for key in self.common)
        right = sum(len(self.ours[key] & self.known[key]) for key in self.common)
        names = len(self.ours.keys() & self.known.keys())
        return {
            "names": Count(len(self.theirs), len(self.common), len(self.ours), names),
            "methods": Count(theirs, both, ours, right),
        }


def compare(folder: Path, package: Package) -> Comparison:
    """Read a package in both ways."""
    need(folder, package)
    folder = folder.resolve()
    home = folder / "node_modules" / package.name
    if not package.under:
        read = read_workspace(folder, packages=True).scripts
        scripts = [
            replace(s, path=str(folder / s.path)) for s in read if (folder / s.path).is_relative_to(home)
        ]
    else:
        every = [replace(s, path=str(home / s.path)) for s in read_workspace(home).scripts]
        scripts = [s for s in every if Path(s.path).is_relative_to(home / package.under)]
    apis = [(script.path, api) for script in scripts for api in extract(script).apis]
    ours = {
        f"{path} {api.name}": frozenset(m.name for m in api.methods if not m.is_private) for path, api in apis
    }
    theirs, known = (
        _typescript(folder, scripts) if package.against == "typescript" else _jsdoc(folder, scripts)
    )
    return Comparison(package, ours, theirs, known)


def _typescript(folder: Path, scripts: Sequence[Script]) -> tuple[Listed, Listed]:
    found = _run(["node", str(LISTER), str(folder)], "\n".join(script.path for script in scripts))
    listed = {key: frozenset(methods) for key, methods in found["listed"].items()}
    return listed, {**dict.fromkeys(found["inside"], frozenset()), **listed}


def _jsdoc(folder: Path, scripts: Sequence[Script]) -> tuple[Listed, Listed]:
    """What is documented and public, and all that is there."""
    tool = str(folder / "node_modules/.bin/jsdoc")
    doclets = _run([tool, "-p", "-X", *(script.path for script in scripts)], "")
    public: dict[str, set[str]] = {}
    known: dict[str, set[str]] = {}
    private = (_place(doclet) for doclet in doclets if doclet.get("access") == "private")
    hidden = {f"{path} {f'{owner}.{name}'.removeprefix('.')}" for path, owner, name in private}
    for doclet in doclets:
        path, owner, name = _place(doclet)
        whole = f"{owner}.{name}".removeprefix(".")
        known.setdefault(f"{path} {whole}", set())
        known.setdefault(f"{path} {owner}", set()).add(name)
        if path and name and _is_public(doclet) and not {f"{path} {whole}", f"{path} {owner}"} & hidden:
            if doclet["kind"] in OBJECTS or not owner:
                public.setdefault(f"{path} {whole}", set())
            elif not name.startswith("_"):
                public.setdefault(f"{path} {owner}", set()).add(name)
    return _frozen(public), _frozen(known)


def _frozen(listed: Mapping[str, set[str]]) -> Listed:
    return {key: frozenset(names) for key, names in listed.items()}


def _place(doclet: Mapping[str, Any]) -> tuple[str, str, str]:
    """File, owner, name; nothing for what is inside a function."""
    longname = re.sub(r"^module:[^.~#]*[.~#]?", "", doclet["longname"])
    if "meta" not in doclet or "~" in longname or "<anonymous>" in longname or longname == "module.exports":
        return "", "", ""
    longname = re.sub(r"\(\d+\)$", "", longname)  # of several with one name
    owner, _, name = longname.replace("#", ".").rpartition(".")
    return f"{doclet['meta']['path']}/{doclet['meta']['filename']}", owner, name


def _is_public(doclet: Mapping[str, Any]) -> bool:
    """Documented, no one's secret, and something that can be called or has methods."""
    is_hidden = doclet.get("access") == "private" or "@ignore" in doclet.get("comment", "")
    if is_hidden or doclet.get("undocumented") or doclet.get("inherited") or doclet.get("scope") == "inner":
        return False
    is_called = doclet["kind"] == "member" and "returns" in doclet and "params" in doclet
    is_callback = "function" in str(doclet.get("type", "")).lower()
    return is_called or doclet["kind"] == "function" or (doclet["kind"] in OBJECTS and not is_callback)


def _run(command: Sequence[str], given: str) -> Any:
    done = subprocess.run(command, input=given, capture_output=True, encoding="utf-8", timeout=600)
    return json.loads(done.stdout)


def need(folder: Path, package: Package) -> None:
    """Raises `Missing` where node, the tool or the package is not installed."""
    if shutil.which("node") is None:
        raise Missing("node is not installed: install Node.js 20 or newer")
    for name in (package.against, package.name):
        if not (folder / "node_modules" / name).is_dir():
            raise Missing(f"{name} is not installed: {NPM}")


def report(result: Comparison, differences: int) -> Iterator[str]:
    """Lines to print."""
    for what, count in result.counts().items():
        figures = f"recall {count.recall:.2%}, precision {count.precision:.2%}"
        yield f"{result.package.name} {what}: theirs {count.theirs:,}, ours {count.ours:,}, {figures}"
    yield from _names("- ", result.theirs.keys() - result.ours.keys(), differences)
    yield from _names("+ ", result.ours.keys() - result.known.keys(), differences)
    differing = [
        key
        for key in result.common
        if result.theirs[key] - result.ours[key] or result.ours[key] - result.known[key]
    ]
    for key in differing[:differences]:
        yield f"  {key}"
        yield from _names("    -", result.theirs[key] - result.ours[key], 8)
        yield from _names("    +", result.ours[key] - result.known[key], 8)


def _names(sign: str, names: Any, limit: int) -> Iterator[str]:
    if names:
        yield f"{sign}{len(names)} {' '.join(sorted(names)[:limit])}"


def rows(folder: Path, result: Comparison) -> Iterator[dict[str, object]]:
    """As the results file holds them."""
    manifest = json.loads((folder / "node_modules" / result.package.name / "package.json").read_bytes())
    tool = json.loads((folder / "node_modules" / result.package.against / "package.json").read_bytes())
    for what, count in result.counts().items():
        yield {
            "package": result.package.name,
            "version": manifest["version"],
            "licence": manifest["license"],
            "against": f"{tool['name']} {tool['version']}",
            "what": what,
            "n": count.theirs,
            "recall": round(count.recall, 4),
            "precision": round(count.precision, 4),
            "command": f"{COMMAND} --only {result.package.name}",
            **({"note": result.package.note} if result.package.note else {}),
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
