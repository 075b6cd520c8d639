"""Which tables a script reads and which it writes, as far as their names stand in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

CURRENT = "current"  # stands for the table of the record that the script runs for

_RECORDS = frozenset(("GlideRecord", "GlideRecordSecure", "GlideAggregate", "GlideQuery", CURRENT))
_BULK = frozenset(("GlideMultipleUpdate", "GlideMultipleDelete"))  # made for nothing but writing
# fmt: off
WRITING = frozenset((
    "insert", "update", "updateMultiple", "deleteRecord", "deleteMultiple", "insertOrUpdate",
    "insertWithReferences", "updateWithReferences",
))
# fmt: on
# What a before rule sets is saved without a call.
_WRITING_CURRENT = WRITING | {"setValue"}


@dataclass(frozen=True, slots=True)
class Opened:
    """A record set of a table, and what is called on it."""

    maker: str  # name of the class
    table: str
    methods: frozenset[str]


@dataclass(frozen=True, slots=True)
class Tables:
    """Of one script, each name once, in order of appearance."""

    every: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


def tables_of(opened: Iterable[Opened]) -> Tables:
    """All that are opened, and those of them that are written."""
    named = [item for item in opened if item.table and item.maker in _RECORDS | _BULK]
    every = dict.fromkeys(item.table for item in named)
    written = dict.fromkeys(item.table for item in named if _is_written(item))
    return Tables(tuple(every), tuple(written))


def with_own(names: tuple[str, ...], table: str) -> tuple[str, ...]:
    """`current` by the name of its table; left out where that is not known."""
    own = (table if name == CURRENT else name for name in names)
    return tuple(dict.fromkeys(name for name in own if name))


def _is_written(item: Opened) -> bool:
    writing = _WRITING_CURRENT if item.maker == CURRENT else WRITING
    return item.maker in _BULK or not writing.isdisjoint(item.methods)
