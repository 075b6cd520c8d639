"""Adapt the fusion to a workspace: its own calls show which signals tell the truth there.

Questions are mined from the workspace's own files, and asked as an editor would. Folds of files decide: the
weights that come from the other files must do better than those in use, by more than chance gives, or nothing
is written. What is then written has learned from all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepcodeseek.server.fusion import Fusion
from deepcodeseek.server.models import SHIPPED
from deepcodeseek.server.pipeline import Engine

from .build import read_content
from .cache import digest
from .evaluate import Asked
from .evidence import GENERAL, Questions, gather
from .generations import source_of
from .graph import find_exports, with_tails
from .layers import last_options
from .mine import FOLDS, mine
from .train_fusion import Ranks, Recipe, as_fusion, ranks, reciprocal, top, train, write_fusion

RECIPE = Recipe(epochs=6, rate=2e-3)
PER_TARGET = 10  # questions on an API
LEAST_QUESTIONS = 50  # fewer say nothing of what is better
FIRST = 5  # what is seen at a glance
LEAST_GAIN = 1.64  # standard errors of the mean reciprocal rank

Progress = Callable[[str, int, int], None]


class AdaptProblem(Exception):
    """A workspace that nothing can be learned from; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """What came of it. Percents by depth: among the first 1, 5, 40."""

    questions: int
    files: int
    before: dict[int, float]  # of the workspace's questions, by the weights in use
    after: dict[int, float]  # by weights that have not seen the question's file
    gained: int  # questions whose answer came among the first 5, and those that lost it
    lost: int
    gain: float  # of the mean reciprocal rank
    error: float  # its standard error
    general_before: dict[int, float]  # of questions from other code bases: what was forgotten
    general_after: dict[int, float]
    is_better: bool


def adapt(
    engine: Engine,
    index: Path,
    out: Path,
    workspace: Path | None,
    leave_out: Collection[str],
    progress: Progress,
    say: Callable[[str], None],
) -> Adapted:
    """Train on the workspace's own calls, and write a models directory if that is better than what is in use.

    `leave_out` names files, as the index does, of which no call, no usage and no text is learned from. Raises
    AdaptProblem where there is too little to learn from.
    """
    start = engine.fusion
    if start is None:
        raise AdaptProblem("the fusion that ships is missing or damaged: reinstall deepcodeseek")
    samples = mined(index, workspace or source_of(index), leave_out, progress, say)
    if len(samples) < LEAST_QUESTIONS:
        raise AdaptProblem(f"{len(samples)} calls to learn from: at least {LEAST_QUESTIONS} are needed")
    whole = [gather(engine, samples, Asked(after=after), progress, leave_out) for after in (True, False)]
    few = Questions.joined([part.few() for part in whole])
    before, after = _cross_validated(whole[0], few, start, progress)
    parameters, _ = train(few, RECIPE, progress, start.parameters)
    result = _result(whole[0].files, before, after, _general(start), _general(as_fusion(parameters)))
    if result.is_better:
        write_fusion(parameters, out / "fusion", {"adapted": asdict(result)}, RECIPE)
    return result


def mined(
    index: Path,
    workspace: Path | None,
    leave_out: Collection[str],
    progress: Progress,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Balanced samples of the workspace's own calls, but for those in some files."""
    if workspace is None or not workspace.is_dir():
        raise AdaptProblem(f"where {index} was built from is not known any more: name it with --workspace")
    content, _ = read_content(workspace, index, last_options(index), progress, say)
    extracted = [item for item in content.extracted if item.script.path not in leave_out]
    exports = with_tails(find_exports(content.extracted))
    every = mine(extracted, content.apis, exports, PER_TARGET, seed=0)
    return [asdict(sample) for sample in every if sample.balanced]


def _cross_validated(
    whole: Questions, few: Questions, start: Fusion, progress: Progress
) -> tuple[Ranks, Ranks]:
    """Ranks [n] of the right answers by the weights in use, and by weights trained on the other folds."""
    folds = fold_of(whole.files)
    before = ranks(start, whole)
    after = np.zeros_like(before)
    for fold in range(FOLDS):
        others = few.chosen(fold_of(few.files) != fold)
        parameters, _ = train(others, RECIPE, progress, start.parameters)
        mine = folds == fold
        after[mine] = ranks(as_fusion(parameters), whole.chosen(mine))
    return before, after


def fold_of(files: Iterable[str]) -> NDArray[np.int64]:
    """The fold of each file: the same wherever it is asked."""
    return np.array([digest(file)[0] % FOLDS for file in files], np.int64)


def _result(
    files: Iterable[str],
    before: Ranks,
    after: Ranks,
    general_before: dict[int, float],
    general_after: dict[int, float],
) -> Adapted:
    gains = reciprocal(after) - reciprocal(before)
    gain, error = float(gains.mean()), float(gains.std() / np.sqrt(len(gains)))
    was, now = ((found > 0) & (found <= FIRST) for found in (before, after))
    return Adapted(
        questions=len(before),
        files=len(set(files)),
        before=top(before),
        after=top(after),
        gained=int((now & ~was).sum()),
        lost=int((was & ~now).sum()),
        gain=round(gain, 4),
        error=round(error, 4),
        general_before=general_before,
        general_after=general_after,
        is_better=gain > LEAST_GAIN * error,
    )


def _general(fusion: Fusion) -> dict[int, float]:
    """How it does on questions from other code bases; nothing where the model in use came without them."""
    path = SHIPPED["fusion"] / GENERAL
    return top(ranks(fusion, Questions.load(path))) if path.is_file() else {}
