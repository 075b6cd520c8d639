"""BM25 over postings: which terms are looked up."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from deepcodeseek.server import lexical
from deepcodeseek.server.lexical import Postings, best, bm25

ROWS = 8
HOLDING = {"rare": (5,), "some": (1, 2, 3), "common": (0, 1, 2, 3, 4, 6, 7)}  # rows, by the term in them


@pytest.fixture
def postings() -> Postings:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE corpus (name TEXT, lengths BLOB)")
    database.execute("CREATE TABLE code_posting (term TEXT, places BLOB, counts BLOB)")
    database.execute("INSERT INTO corpus VALUES ('code', ?)", (np.full(ROWS, 4, np.int32).tobytes(),))
    for term, rows in HOLDING.items():
        blobs = (np.array(rows, np.int32).tobytes(), np.ones(len(rows), np.int32).tobytes())
        database.execute("INSERT INTO code_posting VALUES (?, ?, ?)", (term, *blobs))
    return Postings(database, "code")


@pytest.mark.parametrize(
    ("rarest", "most", "found"),
    [
        (3, 100, {0, 1, 2, 3, 4, 5, 6, 7}),
        (2, 100, {1, 2, 3, 5}),
        (3, 11, {0, 1, 2, 3, 4, 5, 6, 7}),
        (3, 10, {1, 2, 3, 5}),
        (3, 3, {5}),
        (3, 0, {5}),  # the rarest is always looked up
    ],
)
def test_the_rarest_terms_are_looked_up_while_few_rows_hold_them(
    rarest: int, most: int, found: set[int], postings: Postings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexical, "MOST_POSTINGS", most)
    terms = ["common", "some", "rare", "nowhere", "some"]
    every = bm25([postings], terms, rarest)
    ids, scores = best(np.flatnonzero(every), every[every > 0], ROWS)
    assert set(ids.tolist()) == found
    assert (np.diff(scores) <= 0).all()
    assert scores[0] > 0


def test_a_score_is_that_of_bm25() -> None:
    """By hand: of three rows with 2, 4 and 6 terms the first holds the term once and the last twice."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE corpus (name TEXT, lengths BLOB)")
    database.execute("CREATE TABLE code_posting (term TEXT, places BLOB, counts BLOB)")
    database.execute("INSERT INTO corpus VALUES ('code', ?)", (np.array([2, 4, 6], np.int32).tobytes(),))
    blobs = [np.array(each, np.int32).tobytes() for each in ((0,), (1,))]
    database.execute("INSERT INTO code_posting VALUES ('once', ?, ?)", blobs)
    blobs = [np.array(each, np.int32).tobytes() for each in ((2,), (3,))]
    database.execute("INSERT INTO code_posting VALUES ('often', ?, ?)", blobs)
    idf = 0.5108256  # ln((3 - 1 + 0.5) / (1 + 0.5))
    first, last = 2.2 * 1 / (1 + 1.2 * 0.625), 2.2 * 3 / (3 + 1.2 * 1.375)
    scores = bm25([Postings(database, "code")], ["once", "often"], 9)
    assert scores == pytest.approx([idf * first, 0.0, idf * last], rel=1e-5)
