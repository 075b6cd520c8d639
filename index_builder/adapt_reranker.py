"""Adapt the cross-encoder to a workspace: it goes on from what is in use, on the workspace's own lists.

Half of the files teaches one model, the other half another; each is judged by the lists of the half that it
has not seen, and what is written is the mean of their weights (Wortsman et al., 2022). Nothing is written
where that is no better than what is in use. Needs the extra [train].
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepcodeseek.server.models import ModelFiles

from .evaluate import some_of
from .export_encoder import base_weights
from .export_reranker import GOLDEN_LISTS, export_reranker
from .export_weights import float_weights
from .progress import Progress
from .train_fusion import Ranks, is_gain, named
from .train_query import mean_weights
from .train_reranker import Recipe, is_within_reach, ranks_with, top_of_lists, train
from .triples import Triple

RECIPE = Recipe(rate=1e-5, dropout=False)  # a few hundred lists: at higher rates what is unseen gets worse
MOST_LEARNED = 300  # lists of each half, drawn where there are more
MOST_JUDGED = 100  # by a model that has not seen them: reading takes longer than learning
TIMED_STEPS = 5
JUDGED = 1.5  # estimated from what each reads: a training with its judging, in trainings
LEAST_JUDGED = 50  # of both halves: fewer say nothing of what is better
MOST_LISTS = MOST_LEARNED + MOST_JUDGED  # of each half that are made: in some the right one is out of reach


@dataclass(frozen=True, slots=True)
class Reranked:
    """What came of it: percents of the lists with the right one among the first 1, 5."""

    lists: int
    before: dict[int, float]
    after: dict[int, float]  # by weights that have not seen the list's file
    is_better: bool


def adapt_reranker(
    halves: Sequence[Sequence[Triple]],
    model: ModelFiles,
    work: Path,
    out: Path,
    progress: Progress,
    say: Callable[[str], None],
    ends: float = math.inf,
) -> Reranked:
    """Train on the lists of each half of the files; the mean in the folder `out` if that is better.

    Cut short, it goes on from its last checkpoint in `work`. Raises ValueError, and writes nothing, where
    there is nothing to learn from, where the model cannot be trained or would not be by `ends`, as
    time.monotonic() says it, or where the export does not agree with what was trained.
    """
    asked = [some_of(half, MOST_JUDGED) for half in halves]
    if sum(map(len, asked)) < LEAST_JUDGED:
        raise ValueError(f"there are {sum(map(len, asked))} lists to judge it by, {LEAST_JUDGED} are needed")
    start = float_weights(model, base_weights() / "config.json", work / "start")
    before: list[Ranks] = []
    after: list[Ranks] = []
    folders = []
    for number, (learned, unseen) in enumerate(zip(halves, asked[::-1], strict=True)):
        near = [triple for triple in learned if is_within_reach(triple)]
        show = named(progress, f"cross-encoder {number + 1} of {len(halves)}")
        timed = in_time(show, JUDGED * (len(halves) - number), ends)
        folder = train(some_of(near, MOST_LEARNED), start, work / str(number), RECIPE, timed)
        judging = named(progress, f"judging cross-encoder {number + 1} of {len(halves)}")
        for ranks, weights in ((before, start), (after, folder)):
            ranks.append(ranks_with(weights, unseen, RECIPE.tokens, judging, sdpa=True))
        folders.append(folder)
    files = [triple.file for unseen in asked[::-1] for triple in unseen]
    result = _result(np.concatenate(before), np.concatenate(after), files)
    if result.is_better:
        mean = mean_weights(folders, work / "mean")
        export_reranker(mean, out, {"name": "adapted"}, GOLDEN_LISTS, RECIPE.tokens, say)
    return result


def in_time(progress: Progress, trainings: float, ends: float) -> Progress:
    """Progress of a training, which ends it with ValueError where its first steps say that `trainings` like
    it would not be done by `ends`, as time.monotonic() says it."""
    begun: list[float] = []  # when each step was

    def show(task: str, done: int, total: int) -> None:
        progress(task, done, total)
        begun.append(time.monotonic())
        if len(begun) == TIMED_STEPS + 1:
            left = (begun[-1] - begun[0]) / TIMED_STEPS * (trainings * total - done)
            if begun[-1] + left > ends:
                raise ValueError(f"it would take about {left / 60:.0f} minutes more, and fewer are left")

    return show


def _result(before: Ranks, after: Ranks, files: Sequence[str]) -> Reranked:
    return Reranked(len(before), top_of_lists(before), top_of_lists(after), is_gain(before, after, files))
