"""Base layers: what an index is built on, and how one is handed on."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from deepcodeseek.server.generation import DATABASE, base_directory, read_manifest
from deepcodeseek.server.rows import API_COLUMNS, METHOD_COLUMNS, from_row
from deepcodeseek.server.types import Api, Method


@dataclass(frozen=True, slots=True)
class Base:
    """What a workspace needs to know of a layer below it."""

    name: str
    apis: tuple[Api, ...]
    exports: Mapping[tuple[str, str], str]


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
    return tuple(sorted(path.name for path in home.iterdir() if path.is_dir())) if home.is_dir() else ()


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
