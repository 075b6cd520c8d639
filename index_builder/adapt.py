"""Adapt to a workspace: its own calls show what follows what there, and which signals tell the truth.

Questions are mined from the workspace's own files, and asked as an editor would. First the encoder of
questions learns (train_query.py; it needs the extra [train], and is left out without), then the fusion. That
one must not trust a signal that was trained on the very answers it is judged by: two encoders learn from one
half of the files each, evidence is gathered with the one that has not seen the file, and what is written is
the mean of their weights (Wortsman et al., 2022). Last comes the cross-encoder (adapt_reranker.py), with the
encoder. Folds of files decide: weights that come from other files
must do better than those that ship, by more than chance gives, or nothing is written.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepcodeseek.server.fusion import Fusion
from deepcodeseek.server.index import Index
from deepcodeseek.server.models import (
    CARD,
    SHIPPED,
    ModelFiles,
    ModelKind,
    ModelProblem,
    load_encoder,
    read_card,
)
from deepcodeseek.server.pipeline import Engine

from .adapt_reranker import Reranked, adapt_reranker
from .build import read_content
from .cache import digest
from .candidates import candidate_lists
from .decoding import decode
from .evaluate import Asked, some_of
from .evidence import GENERAL, Questions, gather
from .generations import source_of
from .graph import find_exports, with_tails
from .layers import last_options
from .mine import FOLDS, mine
from .train_fusion import Ranks, Recipe, as_fusion, is_gain, ranks, reciprocal, top, train, write_fusion
from .train_query import Recipe as QueryRecipe

RECIPE = Recipe(epochs=6, rate=2e-3)
PER_TARGET = 10  # questions on an API
LEAST_QUESTIONS = 50  # fewer say nothing of what is better
MOST_QUESTIONS = 3000  # drawn where there are more, as are those below: a large workspace takes no hours
MOST_FOR_ENCODER = 1000  # of each half
QUERY_RECIPE = QueryRecipe(epochs=3)
WORK = "training"
FIRST = 5  # what is seen at a glance

Progress = Callable[[str, int, int], None]


class AdaptProblem(Exception):
    """A workspace that nothing can be learned from; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """What came of it. Percents by depth: among the first 1, 5, 40."""

    questions: int
    files: int
    before: dict[int, float]  # of the workspace's questions, by the engine's own weights
    after: dict[int, float]  # by weights that have not seen the question's file
    gained: int  # questions whose answer came among the first 5, and those that lost it
    lost: int
    gain: float  # of the mean reciprocal rank
    error: float  # its standard error
    general_before: dict[int, float]  # of questions from other code bases: what was forgotten
    general_after: dict[int, float]
    is_better: bool
    reranked: Reranked | None = None  # of the cross-encoder, where it learned too


def adapt(
    engine: Engine,
    index: Path,
    out: Path,
    workspace: Path | None,
    leave_out: Collection[str],
    progress: Progress,
    say: Callable[[str], None],
    encoder: bool = False,
) -> Adapted:
    """Train on the workspace's own calls, and write a models directory if that is better than what it has.

    The engine holds nothing that was adapted before: it would have seen the answers it is judged by.
    `leave_out` names files, as the index does, which are learned from as if they were not there: no call,
    no usage, no text, and no API that they define, neither as an answer nor as a wrong one. With
    `encoder` the encoder of questions and the cross-encoder learn too, which takes minutes; cut short, it
    goes on from its last checkpoint. Raises AdaptProblem where there is too little to learn from.
    """
    start = engine.fusion
    if start is None:
        raise AdaptProblem("the fusion that ships is missing or damaged: reinstall deepcodeseek")
    samples = mined(index, workspace or source_of(index), leave_out, progress, say)
    _check(engine, samples, index, encoder)
    halves = _halves(samples)
    work = out / WORK
    evidence = _gathered([engine, engine], halves, leave_out, progress)
    before = ranks(start, evidence[0])
    if encoder:
        engines = _trained_on_halves(engine, halves, leave_out, work, progress)
        evidence = _gathered(engines[::-1], halves, leave_out, progress)
    few = Questions.joined([part.few() for part in evidence])
    after = _cross_validated(evidence[0], few, start, progress)
    parameters, _ = train(few, RECIPE, progress, start.parameters)
    result = _result(evidence[0].files, before, after, _general(start), _general(as_fusion(parameters)))
    # Nobody judged what an earlier run wrote beside what is written now, nor knows what it had left out.
    if _forget_adapted(out, "fusion", "query", "reranker") and not result.is_better:
        say("what an earlier run had learned is removed: what ships does as well")
    if result.is_better:
        if encoder:
            _write_mean(engine, work, out / "query", say)
            engines = [replace(each, fusion=as_fusion(parameters)) for each in engines]
        write_fusion(parameters, out / "fusion", {"adapted": asdict(result)}, RECIPE)
    if encoder and engine.reranker:
        asked = engines[::-1] if result.is_better else [engine, engine]
        reranked = _reranked(asked, engine.reranker.files, halves, leave_out, out, progress, say)
        result = replace(result, reranked=reranked)
    shutil.rmtree(work, ignore_errors=True)
    return result


