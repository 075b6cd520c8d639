"""The commands `deepcodeseek train ...`. Heavy imports stay inside the commands."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .cli_common import EXISTING_FILE, EXISTING_FOLDER, FOLDER, clear_errors, say

if TYPE_CHECKING:
    from .progress import Progress


@click.group()
def train() -> None:
    """Train models, on corpora or on your own code."""


@train.command("fusion")
@click.option("--corpora", type=EXISTING_FOLDER, required=True, help="What the corpora were prepared in.")
@click.option("--out", type=FOLDER, required=True, help="A models directory; the fusion goes into fusion/.")
@click.option("--epochs", type=click.IntRange(1), default=8)
@click.option("--seed", type=int, default=0)
def train_fusion(corpora: Path, out: Path, epochs: int, seed: int) -> None:
    """Train the fusion of all signals on the corpora of the list `train`, and measure it on `eval-only`."""
    from .terminal import progress_reporter
    from .train_fusion import Recipe
    from .train_shipped import train_shipped

    with clear_errors(out), progress_reporter("auto") as progress:
        try:
            about = train_shipped(corpora, out, Recipe(epochs=epochs, seed=seed), progress)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
    click.echo(json.dumps({key: about[key] for key in ("questions", "loss", "top_k_percent")}, indent=1))


@train.command("query")
@click.option("--corpora", type=EXISTING_FOLDER, required=True, help="What the corpora were prepared in.")
@click.option("--out", type=FOLDER, required=True, help="A models directory; the encoder goes into query/.")
@click.option("--epochs", type=click.IntRange(1), default=1)
@click.option("--seed", type=int, default=0)
def train_query(corpora: Path, out: Path, epochs: int, seed: int) -> None:
    """Train the encoder of questions on the corpora of the list `train`. Then train the fusion."""
    from .train_query import Recipe
    from .train_shipped import train_query_encoder

    with _training(out) as progress:
        train_query_encoder(corpora, out, Recipe(epochs=epochs, seed=seed), progress)


@train.command("reranker")
@click.option("--corpora", type=EXISTING_FOLDER, required=True, help="What the corpora were prepared in.")
@click.option("--out", type=FOLDER, required=True, help="A models directory; it goes into reranker/.")
@click.option("--lists", "most", type=click.IntRange(1), default=4000, help="The most lists to learn from.")
@click.option("--seed", type=int, default=0)
@click.option(
    "--base", help="Train this causal model instead: a checkpoint of Qwen3 or Llama, name or folder."
)
@click.option("--lora", type=click.IntRange(0), default=16, help="With --base: the rank; 0: all weights.")
@click.option("--measured", type=click.IntRange(1), default=120, help="Lists of each unseen corpus.")
@click.option(
    "--triples",
    type=EXISTING_FILE,
    multiple=True,
    help="JSON lines of query, pos and neg, as CodeR-Pile has them, to learn from as well; may be repeated.",
)
def train_reranker(
    corpora: Path,
    out: Path,
    most: int,
    seed: int,
    base: str | None,
    lora: int,
    measured: int,
    triples: tuple[Path, ...],
) -> None:
    """Train the cross-encoder on the corpora of the list `train`: supervised, then by reinforcement.

    With --base on several devices: `torchrun --nproc-per-node N --no-python deepcodeseek train reranker ...`.
    What came of it lies in OUT/causal-training; `deepcodeseek models export` makes a model of it.
    """
    with _training(out) as progress:
        if base:
            from .checkpoints import find_checkpoint
            from .train_base import Plan, train_base

            plan = Plan(most, measured, lora, seed, triples)
            card = train_base(find_checkpoint(base), corpora, out, plan, progress, say)
        else:
            from .train_shipped_reranker import train_shipped_reranker

            card = train_shipped_reranker(corpora, out, most, seed, progress, say, measured, triples)
    shown = ("stage", "lists", "results" if base else "top_k_percent")
    click.echo(json.dumps({key: card[key] for key in shown}, indent=1))


@train.command("expander")
@click.option("--corpora", type=EXISTING_FOLDER, required=True, help="What the corpora were prepared in.")
@click.option("--out", type=FOLDER, required=True, help="A models directory; it goes into adapter/.")
@click.option("--lessons", "most", type=click.IntRange(1), default=4000, help="The most calls to learn from.")
@click.option("--seed", type=int, default=0)
def train_expander(corpora: Path, out: Path, most: int, seed: int) -> None:
    """Teach the installed GGUF model to write the next statement: an adapter of a few megabytes."""
    from deepcodeseek.server.models import find_model

    from .train_expander import Recipe
    from .train_shipped_expander import train_shipped_expander

    with _training(out) as progress:
        base = find_model("generator")
        if base is None:
            raise click.ClickException("no generator is installed: run `deepcodeseek models get`")
        card = train_shipped_expander(corpora, base, out, Recipe(seed=seed), most, progress)
    click.echo(json.dumps({key: card[key] for key in ("lessons", "nats_per_token")}, indent=1))


@train.command("adapt")
@click.option("--index", "directory", type=FOLDER, help="Default: where the server looks, for this folder.")
@click.option(
    "--out", type=FOLDER, help="A models directory; default: beside the index, where the server looks."
)
@click.option("--workspace", type=EXISTING_FOLDER, help="Default: what the index was built from.")
@click.option(
    "--leave-out", type=EXISTING_FILE, help="File with one path a line: nothing is learned from these."
)
@click.option("--models", type=EXISTING_FOLDER, help="Models to start from before the installed ones.")
@click.option(
    "--encoder/--no-encoder",
    default=None,
    help="Also train the encoder of questions and the cross-encoder, for minutes; default: where the extra "
    "[train] is installed.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0),
    default=30.0,
    help="Where all of it would take longer, the cross-encoder learns nothing; the rest does in any case.",
)
@click.option("--progress", "style", type=click.Choice(["auto", "jsonl", "none"]), default="auto")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def train_adapt(
    directory: Path | None,
    out: Path | None,
    workspace: Path | None,
    leave_out: Path | None,
    models: Path | None,
    encoder: bool | None,
    minutes: float,
    style: str,
    as_json: bool,
) -> None:
    """Learn from your own code which evidence tells the truth in it. Kept only where it predicts better."""
    from deepcodeseek.server.engine import load_engine
    from deepcodeseek.server.generation import ADAPTED, index_directory, source_of

    from .adapt import AdaptProblem, adapt, left_out
    from .terminal import adapted_view, progress_reporter, say_json
    from .train_libraries import ADAPTING, missing, quiet, way_out

    tell = say_json if style == "jsonl" else say
    with clear_errors(out):
        index = directory or index_directory(workspace or Path.cwd())
        lacking = missing(ADAPTING)
        with_encoder = not lacking if encoder is None else encoder
        if with_encoder:
            _check_extra(ADAPTING)
        elif encoder is None:
            tell(f"the encoder of questions and the cross-encoder learn nothing: that {way_out(lacking)}")
        _check_unadapted(models)
        engine, target = load_engine(index, models, adapted=False), out or index / ADAPTED
        tell(*(note for note in engine.notes if not note.startswith("no generator")))
        hidden: Collection[str] = ()
        try:
            if leave_out:
                hidden, unknown = left_out(leave_out, workspace or source_of(index), engine.index)
                tell(*(f"{leave_out}: {line}: the index has no such file" for line in unknown))
                if not hidden:
                    tell(f"{leave_out} names no file: all of them are learned from")
            with progress_reporter(style) as progress, quiet(tell) if with_encoder else nullcontext():
                result = adapt(
                    engine, index, target, workspace, hidden, progress, tell, with_encoder, minutes
                )
        except (AdaptProblem, ValueError) as problem:
            raise click.ClickException(str(problem)) from None
    if as_json:
        click.echo(json.dumps(asdict(result), indent=1))
        return
    click.echo(adapted_view(result, target, is_found=out is None))


@contextmanager
def _training(out: Path) -> Iterator[Progress]:
    """Shows the progress of a training with the extra [train]; what a user can mend is one line."""
    from .terminal import progress_reporter
    from .train_libraries import quiet

    _check_extra()
    with clear_errors(out), progress_reporter("auto") as progress, quiet(say):
        try:
            yield progress
        except ValueError as error:
            raise click.ClickException(str(error)) from None


def _check_unadapted(models: Path | None) -> None:
    """A clear error where what is started from was adapted: it has seen the answers that judge it."""
    from deepcodeseek.server.models import ModelProblem, read_model

    from .adapt_files import NAMES

    if models is None:
        return
    for kind in NAMES:
        folder = models / kind
        with suppress(ModelProblem):  # one that is damaged is not loaded either
            if folder.is_dir() and read_model(kind, folder).is_adapted:
                raise click.ClickException(
                    f"{folder} was adapted to a code base and would be judged by answers that it has seen: "
                    "leave --models out, or name a directory without it"
                )


def _check_extra(needed: Sequence[str] | None = None) -> None:
    """A clear error before anything is done where a library is missing, and not after minutes."""
    from .train_libraries import EXTRA, missing, way_out

    if names := missing(needed or EXTRA):
        raise click.ClickException(f"training {way_out(names)}")
