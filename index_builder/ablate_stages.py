"""What each stage of the cross-encoder's training gives: base, SFT, RL alone, SFT and RL, over three seeds.

    python -m deepcodeseek.index_builder.ablate_stages --corpora DIR --work DIR --out FILE

Learned from are lists of the corpora of `train`; lists of the corpora of `eval-only`, whose projects no stage
has seen, are ranked. Cut short, it goes on where it was. Needs the extra [train].
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from deepcodeseek.server.models import shipped

from .atomic import write_lines
from .export_encoder import base_weights
from .metrics import row_of
from .progress import Progress
from .terminal import progress_reporter
from .train_fusion import Ranks, named
from .train_libraries import quiet
from .train_reranker import ranks_before, train
from .train_shipped_reranker import (
    REINFORCED,
    REINFORCED_LISTS,
    SUPERVISED,
    drawn_by_text,
    gathered,
    joined,
    ranks_by,
)
from .triples import Triple

STAGES = ("SFT, pointwise", "SFT", "RL alone", "SFT+RL")


@click.command()
@click.option("--corpora", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--lists", "most", default=1000, help="To learn from.")
@click.option("--measured", default=240, help="Lists of each unseen corpus.")
@click.option("--seeds", default=3)
def main(corpora: Path, work: Path, out: Path, most: int, measured: int, seeds: int) -> None:
    """Train every stage with every seed and write the figures."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with progress_reporter("auto") as progress, quiet(click.echo):
        try:
            learned, unseen = gathered(corpora, most, measured, progress, click.echo)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        if not unseen:
            raise click.ClickException(f"{corpora} holds no corpus of the list 'eval-only' to measure on")
        rows = stage_rows(learned, unseen, seeds, work, progress)
    content = {
        "description": f"Top-k accuracy in percent, 95 % Wilson intervals and ± the standard deviation over "
        f"{seeds} seeds, of lists of the retriever's first 16 candidates and the right one at balanced "
        f"calls, ambiguous ones too, in {' and '.join(sorted(unseen))} (the list `eval-only`), the score "
        "added to the retriever's. SFT is "
        f"listwise where nothing else is said, on {len(learned):,} lists of the corpora of `train`; RL is "
        f"GRPO on {min(REINFORCED_LISTS, len(learned))} of them.",
        "command": "python -m deepcodeseek.index_builder.ablate_stages --corpora CORPORA --work WORK "
        f"--lists {most} --measured {measured} --seeds {seeds} --out reranker-stages.json",
        "retrieved_by": shipped("fusion").sha256,
        "results": rows,
    }
    write_lines(out, [json.dumps(content, indent=1)])
    click.echo(json.dumps([{row["method"]: row["top"]} for row in rows], indent=1))


def stage_rows(
    learned: Sequence[Triple],
    unseen: Mapping[str, Sequence[Triple]],
    seeds: int,
    work: Path,
    progress: Progress,
) -> list[dict[str, Any]]:
    """A row of each stage, the mean over the seeds; all unseen lists together."""
    found: dict[str, list[Ranks]] = {stage: [] for stage in STAGES}
    for seed in range(seeds):
        for stage, weights in _trained(learned, seed, work / str(seed), progress).items():
            measuring = named(progress, f"measuring {stage}, seed {seed}")
            found[stage].append(joined(ranks_by(weights, unseen, measuring).values()))
    before = joined(map(ranks_before, unseen.values()))
    base = joined(ranks_by(base_weights(), unseen, named(progress, "measuring base")).values())
    untrained = {"fused, no cross-encoder": [before], "base": [base]}
    return [row_of(stage, ranks) for stage, ranks in (untrained | found).items()]


def _trained(learned: Sequence[Triple], seed: int, work: Path, progress: Progress) -> dict[str, Path]:
    """The weights of each of STAGES."""
    few = drawn_by_text(learned, REINFORCED_LISTS, seed + 2)
    supervised, reinforced = (replace(recipe, seed=seed) for recipe in (SUPERVISED, REINFORCED))
    base = base_weights()
    show = {stage: named(progress, f"{stage}, seed {seed}") for stage in STAGES}
    recipe = replace(supervised, objective="pointwise")
    pointwise = train(learned, base, work / "pointwise", recipe, show["SFT, pointwise"])
    listwise = train(learned, base, work / "sft", supervised, show["SFT"])
    alone = train(few, base, work / "rl", reinforced, show["RL alone"])
    both = train(few, listwise, work / "sft+rl", reinforced, show["SFT+RL"])
    return dict(zip(STAGES, (pointwise, listwise, alone, both), strict=True))


if __name__ == "__main__":
    main()
