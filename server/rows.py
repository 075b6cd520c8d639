"""How a value of the query path lies in the database: one column a field, tuples as JSON.

The builder writes and the server reads through these functions, so that a field that is added to a value
is in the index without a word said twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

from .types import Api, Method

T = TypeVar("T")

API_COLUMNS = tuple(field.name for field in fields(Api) if field.name not in ("id", "methods"))
METHOD_COLUMNS = tuple(field.name for field in fields(Method))


def column_types(kind: type[Api] | type[Method], columns: Sequence[str]) -> dict[str, type]:
    """What each column holds, as SQLite knows it."""
    types = {field.name: str(field.type) for field in fields(kind)}
    return {name: int if types[name] in ("int", "bool") else str for name in columns}


def to_row(value: Api | Method, columns: Sequence[str]) -> dict[str, Any]:
    """Columns of one row."""
    return {name: _stored(getattr(value, name)) for name in columns}


def _stored(cell: Any) -> Any:
    if not isinstance(cell, tuple):
        return cell
    return json.dumps(cell) if cell else "[]"  # most are empty


def from_row(kind: type[T], columns: Sequence[str], row: Sequence[Any], **others: Any) -> T:
    """The value that a row of these columns holds."""
    types = _types(kind)  # type: ignore[arg-type]
    cells = {name: _cell(types[name], cell) for name, cell in zip(columns, row, strict=True)}
    return kind(**cells, **others)


@cache
def _types(kind: type[Any]) -> dict[str, str]:
    return {field.name: str(field.type) for field in fields(kind)}


def _cell(kind: str, cell: Any) -> Any:
    if kind.startswith("tuple"):
        return tuple(json.loads(cell))
    return bool(cell) if kind == "bool" else cell
