"""The commands `deepcodeseek eval ...`. Heavy imports stay inside the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .cli_common import (
    EXISTING_FILE,
    EXISTING_FOLDER,
    FILE,
    FOLDER,
    clear_errors,
    named_variant,
    say,
)

if TYPE_CHECKING:
    from deepcodeseek.server.engine import Engine

    from .evaluate import Cursor, Facts
    from .misses import Miss


@click.group("eval")
def evaluate() -> None:
    """Measure predictions."""


@evaluate.command("mine")
@click.argument("workspace", type=EXISTING_FOLDER)
@click.option("--out", type=FILE, required=True, help="JSON lines, one sample a line.")
@click.option("--per-target", type=click.IntRange(1), default=5, help="Balanced samples an API has at most.")
@click.option("--seed", type=int, default=0, help="Of the choice of balanced samples.")
@click.option("--packages", is_flag=True, help="Calls of installed packages too.")
def eval_mine(workspace: Path, out: Path, per_target: int, seed: int, packages: bool) -> None:
    """Mine samples from the calls in WORKSPACE: the lines before, the call, the lines after, the target."""
    from deepcodeseek.server.generation import index_directory

    from .build import read_content
    from .database import Options
    from .graph import find_exports, with_tails
    from .mine import mine, write_samples
    from .terminal import progress_reporter

    with clear_errors(out), progress_reporter("auto") as progress:
        out.parent.mkdir(parents=True, exist_ok=True)
        directory = index_directory(workspace)
        content, problems = read_content(workspace, directory, Options(packages=packages), progress, say)
        exports = with_tails(find_exports(content.extracted))
        samples = mine(content.extracted, content.apis, exports, per_target, seed)
        write_samples(samples, out)
    say(*(f"{problem.path}: {problem.message}" for problem in problems))
    flags = ("leak", "clone", "ambiguous", "usable", "balanced", "clean")
    counts = ", ".join(f"{sum(getattr(s, flag) for s in samples)} {flag}" for flag in flags)
    click.echo(f"{len(samples)} samples of {len({s.target for s in samples})} APIs in {out}: {counts}")


@evaluate.command("run")
@click.option("--index", "directory", type=FOLDER, required=True)
@click.option("--samples", type=EXISTING_FILE, required=True, help="What `eval mine` wrote.")
@click.option("--method", "methods", multiple=True, default=("fused",), help="May be given several times.")
@click.option(
    "--cursor",
    type=click.Choice(["statement", "new", "letters"]),
    default="statement",
    help="Ask at the start of the statement, after `new `, or after two letters of the name.",
)
@click.option(
    "--facts",
    type=click.Choice(["given", "path", "none"]),
    default="given",
    help="What is known of a file: all, what its path says, or nothing.",
)
@click.option("--first-only", is_flag=True, help="Stop after the first list: no expansion, no cross-encoder.")
@click.option("--deadline-ms", type=click.FloatRange(1), help="What a user would get by then.")
@click.option("--models", type=EXISTING_FOLDER, help="Models to use before the installed ones.")
@click.option("--json", "out", type=FOLDER, help="Keep each result there, as METHOD-COMMIT.json.")
def eval_run(
    directory: Path,
    samples: Path,
    methods: tuple[str, ...],
    cursor: Cursor,
    facts: Facts,
    first_only: bool,
    deadline_ms: float | None,
    models: Path | None,
    out: Path | None,
) -> None:
    """Measure methods on samples: top-k and reciprocal rank with intervals, by group, and latency."""
    from rich.console import Console

    from .evaluate import Asked, measure
    from .terminal import progress_reporter, result_view

    asked = Asked(cursor, facts, first_only, deadline_ms)
    variants = {method: named_variant(method) for method in methods}
    with clear_errors(out):
        engine = _unadapted(directory, models)
        for method, variant in variants.items():
            with progress_reporter("auto") as progress:
                result = measure(engine, samples, method, variant, asked, progress, out)
            say(*result["notes"])
            Console().print(result_view(result))


@evaluate.command("ablate")
@click.option("--index", "directory", type=FOLDER, required=True)
@click.option("--samples", type=EXISTING_FILE, required=True, help="What `eval mine` wrote.")
@click.option("--subset", default="clean", help="Only samples with this flag set.")
@click.option(
    "--model-samples",
    type=click.IntRange(0),
    default=150,
    show_default=True,
    help="Cases that ask a model run on so many of them; 0: none runs.",
)
@click.option("--seed", type=int, default=0, help="Of the choice of these.")
@click.option("--models", type=EXISTING_FOLDER, help="Models to use before the installed ones.")
@click.option("--json", "out", type=FILE, help="Keep the result in this file.")
def eval_ablate(
    directory: Path,
    samples: Path,
    subset: str,
    model_samples: int,
    seed: int,
    models: Path | None,
    out: Path | None,
) -> None:
    """What each signal, the window, the graph, the facts, the expander and a deadline are worth."""
    from rich.console import Console

    from .ablate import ablate, without_models, working
    from .atomic import write_lines
    from .evaluate import commit_or_version, read_samples, unknown_notes
    from .terminal import ablation_view, progress_reporter

    with clear_errors(out), progress_reporter("auto") as progress:
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)  # and not when all is measured
        questions = [sample for sample in read_samples(samples) if subset == "all" or sample.get(subset)]
        if not questions:
            raise click.ClickException(f"{samples}: no sample is {subset}")
        engine = _unadapted(directory, models)
        engine = working(engine) if model_samples else without_models(engine)
        say(*engine.notes, *unknown_notes(engine.index, questions))
        results = ablate(engine, questions, progress, model_samples, seed)
        Console().print(ablation_view(results))
        if out:
            content = {"subset": subset, "commit": commit_or_version(), "seed": seed, "cases": results}
            write_lines(out, [json.dumps(content, indent=1)])


def _unadapted(directory: Path, models: Path | None) -> Engine:
    """The engine without what was adapted: beside the index it has learned from the very samples, in the
    user's data directory perhaps."""
    from deepcodeseek.server.engine import load_engine
    from deepcodeseek.server.generation import ADAPTED

    adapted = directory / ADAPTED
    if adapted.is_dir() and models != adapted:
        say(f"{adapted} has learned from these files and is left out; --models {adapted} measures it")
    return load_engine(directory, models, adapted=False)


