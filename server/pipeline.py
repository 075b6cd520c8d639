"""The only place that knows the order: context, expand, retrieve, rerank."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from .engine import Engine
from .expand import expand
from .index import Index
from .lexical import Scores
from .models import ModelProblem, Reranker
from .places import is_scope, place_of
from .rerank import rerank
from .retrieve import RAREST_TERMS, retrieve
from .signals import SIGNALS
from .stop import Stop, Stopped, in_time
from .text import encoder_query, whole_characters
from .types import Answer, Context, ExpandedQuery, QueryForm, RankedApi, Stage, Trace

EXPAND_MS = 120_000.0
"""What an expansion may take where no deadline is set. So long that only a generator that hangs meets it:
the number of tokens bounds the work, and the same input gives the same text on a busy machine."""
EXPAND_LEAST_MS = 50.0
"""In less no model writes a token."""
RETRIEVE_RESERVE_MS = 80.0
"""What expansion leaves of a deadline to the stages after it."""
_LATE = "no time left"
RERANK_RESERVE_MS = 20.0
"""Below this, and what a query and one candidate take, a reranker would only end too late."""
ANSWER_RESERVE_MS = 10.0
"""What reading leaves of a deadline to the answer on its way."""
ENCODE_RESERVE_MS = 40.0
"""What encoding leaves of a deadline to the lookups: without vectors there still is a list."""


RERANK_DEPTH = 20
"""How many candidates a reranker reads at most where nobody says."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A named way through the pipeline."""

    weights: Mapping[str, float]
    learned: bool = False  # by the learned fusion, where there is one; else by reciprocal ranks
    graph: bool = True
    expand: bool = False
    rerank: bool = False
    window_only: bool = False  # the query is the lines before the cursor alone
    rarest: int = RAREST_TERMS


WRITTEN = "written documents, lexical"
"""A baseline's signal; what it says is in `documents, lexical` too."""

WEIGHTS: Mapping[str, float] = MappingProxyType(
    dict.fromkeys((signal for signal in SIGNALS if signal != WRITTEN), 1.0)
    # Popularity is the same for every question, and what a file already names is no news: both help where
    # an API is used again, and cost where a new one is needed. A half is the compromise (see LOG.md).
    | {"popularity": 0.5, "in file": 0.5}
    # These say much the same as others do, or little alone: only the learned fusion makes something of them.
    | dict.fromkeys(
        (
            *("usages, last lines", "unresolved names", "function", "words before", "words after"),
            *("code alike", "files alike", "like-named", "nearby", "neighbours"),
        ),
        0.0,
    )
)


def _baseline(signal: str) -> Variant:
    return Variant({signal: 1.0}, graph=False, window_only=True, rarest=1000)


METHODS: Mapping[str, Variant] = MappingProxyType(
    {
        "bm25-docs": _baseline(WRITTEN),
        "bm25-all-docs": _baseline("documents, lexical"),
        "bm25-raw": _baseline("code, lexical"),
        "dense-docs": _baseline("documents, dense"),
        "dense-raw": _baseline("code, dense"),
        "rrf": Variant(WEIGHTS),
        "fused": Variant(WEIGHTS, learned=True),
        "reranked": Variant(WEIGHTS, learned=True, rerank=True),
        "full": Variant(WEIGHTS, learned=True, expand=True, rerank=True),
    }
)


def encode_query(
    engine: Engine, query: ExpandedQuery, learned: bool, stop: Stop | None = None
) -> Scores | None:
    """The vector [d] of a question; a baseline's by the encoder of the documents."""
    encoder = (engine.query_encoder if learned else None) or engine.encoder
    return encoder.encode([encoder_query(query)], stop)[0] if encoder else None


def is_late(answer: Answer) -> bool:
    """Whether a deadline left out something that no other stage stands in for."""
    return any(_LATE in stage.note for stage in answer.trace.stages if stage.stage != "causal")


def _encode_in_time(
    engine: Engine, query: ExpandedQuery, learned: bool, left_ms: float, stop: Stop
) -> tuple[Scores | None, str]:
    """The vector and a note; none where `left_ms` is too short for it on a machine this busy."""
    try:
        with in_time(stop, left_ms) as late:
            return encode_query(engine, query, learned, late), ""
    except Stopped:
        stop.check()
        return None, f"left out: {_LATE}"


def known_facts(index: Index, given: Mapping[str, str], home: str = "") -> dict[str, str]:
    """What is known of a file: what is given, then what was read of it, its path, and its neighbours."""
    given = {key: whole_characters(value) for key, value in given.items()}
    facts = _file_facts(index, given.get("file", ""), home)
    stated = _filled(given)
    if not is_scope(stated.get("scope", "")) and facts.get("scope"):
        stated.pop("scope", None)  # some records state their scope's sys_id
    return {**facts, **stated}


