"""Train the cross-encoder that ships, on corpora as corpora.py prepares them: base -> SFT -> SFT+RL.

All three are measured on the corpora of the list `eval-only`. What is exported is what the
reinforcement made where that gains more than chance gives, and what was supervised else; where that does not
rank better than no cross-encoder, it is said. Needs the extra [train].
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from deepcodeseek.server.generation import sha256_file
from deepcodeseek.server.models import ModelProblem, shipped

from .cache import digest
from .export_encoder import base_weights
from .export_reranker import GOLDEN_LISTS, export_reranker
from .prepared import EVAL_ONLY, TRAIN, lists, prepared
from .progress import Progress
from .train_fusion import Ranks, is_gain, named
from .train_reranker import Recipe, is_within_reach, ranks_before, ranks_with, top_of_lists, train
from .train_shipped import NO_CORPUS, unseen_fusions
from .triples import Triple, read_coder_pile

WORK = "reranker-training"
FUSED = "fused, no cross-encoder"
SUPERVISED = Recipe()
REINFORCED = Recipe(objective="grpo", rate=1e-5)
REINFORCED_LISTS = 400  # the paper reinforces on 204
MEASURED_LISTS = 120  # of an eval-only corpus


@dataclass(frozen=True, slots=True)
class Stages:
    """The folders of float weights of one training, by what was done."""

    base: Path
    supervised: Path
    reinforced: Path


def train_shipped_reranker(
    corpora: Path,
    out: Path,
    most: int,
    seed: int,
    progress: Progress,
    say: Callable[[str], None],
    measured: int = MEASURED_LISTS,
    triples: Sequence[Path] = (),
) -> dict[str, Any]:
    """Train on at most so many lists of the list `train` and of files `triples`; the card of out/reranker.

    The stages that are not chosen go into out/stages.
    Cut short, it goes on from its last checkpoint. Raises ValueError where a folder holds no corpus to train
    on, or the exported graph disagrees.
    """
    learned, unseen = gathered(corpora, most, measured, progress, say, triples)
    stages = train_stages(learned, out / WORK, seed, progress)
    models = {"base": stages.base, "SFT": stages.supervised, "SFT+RL": stages.reinforced}
    found = {FUSED: {name: ranks_before(its) for name, its in unseen.items()}}
    for name, folder in models.items():
        found[name] = ranks_by(folder, unseen, named(progress, f"measuring {name}"))
    files = [f"{name}/{triple.file}" for name, its in unseen.items() for triple in its]
    stage = chosen_stage(found, files, say)
    about = {
        "name": "minilm-reranker",
        "licence": "that of the files of triples" if triples else "Apache-2.0",
        "stage": stage,
        "lists": len(learned),
        "recipes": [asdict(replace(recipe, seed=seed)) for recipe in (SUPERVISED, REINFORCED)],
        "top_k_percent": {
            name: {part: top_of_lists(ranks) for part, ranks in by_part.items()}
            for name, by_part in found.items()
        },
        "retrieved_by": shipped("fusion").sha256,
        "measured_lists": {name: len(triples) for name, triples in unseen.items()},
        "trained_on": [corpus.source for corpus in prepared(corpora, TRAIN)]
        + [
            {"name": path.name, "packages": [f"a file of triples, SHA-256 {sha256_file(path)}"]}
            for path in triples
        ],
    }
    card = export_reranker(models[stage], out / "reranker", about, GOLDEN_LISTS, SUPERVISED.tokens, say)
    others = {name: folder for name, folder in models.items() if name != stage}
    export_others(others, out, {"name": about["name"], "licence": about["licence"]}, say)
    return card


def export_others(
    models: Mapping[str, Path], out: Path, about: Mapping[str, Any], say: Callable[[str], None]
) -> None:
    """Stages that are not chosen, each as a models directory out/stages/NAME, to be measured beside it.

    `say` is told of one that cannot be.
    """
    for name, weights in models.items():
        place, card = out / "stages" / name.lower() / "reranker", {**about, "stage": name}
        try:
            export_reranker(weights, place, card, GOLDEN_LISTS, SUPERVISED.tokens, say)
        except (ValueError, RuntimeError, OSError, ModelProblem) as problem:
            say(f"{name} is not exported: {problem}")


def chosen_stage(
    found: Mapping[str, Mapping[str, Ranks]], files: Sequence[str], say: Callable[[str], None]
) -> str:
    """What to ship by the ranks of each stage's right ones; `say` is told where it gains nothing.

    `files` names the one that each was asked from, in the order of `found`.
    """
    every = {name: joined(by_part.values()) for name, by_part in found.items()}
    stage = "SFT+RL" if is_gain(every["SFT"], every["SFT+RL"], files) else "SFT"
    if not is_gain(every[FUSED], every[stage], files):
        say(
            f"{stage} gains no more than chance gives over no cross-encoder, on {len(every[stage])} lists of "
            "unseen projects: compare both with `deepcodeseek eval run` before you use it"
        )
    return stage


def gathered(
    corpora: Path,
    most: int,
    measured: int,
    progress: Progress,
    say: Callable[[str], None],
    triples: Sequence[Path] = (),
) -> tuple[list[Triple], dict[str, list[Triple]]]:
    """At most so many lists to learn from, and of each corpus of the list `eval-only` some to measure on.

    What is learned from was retrieved by a fusion that has not learned from that corpus, what is measured on
    by the one that ships: neither has seen the answers. Of the files `triples` those that have negatives are
    learned from too; `say` is told of lines that are none. Raises ValueError where there is nothing to learn
    from, OSError where a file cannot be read.
    """
    learned = prepared(corpora, TRAIN)
    by_corpus = zip(learned, unseen_fusions(learned, progress), strict=True)
    every = [t for each, fusion in by_corpus for t in lists(each, progress, fusion) if is_within_reach(t)]
    every += [t for path in triples for t in read_coder_pile(path, say) if t.negatives]
    if not every:
        files = [f"{path} holds no triple with negatives" for path in triples]
        raise ValueError("; ".join([*files, NO_CORPUS.format(corpora)]))
    others = prepared(corpora, EVAL_ONLY)
    return drawn_by_text(every, most), {each.name: drawn(lists(each, progress), measured) for each in others}


def train_stages(
    triples: Sequence[Triple], out: Path, seed: int, progress: Progress, start: Path | None = None
) -> Stages:
    """Supervised training, and reinforcement on top of it."""
    base = start or base_weights()
    recipe, show = replace(SUPERVISED, seed=seed), named(progress, "supervised training")
    supervised = train(triples, base, out / "sft", recipe, show)
    recipe, show = replace(REINFORCED, seed=seed), named(progress, "reinforcement")
    few = drawn_by_text(triples, REINFORCED_LISTS, seed + 2)
    reinforced = train(few, supervised, out / "sft+rl", recipe, show)
    return Stages(base, supervised, reinforced)


def ranks_by(weights: Path, unseen: Mapping[str, Sequence[Triple]], progress: Progress) -> dict[str, Ranks]:
    """The ranks [n] of each corpus's right ones, by the retriever and these weights together."""
    tokens = SUPERVISED.tokens
    return {name: ranks_with(weights, triples, tokens, progress) for name, triples in unseen.items()}


def joined(parts: Iterable[Ranks]) -> Ranks:
    """The ranks of all corpora, of which there may be none."""
    return np.concatenate([np.zeros(0, np.int64), *parts])


def drawn(triples: Sequence[Triple], most: int, seed: int = 1) -> list[Triple]:
    """Some of them, by a seed and where they stand: of lists that hang on nothing trained anew."""
    return random.Random(seed).sample(list(triples), min(most, len(triples)))


def drawn_by_text(triples: Iterable[Triple], most: int, seed: int = 1) -> list[Triple]:
    """Some of them, by a seed and what each asks: where a few more or fewer are given most are the same.

    Which lists are in a fusion's reach, and so where the others stand, hangs on how its training rounds.
    """
    by_chance = sorted(triples, key=lambda triple: digest(str(seed), triple.query, triple.positive))
    return by_chance[:most]
