"""How the size of a synthetic set matters: reinforcement on 204, 1,000 and 10,000 made-up lists, three seeds.

    python -m deepcodeseek.index_builder.ablate_synthetic --corpora DIR --work DIR --out FILE

The sets are written from the corpora of the list `train` (synthetic.py), each contained in the next larger.
Reinforced on them is the cross-encoder that ships, and the lists of the corpora of `eval-only`, which are
real calls, are ranked before and after. Beside the figures lies a picture of them. Cut short, it goes on
where it was. Needs the extra [train].
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from deepcodeseek.server.engine import load_generator
from deepcodeseek.server.models import Generator, shipped
from deepcodeseek.server.text import RERANKER_TEXT_VERSION

from .atomic import write_lines
from .candidates import NEGATIVES
from .evidence import EVIDENCE_VERSION
from .export_encoder import base_weights
from .export_weights import float_weights
from .metrics import row_of
from .prepared import EVAL_ONLY, RETRIEVING, TRAIN, Prepared, lists, prepared
from .progress import Progress
from .synthetic import TEMPLATES_VERSION, sizes_of, synthetic_triples
from .terminal import progress_reporter
from .train_fusion import named
from .train_libraries import quiet
from .train_reranker import train
from .train_shipped_reranker import REINFORCED, drawn, ranks_by
from .triples import Triple, read_coder_pile, write_triples

AFFORDED = replace(REINFORCED, documents=4, frozen=4, tokens=128)
"""As what was tried for shipping, in a third of the time: short lists and pairs, the upper layers alone."""

MEASURED = 120  # lists of an eval-only corpus
DESCRIPTION = (
    "The cross-encoder that ships, its upper two layers reinforced (GRPO, one epoch) on synthetic lists of "
    "{list}, at {tokens} tokens a pair: the API that a context was made up for by {writers}, and others that "
    "the retriever finds there, all of the corpora of `train`. Top-k accuracy in percent of {n} lists of "
    "real calls in the corpora of `eval-only`, its score added to the retriever's; the mean over {seeds} "
    "seeds, ± their standard deviation, and 95 % Wilson intervals of the calls."
)


@click.command()
@click.option("--corpora", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--sizes", default="204,1000,10000", help="Lists, smallest first.")
@click.option("--seeds", default=3)
@click.option("--generator/--no-generator", "writes", default=True, help="Whether a model writes lines too.")
def main(corpora: Path, work: Path, out: Path, sizes: str, seeds: int, writes: bool) -> None:
    """Write the sets, train on each with each seed, and write the figures."""
    try:
        numbers = [int(size) for size in sizes.split(",")]
        learned, others = prepared(corpora, TRAIN), prepared(corpora, EVAL_ONLY)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if not learned or not others:
        raise click.ClickException(f"{corpora} does not hold corpora of both lists: prepare them first")
    generator, notes = load_generator() if writes else (None, ())
    if writes and generator is None:
        raise click.ClickException(f"{'; '.join(notes)}, or let templates write alone: --no-generator")
    for folder in (work, out.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with progress_reporter("auto") as progress, quiet(click.echo):
        made = synthetic_set(learned, max(numbers), work, progress, generator)
        unseen = [t for corpus in others for t in drawn(lists(corpus, progress), MEASURED)]
        rows = measured(made, unseen, numbers, seeds, work, progress)
    writers = "templates and the expander" if generator else "templates"
    result = {
        "description": DESCRIPTION.format(
            writers=writers, list=AFFORDED.documents, tokens=AFFORDED.tokens, n=len(unseen), seeds=seeds
        ),
        "command": "python -m deepcodeseek.index_builder.ablate_synthetic --corpora CORPORA --work WORK "
        f"--sizes {sizes} --seeds {seeds}{'' if generator else ' --no-generator'} --out {out.name}",
        "retrieved_by": shipped("fusion").sha256,
        "results": rows,
    }
    write_lines(out, [json.dumps(result, indent=1)])
    draw(rows, out.with_suffix(".png"))
    click.echo(json.dumps([{row["method"]: row["top"]} for row in rows], indent=1))


def synthetic_set(
    corpora: Sequence[Prepared], size: int, work: Path, progress: Progress, generator: Generator | None
) -> list[Triple]:
    """As many lists of each corpus, mixed; of the same corpus, models and writer once into `work`."""
    used = (generator.files, generator.adapter) if generator else ()
    writers = [files.sha256 for files in used if files]
    versions = [TEMPLATES_VERSION, RERANKER_TEXT_VERSION, EVIDENCE_VERSION, str(NEGATIVES)]
    made_by = [*versions, *writers, *(shipped(kind).sha256 for kind in RETRIEVING)]
    made: list[Triple] = []
    for corpus, wanted in zip(corpora, sizes_of(len(corpora), size), strict=True):
        path = work / f"synthetic-{corpus.name}-{wanted}-{corpus.key(*made_by)}.jsonl"
        if not path.is_file():
            engine = corpus.engine()
            try:
                show = named(progress, corpus.name)
                write_triples(path, synthetic_triples(engine, wanted, 0, show, generator))
            finally:
                engine.index.close()
        made += read_coder_pile(path, lambda _: None)
    if generator:
        generator.close()
    random.Random(0).shuffle(made)
    return made


def measured(
    made: Sequence[Triple],
    unseen: Sequence[Triple],
    sizes: Sequence[int],
    seeds: int,
    work: Path,
    progress: Progress,
) -> list[dict[str, Any]]:
    """A row of the weights that ship and of each size, the mean over the seeds."""
    start = float_weights(shipped("reranker"), base_weights() / "config.json", work / "start")
    before = ranks_by(start, {"": unseen}, named(progress, "measuring what ships"))[""]
    rows = [{"size": 0, **row_of("no synthetic lists", [before])}]
    for size in sizes:
        ranks = []
        few: list[Triple] = []
        for seed in range(seeds):
            recipe = replace(AFFORDED, seed=seed)
            few = drawn(made, len(made), seed)[:size]
            task = f"{size:,} lists, seed {seed}"
            weights = train(few, start, work / f"{size}-{seed}", recipe, named(progress, task))
            ranks.append(ranks_by(weights, {"": unseen}, named(progress, f"measuring {task}"))[""])
        rows.append({"size": len(few), **row_of(f"{len(few):,} synthetic lists", ranks)})
    return rows


def draw(rows: Sequence[Mapping[str, Any]], picture: Path) -> None:
    """Accuracy against size: means and standard deviations over the seeds, and what there was before."""
    from matplotlib.figure import Figure

    before, *trained = rows
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for depth, color in (("1", "tab:blue"), ("5", "tab:orange"), ("10", "tab:green")):
        tops, spreads = ([row[part][depth] for row in trained] for part in ("top", "spread"))
        sizes = [row["size"] for row in trained]
        axes.errorbar(sizes, tops, spreads, marker="o", capsize=4, color=color, label=f"top-{depth}")
        axes.axhline(before["top"][depth], color=color, linestyle=":", linewidth=1)
    axes.set(xscale="log", xlabel="synthetic lists (dotted: none)", ylabel="percent of unseen calls")
    axes.set_xticks([row["size"] for row in trained], [f"{row['size']:,}" for row in trained])
    axes.minorticks_off()
    axes.legend()
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    main()
