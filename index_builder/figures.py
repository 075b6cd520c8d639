"""Ranks of many samples -> figures with intervals, by group; and two results compared sample by sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .metrics import DEPTHS

BOOTSTRAPS = 2000
LINES_BEFORE = (3, 5, 10, 20)  # the lower bounds of the groups
UNRANKED = 0

Sample = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The rank of a sample's target, UNRANKED where it is not among the predictions, and the time it took."""

    id: str
    rank: int
    ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of some samples."""

    group: str
    value: str
    n: int
    top: Mapping[int, tuple[float, float, float]]  # percent, and its 95 % interval
    mrr: tuple[float, float, float]


def rows(samples: Sequence[Sample], outcomes: Sequence[Outcome], seed: int = 0) -> tuple[Row, ...]:
    """Figures by subset, and of the clean samples by what is known of them."""
    ranks = {outcome.id: outcome.rank for outcome in outcomes}
    asked = [sample for sample in samples if sample["id"] in ranks]
    clean = [sample for sample in asked if sample.get("clean")]
    groups = [*_subsets(asked), *_parts_of(clean)]
    return tuple(
        row(group, value, [ranks[sample["id"]] for sample in members], seed)
        for group, value, members in groups
        if members
    )


def _subsets(samples: Sequence[Sample]) -> Iterator[tuple[str, str, list[Sample]]]:
    for flag in ("clean", "balanced", "usable", "leak", "clone", "ambiguous"):
        yield "subset", flag, [sample for sample in samples if sample.get(flag)]
    yield "subset", "ambiguous, usable", [s for s in samples if s.get("ambiguous") and s.get("usable")]
    yield "subset", "all", list(samples)


def _parts_of(samples: Sequence[Sample]) -> Iterator[tuple[str, str, list[Sample]]]:
    keys: tuple[tuple[str, Callable[[Sample], str]], ...] = (
        ("record type", lambda sample: sample.get("record_type") or "module"),
        ("scope", lambda sample: "global" if sample.get("scope") == "global" else "own or none"),
        ("lines before", _lines_before),
        ("documentation", lambda sample: str(sample.get("documentation", ""))),
        ("kind", lambda sample: str(sample.get("kind", ""))),
        ("fold", lambda sample: str(sample.get("fold", ""))),
    )
    for group, key in keys:
        values = {sample["id"]: key(sample) for sample in samples}
        for value in sorted(set(values.values()) - {""}):
            yield group, value, [sample for sample in samples if values[sample["id"]] == value]


def _lines_before(sample: Sample) -> str:
    lines = int(sample.get("lines_before") or 0)
    bounds = [bound for bound in LINES_BEFORE if lines >= bound]
    return f"{bounds[-1]:2} or more" if bounds else "fewer"


def row(group: str, value: str, ranks: Sequence[int], seed: int = 0) -> Row:
    """The figures of some ranks."""
    array = np.array(ranks)
    hits = {k: (array > 0) & (array <= k) for k in DEPTHS}
    reciprocal = np.where(array > 0, 1 / np.maximum(array, 1), 0.0)
    top = {k: _estimate(100.0 * hits[k], seed) for k in DEPTHS}
    return Row(group, value, len(array), top, _estimate(reciprocal, seed))


def _estimate(values: np.ndarray[Any, Any], seed: int) -> tuple[float, float, float]:
    """A mean and its 95 % bootstrap interval (Efron, 1979)."""
    chosen = np.random.default_rng(seed).integers(0, len(values), (BOOTSTRAPS, len(values)))
    low, high = np.percentile(values[chosen].mean(axis=1), (2.5, 97.5))
    return round(float(values.mean()), 3), round(float(low), 3), round(float(high), 3)


def latency(outcomes: Iterable[Outcome]) -> dict[str, dict[str, float]]:
    """Milliseconds by stage, and of all together."""
    times: dict[str, list[float]] = {}
    for outcome in outcomes:
        for stage, ms in outcome.ms.items():
            times.setdefault(stage, []).append(ms)
        times.setdefault("total", []).append(sum(outcome.ms.values()))
    return {
        stage: {"p50": round(float(np.percentile(ms, 50)), 2), "p95": round(float(np.percentile(ms, 95)), 2)}
        for stage, ms in times.items()
    }


# Two results


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two results on the same samples: which gained and lost their target among the first k."""

    k: int
    n: int
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    p: float  # exact McNemar test, two-sided


def compare(before: Mapping[str, int], after: Mapping[str, int], k: int) -> Comparison:
    """Ranks by sample id, of the samples that both have."""
    both = [key for key in before if key in after]
    hit = [(key, _is_hit(before[key], k), _is_hit(after[key], k)) for key in both]
    gained = tuple(key for key, was, now in hit if now and not was)
    lost = tuple(key for key, was, now in hit if was and not now)
    return Comparison(k, len(both), gained, lost, mcnemar(len(gained), len(lost)))


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p of as many or more flips to one side, each side being as likely (McNemar, 1947; exact)."""
    flips, fewer = gained + lost, min(gained, lost)
    tail = float(sum(math.comb(flips, i) for i in range(fewer + 1)) / 2**flips)
    return min(1.0, 2.0 * tail)


def _is_hit(rank: int, k: int) -> bool:
    return UNRANKED < rank <= k
