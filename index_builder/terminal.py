"""What the commands show: progress and tables."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from deepcodeseek.server.types import Answer, Context, RankedApi

from .metrics import DEPTHS
from .progress import Progress as Report

if TYPE_CHECKING:
    from .adapt import Adapted

BAR_STEPS = 200  # a redraw costs more than most steps
SHOWN = 6
STATEMENT_WIDTH = 110
CURSOR = "\u2588"


def result_view(result: Mapping[str, Any]) -> Group:
    """The figures of `eval run`."""
    table = Table(box=SIMPLE_HEAD, title=f"{result['method']}, {result['cursor']}, facts {result['facts']}")
    for heading in ("", "", "n", "top-1", "top-5", "top-10", "top-40", "MRR"):
        table.add_column(heading, justify="left" if not heading else "right")
    last = ""
    for row in result["rows"]:
        tops = [_estimate_text(row["top"][str(k)], 1) for k in DEPTHS]
        group, last = "" if row["group"] == last else row["group"], row["group"]
        table.add_row(group, row["value"], str(row["n"]), *tops, _estimate_text(row["mrr"], 3))
    times = ", ".join(f"{stage} {ms['p50']:.0f} / {ms['p95']:.0f}" for stage, ms in result["ms"].items())
    return Group(table, Text(f"milliseconds, p50 / p95: {times}"))


def ablation_view(results: Sequence[Mapping[str, Any]]) -> Table:
    """The cases of `eval ablate`, each beside the one it is compared with."""
    table = Table(box=SIMPLE_HEAD)
    for heading in ("", "n", "top-1", "top-5", "top-40", "gained", "lost", "p", "ms"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=bool(heading))
    for row in results:
        tops = [f"{row['top'][k][0]:.1f}" for k in ("1", "5", "40")]
        flips = (str(row["gained"]), str(row["lost"]), f"{row['p']:.3f}")
        table.add_row(row["case"], str(row["n"]), *tops, *flips, f"{row['ms']['total']['p50']:.0f}")
    return table


def _estimate_text(estimate: Sequence[float], digits: int) -> str:
    value, low, high = (f"{number:.{digits}f}" for number in estimate)
    return f"{value} [{low}, {high}]"


@contextmanager
def progress_reporter(style: str) -> Iterator[Report]:
    """A function that shows progress: a bar on a terminal, JSON lines on stderr, or nothing."""
    if style == "jsonl":
        yield _json_lines()
    elif style == "none" or not sys.stderr.isatty():
        yield lambda task, done, total: None
    else:
        columns = (
            TextColumn("{task.description:<20}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            yield _bar(bar)


def _bar(bar: Progress) -> Report:
    tasks: dict[str, TaskID] = {}

    def show(task: str, done: int, total: int) -> None:
        if task not in tasks:
            for earlier in bar.tasks:  # whoever begins the next task has ended those before it
                bar.update(earlier.id, completed=earlier.total)
            tasks[task] = bar.add_task(task, total=total)
        if total <= BAR_STEPS or done % (total // BAR_STEPS) == 0:
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


def say_json(*messages: str) -> None:
    """On stderr, as lines beside those of progress."""
    for message in messages:
        print(json.dumps({"message": message}), file=sys.stderr, flush=True)


def answer_view(answer: Answer, context: Context, shown: int = SHOWN) -> Group:
    """The code at the cursor, the ranked APIs with what speaks for each, and the stages with their times."""
    return Group(_code(context), _ranked(answer, shown), _stages(answer))


def _code(context: Context) -> Panel:
    code = textwrap.dedent(f"{context.window}\n{_indentation(context)}{context.prefix}{CURSOR}")
    name = (context.record_name if context.record_type else context.file) or "cursor"  # a module by its path
    return Panel(
        Syntax(_printable(code), "javascript", theme="ansi_dark"),
        title=Text(_printable(name)),
        title_align="left",
    )


def _indentation(context: Context) -> str:
    last = context.before.rsplit("\n", 1)[-1]
    return last[: len(last) - len(last.lstrip())] if not last.strip() else ""


def _ranked(answer: Answer, shown: int) -> Table:
    table = Table(title="Predicted APIs", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("#", justify="right")
    table.add_column("API", no_wrap=True)
    table.add_column("strongest evidence", no_wrap=True)
    table.add_column("nearest known usage", overflow="fold")
    for place, item in enumerate(answer.ranked[:shown], 1):
        table.add_row(str(place), Text(_printable(item.api.api_name), style="bold"), _why(item), _usage(item))
    return table


def _stages(answer: Answer) -> Table:
    table = Table(title=f"Stages, index {answer.trace.index_id}", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("stage", "ms", "note"):
        table.add_column(heading, justify="right" if heading == "ms" else "left")
    for stage in answer.trace.stages:
        table.add_row(stage.stage, f"{stage.ms:.0f}", Text(_printable(stage.note)))
    return table


def _why(item: RankedApi) -> str:
    strongest = sorted(item.evidence, key=lambda evidence: evidence.rank)[:3]
    return "\n".join(f"{evidence.signal}: #{evidence.rank}" for evidence in strongest)


def _usage(item: RankedApi) -> Text:
    if item.usage is None:
        return Text("none in other files", style="dim")
    where = _printable(item.usage.caller or item.usage.file)
    call = " ".join(item.usage.statement.split())
    return Text.assemble(
        (textwrap.shorten(_printable(call), STATEMENT_WIDTH), "green"), f"\n{where}, line {item.usage.line}"
    )


def _printable(text: str) -> str:
    """Without control characters: text of a workspace must not steer the terminal."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text)


