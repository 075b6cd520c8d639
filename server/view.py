"""The index as one caller may see it, and how an answer of one signal looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .index import Index
from .lexical import Ids, Mask, Scores, best
from .types import Context

POOL = 200  # the best of each signal that take part in the fusion


@dataclass(frozen=True, slots=True)
class View:
    """The index as one caller may see it."""

    index: Index
    context: Context
    terms: tuple[str, ...]  # of the query
    file_terms: tuple[str, ...]  # of the whole file
    rarest: int  # how many of them are looked up
    vector: Scores | None  # of the query, where the encoder was at hand
    apis: Mask  # [apis] that may be predicted
    usages: Mask  # [usages] of these, mined from other files
    uses: Mask  # [uses] that tell of popularity and company: of other files, not of the platform's classes
    used: tuple[int, ...]  # APIs that this file names
    files: Mask  # [files] that may tell of anything


@dataclass(frozen=True, slots=True)
class Ranking:
    """What one signal says: APIs, best first, and for some the known usage that speaks for them."""

    ids: Ids
    scores: Scores
    usages: Mapping[int, int] = field(default_factory=dict)


NOTHING = Ranking(np.empty(0, np.int64), np.empty(0, np.float32))


def ranked(scores: Mapping[int, float], usages: Mapping[int, int] | None = None) -> Ranking:
    """Of scores by API, and the usages that speak for some."""
    ids = np.fromiter(scores.keys(), np.int64, len(scores))
    hits = best(ids, np.fromiter(scores.values(), np.float32, len(scores)), POOL)
    return Ranking(*hits, usages or {})


def ranked_all(scores: NDArray[Any]) -> Ranking:
    """Of scores [apis], those above 0."""
    ids = np.flatnonzero(scores)
    return Ranking(*best(ids, scores[ids].astype(np.float32), POOL))
