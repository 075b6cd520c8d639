"""Train a causal reranker of the user's own on prepared corpora, and measure each stage on unseen projects.

Base -> SFT -> SFT+RL, as train_shipped_reranker.py does with the compact one. Needs the extra [train].
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .atomic import write_lines
from .metrics import row_of
from .progress import Progress
from .train_causal import Recipe, causal_scores, train_causal
from .train_reranker import ranks_before, ranks_of
from .train_shipped_reranker import FUSED, REINFORCED_LISTS, chosen_stage, drawn_by_text, gathered, joined

WORK = "causal-training"
RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is learned from, and how."""

    lists: int  # the most
    measured: int  # lists of each unseen corpus
    lora: int  # rank; 0: all weights
    seed: int
    triples: tuple[Path, ...] = ()  # files of them, to learn from as well


def train_base(
    base: Path,
    corpora: Path,
    out: Path,
    plan: Plan,
    progress: Progress,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Train both stages in out/causal-training, each with a folder `weights`; the result lies there too.

    Cut short, it goes on from its last checkpoint. Where no corpus is of the list `eval-only`, nothing is
    measured and `say` is told. Raises ValueError where a folder holds no corpus to train on, or no such
    model.
    """
    learned, unseen = gathered(corpora, plan.lists, plan.measured, progress, say, plan.triples)
    few = drawn_by_text(learned, REINFORCED_LISTS, plan.seed + 2)
    recipes = (
        Recipe(lora=plan.lora, seed=plan.seed),
        Recipe("grpo", rate=2e-5, lora=plan.lora, seed=plan.seed),
    )
    supervised = train_causal(learned, base, out / WORK / "sft", recipes[0], progress)
    reinforced = train_causal(few, supervised, out / WORK / "sft+rl", recipes[1], progress)
    if int(os.environ.get("RANK", "0")):  # the first process measures
        return {"stage": "", "lists": len(learned), "results": []}
    found = {FUSED: joined(map(ranks_before, unseen.values()))}
    for stage, folder in (("base", base), ("SFT", supervised), ("SFT+RL", reinforced)):
        progress(f"measuring {stage}", 0, 1)
        scores = causal_scores(folder)
        found[stage] = joined(ranks_of(scores, triples) for triples in unseen.values())
    stage = "SFT"
    if unseen:
        files = [triple.file for triples in unseen.values() for triple in triples]
        stage = chosen_stage({name: {"": ranks} for name, ranks in found.items()}, files, say)
    else:
        say(f"{corpora} holds no corpus of the list 'eval-only': nothing is measured")
    result = {
        "stage": stage,
        "base": base.name,
        "lists": len(learned),
        "measured": {name: len(triples) for name, triples in unseen.items()},
        "recipes": [asdict(recipe) for recipe in recipes],
        "results": [row_of(stage, [ranks]) for stage, ranks in found.items() if unseen],
    }
    write_lines(out / WORK / RESULT, [json.dumps(result, indent=1)])
    return result
