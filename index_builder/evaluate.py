"""Measure methods on samples: what is predicted at each place, in which state of typing, with which facts.

A result file holds every rank, so that two of them can be compared sample by sample; what is shown of it is
made from it.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import numpy as np

from deepcodeseek.server import __version__
from deepcodeseek.server.context import make_context
from deepcodeseek.server.engine import Engine, load_engine, load_rerankers
from deepcodeseek.server.index import Index
from deepcodeseek.server.models import ModelKind, ModelProblem, shipped
from deepcodeseek.server.pipeline import RERANK_DEPTH, Variant, known_facts, predict
from deepcodeseek.server.places import place_of
from deepcodeseek.server.text import WINDOW_LINES
from deepcodeseek.server.types import Context, ExpandedQuery

from .atomic import write_lines
from .cache import digest
from .figures import UNRANKED, Outcome, Row, latency, rows
from .metrics import rank_of
from .predict import SampleProblem, file_of
from .progress import Progress

Cursor = Literal["statement", "new", "letters"]
"""At the start of the statement, after `new `, or after two letters of the name."""

Facts = Literal["given", "path", "none"]
"""What is known of the file: all that the index and the sample say, what its path says, or nothing."""

T = TypeVar("T")
Sample = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """How the samples are put as questions."""

    cursor: Cursor = "statement"
    facts: Facts = "given"
    first_only: bool = False
    deadline_ms: float | None = None
    lines: int = WINDOW_LINES  # before the cursor
    after: bool = True  # whether anything stands after it
    depth: int = RERANK_DEPTH  # how many candidates the cross-encoder reads


@dataclass(frozen=True, slots=True)
class Written:
    """What a generator wrote for a sample before it is asked, and the milliseconds that took."""

    query: ExpandedQuery
    ms: float


NOTHING_WRITTEN: Mapping[str, Written] = MappingProxyType({})


def shipped_engine(index: Path) -> Engine:
    """An engine of what ships, to measure; raises IndexProblem, and ModelProblem where something that is
    installed goes before it."""
    engine = load_engine(index, adapted=False)
    loaded: dict[ModelKind, str] = {
        "encoder": engine.encoder.files.sha256 if engine.encoder else "",
        "fusion": engine.fusion.sha256 if engine.fusion else "",
        "reranker": engine.reranker.files.sha256 if engine.reranker else "",
    }
    others: list[str] = [kind for kind, sha256 in loaded.items() if sha256 != shipped(kind).sha256]
    others += ["query"] * bool(engine.query_encoder) + ["causal"] * bool(engine.causal)
    if others:
        raise ModelProblem(
            f"an installed model would be measured instead of what ships ({', '.join(others)}): "
            "`deepcodeseek models list` shows where it lies"
        )
    return engine


def measure(
    engine: Engine,
    samples: Path,
    method: str,
    variant: Variant,
    asked: Asked,
    progress: Progress,
    out: Path | None = None,
) -> dict[str, Any]:
    """Ask all samples of a file; the result, kept in the folder `out` where one is named."""
    if variant.expand and not asked.first_only and engine.generator is None:
        raise ModelProblem(f"{method} needs an expander: run `deepcodeseek models get`")
    if not (variant.expand or variant.rerank):
        asked = replace(asked, first_only=False)  # there is no other list
    questions = [_with_documentation(engine, sample) for sample in read_samples(samples)]
    notes = unknown_notes(engine.index, questions)
    outcomes = tuple(run(engine, questions, variant, asked, progress))
    if not outcomes:
        raise SampleProblem(f"{samples}: no sample can be asked so")
    commit = commit_or_version()
    result = result_json(method, asked, commit, engine.index.id, questions, outcomes)
    result["notes"] = [*engine.notes, *notes]
    if out:
        out.mkdir(parents=True, exist_ok=True)
        name = result_name(result).replace(" ", "-").replace(",", "")
        place = digest(engine.index.id, *_weights(engine), *result["ranks"]).hex()[:6]
        write_lines(out / f"{name}-{commit}-{place}.json", [json.dumps(result, indent=1)])
    return result


def _weights(engine: Engine) -> Iterator[str]:
    """The hashes of what learned: results of other weights are other files."""
    adapter = engine.generator.adapter if engine.generator else None
    for model in (engine.query_encoder, engine.reranker, engine.causal, engine.generator):
        yield model.files.sha256 if model else ""
    yield adapter.sha256 if adapter else ""
    if engine.fusion:
        yield from (hashlib.sha256(array.tobytes()).hexdigest() for array in engine.fusion.parameters)


def run(
    engine: Engine,
    samples: Sequence[Sample],
    variant: Variant,
    asked: Asked,
    progress: Progress,
    written: Mapping[str, Written] = NOTHING_WRITTEN,
) -> Iterator[Outcome]:
    """Each sample that can be asked so, in order; `written` by sample id stands in for the expander."""
    if variant.rerank and not asked.first_only:
        load_rerankers(engine)
    for done, sample in enumerate(samples):
        progress("measuring", done, len(samples))
        context = context_of(engine, sample, asked)
        if context is None:
            continue
        before = written.get(sample["id"])
        answer = predict(
            engine,
            context,
            variant,
            expanded=before.query if before else None,
            first_only=asked.first_only,
            deadline_ms=asked.deadline_ms,
            rerank_depth=asked.depth,
        )
        rank = rank_of(sample["target"], [item.api.api_name for item in answer.ranked])
        ms = {stage.stage: stage.ms for stage in answer.trace.stages}
        if before:
            ms["expand"] = before.ms
        yield Outcome(sample["id"], rank or UNRANKED, ms)


def some_of(items: Sequence[T], most: int, seed: int = 0) -> list[T]:
    """So many of them by chance, in their order; all where there are no more."""
    chosen = np.random.default_rng(seed).permutation(len(items))[:most]
    return [items[i] for i in sorted(chosen.tolist())]


def _with_documentation(engine: Engine, sample: Sample) -> dict[str, Any]:
    """The sample, and whether somebody documented its target."""
    apis = [engine.index.api(api_id) for api_id in engine.index.find(sample["target"])]
    written = any(api.doc_origin == "written" for api in apis)
    return {**sample, "documentation": "written" if written else "not written"} if apis else dict(sample)


def context_of(engine: Engine, sample: Sample, asked: Asked) -> Context | None:
    """The question, or None where the call has no such place: only a `new` has one after `new `."""
    typed = _typed(sample, asked.cursor)
    if typed is None:
        return None
    before, after = str(sample["code_before"]) + typed, str(sample.get("code_after") or "") * asked.after
    return make_context(before, after, _facts(engine, sample, asked), asked.lines)


def _typed(sample: Sample, cursor: Cursor) -> str | None:
    """What of the statement is there already; a variable that tells the target goes by another name."""
    if cursor == "statement":
        return ""
    name, statement = str(sample.get("target_name", "")), str(sample.get("code_middle", ""))
    called = re.search(rf"(\bnew\s+)((?:[\w$]+\.)*)(?={re.escape(name)}\b)", statement) if name else None
    if called is None:
        return None
    head = statement[: called.start()]
    if name.lower() in head.lower():
        head = "var x = "
    new, qualifier = called.groups()
    return head + new + (qualifier + name[:2] if cursor == "letters" else "")


def _facts(engine: Engine, sample: Sample, asked: Asked) -> dict[str, str]:
    """`file` is always there: what was mined from it must not count."""
    file = file_of(engine.index, sample)
    if asked.facts == "none":
        return {"file": file}
    if asked.facts == "path":
        place = place_of(file)
        said = {key: getattr(place, key) for key in ("scope", "record_type", "record_name", "field")}
        return {"file": file} | said
    keys = ("record_type", "record_name", "table", "scope")
    return known_facts(engine.index, {"file": file} | {key: str(sample.get(key) or "") for key in keys})


def unknown_notes(index: Index, samples: Sequence[Sample]) -> list[str]:
    """What of the samples an index does not know; raises SampleProblem where it knows none of the targets."""
    targets = sum(not index.find(sample["target"]) for sample in samples)
    if targets == len(samples):
        raise SampleProblem("none of the targets is in the index: these samples are of another code base")
    files = sum(not index.file_ids(file_of(index, sample)) for sample in samples)
    notes = (
        (targets, "have a target that the index does not know"),
        (files, "stand in files that the index does not know: under another name they would tell the answer"),
    )
    return [f"{count} of {len(samples)} samples {what}" for count, what in notes if count]


# Files


def result_json(
    method: str, asked: Asked, commit: str, index: str, samples: Sequence[Sample], outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """A result as it is kept: figures, and the rank of every sample."""
    return {
        "method": method,
        "commit": commit,
        "index": index,
        "cursor": asked.cursor,
        "facts": asked.facts,
        "first_only": asked.first_only,
        "deadline_ms": asked.deadline_ms,
        "rows": [_row_json(row) for row in rows(samples, outcomes)],
        "ms": latency(outcomes),
        "clean": [sample["id"] for sample in samples if sample.get("clean")],
        "ranks": {outcome.id: outcome.rank for outcome in outcomes},
    }


def result_name(result: Mapping[str, Any]) -> str:
    """The method, and what of the question is not as usual."""
    usual = {"cursor": "statement", "facts": "given"}
    parts = [result["method"], *(f"{key} {result[key]}" for key in usual if result[key] != usual[key])]
    if result["first_only"]:
        parts.append("first list")
    if result["deadline_ms"]:
        parts.append(f"{result['deadline_ms']:.0f} ms")
    return ", ".join(parts)


def _row_json(row: Row) -> dict[str, Any]:
    top = {str(k): list(estimate) for k, estimate in row.top.items()}
    return {"group": row.group, "value": row.value, "n": row.n, "top": top, "mrr": list(row.mrr)}


def commit_or_version() -> str:
    """Which code was measured: the commit of a checkout, or else the version."""
    package = Path(__file__).resolve().parent
    command = ["git", "-C", str(package), "rev-parse", "--show-toplevel", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return __version__
    checkout, _, commit = done.stdout.strip().rpartition("\n")
    is_ours = Path(checkout) == package.parent  # and not one that it is installed in
    return commit if is_ours else __version__


def read_samples(path: Path) -> list[dict[str, Any]]:
    """Samples of a file of JSON lines; raises SampleProblem with the line that is none."""
    samples = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if line.strip():
            try:
                sample = json.loads(line)
                texts = {key: str(sample[key]) for key in ("id", "target", "code_before")}
                samples.append({**sample, **texts})
            except (ValueError, TypeError, KeyError) as error:
                raise SampleProblem(f"{path}:{number}: not a sample: {error}") from None
    return samples
