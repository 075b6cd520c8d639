"""What the commands show: progress and tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from deepcodeseek.server.types import Answer, RankedApi

from .build import Progress as Report

BAR_ROWS = 50  # a redraw costs more than most steps
SHOWN = 10


@contextmanager
def progress_reporter(style: str) -> Iterator[Report]:
    """A function that shows progress: a bar on a terminal, JSON lines on stderr, or nothing."""
    if style == "jsonl":
        yield _json_lines()
    elif style == "none" or not sys.stderr.isatty():
        yield lambda task, done, total: None
    else:
        columns = (
            TextColumn("{task.description:<18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            yield _bar(bar)


def _bar(bar: Progress) -> Report:
    tasks: dict[str, Any] = {}

    def show(task: str, done: int, total: int) -> None:
        if task not in tasks:
            tasks[task] = bar.add_task(task, total=total)
        if done % BAR_ROWS == 0 or done >= total:
            bar.update(tasks[task], completed=done, total=total)

    return show


def _json_lines() -> Report:
    shown: dict[str, int] = {}

    def show(task: str, done: int, total: int) -> None:
        percent = 100 * done // max(1, total)
        if shown.get(task) != percent:
            shown[task] = percent
            print(json.dumps({"task": task, "done": done, "total": total}), file=sys.stderr, flush=True)

    return show


def answer_tables(answer: Answer, shown: int = SHOWN) -> tuple[Table, Table]:
    """The ranked APIs with what speaks for each, and the stages with their times."""
    ranked = Table(title="Predicted APIs", title_justify="left")
    for heading in ("#", "API", "why", "nearest known usage"):
        ranked.add_column(heading, justify="right" if heading == "#" else "left", overflow="fold")
    for place, item in enumerate(answer.ranked[:shown], 1):
        ranked.add_row(str(place), Text(item.api.api_name, style="bold"), _why(item), _usage(item))
    stages = Table(title=f"Stages (index {answer.trace.index_id})", title_justify="left")
    for heading in ("stage", "ms", "note"):
        stages.add_column(heading, justify="right" if heading == "ms" else "left")
    for stage in answer.trace.stages:
        stages.add_row(stage.stage, f"{stage.ms:.1f}", stage.note)
    return ranked, stages


def _why(item: RankedApi) -> str:
    strongest = sorted(item.evidence, key=lambda evidence: evidence.rank)[:4]
    return "\n".join(f"{evidence.signal} #{evidence.rank}" for evidence in strongest)


def _usage(item: RankedApi) -> str:
    return f"{item.usage.file}:{item.usage.line}\n{item.usage.statement.strip()}" if item.usage else ""
