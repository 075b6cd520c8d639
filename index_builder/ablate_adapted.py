"""What learning is worth: BM25, the fusion, the cross-encoder at its stages, and what was adapted.

    python -m deepcodeseek.index_builder.ablate_adapted --index DIR --samples FILE --work DIR --out FILE

Adapted weights are asked about a fifth of the callers' files at a time, which they learned as if these were
not there. Below `--work` lie the five models directories (kept: another run only asks).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from deepcodeseek.server.engine import Engine, load_engine
from deepcodeseek.server.generation import IndexProblem
from deepcodeseek.server.models import CARD, SHIPPED, ModelProblem, read_card, shipped
from deepcodeseek.server.pipeline import METHODS

from .adapt import Adapted, AdaptProblem, adapt, fold_of
from .adapt_files import NAMES
from .atomic import put_back, remove_folder, write_lines
from .cache import code_digest
from .evaluate import Asked, Sample, read_samples, run, shipped_engine
from .figures import latency, row
from .progress import silent
from .terminal import progress_reporter
from .train_libraries import quiet

FIRST_LISTS = ("bm25-docs", "bm25-raw", "rrf", "fused")
DONE = "left-out.json"  # what was left out of a fold's models
CUT = ", nothing after the cursor"
DESCRIPTION = (
    "What learning is worth on {of}: top-k accuracy in percent, 95 % bootstrap intervals, n = {n} (subset "
    "`{subset}`). *rrf*: reciprocal ranks, no learning. *fused*: the learned fusion that ships, which has "
    "seen nothing of this code. *reranked*: the cross-encoder that ships reads its first 20{stages}. "
    "*adapted*: `deepcodeseek train adapt`{how}, five folds by file: a sample is asked of weights that "
    "learned as if its file were not there. *Nothing after the cursor*: as if the file ended there."
)
FOLDER = click.Path(file_okay=False, path_type=Path)
Parts = Sequence[tuple[Engine, Sequence[Sample]]]
"""Engines, and the samples that each is asked: together every sample once."""


@click.command()
@click.option("--index", type=FOLDER, required=True)
@click.option("--samples", "path", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--work", type=FOLDER, required=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--workspace", type=FOLDER, help="Default: what the index was built from.")
@click.option("--subset", default="clean")
@click.option("--of", "of", default="Script Includes", help="What the samples are, in words.")
@click.option("--encoder", is_flag=True, help="Adapt the encoder of questions and the cross-encoder too.")
@click.option("--as-it-ships", is_flag=True, help="Adapt no cross-encoder: with --encoder, the rest alone.")
@click.option(
    "--stage",
    "stages",
    type=(str, FOLDER),
    multiple=True,
    help="Name and models directory of a cross-encoder, such as `train reranker` makes, also in stages/.",
)
def main(
    index: Path,
    path: Path,
    work: Path,
    out: Path,
    workspace: Path | None,
    subset: str,
    of: str,
    encoder: bool,
    as_it_ships: bool,
    stages: Sequence[tuple[str, Path]],
) -> None:
    """Ask, adapt five times, ask again, write."""
    samples = [sample for sample in read_samples(path) if subset == "all" or sample.get(subset)]
    try:
        original = shipped_engine(index)
    except (IndexProblem, ModelProblem) as problem:
        raise click.ClickException(str(problem)) from None
    others = {name: _with_reranker(original, index, models) for name, models in stages}
    out.parent.mkdir(parents=True, exist_ok=True)
    with progress_reporter("auto") as progress, quiet(click.echo) if encoder else nullcontext():

        def adapt_to(models: Path, hidden: Collection[str]) -> Adapted:
            start = replace(original, reranker=None) if as_it_ships else original
            try:
                return adapt(start, index, models, workspace, hidden, progress, click.echo, encoder)
            except (AdaptProblem, ValueError) as problem:
                raise click.ClickException(str(problem)) from None

        shipping = [shipped(kind).sha256 for kind in SHIPPED]
        about = [original.index.id, encoder, as_it_ships, str(workspace or ""), code_digest().hex(), shipping]
        adapted = list(_adapted(index, samples, work, json.dumps(about), adapt_to))
    judged = judged_text([work / str(fold) for fold in folds_of(samples)])
    description = DESCRIPTION.format(
        of=of,
        n=len(samples),
        subset=subset,
        stages=f"; beside it {', '.join(f'*{name}*' for name, _ in stages)}" if stages else "",
        how=_how(encoder, as_it_ships),
    )
    options = " --encoder" * encoder + " --as-it-ships" * as_it_ships
    options += "".join(f" --stage {name} {_place(models)}" for name, models in stages)
    command = (
        "python -m deepcodeseek.index_builder.ablate_adapted --index INDEX --samples samples.jsonl "
        f"--work FOLDS{options} --out {out.name}"
    )
    rows = list(_rows([(original, samples)], {name: [(e, samples)] for name, e in others.items()}, adapted))
    content = {"description": description, "commands": [command], "notes": judged, "results": rows}
    write_lines(out, [json.dumps(content, indent=1)])


def judged_text(folds: Sequence[Path]) -> list[str]:
    """A sentence on the calls by which adapting was judged in folders of folds, where it wrote anything."""
    cards = (read_card(fold / "fusion" / CARD) for fold in folds if (fold / "fusion").is_dir())
    judged = [card["adapted"] for card in cards if "adapted" in card]
    if not judged:
        return []

    def between(values: Sequence[float], digits: int) -> str:
        ends = (f"{end:,.{digits}f}" for end in (min(values), max(values)))
        return " to ".join(dict.fromkeys(ends))

    def tops(key: str) -> str:
        return " / ".join(between([one[key][depth] for one in judged], 1) for depth in judged[0][key])

    of = "" if len(judged) == len(folds) else f" of the {len(judged)} that learned something"
    depths, numbers = " / ".join(judged[0]["before"]), between([one["questions"] for one in judged], 0)
    return [
        f"By calls in all other files of the workspace, {numbers} as mined in each fold{of}, asked of "
        f"weights that have not seen their file, top-{depths} is {tops('before')} by what ships, "
        f"{tops('after')} adapted: by these it is judged whether adapting is kept."
    ]


def folds_of(samples: Sequence[Sample]) -> list[int]:
    """The folds that hold any of the samples, by number."""
    return sorted(set(fold_of(str(sample["file"]) for sample in samples).tolist()))


def _with_reranker(original: Engine, index: Path, models: Path) -> Engine:
    """The engine with the cross-encoder in a models directory; raises ClickException without it."""
    try:
        engine = load_engine(index, models, adapted=False)
    except (IndexProblem, ModelProblem) as problem:
        raise click.ClickException(str(problem)) from None
    if engine.reranker is None or engine.reranker.files.directory != models / "reranker":
        unusable = f"{models} holds no cross-encoder that can be used"
        raise click.ClickException("; ".join((unusable, *engine.notes)))
    return replace(original, reranker=engine.reranker)


def _place(models: Path) -> str:
    """A models directory as a command has it: what is chosen lies at the top, the other stages below."""
    return f"MODELS/stages/{models.name}" if models.parent.name == "stages" else "MODELS"


def _how(encoder: bool, as_it_ships: bool) -> str:
    """What of the models is adapted."""
    if not encoder:
        return " of the fusion alone"
    reranker = ", the cross-encoder as it ships" if as_it_ships else " and cross-encoder"
    return f" with encoder of questions{reranker}"


def _rows(shipped: Parts, others: Mapping[str, Parts], adapted: Parts) -> Iterator[dict[str, Any]]:
    """First lists, and the cross-encoders without a deadline; then as if the file ended at the cursor."""
    first, whole = Asked(first_only=True), Asked()
    for method in FIRST_LISTS:
        yield _row(method, method, first, shipped)
    for name, parts in others.items():
        yield _row(f"reranked, {name}", "reranked", whole, parts)
    yield _row("reranked", "reranked", whole, shipped)
    yield _row("adapted", "fused", first, adapted)
    yield _row("adapted, reranked", "reranked", whole, adapted)
    first, whole = replace(first, after=False), replace(whole, after=False)
    for method in ("rrf", "fused"):
        yield _row(f"{method}{CUT}", method, first, shipped)
    yield _row(f"reranked{CUT}", "reranked", whole, shipped)
    yield _row(f"adapted{CUT}", "fused", first, adapted)
    yield _row(f"adapted, reranked{CUT}", "reranked", whole, adapted)


def _adapted(
    index: Path,
    samples: Sequence[Sample],
    work: Path,
    about: str,
    adapt_to: Callable[[Path, Collection[str]], Adapted],
) -> Iterator[tuple[Engine, list[Sample]]]:
    """For each fold the engine that learned as if its files were not there, and its samples.

    What an earlier run left in `work` is asked where it was `about` the same, by the same code and with the
    same files left out.
    """
    folds = fold_of(str(sample["file"]) for sample in samples).tolist()
    for fold in folds_of(samples):
        members = [sample for sample, its in zip(samples, folds, strict=True) if its == fold]
        out = work / str(fold)
        hidden = sorted({str(sample["file"]) for sample in members})
        learned = json.dumps([about, hidden])
        done = out / DONE
        if not done.is_file() or done.read_text(encoding="utf-8").strip() != learned:
            done.unlink(missing_ok=True)  # what it names would be gone, were this cut short
            for kind in NAMES:  # what stays where nothing better comes is of other code or weights
                put_back(out / kind)
                if (out / kind).is_dir():
                    remove_folder(out / kind)
            click.echo(f"{fold}: {adapt_to(out, hidden)}")
            out.mkdir(parents=True, exist_ok=True)
            write_lines(done, [learned])
        engine = load_engine(index, out, adapted=False)
        if problems := [note for note in engine.notes if str(out) in note]:
            raise click.ClickException("; ".join(problems))
        yield engine, members


def _row(name: str, method: str, asked: Asked, parts: Parts) -> dict[str, Any]:
    outcomes = [
        outcome
        for engine, samples in parts
        for outcome in run(engine, samples, METHODS[method], asked, silent)
    ]
    figures, ms = row("subset", "all", [outcome.rank for outcome in outcomes]), latency(outcomes)["total"]
    click.echo(f"{name}: {figures.top}")
    return {
        "method": name,
        "n": figures.n,
        "top": {str(k): round(top, 1) for k, (top, _, _) in figures.top.items()},
        "interval": {str(k): [round(low, 1), round(high, 1)] for k, (_, low, high) in figures.top.items()},
        "mrr": round(figures.mrr[0], 3),
        "ms_p50": round(ms["p50"], 1),
        "ms_p95": round(ms["p95"], 1),
    }


if __name__ == "__main__":
    main()