def adapted_view(result: Adapted, out: Path, is_found: bool = True) -> str:
    """What adapting brought, in a few lines; `is_found`: the server looks into `out` by itself."""
    lines = [
        f"{result.questions} calls in {result.files} files, {result.minutes:.1f} minutes; weights that have "
        "not seen the file of a call:",
        f"  shipped  {_tops(result.before)}",
        f"  adapted  {_tops(result.after)}",
        f"  among the first 5: {result.gained} gained, {result.lost} lost",
        "with nothing after the cursor:",
        f"  shipped  {_tops(result.cut_before)}",
        f"  adapted  {_tops(result.cut_after)}",
        f"reciprocal rank, both ways: {result.gain:+.3f} (standard error {result.error:.3f})",
    ]
    if result.general_before:
        forgotten = f"{_tops(result.general_before)}, now {_tops(result.general_after)}"
        lines.append(f"the fusion on other code bases: {forgotten}")
    if result.encoded:
        lines += [
            "with the encoder of questions, and with the fusion alone:",
            f"  alone    {_tops(result.encoded.before)}",
            f"  both     {_tops(result.encoded.after)}",
            f"  reciprocal rank: {result.encoded.gain:+.3f} (standard error {result.encoded.error:.3f})",
        ]
    is_kept = result.encoded is not None and result.encoded.is_better
    lines.append(_kept("fusion and encoder of questions" if is_kept else "fusion", result.is_better, out))
    if result.reranked:
        lines += [
            f"the cross-encoder on {result.reranked.lists} lists of the first candidates:",
            f"  shipped  {_tops(result.reranked.before)}",
            f"  adapted  {_tops(result.reranked.after)}",
            _kept("cross-encoder", result.reranked.is_better, out),
        ]
    if not is_found and (result.is_better or (result.reranked and result.reranked.is_better)):
        lines.append("the server uses it where the setting modelsDirectory names this folder")
    return "\n".join(lines)


def _kept(what: str, is_better: bool, out: Path) -> str:
    return f"written to {out}" if is_better else f"no better: no {what} is written"


def _tops(tops: Mapping[int, float]) -> str:
    return "   ".join(f"top-{k} {percent:4.1f} %" for k, percent in tops.items())
