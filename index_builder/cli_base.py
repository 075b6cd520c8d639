"""The commands `deepcodeseek base ...`. Heavy imports stay inside the commands."""

from __future__ import annotations

from pathlib import Path

import click

from .cli_common import (
    EXISTING_FILE,
    EXISTING_FOLDER,
    clear_errors,
    installed_encoder,
    say,
    show_report,
)


@click.group()
def base() -> None:
    """Base layers below the index of a workspace: the platform's APIs, a team's published index."""


@base.command("list")
def base_list() -> None:
    """The installed base layers."""
    from deepcodeseek.server.generation import base_directory

    from .layers import installed_bases, last_options, read_base

    with clear_errors():
        for name in installed_bases():
            origin = last_options(base_directory(name)).origin
            click.echo(f"{name:<24} {len(read_base(name).apis):7,} APIs  {origin}".rstrip())


@base.command("get")
@click.argument("name")
@click.option("--from", "archive", type=EXISTING_FILE, help="A tarball that `npm pack` made elsewhere.")
def base_get(name: str, archive: Path | None) -> None:
    """Fetch the pinned base layer NAME through npm, once: `glide`, the platform's own classes."""
    from deepcodeseek.server.generation import base_directory

    from .base_store import KNOWN, get_base
    from .terminal import progress_reporter

    if name not in KNOWN:
        raise click.ClickException(f"no base layer {name!r} is known to be fetched: {', '.join(KNOWN)}")
    place = base_directory(name)
    with clear_errors(place), progress_reporter("auto") as progress:
        report = get_base(KNOWN[name], archive, installed_encoder(None), progress, say)
    if report is None:
        click.echo(f"already there and whole: {place}")
        return
    show_report(report, place, as_json=False)
    say("what `deepcodeseek index WORKSPACE` builds from now on is built on it")


@base.command("add")
@click.argument("name")
@click.argument("folder", type=EXISTING_FOLDER)
def base_add(name: str, folder: Path) -> None:
    """Index FOLDER, such as a library's, as the base layer NAME."""
    from deepcodeseek.server.generation import base_directory, is_base_name

    from .build import build_index
    from .database import Options
    from .terminal import progress_reporter

    if not is_base_name(name):
        raise click.ClickException(f"{name!r} cannot name a base layer: use lower-case letters and digits")
    with clear_errors(folder), progress_reporter("auto") as progress:
        options = Options(below=name)
        report = build_index(
            folder, base_directory(name), installed_encoder(None), progress, options=options, say=say
        )
    show_report(report, base_directory(name), as_json=False)


@base.command("remove")
@click.argument("name")
def base_remove(name: str) -> None:
    """Remove an installed base layer."""
    from .layers import remove_base

    with clear_errors():
        if not remove_base(name):
            raise click.ClickException(f"there is no base layer {name!r}: see `deepcodeseek base list`")
