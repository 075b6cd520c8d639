"""Columns that are compared by number."""

from __future__ import annotations

import numpy as np
import pytest

from deepcodeseek.server.columns import Beginnings, Texts, Uses
from deepcodeseek.server.vectors import BLOCK_ROWS, _spans

NAMES = ("Berth", "berthPlan", "BERTH", "", "Ship", "Bert")


@pytest.mark.parametrize("wanted", ["", "x_a", "x_b", "unknown"])
def test_equal_is_what_comparing_texts_gives(wanted: str) -> None:
    rows = ("x_a", "", "x_b", "x_a", "")
    assert Texts(rows).equal(wanted).tolist() == [text == wanted for text in rows]
    assert (list(Texts(rows)), Texts(rows)[3], len(Texts(rows))) == (list(rows), "x_a", 5)


def test_one_column_is_numbered_like_another() -> None:
    apis, files = Texts(("a", "b", "a")), Texts(("b", "c", "a"))
    assert apis.numbered_here(files).tolist() == [1, -1, 0]


@pytest.mark.parametrize("prefix", ["", "b", "Berth", "BERTHP", "ship", "z", "Berthing"])
def test_beginnings_are_what_comparing_texts_gives(prefix: str) -> None:
    expected = [name.lower().startswith(prefix.lower()) for name in NAMES]
    assert Beginnings(NAMES).find(prefix).tolist() == expected


def test_uses_are_counted_by_file() -> None:
    api, file = np.array([2, 0, 2, 2, 0]), np.array([1, 1, 0, 1, 3])
    uses = Uses.of(api, file)
    every = np.ones(len(uses.api), np.bool_)
    assert uses.counts(every, 4).tolist() == [2, 0, 2, 0]
    assert uses.counts(uses.file != 1, 4).tolist() == [1, 0, 1, 0]
    assert uses.files_of(2, every).tolist() == [0, 1]
    assert uses.files_of(2, uses.file != 1).tolist() == [0]
    assert Uses.of(api[:0], file[:0]).counts(every[:0], 2).tolist() == [0, 0]


@pytest.mark.parametrize("rows", [0, 1, BLOCK_ROWS, 5 * BLOCK_ROWS + 7])
def test_spans_cover_what_is_kept(rows: int) -> None:
    keep = np.random.default_rng(rows).random(rows) < 2 / BLOCK_ROWS
    covered = np.zeros(rows, np.bool_)
    for start, end in _spans(keep):
        assert not covered[start:end].any()
        covered[start:end] = True
    assert not (keep & ~covered).any()
