"""Lists for a cross-encoder to learn from: what the retriever put first at each mined call.

The negatives are the retriever's own best candidates, which are what a cross-encoder has to tell apart; one
that reads like the right one is no negative and left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from deepcodeseek.server.engine import Engine
from deepcodeseek.server.pipeline import METHODS, encode_query
from deepcodeseek.server.retrieve import retrieve
from deepcodeseek.server.text import reranker_document, reranker_query
from deepcodeseek.server.types import Candidate, ExpandedQuery

from .evaluate import Asked, context_of
from .progress import Progress
from .triples import Triple

NEGATIVES = 16  # of a question, the retriever's best


def candidate_lists(
    engine: Engine,
    samples: Sequence[Mapping[str, Any]],
    asked: Asked,
    progress: Progress,
    hidden: Collection[str] = (),
) -> Iterator[Triple]:
    """A triple for each sample whose target is a candidate, as if the files `hidden` were not there."""
    for done, sample in enumerate(samples):
        progress("listing candidates", done, len(samples))
        context = context_of(engine, sample, asked)
        if context is None:
            continue
        query = ExpandedQuery(context)
        vector = encode_query(engine, query, learned=True)
        weights, fusion = METHODS["fused"].weights, engine.fusion
        found, _ = retrieve(engine.index, query, vector, weights, fusion=fusion, unseen=tuple(hidden))
        own = [each for each in found if each.api_id < engine.index.own_count]  # as in evidence.py
        triple = _triple(engine, query, own, str(sample["target"]))
        if triple:
            yield triple


def _triple(
    engine: Engine, query: ExpandedQuery, candidates: Sequence[Candidate], target: str
) -> Triple | None:
    names = engine.index.apis.api_name
    right = next((c for c in candidates if names[c.api_id] == target), None)
    if right is None:
        return None
    positive = reranker_document(engine.index.api(right.api_id), right.usage)
    wrong: dict[str, float] = {}
    for candidate in candidates:
        if len(wrong) == NEGATIVES:
            break
        text = reranker_document(engine.index.api(candidate.api_id), candidate.usage)
        if names[candidate.api_id] != target and text != positive:
            wrong.setdefault(text, candidate.score)
    priors = (right.score, *wrong.values())
    return Triple(reranker_query(query), positive, tuple(wrong), priors, query.context.file)
