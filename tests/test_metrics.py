"""Metrics against counts made by hand."""

from __future__ import annotations

import pytest

from deepcodeseek.index_builder.metrics import rank_of, score, wilson


@pytest.mark.parametrize(
    ("target", "ranked", "rank"), [("a", ["a", "b"], 1), ("b", ["a", "b"], 2), ("c", ["a", "b"], None)]
)
def test_rank_of(target: str, ranked: list[str], rank: int | None) -> None:
    assert rank_of(target, ranked) == rank


def test_score_counts_what_is_among_the_first() -> None:
    names = [f"n{i}" for i in range(100)]
    targets = ["n0", "n4", "n5", "n39", "n40", "absent"]
    samples = [{"id": str(i), "target": target} for i, target in enumerate(targets)]
    predictions = {str(i): {"ranked": names, "ms": {"a": i, "b": 1}} for i in range(len(targets))}
    result = score(samples, predictions)
    assert result.n == 6
    assert result.top == {1: 16.7, 5: 33.3, 10: 50.0, 40: 66.7}
    assert result.mrr == round((1 + 1 / 5 + 1 / 6 + 1 / 40 + 1 / 41) / 6, 3)
    assert (result.ms_p50, result.ms_p95) == (4, 6)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(0, 10, 0.0, 27.8), (5, 10, 23.7, 76.3), (206, 449, 41.3, 50.5)]
)
def test_wilson(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits, n) == pytest.approx((low, high), abs=0.05)


def test_a_missing_prediction_is_an_error() -> None:
    with pytest.raises(KeyError):
        score([{"id": "1", "target": "a"}], {})
