"""Ablations: what each signal, the window, the graph and the models are worth, on the same samples.

Each case is `fused` with one thing changed and is compared with it sample by sample; a case that changes
another method is compared with that one. What asks a model takes a second a sample, and runs on a part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from types import MappingProxyType
from typing import Any

from deepcodeseek.server.engine import Engine
from deepcodeseek.server.models import ModelProblem
from deepcodeseek.server.pipeline import EXPAND_MS, METHODS, Variant, expand_context
from deepcodeseek.server.settings import Settings
from deepcodeseek.server.text import WINDOW_LINES
from deepcodeseek.server.types import QueryForm

from .evaluate import NOTHING_WRITTEN, Asked, Sample, Written, context_of, run, some_of
from .figures import Outcome, compare, latency, row
from .progress import Progress, silent

WINDOWS = (3, 5, 8, WINDOW_LINES, 20, 10_000)  # lines before the cursor; the last is the whole file
DEADLINES_MS = (150, 400, 1000)
RERANK_DEPTHS = (5, 10, 20, 40)
MODEL_SAMPLES = 150  # with more `make bench` takes longer than 20 minutes on two cores
FIRST = Asked(first_only=True)
DEPTH = 5  # at which two cases are compared
BASE = "fused"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing changed."""

    name: str
    variant: Variant
    asked: Asked = FIRST
    base: str = BASE  # the case it is compared with
    model: bool = False  # whether it asks one: on a part of the samples alone
    form: QueryForm | None = None  # what the generator writes for each sample before it is asked


def cases(engine: Engine) -> Iterator[Case]:
    """All that the engine has the models for; what others are compared with comes before them."""
    yield Case(BASE, METHODS[BASE])
    yield from _windows()
    yield from _signals(engine)
    yield from _questions()
    if engine.generator or engine.reranker:
        yield Case("fused, no model on top", METHODS[BASE], model=True)
    if engine.generator:
        yield from _query_forms()
    if engine.reranker:
        yield from _reranked()
    yield from _deadlines(engine)


def _windows() -> Iterator[Case]:
    for after in (True, False):
        for lines in WINDOWS:
            if after and lines == WINDOW_LINES:
                continue  # `fused` as it is
            size = f"window of {lines} lines" if lines < WINDOWS[-1] else "window: the whole file"
            name = size if after else f"{size}, nothing after the cursor"
            yield Case(name, METHODS[BASE], Asked(first_only=True, lines=lines, after=after))


def _signals(engine: Engine) -> Iterator[Case]:
    fused = METHODS[BASE]
    if engine.fusion:
        yield Case("by reciprocal ranks, not learned", METHODS["rrf"])
    yield Case("without the graph filter", replace(fused, graph=False))
    yield Case("without known usages", _without(fused, *(s for s in fused.weights if s.startswith("usages"))))
    for signal, weight in fused.weights.items():
        if weight or engine.fusion:  # some serve the learned fusion alone
            yield Case(f"without {signal}", _without(fused, signal))
    for name in ("bm25-docs", "bm25-all-docs", "bm25-raw", "dense-docs", "dense-raw"):
        yield Case(name, METHODS[name])


def _questions() -> Iterator[Case]:
    yield Case("after `new `", METHODS[BASE], Asked("new", first_only=True))
    yield Case("after two letters", METHODS[BASE], Asked("letters", first_only=True))
    yield Case("facts from the path alone", METHODS[BASE], Asked(facts="path", first_only=True))
    yield Case("no facts", METHODS[BASE], Asked(facts="none", first_only=True))


def _query_forms() -> Iterator[Case]:
    """What is searched for: the lines before the cursor, and with them what the generator makes of them."""
    forms: tuple[tuple[QueryForm, str], ...] = (
        ("description", "a description by the model"),
        ("code", "hypothetical code"),
    )
    for method in (BASE, "dense-docs"):
        if method != BASE:
            yield Case(f"{method}, query: prefix only", METHODS[method], base=method, model=True)
        for form, name in forms:
            yield Case(f"{method}, query: {name}", METHODS[method], FIRST, method, True, form)


def _reranked() -> Iterator[Case]:
    variant = replace(METHODS[BASE], rerank=True)
    for depth in RERANK_DEPTHS:
        yield Case(f"reranked, the first {depth}", variant, Asked(depth=depth), model=True)


def _deadlines(engine: Engine) -> Iterator[Case]:
    """What a user gets, as far as the time goes: by default, and with the expander."""
    for name, method, model in (
        ("", "reranked", engine.reranker),
        (" with the expander", "full", engine.generator),
    ):
        for ms in DEADLINES_MS if model else ():
            yield Case(f"answer at {ms:,} ms{name}", METHODS[method], Asked(deadline_ms=ms), model=True)


def ablate(
    engine: Engine,
    samples: Sequence[Sample],
    progress: Progress,
    model_samples: int = MODEL_SAMPLES,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Figures of every case, and what it gains and loses against its base.

    Cases that ask a model run on at most `model_samples` of the samples, drawn by `seed`. The generator,
    where there is one, has been started.
    """
    part = some_of(samples, model_samples, seed)
    results: list[dict[str, Any]] = []
    ranks: dict[str, dict[str, int]] = {}
    written: dict[QueryForm, Mapping[str, Written]] = {}
    every = tuple(cases(engine))
    for done, case in enumerate(every):
        progress("ablating", done, len(every))
        asked = part if case.model else samples
        if case.form and case.form not in written:
            written[case.form] = write_ahead(engine, asked, case.form)
        before = written[case.form] if case.form else NOTHING_WRITTEN
        outcomes = tuple(run(engine, asked, case.variant, case.asked, silent, before))
        if not outcomes:  # no call is a `new`
            continue
        ranks[case.name] = {outcome.id: outcome.rank for outcome in outcomes}
        results.append(_result(case, outcomes, ranks[case.base]))
    return results


def working(engine: Engine) -> Engine:
    """The engine with its generator started; without it where it does not start, and a note of why."""
    try:
        if engine.generator:
            engine.generator.start()
    except ModelProblem as problem:
        return replace(engine, generator=None, notes=(*engine.notes, str(problem)))
    return engine


def without_models(engine: Engine) -> Engine:
    """The engine for the first list alone."""
    return replace(engine, generator=None, reranker=None)


def write_ahead(engine: Engine, samples: Sequence[Sample], form: QueryForm) -> dict[str, Written]:
    """By sample id, once for all cases of a form: writing takes by far the most time of them."""
    written = {}
    for sample in samples:
        context = context_of(engine, sample, FIRST)
        if context:
            start = perf_counter()
            query, _ = expand_context(engine, context, Settings().expand_tokens, EXPAND_MS, form)
            written[sample["id"]] = Written(query, (perf_counter() - start) * 1000)
    return written


def _without(variant: Variant, *signals: str) -> Variant:
    weights = {name: weight for name, weight in variant.weights.items() if name not in signals}
    return replace(variant, weights=MappingProxyType(weights))


def _result(case: Case, outcomes: Sequence[Outcome], base: Mapping[str, int]) -> dict[str, Any]:
    flips = compare(base, {outcome.id: outcome.rank for outcome in outcomes}, DEPTH)
    figures = row("subset", "all", [outcome.rank for outcome in outcomes])
    return {
        "case": case.name,
        "against": case.base,
        "n": figures.n,
        "top": {str(k): list(estimate) for k, estimate in figures.top.items()},
        "mrr": list(figures.mrr),
        "gained": len(flips.gained),
        "lost": len(flips.lost),
        "p": round(flips.p, 4),
        "ms": latency(outcomes),
    }