@evaluate.command("compare")
@click.argument("before", type=EXISTING_FILE)
@click.argument("after", type=EXISTING_FILE)
@click.option("--k", "depths", type=click.IntRange(1), multiple=True, default=(1, 5, 10, 40))
def eval_compare(before: Path, after: Path, depths: tuple[int, ...]) -> None:
    """Compare two results that `eval run --json` kept: which samples flipped, and McNemar's p."""
    from .figures import compare
    from .report import read_result

    with clear_errors():
        first, second = (read_result(path)["ranks"] for path in (before, after))
    if first.keys().isdisjoint(second):
        raise click.ClickException(f"{before} and {after} have no sample in common")
    for k in depths:
        found = compare(first, second, k)
        flips = f"{len(found.gained)} gained, {len(found.lost)} lost"
        click.echo(f"top-{k:<3} n = {found.n}: {flips}, p = {found.p:.3f}")
    found = compare(first, second, depths[0])
    for what, ids in (("gained", found.gained), ("lost", found.lost)):
        click.echo(f"{what} at top-{found.k}: {' '.join(ids[:20])}{' …' if len(ids) > 20 else ''}")


@evaluate.command("report")
@click.argument("results", type=EXISTING_FILE, nargs=-1, required=True)
@click.option("--out", type=FILE, required=True, help="The page.")
@click.option("--ablations", type=EXISTING_FILE, help="What `eval ablate --json` kept.")
@click.option("--index", "directory", type=FOLDER, help="To show the misses: the index that was measured.")
@click.option("--samples", type=EXISTING_FILE, help="And the samples.")
@click.option("--models", type=EXISTING_FOLDER, help="Models to use before the installed ones.")
def eval_report(
    results: tuple[Path, ...],
    out: Path,
    ablations: Path | None,
    directory: Path | None,
    samples: Path | None,
    models: Path | None,
) -> None:
    """Make one HTML page of RESULTS, files that `eval run --json` kept. With misses it holds your code."""
    from .evaluate import read_samples
    from .misses import find_misses
    from .report import read_ablations, read_result, stale_note, write_report
    from .terminal import progress_reporter

    if (directory is None) != (samples is None):
        raise click.UsageError("--index and --samples show the misses together: give both or none")
    with clear_errors(out), progress_reporter("auto") as progress:
        out.parent.mkdir(parents=True, exist_ok=True)
        read = [read_result(path) for path in results]
        cases = read_ablations(ablations) if ablations else None
        misses: list[Miss] = []
        notes: list[str] = []
        if directory and samples:
            engine, questions = _unadapted(directory, models), read_samples(samples)
            for result in read:
                misses += find_misses(engine, questions, result, progress)
                notes += stale_note(result, engine.index.id)
        write_report(out, read, cases, misses, notes)
    click.echo(f"{len(read)} results and {len(misses)} misses in {out}", err=True)


@evaluate.command("score")
@click.option("--samples", type=EXISTING_FILE, required=True, help="JSON lines with id and target.")
@click.option("--predictions", type=EXISTING_FILE, required=True, help="What `predict` wrote.")
@click.option("--subset", default="all", help="Only samples with this flag set, such as clean.")
@click.option("--name", default="full", help="What the result is called in the JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def eval_score(samples: Path, predictions: Path, subset: str, name: str, as_json: bool) -> None:
    """Top-k accuracy with 95 % intervals, mean reciprocal rank and latency of a predictions file."""
    from .metrics import score_files, score_json

    with clear_errors():
        try:
            result = score_files(samples, predictions, subset)
        except KeyError as error:
            raise click.ClickException(f"{predictions}: no prediction for {error}") from None
        except ValueError as error:
            raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(score_json(name, result)))
        return
    click.echo(f"{subset}: n = {result.n}")
    for k, top in result.top.items():
        low, high = result.interval[k]
        click.echo(f"top-{k:<3} {top:5.1f}   [{low:.1f}, {high:.1f}]")
    click.echo(f"MRR    {result.mrr:.3f}   ms p50 {result.ms_p50:.0f}, p95 {result.ms_p95:.0f}")
