"""Adapt to a workspace: its own calls show what follows what there, and which signals tell the truth.

Questions are mined from the workspace's own files, and asked as an editor would. First the encoder of
questions learns (adapt_encoder.py; it needs the extra [train], and is left out without), then the fusion, at
last, with the encoder, the cross-encoder (adapt_reranker.py). None must trust a signal that was trained on
the very answers it is judged by: encoders and cross-encoders learn from the calls of one half of the files
each, evidence and lists are gathered with what was not asked from the file. Folds of files decide: weights
that come from other files must do better than those that ship, by more than chance gives, or nothing is
written; an encoder is where a fusion does better with it than without. The cross-encoder reads usages of both
halves as documents, but for those in the question's file.
"""

from __future__ import annotations

import contextlib
import math
import posixpath
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepcodeseek.server.engine import Engine, unfit_models
from deepcodeseek.server.fusion import Fusion
from deepcodeseek.server.generation import ADAPTED, source_of
from deepcodeseek.server.index import Index
from deepcodeseek.server.models import SHIPPED, ModelKind, ModelProblem, read_model

from .adapt_encoder import adapt_encoder
from .adapt_files import NAMES, foreign_folders, put_in_place
from .adapt_reranker import MOST_LISTS, Reranked, adapt_reranker
from .atomic import alone, put_back
from .build import read_content
from .cache import digest
from .candidates import candidate_lists
from .decoding import decode
from .evaluate import Asked, some_of
from .evidence import GENERAL, Questions, ask
from .graph import find_exports, with_tails
from .layers import last_options
from .mine import FOLDS, mine
from .progress import Progress
from .train_fusion import (
    Ranks,
    Recipe,
    as_fusion,
    gain_of,
    is_gain,
    named,
    ranks,
    top,
    train,
    write_fusion,
)
from .triples import Triple

RECIPE = Recipe(epochs=6, rate=2e-3)
PER_TARGET = 10  # questions on an API
LEAST_QUESTIONS, LEAST_FILES = 50, 10  # fewer say nothing of what is better
MOST_QUESTIONS = 1500  # drawn where there are more: all of it is to take less than half an hour
WORK = ".adapting"  # in the models directory: checkpoints, until all is made
MADE = "made"  # in that one: models, until all of them are
LOCK = ".adapting.lock"  # beside it: two runs at once would take away what the other has made
FIRST = 5  # what is seen at a glance


