"""The command `deepcodeseek editor`. Heavy imports stay inside the command."""

from __future__ import annotations

from pathlib import Path

import click

from .cli_common import FOLDER, clear_errors, say


@click.command()
@click.argument("name", required=False)
@click.option("--out", type=FOLDER, help="Write the files below this folder; what is there already stays.")
def editor(name: str | None, out: Path | None) -> None:
    """Print the settings for the editor NAME, or write them; without a name, list the editors."""
    from .editor_settings import EDITORS, FOLDER, editor_files, write_editor

    known = {entry.name: entry for entry in EDITORS}
    if name is None:
        for entry in EDITORS:
            click.echo(f"{entry.name:<8} {entry.place}")
        return
    if name not in known:
        raise click.ClickException(f"no settings are known for {name!r}: {', '.join(known)}")
    if out is None:
        for file in editor_files(name):
            click.echo(f"# {known[name].place}/{file.as_posix()}")
            click.echo((FOLDER / name / file).read_text(encoding="utf-8"))
    else:
        with clear_errors(out):
            written = write_editor(name, out)
        click.echo("\n".join(map(str, written)) or "nothing written: the files are there already")
    say(known[name].then)
