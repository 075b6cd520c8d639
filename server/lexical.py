"""BM25 over postings: for each term the rows that hold it, and how often.

The statistics of all layers are added up before anything is scored: two layers rank as one corpus would.
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .caches import kept
from .generation import Corpus

K1 = 1.2  # these two as in SQLite's FTS5 and most other engines
B = 0.75
MOST_POSTINGS = 131_072  # that a lookup reads: terms that so many rows share tell few of them apart
LEAST_IDF = 1e-6  # a term in most rows still tells two rows apart, a little

_MOST_KNOWN = 10_000  # terms, whose frequencies are kept
_TERMS_A_QUERY = 500  # SQLite bounds the number of parameters

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]
Mask = NDArray[np.bool_]
Hits = tuple[Ids, Scores]


class Postings:
    """One corpus of one layer. `lengths` [rows] counts the terms of each row."""

    def __init__(self, database: sqlite3.Connection, corpus: Corpus) -> None:
        self._database = database
        self._corpus = corpus
        (blob,) = database.execute("SELECT lengths FROM corpus WHERE name = ?", (corpus,)).fetchone()
        self.lengths: NDArray[np.int32] = np.frombuffer(blob, np.int32)
        self.norms = kept(self._norms, 1)
        self._frequencies: dict[str, int] = {}  # of terms that were asked for: most are asked for again

    def frequencies(self, terms: Sequence[str]) -> dict[str, int]:
        """In how many rows each term stands; terms that stand in none are left out."""
        if len(self._frequencies) > _MOST_KNOWN:
            self._frequencies = {}
        known = self._frequencies
        missing = [term for term in terms if term not in known]
        for start in range(0, len(missing), _TERMS_A_QUERY):
            some = missing[start : start + _TERMS_A_QUERY]
            marks = ",".join("?" * len(some))
            rows = f"SELECT term, length(places) / 4 FROM {self._corpus}_posting WHERE term IN ({marks})"
            known.update(dict.fromkeys(some, 0) | dict(self._database.execute(rows, some)))
        counts = ((term, known.get(term, 0)) for term in terms)
        return {term: count for term, count in counts if count}

    def _norms(self, mean: float) -> NDArray[np.float64]:
        """What BM25 weighs the length of each row with, where rows have `mean` terms."""
        norms: NDArray[Any] = K1 * (1 - B + B * self.lengths / max(1.0, mean))
        return norms

    def read(self, term: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Rows [n] that hold a term, and how often each does [n]."""
        query = f"SELECT places, counts FROM {self._corpus}_posting WHERE term = ?"
        places, counts = self._database.execute(query, (term,)).fetchone() or (b"", b"")
        return np.frombuffer(places, np.int32), np.frombuffer(counts, np.int32)


def bm25(layers: Sequence[Postings], terms: Sequence[str], rarest: int) -> Scores:
    """The scores [rows of all layers], read-only; of rows without a term 0.

    Only the `rarest` of the terms are looked up, and no more than hold MOST_POSTINGS together. Robertson and
    Zaragoza (2009).
    """
    lengths = [layer.lengths for layer in layers]
    rows = sum(map(len, lengths))
    known = [layer.frequencies(list(dict.fromkeys(terms))) for layer in layers]
    frequency = sum((Counter(found) for found in known), Counter[str]())
    chosen = sorted((t for t in dict.fromkeys(terms) if frequency[t]), key=frequency.__getitem__)[:rarest]
    postings = accumulate(frequency[term] for term in chosen)
    chosen = chosen[: max(1, sum(total <= MOST_POSTINGS for total in postings))]
    mean = sum(int(each.sum()) for each in lengths) / max(1, rows)
    weights = {term: _idf(rows, frequency[term]) for term in chosen}
    parts = [_scores(layer, found, weights, mean) for layer, found in zip(layers, known, strict=True)]
    scores = np.concatenate(parts) if parts else np.empty(0, np.float32)
    scores.flags.writeable = False
    return scores


def _idf(rows: int, frequency: int) -> float:
    return max(LEAST_IDF, math.log((rows - frequency + 0.5) / (frequency + 0.5)))


def _scores(layer: Postings, found: Mapping[str, int], weights: Mapping[str, float], mean: float) -> Scores:
    scores, norms = np.zeros(len(layer.lengths), np.float32), layer.norms(mean)
    for term in (term for term in weights if term in found):
        places, counts = layer.read(term)
        scores[places] += weights[term] * counts * (K1 + 1) / (counts + norms[places])
    return scores


def best(ids: Ids, scores: Scores, limit: int) -> Hits:
    """The `limit` highest scores, best first; equal scores in the order of their ids."""
    if len(ids) > 4 * limit > 0:  # sorting all of them would cost more than everything before
        least = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        above = scores >= least
        ids, scores = ids[above], scores[above]
    order = np.lexsort((ids, -scores))[:limit]
    return ids[order], scores[order]
