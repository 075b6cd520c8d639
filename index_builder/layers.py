"""Base layers: what an index is built on, and how one is handed on."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deepcodeseek.server.generation import (
    CURRENT,
    DATABASE,
    IndexProblem,
    base_directory,
    is_base_name,
    read_manifest,
)
from deepcodeseek.server.rows import API_COLUMNS, METHOD_COLUMNS, from_row
from deepcodeseek.server.types import Api, Method

from .database import Options


@dataclass(frozen=True, slots=True)
class Base:
    """What a workspace needs to know of a layer below it."""

    name: str
    apis: tuple[Api, ...]
    exports: Mapping[tuple[str, str], str]

    def serves(self, scoped: bool) -> bool:
        """Whether a workspace can use it: a platform's APIs, all of a scope, only where scripts have one."""
        return scoped or any(not api.scope for api in self.apis)


def read_base(name: str) -> Base:
    """The installed base layer of that name; raises IndexProblem."""
    generation, _ = read_manifest(base_directory(name))
    uri = f"{(generation / DATABASE).resolve().as_uri()}?mode=ro&immutable=1"
    database = sqlite3.connect(uri, uri=True)
    try:
        return Base(name, tuple(_apis(database)), dict(_exports(database)))
    finally:
        database.close()


def installed_bases() -> tuple[str, ...]:
    """Names of the base layers that are there."""
    home = base_directory()
    found = (path.name for path in home.iterdir() if is_base_name(path.name)) if home.is_dir() else ()
    return tuple(sorted(name for name in found if (home / name / CURRENT).is_file()))


def last_options(directory: Path) -> Options:
    """What the index in use was built with."""
    try:
        _, manifest = read_manifest(directory)
        return msgspec.convert(manifest.get("options", {}), Options)
    except (IndexProblem, msgspec.ValidationError):
        return Options()


def remove_base(name: str) -> bool:
    """Remove an installed base layer; False where there is none of that name."""
    if name not in installed_bases():
        return False
    shutil.rmtree(base_directory(name))
    return True


def read_bases(names: Sequence[str] | None) -> tuple[tuple[Base, ...], tuple[str, ...]]:
    """The base layers of these names, or all installed ones, and what is wrong with those left out."""
    bases, problems = [], []
    for name in installed_bases() if names is None else names:
        try:
            bases.append(read_base(name))
        except (IndexProblem, sqlite3.Error) as problem:
            problems.append(f"the base layer {name} is left out: {problem}")
    return tuple(bases), tuple(problems)


def _apis(database: sqlite3.Connection) -> list[Api]:
    methods: dict[int, list[Method]] = {}
    columns = ", ".join(METHOD_COLUMNS)
    for api_id, *row in database.execute(f"SELECT api_id, {columns} FROM method ORDER BY rowid"):
        methods.setdefault(api_id, []).append(from_row(Method, METHOD_COLUMNS, row))
    rows = database.execute(f"SELECT id, {', '.join(API_COLUMNS)} FROM api ORDER BY id")
    return [from_row(Api, API_COLUMNS, row, id=i, methods=tuple(methods.get(i, ()))) for i, *row in rows]


def _exports(database: sqlite3.Connection) -> dict[tuple[str, str], str]:
    rows = database.execute("SELECT module, name, api_name FROM export")
    return {(module, name): api_name for module, name, api_name in rows}
