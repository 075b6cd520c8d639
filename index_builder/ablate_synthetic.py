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
from deepcodeseek.server.models import shipped

from .atomic import write_lines
from .export_encoder import base_weights
from .export_weights import float_weights
from .metrics import row_of
from .prepared import EVAL_ONLY, TRAIN, Prepared, lists, prepared
from .progress import Progress
from .synthetic import sizes_of, synthetic_triples
from .terminal import progress_reporter
from .train_fusion import Ranks
from .train_reranker import train
from .train_shipped_reranker import REINFORCED, drawn, ranks_by
from .triples import Triple, read_coder_pile, write_triples

DOCUMENTS = 4  # of a list: more would take twice as long
MEASURED = 240  # lists of an eval-only corpus
DESCRIPTION = (
    "The cross-encoder that ships, reinforced (GRPO, one epoch) on synthetic lists: contexts that templates "
    "and the expander wrote for documented APIs of the corpora of `train`. Top-k accuracy in percent of {n} "
    "lists of real calls in the corpora of `eval-only`, its score added to the retriever's; the mean over "
    "{seeds} seeds, ± their standard deviation, and 95 % Wilson intervals of the calls."
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
    numbers = [int(size) for size in sizes.split(",")]
    work.mkdir(parents=True, exist_ok=True)
    with progress_reporter("auto") as progress:
        made = synthetic_set(prepared(corpora, TRAIN), max(numbers), work, progress, writes)
        unseen = [
            t for corpus in prepared(corpora, EVAL_ONLY) for t in drawn(lists(corpus, progress), MEASURED)
        ]
        result = measured(made, unseen, numbers, seeds, work, progress)
    write_lines(out, [json.dumps(result, indent=1)])
    draw(result["results"], out.with_suffix(".png"))
    click.echo(json.dumps([{row["method"]: row["top"]} for row in result["results"]], indent=1))


def synthetic_set(
    corpora: Sequence[Prepared], size: int, work: Path, progress: Progress, writes: bool
) -> list[Triple]:
    """As many lists of each corpus, mixed; written once into `work`."""
    path = work / f"synthetic-{size}.jsonl"
    if not path.is_file():
        made = []
        for corpus, wanted in zip(corpora, sizes_of(len(corpora), size), strict=True):
            engine = corpus.engine()
            generator = load_generator()[0] if writes else None
            try:
                made += synthetic_triples(engine, wanted, 0, progress, generator)
            finally:
                engine.index.close()
                if generator:
                    generator.close()
        random.Random(0).shuffle(made)
        write_triples(path, made)
    return list(read_coder_pile(path, lambda _: None))


def measured(
    made: Sequence[Triple],
    unseen: Sequence[Triple],
    sizes: Sequence[int],
    seeds: int,
    work: Path,
    progress: Progress,
) -> dict[str, Any]:
    """The figures of the weights that ship and of each size, the mean over the seeds."""
    start = float_weights(shipped("reranker"), base_weights() / "config.json", work / "start")
    rows = [{"size": 0, **row_of("no synthetic lists", [_ranks(start, unseen)])}]
    for size in sizes:
        ranks = []
        for seed in range(seeds):
            recipe = replace(REINFORCED, documents=DOCUMENTS, seed=seed)
            few = drawn(made, len(made), seed)[:size]
            ranks.append(_ranks(train(few, start, work / f"{size}-{seed}", recipe, progress), unseen))
        rows.append({"size": size, **row_of(f"{size:,} synthetic lists", ranks)})
    return {
        "description": DESCRIPTION.format(n=len(unseen), seeds=seeds),
        "command": "python -m deepcodeseek.index_builder.ablate_synthetic --corpora CORPORA --work WORK "
        f"--sizes {','.join(map(str, sizes))} --seeds {seeds} --out synthetic-size.json",
        "results": rows,
    }


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


def _ranks(weights: Path, unseen: Sequence[Triple]) -> Ranks:
    return ranks_by(weights, {"": unseen})[""]


if __name__ == "__main__":
    main()
