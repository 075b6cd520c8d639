"""What the graph filter is worth, and what it still does where metadata is missing.

    python -m deepcodeseek.index_builder.ablate_graph --index DIR --samples FILE --out results.json --seed 0

Scope and package of the caller, scope, package and access of the APIs are taken away at random, each by
itself. Of what is left: how many APIs the filter keeps, how many targets are among them, and how `fused`
ranks them.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from deepcodeseek.server.columns import Texts
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.index import Index
from deepcodeseek.server.lexical import Mask
from deepcodeseek.server.pipeline import METHODS, predict
from deepcodeseek.server.retrieve import reachable
from deepcodeseek.server.types import Context

from .atomic import write_lines
from .evaluate import shipped_engine
from .metrics import rank_of, wilson
from .predict import sample_context

SHARES = (25, 50, 100)  # percent of the metadata that is taken away
DEPTHS = (5, 40)
API_COLUMNS = ("scope", "package", "access")

COMMAND = (
    "python -m deepcodeseek.index_builder.ablate_graph --index INDEX --samples samples.jsonl "
    "--out graph-filter.json --seed {seed}"
)
DESCRIPTION = (
    "The graph filter with metadata taken away at random: scope and package of the caller, scope, package "
    "and access of the APIs, each value by itself. `candidates`: percent of the APIs that the filter keeps, "
    "a mean over the samples. `targets`: percent of the samples whose target is kept. `top`: percent of the "
    "samples whose target is among the first k of `fused`. 95 % Wilson intervals over the samples; for "
    "`candidates`, a mean of shares, they are wider than need be."
)


@dataclass(frozen=True, slots=True)
class Case:
    """One way to spoil the metadata."""

    caller: int = 0  # percent of the caller's facts that are taken away
    apis: int = 0  # percent of the APIs' columns
    graph: bool = True


@dataclass(frozen=True, slots=True)
class Sample:
    """A place in a file, and what is called there."""

    context: Context
    target: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one sample."""

    kept: float  # share of the APIs that the filter keeps
    is_kept: bool  # the target among them
    rank: int | None


def main() -> None:
    """Measure all cases and write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--index", type=Path, required=True, help="an index directory")
    parser.add_argument("--samples", type=Path, required=True, help="samples that state their target")
    parser.add_argument("--out", type=Path, required=True, help="the file of results")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    engine = shipped_engine(given.index)
    samples = read_samples(given.samples, engine.index)
    results = []
    for case in cases():
        results.append(measure(engine, samples, case, given.seed))
        print(json.dumps(results[-1]), flush=True)
    content = {
        "description": DESCRIPTION,
        "command": COMMAND.format(seed=given.seed),
        "apis": engine.index.count,
        "cases": results,
    }
    write_lines(given.out, [json.dumps(content, indent=1)])


def cases() -> Iterator[Case]:
    """No filter, the filter with all metadata, then with less and less of the caller's, the APIs', both."""
    yield Case(graph=False)
    yield Case()
    yield from (Case(caller=share) for share in SHARES)
    yield from (Case(apis=share) for share in SHARES)
    yield from (Case(caller=share, apis=share) for share in SHARES)


def read_samples(path: Path, index: Index) -> tuple[Sample, ...]:
    """Those whose target the index knows."""
    rows = [json.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
    known = (row for row in rows if index.find(row["target"]))
    return tuple(Sample(sample_context(index, row), row["target"]) for row in known)


def measure(engine: Engine, samples: Sequence[Sample], case: Case, seed: int) -> dict[str, Any]:
    """One case as it is kept in the file."""
    chance = np.random.default_rng([seed, case.caller, case.apis])
    spoiled = replace(engine, index=without_columns(engine.index, case.apis, chance))
    outcomes = []
    for sample in samples:
        context = without_facts(sample.context, case.caller, chance)
        outcomes.append(_outcome(spoiled, Sample(context, sample.target), case.graph))
    n = len(outcomes)
    hits = {k: sum(o.rank is not None and o.rank <= k for o in outcomes) for k in DEPTHS}
    return {
        "graph": case.graph,
        "removed": {"caller": case.caller, "apis": case.apis},
        "n": n,
        "candidates": _share(sum(outcome.kept for outcome in outcomes), n),
        "targets": _share(sum(outcome.is_kept for outcome in outcomes), n),
        "top": {str(k): _share(hits[k], n) for k in DEPTHS},
    }


def _outcome(engine: Engine, sample: Sample, graph: bool) -> Outcome:
    answer = predict(engine, sample.context, replace(METHODS["fused"], graph=graph))
    rank = rank_of(sample.target, [item.api.api_name for item in answer.ranked])
    kept, is_kept = filtered(engine.index, sample.context, sample.target) if graph else (1.0, True)
    return Outcome(kept, is_kept, rank)


def filtered(index: Index, context: Context, target: str) -> tuple[float, bool]:
    """Share of the APIs that the filter keeps, and whether it keeps the target."""
    foreign = ~np.isin(index.usages.file, index.file_ids(context.file))
    kept = reachable(index, context, foreign)
    return float(kept.mean()), any(kept[api_id] for api_id in index.find(target))


def without_columns(index: Index, percent: int, chance: np.random.Generator) -> Index:
    """The same index, some entries of its columns blank."""
    spoiled = copy.copy(index)
    blanked: dict[str, Any] = {
        name: _blanked(getattr(index.apis, name), chance.random(index.count) < percent / 100)
        for name in API_COLUMNS
    }
    spoiled.apis = replace(index.apis, **blanked)
    return spoiled


def _blanked(column: Texts, gone: Mask) -> Texts:
    return Texts("" if is_gone else text for text, is_gone in zip(column, gone.tolist(), strict=True))


def without_facts(context: Context, percent: int, chance: np.random.Generator) -> Context:
    """The same context, some of what is known of the caller unknown."""
    scope = context.scope if chance.random() >= percent / 100 else ""
    package = context.package if chance.random() >= percent / 100 else ""
    return replace(context, scope=scope, package=package)


def _share(hits: float, n: int) -> dict[str, Any]:
    low, high = wilson(hits, n)
    return {"percent": round(100 * hits / n, 1), "interval": [round(low, 1), round(high, 1)]}


if __name__ == "__main__":
    main()
