"""The command `deepcodeseek doctor`. Heavy imports stay inside the command."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .cli_common import EXISTING_FOLDER, FOLDER, clear_errors

if TYPE_CHECKING:
    from .doctor import Check, Report

COLOURS = (("ok", "green"), ("note", "yellow"), ("broken", "red"))


@click.command()
@click.argument("workspace", type=EXISTING_FOLDER, required=False)
@click.option("--index", "directory", type=FOLDER, help="Default: the index of WORKSPACE.")
@click.option("--models", type=EXISTING_FOLDER, help="Models to use before the installed ones.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(workspace: Path | None, directory: Path | None, models: Path | None, as_json: bool) -> None:
    """Check Python, processor, models, index, speed and network silence, for WORKSPACE (default: here).

    What is not in order comes with the command that mends it; exit status 1 where something is broken.
    """
    from deepcodeseek.server.generation import index_directory

    from .doctor import examine

    place = (workspace or Path.cwd()).resolve()
    with clear_errors():
        report = examine(place, directory or index_directory(place), models)
    if as_json:
        click.echo(json.dumps(asdict(report) | {"is_well": report.is_well}, indent=2))
    else:
        _show(report)
    sys.exit(0 if report.is_well else 1)


def _show(report: Report) -> None:
    for check in report.checks:
        click.echo(_line(check))
        if check.mend:
            click.echo(f"{'':8}{'mend with:':<18} {check.mend}")
    for timing in report.timings:
        click.echo(
            f"{'':8}{timing.stage:<18} p50 {timing.p50:6.1f} ms   p95 {timing.p95:6.1f} ms   n = {timing.n}"
        )


def _line(check: Check) -> str:
    return f"{click.style(f'{check.state:<8}', fg=dict(COLOURS)[check.state])}{check.name:<18} {check.found}"
