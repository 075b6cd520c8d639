"""What the commands share: kinds of arguments, what is loaded, what is said, errors in one line."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from deepcodeseek.server.engine import Engine
    from deepcodeseek.server.models import Encoder
    from deepcodeseek.server.pipeline import Variant

    from .build import Report

EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


def give_way() -> None:
    """Leave the cores to others, and end when stdin does: whoever started this is gone then."""
    with suppress(OSError, AttributeError):
        os.nice(10)

    def wait() -> None:
        # Not sys.stdin: a thread that waits in it ends the interpreter with SIGABRT when the work is done.
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def open_engine(directory: Path | None, workspace: Path | None, models: Path | None) -> Engine:
    """The engine of an index: the one named, else that of the workspace, else of the current folder."""
    from deepcodeseek.server.engine import load_engine
    from deepcodeseek.server.generation import index_directory

    return load_engine(directory or index_directory(workspace or Path.cwd()), models)


def installed_encoder(models: Path | None) -> Encoder:
    """The encoder that indexes are built with; a clear error where none is installed."""
    from deepcodeseek.server.models import find_model, load_encoder

    model = find_model("encoder", models)
    if model is None:
        raise click.ClickException("no encoder is installed: reinstall deepcodeseek")
    return load_encoder(model)


def named_variant(method: str) -> Variant:
    """The variant that a --method names; a clear error where there is none."""
    from deepcodeseek.server.pipeline import METHODS

    if method not in METHODS:
        raise click.ClickException(f"unknown method {method!r}: one of {', '.join(METHODS)}")
    return METHODS[method]


def say(*messages: str) -> None:
    """On stderr: stdout is for results."""
    for message in messages:
        click.echo(message, err=True)


def show_report(report: Report, directory: Path, as_json: bool) -> None:
    """What a build found and skipped, for a person or as JSON."""
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


@contextmanager
def clear_errors(written: Path | None = None) -> Iterator[None]:
    """One clear line instead of a traceback for what a user can mend; `written` is the place it wrote to."""
    import sqlite3

    from deepcodeseek.server.generation import IndexProblem
    from deepcodeseek.server.models import ModelProblem

    from .predict import CursorProblem, SampleProblem
    from .report import ReportProblem

    try:
        yield
    except (IndexProblem, ModelProblem, CursorProblem, SampleProblem, ReportProblem) as problem:
        raise click.ClickException(str(problem)) from None
    except OSError as error:
        place = error.filename or written
        raise click.ClickException(f"{f'{place}: ' if place else ''}{error.strerror or error}") from None
    except sqlite3.Error as error:
        raise click.ClickException(f"{written}: {error}") from None
