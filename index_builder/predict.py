"""Predictions outside of an editor: for a cursor in a file, and for a file of samples."""

from __future__ import annotations

import json
import os
import posixpath
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from deepcodeseek.server.context import make_context
from deepcodeseek.server.documents import line_starts
from deepcodeseek.server.engine import Engine, load_rerankers
from deepcodeseek.server.generation import CURRENT, index_directory
from deepcodeseek.server.index import Index
from deepcodeseek.server.models import ModelProblem
from deepcodeseek.server.pipeline import Variant, known_facts
from deepcodeseek.server.pipeline import predict as predict_apis
from deepcodeseek.server.types import Context

from .progress import Progress
from .scripts import Problem

SAMPLE_FACTS = ("file", "record_type", "record_name", "field", "table", "scope")


class CursorProblem(Exception):
    """A cursor outside of its file."""


class SampleProblem(Exception):
    """A file of samples that cannot be read; the message names the line."""


def find_workspace(file: Path) -> Path:
    """The nearest folder at or above a file that has an index, else the file's own folder."""
    parent = file.resolve().parent
    for folder in (parent, *parent.parents):
        if (index_directory(folder) / CURRENT).is_file():
            return folder
    return parent


def cursor_context(index: Index, file: Path, workspace: Path | None, line: int, column: int) -> Context:
    """Context at a 1-based line and column; a column beyond its line's end stands at the end.

    Without a workspace the file is known by the longest part of its path that the index has.
    """
    text = file.read_bytes().decode("utf-8", errors="replace")
    starts = line_starts(text)
    if line > len(starts):
        raise CursorProblem(f"{file} has {len(starts)} lines: there is no line {line}")
    end = starts[line] if line < len(starts) else len(text)
    content = text[starts[line - 1] : end].rstrip("\r\n")
    offset = starts[line - 1] + min(column - 1, len(content))
    name = _indexed_name(index, file) if workspace is None else _inside(file, workspace)
    home = (workspace or find_workspace(file)).resolve().name
    return make_context(text[:offset], text[offset:], known_facts(index, {"file": name}, home))


def predict_file(
    engine: Engine,
    samples: Path,
    out: Path,
    variant: Variant,
    first_only: bool,
    deadline_ms: float | None,
    progress: Progress,
) -> tuple[int, tuple[Problem, ...]]:
    """Write one prediction a sample to `out`, in order: how many, and the lines that were no samples.

    `out` appears when all are made.
    """
    lines = [(n, line) for n, line in enumerate(samples.read_bytes().split(b"\n"), 1) if line.strip()]
    part = out.with_name(f"{out.name}.{secrets.token_hex(3)}.part")
    written = 0
    problems = []
    if variant.expand and not first_only and engine.generator:
        with suppress(ModelProblem):  # each answer's trace will say so
            engine.generator.start()
    if variant.rerank and not first_only:
        load_rerankers(engine)
    try:
        with part.open("w", encoding="utf-8") as file:
            for done, (number, line) in enumerate(lines):
                progress("predicting", done, len(lines))
                try:
                    sample = _sample(line)
                except (ValueError, RecursionError) as error:
                    problems.append(Problem(f"{samples}:{number}", f"not a sample: {error}"))
                    continue
                prediction = _predict(engine, sample, variant, first_only, deadline_ms)
                file.write(json.dumps(prediction) + "\n")
                written += 1
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return written, tuple(problems)


def file_of(index: Index, sample: Mapping[str, Any]) -> str:
    """The sample's own file, as the index writes paths."""
    file = str(sample.get("file") or "")
    if not file or index.file_ids(file):  # a name may hold a backslash
        return file
    return posixpath.normpath(file.replace("\\", "/")).lstrip("/")


def sample_context(index: Index, sample: Mapping[str, Any]) -> Context:
    """Context of a sample: what it states, and what the index knows of its file."""
    given = {key: str(sample.get(key) or "") for key in SAMPLE_FACTS}
    facts = known_facts(index, given | {"file": file_of(index, sample)})
    return make_context(sample["code_before"], str(sample.get("code_after") or ""), facts)


def _predict(
    engine: Engine, sample: dict[str, Any], variant: Variant, first_only: bool, deadline_ms: float | None
) -> dict[str, Any]:
    context = sample_context(engine.index, sample)
    answer = predict_apis(engine, context, variant, first_only=first_only, deadline_ms=deadline_ms)
    return {
        "id": sample["id"],
        "ranked": [item.api.api_name for item in answer.ranked],
        "ms": {stage.stage: round(stage.ms, 2) for stage in answer.trace.stages},
    }


def _sample(line: bytes) -> dict[str, Any]:
    sample = json.loads(line)
    if not isinstance(sample, dict) or not isinstance(sample.get("code_before"), str) or "id" not in sample:
        raise ValueError("id or code_before is missing")
    return sample


def _indexed_name(index: Index, file: Path) -> str:
    parts = file.resolve().parts
    names = ("/".join(parts[i:]) for i in range(1, len(parts)))
    return next((name for name in names if index.file_ids(name)), _inside(file, find_workspace(file)))


def _inside(file: Path, workspace: Path) -> str:
    path = os.path.relpath(file.resolve(), workspace.resolve()).replace(os.sep, "/")
    return "" if path.startswith("../") else path
