"""Statements with and without retrieval, by a generator whose answer is known."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from conftest import DRAFT, DRAFT_COLUMN, DRAFT_LINE, EXAMPLE

from deepcodeseek.index_builder.ablate_statement import Written, measure, summary, unknown_names
from deepcodeseek.index_builder.build import Report
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.generation import DATABASE, index_directory, read_manifest
from deepcodeseek.server.types import Prompt

ROW: dict[str, Any] = {
    "file": DRAFT,
    "scope": "x_hbr_berth",
    "target": "x_hbr_berth.BerthAllocator",
}


@dataclass
class Says:
    """A generator that always writes the same."""

    text: str
    prompt: str = ""

    def generate(self, prompt: Prompt, max_tokens: int, timeout_ms: float, stop: object = None) -> str:
        self.prompt = prompt.text
        return self.text


CASES = [
    # case, what the model writes, whole, shown, right
    ("free", "new BerthAllocator();", True, True, True),
    ("free", "new BerthInventor();", True, False, False),
    ("free", "new BerthAllocator(", False, False, False),
    ("told", "new global.DateWindow(arrival, arrival);", True, True, False),
    ("begun", "arrival, length, draught);", True, True, True),
    ("begun", "unknown);", False, False, False),
]


@pytest.mark.parametrize(("case", "text", "whole", "shown", "right"), CASES)
def test_measure(
    engine: Engine,
    database: sqlite3.Connection,
    case: str,
    text: str,
    whole: bool,
    shown: bool,
    right: bool,
) -> None:
    lines = (EXAMPLE / DRAFT).read_text(encoding="utf-8").split("\n")
    before = "\n".join([*lines[: DRAFT_LINE - 1], " " * (DRAFT_COLUMN - 1)])
    generator = Says(text)
    told = replace(engine, generator=generator, fusion=None)  # type: ignore[arg-type]
    row = ROW | {"code_before": before, "code_after": "\n".join(["", *lines[DRAFT_LINE:]])}
    (written,) = measure(told, database, row, (case,)).values()
    assert (written.is_whole, written.is_shown, written.is_right) == (whole, shown, right)
    assert ("BerthAllocator: findFree" in generator.prompt) is (case != "free")
    assert not written.unknown


UNKNOWN = [
    # text before, statement, what nobody knows
    ("", "new BerthAllocator(berth).findFree(length);", ()),
    ("", "new x_hbr_berth.BerthAllocator();", ()),
    ("", "new BerthInventor();", ("BerthInventor",)),
    ("function BerthInventor() {}\n", "new BerthInventor();", ()),
    ("", "new BerthAllocator().fly();", ("fly",)),
    ("", "TideMath.invent(1);", ("TideMath.invent",)),
    ("", "var d = new Date(TideMath.rangeOf(1, invent()));", ("invent",)),
]


@pytest.mark.parametrize(("before", "statement", "unknown"), UNKNOWN)
def test_what_nobody_knows(
    database: sqlite3.Connection, before: str, statement: str, unknown: tuple[str, ...]
) -> None:
    assert unknown_names(database, before, statement) == unknown


@pytest.fixture
def database(example_report: Report) -> Iterator[sqlite3.Connection]:
    generation, _ = read_manifest(index_directory(EXAMPLE))
    with contextlib.closing(sqlite3.connect(generation / DATABASE)) as opened:
        yield opened


def test_summary_counts_shares() -> None:
    written = [
        Written(True, True, True, 1.0),
        Written(True, False, False, 2.0),
        Written(False, False, False, 9.0),
    ]
    told = summary(written)
    assert (told["whole"], told["ms"]) == (2, 2)
    assert told["shown"]["percent"] == told["right"]["percent"] == 33.3
    assert told["right of shown"]["percent"] == 100.0
