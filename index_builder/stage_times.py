"""Times each stage of the pipeline over known calls of an index, asked as an editor asks."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepcodeseek.server.context import make_context
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.generation import read_manifest
from deepcodeseek.server.pipeline import known_facts, predict
from deepcodeseek.server.types import Context

QUESTIONS, REFINED = 20, 5  # first lists, and lists with what refines them


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of a stage."""

    stage: str
    n: int
    p50: float
    p95: float


def time_stages(engine: Engine, directory: Path) -> tuple[Timing, ...]:
    """Each stage, the first list and the refined one; nothing where the index knows no calls."""
    contexts = list(_contexts(engine, directory))
    if not contexts:
        return ()
    predict(engine, contexts[0], first_only=True)  # what is read lazily is read now
    refining = {name for name, part in (("expand", engine.generator), ("rerank", engine.reranker)) if part}
    stages: dict[str, list[float]] = defaultdict(list)
    for context in contexts:
        answer = predict(engine, context, first_only=True)
        for stage in answer.trace.stages:
            stages[stage.stage].append(stage.ms)
        stages["first list"].append(sum(stage.ms for stage in answer.trace.stages))
    for context in contexts[:REFINED] if engine.generator or engine.reranker else ():
        answer = predict(engine, context)
        for stage in answer.trace.stages:
            if stage.stage in refining:
                stages[stage.stage].append(stage.ms)
        stages["refined list"].append(sum(stage.ms for stage in answer.trace.stages))
    return tuple(timing(name, times) for name, times in stages.items())


def timing(stage: str, times: Sequence[float]) -> Timing:
    """Median and 95th percentile; of few values the largest stands for the latter."""
    p95 = statistics.quantiles(times, n=20)[-1] if len(times) >= QUESTIONS else max(times)
    return Timing(stage, len(times), statistics.median(times), p95)


def _contexts(engine: Engine, directory: Path) -> Iterator[Context]:
    count = int(read_manifest(directory)[1]["counts"].get("usages", 0))
    for row in range(0, count, max(1, count // QUESTIONS))[:QUESTIONS]:
        usage = engine.index.usage(row)
        yield make_context(f"{usage.context}\n", "", known_facts(engine.index, {"file": usage.file}))
