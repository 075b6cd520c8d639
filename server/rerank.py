"""Rerank the first candidates with a cross-encoder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .models import Reranker
from .stop import Stop
from .text import encoder_document, encoder_query
from .types import Evidence, ExpandedQuery, RankedApi


def rerank(
    query: ExpandedQuery,
    ranked: tuple[RankedApi, ...],
    reranker: Reranker | None,
    depth: int,
    stop: Stop | None = None,
) -> tuple[tuple[RankedApi, ...], str]:
    """The same APIs, the first `depth` of them in the cross-encoder's order, and a note."""
    if reranker is None:
        return ranked, "no reranker installed"
    head, tail = ranked[:depth], ranked[depth:]
    scores = reranker.score(encoder_query(query), [encoder_document(item.api) for item in head], stop)
    order = np.argsort(-scores, kind="stable")
    reordered = tuple(
        replace(head[i], evidence=(*head[i].evidence, Evidence("reranker", rank, float(scores[i]))))
        for rank, i in enumerate(order.tolist(), 1)
    )
    return reordered + tail, ""