class AdaptProblem(Exception):
    """A workspace that nothing can be learned from; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """What an encoder of questions adds to a fusion that learned too. Percents by depth, as there."""

    before: dict[int, float]  # by the fusion alone
    after: dict[int, float]
    gain: float  # of the mean reciprocal rank, asked both ways
    error: float  # its standard error, by files
    is_better: bool


@dataclass(frozen=True, slots=True)
class Adapted:
    """What came of it. Percents by depth: among the first 1, 5, 40."""

    questions: int
    files: int
    before: dict[int, float]  # of the workspace's questions, by the engine's own weights
    after: dict[int, float]  # by weights that have not seen the question's file
    gained: int  # questions whose answer came among the first 5, and those that lost it
    lost: int
    cut_before: dict[int, float]  # of the same with nothing after the cursor
    cut_after: dict[int, float]
    gain: float  # of the mean reciprocal rank, asked both ways
    error: float  # its standard error, by files
    general_before: dict[int, float]  # of questions from other code bases: what was forgotten
    general_after: dict[int, float]
    is_better: bool
    encoded: Encoded | None = None  # of the encoder, where one learned
    reranked: Reranked | None = None  # of the cross-encoder, where it learned too
    minutes: float = 0.0  # that all of it took


@dataclass(frozen=True, slots=True)
class _Calls:
    """What is mined, by half of the files, to be asked of an engine for each half."""

    halves: Sequence[Sequence[dict[str, Any]]]
    leave_out: Collection[str]
    progress: Progress

    @property
    def count(self) -> int:
        return sum(map(len, self.halves))

    def ask(self, engines: Sequence[Engine]) -> Iterator[Questions]:
        """All of them as they stand, then all as if their files ended at the cursor.

        One question at a time: all candidates of all of them would take gigabytes.
        """
        for after in (True, False):
            for engine, half in zip(engines, self.halves, strict=True):
                yield from ask(engine, half, Asked(after=after), self.progress, self.leave_out)

    def lists(self, engines: Sequence[Engine]) -> list[list[Triple]]:
        """As many lists of candidates of each half as the cross-encoder reads, every other one asked as if
        its file ended at the cursor."""
        made: list[list[Triple]] = []
        for engine, half in zip(engines, self.halves, strict=True):
            drawn = some_of(half, MOST_LISTS)
            parts = ((drawn[::2], Asked()), (drawn[1::2], Asked(after=False)))
            made.append(
                [
                    triple
                    for samples, asked in parts
                    for triple in candidate_lists(engine, samples, asked, self.progress, self.leave_out)
                ]
            )
        return made


def adapt(
    engine: Engine,
    index: Path,
    out: Path,
    workspace: Path | None,
    leave_out: Collection[str],
    progress: Progress,
    say: Callable[[str], None],
    encoder: bool = False,
    minutes: float = math.inf,
) -> Adapted:
    """Train on the workspace's own calls, and write a models directory if that is better than what it has.

    The engine holds nothing that was adapted before: it would have seen the answers it is judged by.
    `leave_out` names files, as the index does, which are learned from as if they were not there: no call,
    no usage, no text, and no API that they define, neither as an answer nor as a wrong one. With
    `encoder` the encoder of questions and the cross-encoder learn too, which takes minutes; cut short, it
    goes on from its last checkpoint, and one whose training or export fails learns nothing; so does a
    cross-encoder that would take longer than `minutes` for all. What lies in `out` stays until all is made,
    and what an earlier run made there where nothing is. Raises AdaptProblem where there is too little to
    learn from, ValueError where nothing can be, OSError.
    """
    start, began = engine.fusion, time.monotonic()
    if start is None:
        raise AdaptProblem("the fusion that ships is missing or damaged: reinstall deepcodeseek")
    is_owned = out.resolve() == (index / ADAPTED).resolve()
    _check_own(out, is_owned, encoder)
    general = _general_questions(say)
    source = workspace or source_of(index)
    every = mined(index, source, leave_out, progress, say)
    samples = _checked(engine, every, index, encoder, say)
    out.mkdir(parents=True, exist_ok=True)  # where nothing can be written, it is said before all the work
    before = time.monotonic() - began
    with alone(out / LOCK, f"another run that adapts {out} is under way", say):
        began = time.monotonic() - before  # who waited for another run has lost nothing
        for kind in NAMES:
            put_back(out / kind)
        _check_own(out, is_owned, encoder)  # what was put back as well
        work = out / WORK
        shutil.rmtree(work / MADE, ignore_errors=True)
        calls = _Calls(_halves(samples), leave_out, progress)
        ends = began + minutes * 60
        result = _learn(engine, start, calls, general, work, encoder, ends, say)
        result = replace(result, minutes=round((time.monotonic() - began) / 60, 1))
        about = {
            "adapted": asdict(result),
            "workspace": str(source and source.resolve()),
            "left_out": sorted(leave_out),
        }
        unfit = _unfit(engine, out) if not any((work / MADE).glob("*")) else ()
        for kind, reason in put_in_place(work / MADE, out, about, is_owned, unfit).items():
            what = f"is removed: {reason}" if reason else "stays"
            say(f"the {NAMES[kind]} that an earlier run had learned {what}")
        shutil.rmtree(work, ignore_errors=True)
        with contextlib.suppress(OSError):  # where a file that is open cannot go, it stays
            (out / LOCK).unlink()
    return result


def _learn(
    engine: Engine,
    start: Fusion,
    calls: _Calls,
    general: Questions | None,
    work: Path,
    encoder: bool,
    ends: float,
    say: Callable[[str], None],
) -> Adapted:
    """What came of it; the models that are better lie in `work`/MADE then. `ends`: by when the cross-encoder
    must be ready, as time.monotonic() says it."""
    made = work / MADE
    engines: Sequence[Engine] = [engine, engine]
    shipped = engines
    judged, encoded = _judged(calls, shipped, start), None
    before = judged.before
    if encoder:
        engines, judged, encoded = _with_encoder(shipped, judged, calls, start, work, made / "query", say)
    parameters, _ = train(judged.few, RECIPE, named(calls.progress, "fusion"), start.parameters)
    elsewhere = [top(ranks(one, general)) if general else {} for one in (start, as_fusion(parameters))]
    result = replace(_result(judged.files, before, judged.after, *elsewhere), encoded=encoded)
    if encoder and engine.reranker:
        with _left_as_it_is(NAMES["reranker"], say):
            if time.monotonic() > ends:
                raise ValueError("no time is left for it")
            few, progress = judged.few, calls.progress
            listing = _with_fusions(engines, few, start, progress) if result.is_better else shipped
            files, folders = engine.reranker.files, (work / "reranker", made / "reranker")
            reranked = adapt_reranker(calls.lists(listing), files, *folders, progress, say, ends)
            result = replace(result, reranked=reranked)
    if result.is_better:
        write_fusion(parameters, made / "fusion", {"query": _asked_by(made, engine)}, RECIPE)
    else:
        shutil.rmtree(made / "query", ignore_errors=True)
    return result


def _check_own(out: Path, is_owned: bool, encoder: bool) -> None:
    """AdaptProblem where a model in `out` would be replaced that adapting did not make."""
    if foreign := foreign_folders(out, is_owned, tuple(NAMES) if encoder else ("fusion",)):
        place = foreign[0]
        raise AdaptProblem(f"{place} is not of an earlier run and would be replaced: choose another --out")


def _unfit(engine: Engine, out: Path) -> list[ModelKind]:
    """The kinds of models in `out` that would not answer, and an encoder without its fusion."""
    unfit = unfit_models(engine, out)
    has_fusion = (out / "fusion").is_dir() and "fusion" not in unfit
    return unfit if has_fusion else [*unfit, "query"]


def _asked_by(made: Path, engine: Engine) -> str:
    """SHA-256 of the encoder of questions that will be in use beside a fusion; "" where there is none."""
    if (made / "query").is_dir():
        return read_model("query", made / "query").sha256
    return engine.query_encoder.files.sha256 if engine.query_encoder else ""


@contextlib.contextmanager
def _left_as_it_is(what: str, say: Callable[[str], None]) -> Iterator[None]:
    """Where a part cannot be trained, or its export does not agree with it, the others still learn."""
    try:
        yield
    except (ValueError, RuntimeError, ModelProblem) as error:  # the second: torch's, as where memory ends
        say(f"the {what} learns nothing: {error}")


def _checked(
    engine: Engine, samples: list[dict[str, Any]], index: Path, encoder: bool, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Those that the index can be asked about; AdaptProblem where they are too few to learn or judge by."""
    own = engine.index.own_count
    for what, part, is_known in (
        ("stand in files", "file", engine.index.file_ids),
        ("are of APIs", "target", lambda name: any(i < own for i in engine.index.find(name))),
    ):
        # What it holds of a file by another name would not be hidden; no answer would be right.
        known = [sample for sample in samples if is_known(sample[part])]
        unknown = f"{len(samples) - len(known)} of {len(samples)} calls {what} that {index} does not know"
        if len(known) < len(samples) / 2:
            raise AdaptProblem(f"{unknown}: name what it was built from with --workspace, or build it anew")
        if len(known) < len(samples):
            say(f"{unknown}: they are left out until it is built anew")
        samples = known
    if len(samples) < LEAST_QUESTIONS:
        raise AdaptProblem(f"{len(samples)} calls to learn from: at least {LEAST_QUESTIONS} are needed")
    files = {sample["file"] for sample in samples}
    if len(files) < LEAST_FILES or len(set(fold_of(files).tolist())) < 2:
        raise AdaptProblem(
            f"all calls stand in {len(files)} files: too few to learn from some, judged by others"
        )
    if encoder and not all(_halves(samples)):
        raise AdaptProblem("all calls stand in one half of the files: `--no-encoder` learns from them")
    return samples


