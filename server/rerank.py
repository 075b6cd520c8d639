"""Rerank the first candidates with a model that reads them, as deep as the time allows."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np

from .lexical import Scores
from .models import Reranker
from .stop import Stop, Stopped, in_time
from .text import reranker_document, reranker_query
from .types import Evidence, ExpandedQuery, RankedApi


def rerank(
    query: ExpandedQuery,
    ranked: tuple[RankedApi, ...],
    reranker: Reranker,
    depth: int,
    left_ms: float = math.inf,
    stop: Stop | None = None,
) -> tuple[tuple[RankedApi, ...], int]:
    """The same APIs, the first `depth` of them by their score so far and the model's together; how many.

    The scores are added, as they were while the model learned. At the rate that the model had when it was
    loaded, none is begun that would not end within `left_ms`.
    Raises Stopped as soon as `stop` is set.
    """
    scores = _read(query, ranked[: max(0, depth)], reranker, left_ms, stop or Stop())
    head, tail = ranked[: len(scores)], ranked[len(scores) :]
    totals = np.array([item.score for item in head]) + scores
    places = np.argsort(np.argsort(-scores, kind="stable"), kind="stable") + 1
    reordered = tuple(
        replace(
            head[i],
            score=float(totals[i]),
            evidence=(*head[i].evidence, Evidence(reranker.files.kind, int(places[i]), float(scores[i]))),
        )
        for i in np.argsort(-totals, kind="stable").tolist()
    )
    return reordered + tail, len(scores)


def _read(
    query: ExpandedQuery, head: tuple[RankedApi, ...], reranker: Reranker, left_ms: float, stop: Stop
) -> Scores:
    """The scores [n] of the first, as many as could be read in time."""
    documents = [reranker_document(item.api, item.usage) for item in head]
    scores: list[float] = []
    end = time.perf_counter() + left_ms / 1000
    try:
        with in_time(stop, left_ms) as late:
            for score in reranker.each(reranker_query(query), documents, late):
                scores.append(score)
                if time.perf_counter() + reranker.pair_ms / 1000 > end:
                    break
    except Stopped:
        stop.check()
    return np.array(scores, np.float32)
