"""Top-k accuracy, mean reciprocal rank and latency of a predictions file, with intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepcodeseek.server.models import shipped

DEPTHS = (1, 5, 10, 40)


@dataclass(frozen=True, slots=True)
class Score:
    """Of one method on one subset of samples."""

    n: int
    top: Mapping[int, float]  # percent of the samples whose target is among the first k
    interval: Mapping[int, tuple[float, float]]  # 95 %, Wilson
    mrr: float
    ms_p50: float
    ms_p95: float


def wilson(hits: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a share, in percent (Wilson, 1927)."""
    share, spread = hits / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / spread
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / spread
    return 100 * (middle - half), 100 * (middle + half)


def rank_of(target: str, ranked: Sequence[str]) -> int | None:
    """1-based place of the target, or None where it is not among the predictions."""
    return ranked.index(target) + 1 if target in ranked else None


def score(samples: Sequence[Mapping[str, Any]], predictions: Mapping[str, Mapping[str, Any]]) -> Score:
    """Score predictions (by sample id) of samples that state their `target`.

    Raises KeyError for a sample without a prediction, ValueError where there are no samples.
    """
    if not samples:
        raise ValueError("no samples to score")
    ranks = [rank_of(sample["target"], predictions[sample["id"]]["ranked"]) for sample in samples]
    times = sorted(sum(predictions[sample["id"]].get("ms", {}).values()) for sample in samples)
    n = len(ranks)
    hits = {k: sum(rank is not None and rank <= k for rank in ranks) for k in DEPTHS}
    return Score(
        n,
        {k: round(100 * hits[k] / n, 1) for k in DEPTHS},
        {k: (round(low, 1), round(high, 1)) for k in DEPTHS for low, high in [wilson(hits[k], n)]},
        round(sum(1 / rank for rank in ranks if rank) / n, 3),
        round(times[n // 2], 1),
        round(times[int(0.95 * n)], 1),
    )


def score_files(samples: Path, predictions: Path, subset: str) -> Score:
    """Score a predictions file on the samples whose flag `subset` is set ("all": every sample)."""
    every = _read(samples, ("id", "target"))
    made = _read(predictions, ("id", "ranked"))
    chosen = [sample for sample in every if subset == "all" or sample.get(subset)]
    return score(chosen, {prediction["id"]: prediction for prediction in made})


def _read(path: Path, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        if row is not None and not (isinstance(row, dict) and row.keys() >= set(keys)):
            raise ValueError(f"{path}:{number}: {' or '.join(keys)} is missing")
        rows += [row] if row is not None else []
    return rows


def score_json(name: str, result: Score) -> dict[str, Any]:
    """A result as it is kept in a file."""
    return {"method": name, **asdict(result)}


def results_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Markdown table of results as `score_json` writes them, read back from JSON."""
    head = "| method | top-1 | top-5 | top-10 | top-40 | MRR | ms, p95 |\n|---|---|---|---|---|---|---|\n"
    return head + "".join(
        f"| `{r['method']}` | {_cells(r)} | {r['mrr']:.3f} | {_milliseconds(r)} |\n" for r in results
    )


def seeds_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Markdown table of results as `row_of` writes them, read from JSON; ± is the spread of the seeds."""
    depths = [str(k) for k in DEPTHS[:3]]
    head = f"| | {' | '.join(f'top-{k}' for k in depths)} |\n|---|{'---|' * len(depths)}\n"
    return head + "".join(
        f"| {r['method']} | {' | '.join(_with_spread(r, k) for k in depths)} |\n" for r in results
    )


def earlier_fusion(content: Mapping[str, Any]) -> str:
    """What is said of a result file that was made with another fusion than the one that ships."""
    is_of_now = content.get("retrieved_by") == shipped("fusion").sha256
    return "" if is_of_now else "Measured with an earlier fusion."


def _with_spread(result: Mapping[str, Any], k: str) -> str:
    low, high = result["interval"][k]
    spread = f" ± {result['spread'][k]:.1f}" if result["seeds"] > 1 else ""
    return f"{result['top'][k]:.1f}{spread} [{low:.1f}, {high:.1f}]"


def _milliseconds(result: Mapping[str, Any]) -> str:
    return f"{result['ms_p50']:,.0f}, {result['ms_p95']:,.0f}" if "ms_p50" in result else ""


def _cells(result: Mapping[str, Any]) -> str:
    tops = ((result["top"][str(k)], result["interval"][str(k)]) for k in DEPTHS)
    return " | ".join(f"{top:.1f} [{low:.1f}, {high:.1f}]" for top, (low, high) in tops)


def row_of(method: str, ranks: Sequence[NDArray[np.int64]]) -> dict[str, Any]:
    """A row of a result file by the ranks [n] of the right ones with each seed; 0 is out of reach.

    Percents by depth: the mean over the seeds, its interval by the samples, its spread by the seeds.
    """
    tops = {k: [100 * float(np.mean((each > 0) & (each <= k))) for each in ranks] for k in DEPTHS[:3]}
    n = len(ranks[0])
    return {
        "method": method,
        "n": n,
        "seeds": len(ranks),
        "top": {str(k): round(mean(values), 1) for k, values in tops.items()},
        "interval": {
            str(k): [round(end, 1) for end in wilson(mean(values) * n / 100, n)] for k, values in tops.items()
        },
        "spread": {str(k): round(stdev(values), 2) if len(values) > 1 else 0.0 for k, values in tops.items()},
    }
