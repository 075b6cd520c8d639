"""Rerank the first candidates with a model that reads them, as deep as the time allows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .models import Reranker
from .stop import Stop
from .text import reranker_document, reranker_query
from .types import Evidence, ExpandedQuery, RankedApi


def rerank(
    query: ExpandedQuery,
    ranked: tuple[RankedApi, ...],
    reranker: Reranker | None,
    depth: int,
    left_ms: float = math.inf,
    stop: Stop | None = None,
) -> tuple[tuple[RankedApi, ...], str]:
    """The same APIs, the first `depth` of them by their score so far and the model's together, and a note.

    The scores are added, as they were while the model learned. With `left_ms` no more are
    read than it can read in that time. Raises Stopped as soon as `stop` is set.
    """
    if reranker is None:
        return ranked, "no reranker installed"
    head = ranked[: int(max(0, min(depth, (left_ms - reranker.query_ms) / reranker.pair_ms)))]
    if not head:
        return ranked, "no candidate can be read in time"
    documents = [reranker_document(item.api, item.usage) for item in head]
    scores = reranker.score(reranker_query(query), documents, stop)
    tail = ranked[len(head) :]
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
    return reordered + tail, f"{len(reordered)} candidates read"