def _check(engine: Engine, samples: Sequence[dict[str, Any]], index: Path, encoder: bool) -> None:
    """Raises AdaptProblem where there is too little to learn from or to judge by."""
    if len(samples) < LEAST_QUESTIONS:
        raise AdaptProblem(f"{len(samples)} calls to learn from: at least {LEAST_QUESTIONS} are needed")
    for what, known in (
        ("stand in files", [bool(engine.index.file_ids(sample["file"])) for sample in samples]),
        ("are of APIs", [bool(engine.index.find(sample["target"])) for sample in samples]),
    ):
        # What it holds of a file by another name would not be hidden; no answer would be right.
        if sum(known) < len(known) / 2:
            unknown = f"{len(known) - sum(known)} of {len(known)} calls {what} that {index} does not know"
            raise AdaptProblem(f"{unknown}: name what it was built from with --workspace, or build it anew")
    files = {sample["file"] for sample in samples}
    if len(set(fold_of(files).tolist())) < 2 or (encoder and not all(_halves(samples))):
        raise AdaptProblem(
            f"all calls stand in {len(files)} files: too few to learn from some, judged by others"
        )


def _halves(samples: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [[sample for sample in samples if half_of(sample["file"]) == half] for half in (0, 1)]


def _forget_adapted(out: Path, *kinds: ModelKind) -> bool:
    """Remove what an earlier run has written into `out`, and nothing else; whether there was any."""
    found = False
    for kind in kinds:
        with contextlib.suppress(ModelProblem):  # none there, or none of ours
            card = read_card(out / kind / CARD)
            if card.get("name") == "adapted" or "adapted" in card:
                shutil.rmtree(out / kind)
                found = True
    return found


def _reranked(
    engines: Sequence[Engine],
    model: ModelFiles,
    halves: Sequence[Sequence[dict[str, Any]]],
    leave_out: Collection[str],
    out: Path,
    progress: Progress,
    say: Callable[[str], None],
) -> Reranked:
    """The cross-encoder, on the lists of each half's engine."""
    lists = [
        list(candidate_lists(engine, half, Asked(), progress, leave_out))
        for engine, half in zip(engines, halves, strict=True)
    ]
    return adapt_reranker(lists, model, out / WORK / "reranker", out / "reranker", progress, say)


def _gathered(
    engines: Sequence[Engine],
    halves: Sequence[Sequence[dict[str, Any]]],
    leave_out: Collection[str],
    progress: Progress,
) -> list[Questions]:
    """The questions of each half asked of its engine, as mined and with nothing after the cursor."""
    return [
        Questions.joined(
            [
                gather(engine, half, Asked(after=after), progress, leave_out)
                for engine, half in zip(engines, halves, strict=True)
            ]
        )
        for after in (True, False)
    ]


def _trained_on_halves(
    engine: Engine,
    halves: Sequence[Sequence[dict[str, Any]]],
    leave_out: Collection[str],
    work: Path,
    progress: Progress,
) -> list[Engine]:
    """The engine with an encoder of questions that has learned from one half of the files, for each."""
    from . import train_query
    from .export_encoder import base_weights, export_encoder

    documents = {"": train_query.documents_of(engine, leave_out)}
    engines = []
    for number, half in enumerate(halves):
        questions = train_query.questions_of(engine, some_of(half, MOST_FOR_ENCODER), "")
        folder = work / str(number)
        weights = train_query.train(questions, documents, base_weights(), folder, QUERY_RECIPE, progress)
        card = export_encoder(weights, folder / "query", _query_card(engine), {}, lambda _: None)
        encoder = load_encoder(ModelFiles("query", folder / "query", card))
        engines.append(replace(engine, query_encoder=encoder))
    return engines


def _write_mean(engine: Engine, work: Path, out: Path, say: Callable[[str], None]) -> None:
    """The mean of the weights that learned from the halves, as a model directory."""
    from .export_encoder import export_encoder
    from .train_query import mean_weights

    weights = mean_weights([work / str(number) / "weights" for number in (0, 1)], work / "mean")
    export_encoder(weights, out, _query_card(engine), {}, say)


def _query_card(engine: Engine) -> dict[str, Any]:
    assert engine.encoder
    return {"kind": "query", "name": "adapted", "documents": engine.encoder.files.sha256}


def left_out(listed: Path, workspace: Path | None, index: Index) -> tuple[frozenset[str], tuple[str, ...]]:
    """The files that a list names, as the index calls them, and the lines that name none of it.

    A line is a path below the workspace or an absolute one, of a file or of a folder. Raises OSError.
    """
    hidden, unknown = set(), []
    for line in filter(None, map(str.strip, decode(listed.read_bytes()).splitlines())):
        path = posixpath.normpath(line if index.file_ids(line) else line.replace("\\", "/"))
        if workspace and Path(path).is_absolute():
            path = os.path.relpath(path, workspace.resolve()).replace(os.sep, "/")
        found = index.files_in(path)
        hidden |= {path, *found}
        if not found:
            unknown.append(line)
    return frozenset(hidden), tuple(unknown)


def mined(
    index: Path,
    workspace: Path | None,
    leave_out: Collection[str],
    progress: Progress,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Balanced samples of the workspace's own calls, but for those in some files and of what these define.

    At most MOST_QUESTIONS of them, always the same.
    """
    if workspace is None or not workspace.is_dir():
        raise AdaptProblem(f"where {index} was built from is not known any more: name it with --workspace")
    content, _ = read_content(workspace, index, last_options(index), progress, say)
    extracted = [item for item in content.extracted if item.script.path not in leave_out]
    exports = with_tails(find_exports(content.extracted))
    every = mine(extracted, content.apis, exports, PER_TARGET, seed=0)
    balanced = [asdict(s) for s in every if s.balanced and s.target_file not in leave_out]
    return some_of(balanced, MOST_QUESTIONS)


def _cross_validated(whole: Questions, few: Questions, start: Fusion, progress: Progress) -> Ranks:
    """Ranks [n] of the right answers by weights that were trained on the other folds."""
    folds = fold_of(whole.files)
    found = np.zeros(len(folds), np.int64)
    for fold in range(FOLDS):
        others = few.chosen(fold_of(few.files) != fold)
        parameters, _ = train(others, RECIPE, progress, start.parameters)
        mine = folds == fold
        found[mine] = ranks(as_fusion(parameters), whole.chosen(mine))
    return found


def half_of(file: str) -> int:
    """0 or 1, the same wherever it is asked, and no matter which fold the file is in."""
    return digest(file)[1] % 2


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
        is_better=is_gain(before, after),
    )


def _general(fusion: Fusion) -> dict[int, float]:
    """How it does on questions from other code bases; nothing where the model in use came without them."""
    path = SHIPPED["fusion"] / GENERAL
    return top(ranks(fusion, Questions.load(path))) if path.is_file() else {}