def _halves(samples: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [[sample for sample in samples if half_of(sample["file"]) == half] for half in (0, 1)]


def _with_encoder(
    shipped: Sequence[Engine],
    alone: _Judged,
    calls: _Calls,
    start: Fusion,
    work: Path,
    out: Path,
    say: Callable[[str], None],
) -> tuple[Sequence[Engine], _Judged, Encoded | None]:
    """The engines to ask about each half and what they are worth, with an encoder that learned, which is then
    in `out`; without where that is no better or cannot be made."""
    learned: Sequence[Engine] = ()
    with _left_as_it_is(NAMES["query"], say):
        learned = adapt_encoder(shipped[0], calls.halves, calls.leave_out, work, out, calls.progress, say)
    if not learned:
        return shipped, alone, None
    engines = learned[::-1]  # each is asked about the half that it has not seen
    beside = _judged(calls, engines, start)
    encoded = _encoded(alone.files, alone.after, beside.after)
    if encoded.is_better:
        return engines, beside, encoded
    shutil.rmtree(out)
    return shipped, alone, encoded


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a fusion learns from the evidence of some engines, and what it is worth with them."""

    few: Questions
    files: list[str]  # of the questions [n], in the order of `_Calls.ask`
    before: Ranks  # [n] of their answers, by the fusion that is started from
    after: Ranks  # [n] by fusions that learned from the other folds


def _judged(calls: _Calls, engines: Sequence[Engine], start: Fusion) -> _Judged:
    asked = enumerate(calls.ask(engines))
    few = Questions.joined([one.few(number % calls.count) for number, one in asked])
    by_fold = _trained_on_others(few, fold_of(few.files), FOLDS, start, calls.progress)

    def by_start(file: str) -> Fusion:
        return start

    def unseen(file: str) -> Fusion:
        return by_fold[int(fold_of([file])[0])]

    files, (before, after) = _ranks(calls.ask(engines), by_start, unseen)
    return _Judged(few, files, before, after)


def _ranks(asked: Iterable[Questions], *judges: Callable[[str], Fusion]) -> tuple[list[str], Ranks]:
    """Files [n], and ranks [judges, n] of the right answers by judges, each a fusion by the file."""
    files, found = [], []
    for one in asked:
        files.append(str(one.files[0]))
        found.append([ranks(judge(files[-1]), one)[0] for judge in judges])
    return files, np.array(found, np.int64).T


def _with_fusions(
    engines: Sequence[Engine], few: Questions, start: Fusion, progress: Progress
) -> list[Engine]:
    """The engine that is asked about each half, with a fusion that has not seen it either."""
    by_half = _trained_on_others(few, np.array([half_of(file) for file in few.files]), 2, start, progress)
    return [replace(engine, fusion=fusion) for engine, fusion in zip(engines, by_half, strict=True)]


def _trained_on_others(
    few: Questions, group: NDArray[np.int64], groups: int, start: Fusion, progress: Progress
) -> list[Fusion]:
    """For each group, by number [n], a fusion that has learned from the others."""
    made = []
    for number in range(groups):
        show = named(progress, f"fusion {number + 1} of {groups}")
        made.append(as_fusion(train(few.chosen(group != number), RECIPE, show, start.parameters)[0]))
    return made


def left_out(listed: Path, workspace: Path | None, index: Index) -> tuple[frozenset[str], tuple[str, ...]]:
    """The files that a list names, as the index calls them, and the lines that name none of it.

    A line is a path below the workspace or an absolute one, of a file or of a folder. Raises OSError, and
    AdaptProblem where all lines name nothing: whoever leaves out something means something.
    """
    hidden, unknown = set(), []
    lines = list(filter(None, map(str.strip, decode(listed.read_bytes()).splitlines())))
    for line in lines:
        path = posixpath.normpath(line if index.file_ids(line) else line.replace("\\", "/"))
        if (
            workspace
            and Path(path).is_absolute()
            and Path(path).resolve().is_relative_to(workspace.resolve())
        ):
            path = Path(path).resolve().relative_to(workspace.resolve()).as_posix()
        found = index.files_in(path)
        hidden |= {path, *found}
        if not found:
            unknown.append(line)
    if lines and len(unknown) == len(lines):
        raise AdaptProblem(f"{listed}: the index has no file that it names, such as {unknown[0]}")
    return frozenset(hidden), tuple(unknown)


def is_below(path: str, places: Collection[str]) -> bool:
    """Whether a file is one of the places, or in a folder that is."""
    return path in places or any(str(folder) in places for folder in PurePosixPath(path).parents)


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
    extracted = [item for item in content.extracted if not is_below(item.script.path, leave_out)]
    exports = with_tails(find_exports(content.extracted))
    every = mine(extracted, content.apis, exports, PER_TARGET, seed=0)
    balanced = [asdict(s) for s in every if s.balanced and not is_below(s.target_file, leave_out)]
    return some_of(balanced, MOST_QUESTIONS)


def half_of(file: str) -> int:
    """0 or 1, the same wherever it is asked, and no matter which fold the file is in."""
    return digest(file)[1] % 2


def fold_of(files: Iterable[str]) -> NDArray[np.int64]:
    """The fold of each file: the same wherever it is asked."""
    return np.array([digest(file)[0] % FOLDS for file in files], np.int64)


def _result(
    files: Sequence[str],
    before: Ranks,
    after: Ranks,
    general_before: dict[int, float],
    general_after: dict[int, float],
) -> Adapted:
    gain, error = gain_of(before, after, files)
    (whole_before, cut_before), (whole_after, cut_after) = np.split(before, 2), np.split(after, 2)
    was, now = ((found > 0) & (found <= FIRST) for found in (whole_before, whole_after))
    return Adapted(
        questions=len(whole_before),
        files=len(set(files)),
        before=top(whole_before),
        after=top(whole_after),
        gained=int((now & ~was).sum()),
        lost=int((was & ~now).sum()),
        cut_before=top(cut_before),
        cut_after=top(cut_after),
        gain=round(gain, 4),
        error=round(error, 4),
        general_before=general_before,
        general_after=general_after,
        is_better=is_gain(before, after, files),
    )


def _encoded(files: Sequence[str], alone: Ranks, beside: Ranks) -> Encoded:
    """Better where it gains at all: it is judged by encoders that learned from half of the files, and what is
    written learned from all."""
    gain, error = gain_of(alone, beside, files)
    before, after = (top(np.split(found, 2)[0]) for found in (alone, beside))
    return Encoded(before, after, round(gain, 4), round(error, 4), gain > 0)


def _general_questions(say: Callable[[str], None]) -> Questions | None:
    """Those from other code bases; None where the ones that ship cannot be read."""
    try:
        return Questions.load(SHIPPED["fusion"] / GENERAL)
    except Exception as error:  # one of several of zipfile's and zlib's, by where the file is damaged
        reason = str(error) or type(error).__name__
        say(f"what is forgotten cannot be shown: {reason}: reinstall deepcodeseek")
        return None
