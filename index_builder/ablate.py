"""Ablations of the first list: what each signal, the window and the graph are worth, on the same samples.

Each case is `fused` with one thing changed, and is compared with it sample by sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from deepcodeseek.server.pipeline import METHODS, Engine, Variant
from deepcodeseek.server.text import WINDOW_LINES

from .evaluate import Asked, Progress, Sample, run
from .figures import Outcome, compare, latency, rows

WINDOWS = (3, 5, 8, 20, 10_000)  # lines before the cursor; the last is the whole file
FIRST = Asked(first_only=True)
DEPTH = 5  # at which a case is compared with `fused`


@dataclass(frozen=True, slots=True)
class Case:
    """One thing changed."""

    name: str
    variant: Variant
    asked: Asked = FIRST


def cases() -> Iterator[Case]:
    """All of them, `fused` as it is first."""
    fused = METHODS["fused"]
    yield Case("fused", fused)
    for lines in WINDOWS:
        name = f"window of {lines} lines" if lines < WINDOWS[-1] else "window: the whole file"
        yield Case(name, fused, Asked(first_only=True, lines=lines))
    yield Case(f"nothing after the cursor, {WINDOW_LINES} lines", fused, Asked(first_only=True, after=False))
    yield Case("without the graph filter", replace(fused, graph=False))
    yield Case("without known usages", _without(fused, *(s for s in fused.weights if s.startswith("usages"))))
    for signal in fused.weights:
        yield Case(f"without {signal}", _without(fused, signal))
    for name in ("bm25-docs", "bm25-all-docs", "bm25-raw", "dense-docs", "dense-raw"):
        yield Case(name, METHODS[name])
    yield Case("after `new `", fused, Asked("new", first_only=True))
    yield Case("after two letters", fused, Asked("letters", first_only=True))
    yield Case("facts from the path alone", fused, Asked(facts="path", first_only=True))
    yield Case("no facts", fused, Asked(facts="none", first_only=True))


def ablate(engine: Engine, samples: Sequence[Sample], progress: Progress) -> list[dict[str, Any]]:
    """Figures of every case over all samples given, and what it gains and loses against `fused`."""
    results: list[dict[str, Any]] = []
    ranks: dict[str, int] = {}
    every = tuple(cases())
    for done, case in enumerate(every):
        progress("ablating", done, len(every))
        outcomes = tuple(run(engine, samples, case.variant, case.asked, lambda *_: None))
        if not outcomes:  # no call is a `new`
            continue
        ranks = ranks or {outcome.id: outcome.rank for outcome in outcomes}
        results.append(_result(case, samples, outcomes, ranks))
    return results


def _without(variant: Variant, *signals: str) -> Variant:
    weights = {name: weight for name, weight in variant.weights.items() if name not in signals}
    return replace(variant, weights=MappingProxyType(weights))


def _result(
    case: Case, samples: Sequence[Sample], outcomes: Sequence[Outcome], base: Mapping[str, int]
) -> dict[str, Any]:
    flips = compare(base, {outcome.id: outcome.rank for outcome in outcomes}, DEPTH)
    row = next(row for row in rows(samples, outcomes) if row.value == "all")
    return {
        "case": case.name,
        "n": row.n,
        "top": {str(k): list(estimate) for k, estimate in row.top.items()},
        "mrr": list(row.mrr),
        "gained": len(flips.gained),
        "lost": len(flips.lost),
        "p": round(flips.p, 4),
        "ms": latency(outcomes)["total"],
    }