def _file_facts(index: Index, path: str, home: str) -> dict[str, str]:
    if not path:
        return {}
    place, indexed = place_of(path, home), _filled(index.file_facts(path))
    said = _filled({key: getattr(place, key) for key in ("scope", "record_type", "record_name", "field")})
    # Of a file that is indexed its own record has spoken; of a new one only its neighbours.
    return {**said, **indexed} if index.file_ids(path) else {**indexed, **said}


def _filled(facts: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in facts.items() if value}


class _Clock:
    """Collects the stages of one question."""

    def __init__(self, deadline_ms: float | None) -> None:
        self._start = self._last = time.perf_counter()
        self._deadline = deadline_ms
        self.stages: list[Stage] = []

    def done(self, stage: str, note: str = "") -> None:
        now = time.perf_counter()
        self.stages.append(Stage(stage, (now - self._last) * 1000, note))
        self._last = now

    def left(self, otherwise: float) -> float:
        """Milliseconds until the deadline, or `otherwise` where there is none."""
        if self._deadline is None:
            return otherwise
        return self._deadline - (time.perf_counter() - self._start) * 1000


def predict(
    engine: Engine,
    context: Context,
    variant: Variant = METHODS["full"],
    *,
    expanded: ExpandedQuery | None = None,
    first_only: bool = False,
    deadline_ms: float | None = None,
    expand_tokens: int = 24,
    rerank_depth: int = RERANK_DEPTH,
    stop: Stop | None = None,
) -> Answer:
    """Ranked APIs for a context, and the trace of how they came about.

    `expanded` is an expansion made before, for the same lines; `first_only` stops after the first list (no
    expansion, no cross-encoder). With `deadline_ms` a stage that would come too late is left out and the
    trace says so. Raises Stopped soon after `stop` is set.
    """
    clock, stop = _Clock(deadline_ms), stop or Stop()
    if variant.window_only:
        context = replace(context, record_name="", table="", window_after="")
    query = replace(expanded, context=context) if expanded else ExpandedQuery(context)
    if expanded:
        clock.done("expand", " ".join(expanded.code.split()))
    elif variant.expand and not first_only:
        left = clock.left(EXPAND_MS + RETRIEVE_RESERVE_MS) - RETRIEVE_RESERVE_MS
        query, note = expand_context(engine, context, expand_tokens, left, stop=stop)
        clock.done("expand", note)
    vector = None
    if engine.encoder and any(name.endswith("dense") for name in variant.weights):
        left = clock.left(math.inf) - ENCODE_RESERVE_MS
        vector, note = _encode_in_time(engine, query, variant.learned, left, stop)
        clock.done("encode", note)
    stop.check()
    fusion = engine.fusion if variant.learned else None
    candidates, note = retrieve(
        engine.index, query, vector, variant.weights, variant.graph, variant.rarest, fusion
    )
    ranked = tuple(RankedApi(engine.index.api(c.api_id), c.score, c.evidence, c.usage) for c in candidates)
    clock.done("retrieve", note)
    if variant.rerank and not first_only:
        ranked, note = _rerank(engine.reranker, query, ranked, rerank_depth, clock.left(math.inf), stop)
        clock.done("rerank", note)
        if engine.causal:
            ranked, note = _rerank(engine.causal, query, ranked, rerank_depth, clock.left(math.inf), stop)
            clock.done("causal", note)
    return Answer(ranked, Trace(engine.index.id, tuple(clock.stages)))


def expand_context(
    engine: Engine,
    context: Context,
    tokens: int,
    left_ms: float = EXPAND_MS,
    form: QueryForm = "code",
    stop: Stop | None = None,
) -> tuple[ExpandedQuery, str]:
    """The expanded query and a note; what is not written within `left_ms` is left out."""
    if left_ms < EXPAND_LEAST_MS:
        return ExpandedQuery(context), f"skipped: {_LATE}"
    if engine.generator is None and engine.notes:
        return ExpandedQuery(context), engine.notes[0]
    return expand(context, engine.generator, tokens, left_ms, form, stop)


def _rerank(
    reranker: Reranker | None,
    query: ExpandedQuery,
    ranked: tuple[RankedApi, ...],
    depth: int,
    left_ms: float,
    stop: Stop,
) -> tuple[tuple[RankedApi, ...], str]:
    if reranker is None:
        return ranked, "no reranker installed"
    if left_ms < RERANK_RESERVE_MS + reranker.query_ms + reranker.pair_ms:
        return ranked, f"skipped: {_LATE}"
    try:
        reordered, read = rerank(query, ranked, reranker, depth, left_ms - ANSWER_RESERVE_MS, stop)
    except ModelProblem as problem:
        return ranked, str(problem)
    return reordered, f"{read} candidates read" if read or not ranked else f"none read: {_LATE}"
