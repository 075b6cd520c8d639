"""Packages that a workspace depends on: where they lie in node_modules, which of their files count.

A package with type declarations is read from them, one without from its source. From the entry on, only what
it imports by relative paths counts: the rest of a package is its own business.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .decoding import decode
from .manifests import read_json
from .scripts import DECLARATIONS, is_declaration

INSTALLED = "node_modules"  # the folder that packages are installed in
_TYPES = "@types/"
_DEPENDENCIES = ("dependencies", "peerDependencies", "devDependencies")
_NAME = re.compile(r"(?:@[\w.~-]+/)?[\w~-][\w.~-]*")
_IMPORT = re.compile(
    rb"""(?:\bfrom|\bimport|\brequire)\s{0,9}\(?\s{0,9}["'](\.{1,2}(?:/[^"'\n]*)?)["']"""
    rb"""|<reference\s{1,9}path\s{0,9}=\s{0,9}["']([^"'\n]+)["']"""
)
_SOURCES = (".ts", ".tsx", ".mts", ".cts", ".js", ".mjs", ".cjs", ".jsx")
_MAX_NAME = 214  # npm takes no longer one
_MAX_FILES = 5_000  # of one package
_MAX_BYTES = 5_000_000  # of one file: the imports of a larger one do not matter, it is not read


@dataclass(frozen=True, slots=True)
class Package:
    """One dependency."""

    name: str  # as a script imports it: "three", though "@types/three" be what is read
    folder: Path
    files: tuple[Path, ...]


def find_packages(manifests: Iterable[Path], workspace: Path) -> tuple[Package, ...]:
    """Those that the workspace's package.json files name and that are installed."""
    found: dict[Path, Package] = {}
    for manifest in sorted(path for path in manifests if path.name == "package.json"):
        for name in _named(read_json(manifest)):
            for package in _installed(name, manifest.parent, workspace):
                found.setdefault(package.folder, package)
    return tuple(found.values())


def imported_as(package: str) -> str:
    """What a script writes to import it: of `@types/a` and `@types/org__a` it is `a` and `@org/a`."""
    if not package.startswith(_TYPES):
        return package
    scope, _, plain = package.removeprefix(_TYPES).rpartition("__")
    return f"@{scope}/{plain}" if scope else plain


def _named(manifest: Mapping[str, Any]) -> list[str]:
    every = (manifest.get(key) for key in _DEPENDENCIES)
    names = {name for group in every if isinstance(group, dict) for name in group}
    return sorted(name for name in names if len(name) <= _MAX_NAME and _NAME.fullmatch(name))


def _installed(name: str, start: Path, workspace: Path) -> Iterator[Package]:
    """The nearest one above a folder, as node looks for it: its own types, those of @types, its source."""
    plain = imported_as(name)
    for folder in (start, *start.parents):
        own = folder / INSTALLED / plain
        typed = own.parents[plain.count("/")] / "@types" / plain.removeprefix("@").replace("/", "__")
        for place, entries in ((own, _types), (typed, _types), (own, _source)):
            if _is_inside(place, workspace) and (files := _reachable(entries(place), place)):
                yield Package(plain, place, files)
                return
        if folder == workspace:
            return


def _is_inside(place: Path, workspace: Path) -> bool:
    """A link out of the workspace is not followed; one to a folder beside node_modules is its own source."""
    real, home = place.resolve(), workspace.resolve()
    return place.is_dir() and real.is_relative_to(home) and INSTALLED in real.relative_to(home).parts


# Files


def _types(folder: Path) -> list[Path]:
    manifest = read_json(folder / "package.json")
    return [path for stated in _stated_types(manifest) if (path := _resolved(folder, stated, DECLARATIONS))]


def _source(folder: Path) -> list[Path]:
    manifest = read_json(folder / "package.json")
    stated = (manifest.get("module"), manifest.get("main"), "index")
    found = (_resolved(folder, name, _SOURCES) for name in stated if isinstance(name, str))
    return [path for path in found if path is not None][:1]


def _stated_types(manifest: Mapping[str, Any]) -> Iterator[str]:
    yield from (value for key in ("types", "typings") if isinstance(value := manifest.get(key), str))
    main = manifest.get("main")
    yield os.path.splitext(main)[0] if isinstance(main, str) else "index"  # noqa: PTH122, as node reads it
    waiting: list[Any] = [manifest.get("exports")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += list(value.values())[::-1]
        elif isinstance(value, list):
            waiting += value[::-1]
        elif isinstance(value, str) and "*" not in value and is_declaration(value):
            yield value


def _reachable(entries: Iterable[Path], folder: Path) -> tuple[Path, ...]:
    """The entries and all that they import, by relative paths, inside the package."""
    found: dict[Path, None] = {}
    waiting = list(entries)
    home = folder.resolve()
    while waiting and len(found) < _MAX_FILES:
        path = waiting.pop(0)
        if path in found or not path.resolve().is_relative_to(home):
            continue
        found[path] = None
        suffixes = DECLARATIONS if is_declaration(path.name) else _SOURCES
        for imports, reference in _IMPORT.findall(_content(path)):
            if imported := _resolved(path.parent, decode(imports or reference), suffixes):
                waiting.append(imported)
    return tuple(sorted(found))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
    except OSError:
        return b""


def _resolved(folder: Path, name: str, suffixes: tuple[str, ...]) -> Path | None:
    """The file that a path without its suffix means, or one with the suffix of what it is compiled to."""
    if "\0" in name:
        return None
    path = Path(os.path.normpath(folder / name))
    stem = path.with_name(re.sub(r"(?:\.d)?\.[mc]?[jt]sx?$", "", path.name) or path.name)
    candidates = [path] if path.name.endswith(suffixes) else []
    for base in (stem, path):
        candidates += [base.with_name(base.name + suffix) for suffix in suffixes]
    candidates += [path / f"index{suffix}" for suffix in suffixes]
    return next((found for found in candidates if os.path.isfile(found)), None)  # noqa: PTH113, never raises
