"""The console script `deepcodeseek`. Heavy imports stay inside the commands: `--help` is instant."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deepcodeseek.server import __version__

from .cli_base import base
from .cli_common import (
    EXISTING_FILE,
    EXISTING_FOLDER,
    FILE,
    FOLDER,
    clear_errors,
    give_way,
    installed_encoder,
    named_variant,
    open_engine,
    say,
    show_report,
)
from .cli_doctor import doctor
from .cli_editor import editor
from .cli_eval import evaluate
from .cli_models import models
from .cli_train import train

if TYPE_CHECKING:
    from deepcodeseek.server.models import Generator
    from deepcodeseek.server.types import Answer, RankedApi

    from .database import Documentation


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="deepcodeseek")
def main() -> None:
    """Predict the API you are about to call, from the lines before the cursor. Offline."""


main.add_command(base)
main.add_command(doctor)
main.add_command(editor)
main.add_command(evaluate)
main.add_command(models)
main.add_command(train)


@main.command()
@click.option("--stdio", is_flag=True, help="Speak LSP over stdin and stdout (the default; editors pass it).")
@click.option("--log-file", type=FILE, help="Write the log there.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def serve(stdio: bool, log_file: Path | None, log_level: str) -> None:
    """Start the language server."""
    from deepcodeseek.server.lsp import run

    run(log_file, log_level)


@main.command()
@click.argument("workspace", type=EXISTING_FOLDER, required=False)
@click.option("--out", type=FOLDER, help="Where to write the index; default: where the server looks for it.")
@click.option("--models", type=EXISTING_FOLDER, help="Models to use before the installed ones.")
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
@click.option("--export", "target", type=FILE, help="Then write the index to a file, such as team.tar.zst.")
@click.option(
    "--import", "source", type=EXISTING_FILE, help="First install an exported index as a base layer."
)
@click.option("--name", help="What to call the imported layer; default: the file's name.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "none", "jsonl"]),
    default="auto",
    help="A bar on a terminal (auto), nothing, or JSON lines on stderr.",
)
@click.option("--background", is_flag=True, help="Leave the cores to others, and end when stdin does.")
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
    background: bool,
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

    if background:
        give_way()
    if source:
        _import(source, name, models)
        if workspace is None:
            return
    workspace = workspace or Path.cwd()
    directory = out or index_directory(workspace)
    with clear_errors(directory), suppress(*[KeyboardInterrupt] if watch else []):
        encoder = installed_encoder(models)
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
            say(*problems)
            with progress_reporter(progress) as report_progress:
                report = build_index(
                    workspace, directory, encoder, report_progress, layers, options, generator, say
                )
            show_report(report, directory, as_json)
            if target:
                _export(directory, target)


@main.command()
@click.argument("file", type=EXISTING_FILE)
@click.option("--line", type=click.IntRange(1), required=True, help="1-based line of the cursor.")
@click.option("--column", type=click.IntRange(1), required=True, help="1-based column of the cursor.")
@click.option("--index", "directory", type=FOLDER, help="Default: the index of the workspace around FILE.")
@click.option("--workspace", type=EXISTING_FOLDER, help="Default: the indexed folder around FILE.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--method", default="full", help="A named variant; `predict --help` names them.")
@click.option("--models", type=EXISTING_FOLDER, help="Models to use before the installed ones.")
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

    with clear_errors():
        engine = open_engine(directory, workspace or find_workspace(file), models)
        context = cursor_context(engine.index, file, workspace, line, column)
        answer = predict_apis(engine, context, named_variant(method))
        if as_json:
            click.echo(json.dumps(_answer_json(answer), indent=2))
            return
        from rich.console import Console

        from .terminal import answer_view

        Console().print(answer_view(answer, context))


@main.command()
@click.option("--index", "directory", type=FOLDER, required=True)
@click.option("--samples", type=EXISTING_FILE, required=True, help="JSON lines, one sample a line.")
@click.option("--out", type=FILE, required=True)
@click.option(
    "--method",
    default="full",
    help="full, reranked, fused, rrf, bm25-docs, bm25-all-docs, bm25-raw, dense-docs or dense-raw.",
)
@click.option(
    "--models", type=EXISTING_FOLDER, help="Models to use before the installed ones, such as adapted ones."
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

    with clear_errors(out), progress_reporter("auto") as progress:
        engine = open_engine(directory, None, models)
        variant = named_variant(method)
        written, problems = predict_file(engine, samples, out, variant, first_only, deadline_ms, progress)
    for problem in problems:
        click.echo(f"{problem.path}: {problem.message}", err=True)
    click.echo(f"{written} predictions in {out}", err=True)


def _import(source: Path, name: str | None, models: Path | None) -> None:
    from .archive import import_index
    from .terminal import progress_reporter

    with clear_errors(source), progress_reporter("auto") as progress:
        chosen = name or source.name.split(".", 1)[0].lower()
        directory = import_index(source, chosen, installed_encoder(models).files.sha256, progress)
    click.echo(f"installed as the base layer {chosen}: {directory}")


def _export(directory: Path, target: Path) -> None:
    from .archive import export_index

    size = export_index(directory, target)
    click.echo(f"exported: {target}, {size / 1e6:.1f} MB. It holds code of the workspace.", err=True)


def _generator(models: Path | None) -> Generator:
    from deepcodeseek.server.generator_process import GeneratorProcess
    from deepcodeseek.server.models import find_model

    model = find_model("generator", models)
    if model is None:
        raise click.ClickException("no generator is installed: run `deepcodeseek models get`")
    generator = GeneratorProcess(model)
    click.get_current_context().call_on_close(generator.close)
    return generator


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


if __name__ == "__main__":
    main()
