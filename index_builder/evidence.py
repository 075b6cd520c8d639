"""What the signals say of the candidates of each mined call: the training data of the fusion.

Gathered as the server gathers it, by the same functions; nothing mined from a sample's own file counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from deepcodeseek.server.engine import Engine
from deepcodeseek.server.fusion import FEATURES, OF_A_SIGNAL, Matrix, features
from deepcodeseek.server.pipeline import METHODS, encode_query
from deepcodeseek.server.retrieve import rank, view_of
from deepcodeseek.server.signals import SIGNALS
from deepcodeseek.server.types import ExpandedQuery

from .evaluate import Asked, context_of
from .progress import Progress

STRONG = 128  # candidates of a question that are kept because the signals are for them
GENERAL = "general.npz"
"""Beside the fusion that ships: questions from code it was not trained on, as numbers and paths of files."""
RANDOM = 32  # and beside them, by chance
EVIDENCE_VERSION = "1"  # to be raised where a signal says something else under the same name
LOST = -1

Sample = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Questions:
    """The candidates of n questions, one after the other."""

    features: NDArray[np.float16]  # [candidates of all questions, d]
    sizes: NDArray[np.int64]  # [n] candidates
    wanted: NDArray[np.int64]  # [n] place of the right one among its question's, LOST where it is none
    files: NDArray[np.str_]  # [n] that were asked from

    @property
    def starts(self) -> NDArray[np.int64]:
        """[n + 1] the first row of each question, and the end of the last."""
        return np.concatenate([[0], np.cumsum(self.sizes)])

    def of(self, number: int) -> Matrix:
        """Features [candidates, d] of one question."""
        start, end = self.starts[number : number + 2]
        return self.features[start:end].astype(np.float32)

    def few(self, seed: int = 0) -> Self:
        """The same with few of the candidates that are wrong: enough to learn from."""
        rng = np.random.default_rng(seed)
        kept = [_few(self.of(i), place, rng) for i, place in enumerate(self.wanted.tolist())]
        sizes = np.array([len(rows) for rows in kept], np.int64)
        parts = [start + rows for start, rows in zip(self.starts.tolist(), kept, strict=False)]
        rows = np.concatenate([np.empty(0, np.int64), *parts])
        wanted = np.where(self.wanted == LOST, LOST, 0)
        return type(self)(self.features[rows], sizes, wanted, self.files)

    def chosen(self, keep: NDArray[np.bool_]) -> Self:
        """Some of the questions, by a mask [n]."""
        rows = np.repeat(keep, self.sizes)
        return type(self)(self.features[rows], self.sizes[keep], self.wanted[keep], self.files[keep])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several as one."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def save(self, path: Path) -> None:
        """As a file without objects in it."""
        np.savez_compressed(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as file:
            return cls(*(file[f.name] for f in fields(cls)))


def gather(
    engine: Engine,
    samples: Sequence[Sample],
    asked: Asked,
    progress: Progress,
    hidden: Collection[str] = (),
) -> Questions:
    """All that `ask` finds."""
    none = np.empty(0, np.int64)
    empty = Questions(np.empty((0, len(FEATURES)), np.float16), none, none, np.empty(0, np.str_))
    return Questions.joined([empty, *ask(engine, samples, asked, progress, hidden)])


def ask(
    engine: Engine,
    samples: Sequence[Sample],
    asked: Asked,
    progress: Progress,
    hidden: Collection[str] = (),
) -> Iterator[Questions]:
    """Each sample that can be asked so, one at a time, as if the files `hidden` were not there."""
    for done, sample in enumerate(samples):
        progress("gathering", done, len(samples))
        context = context_of(engine, sample, asked)
        if context is None:
            continue
        ids, matrix = _evidence(engine, ExpandedQuery(context), tuple(hidden))
        right = np.flatnonzero([engine.index.apis.api_name[i] == sample["target"] for i in ids.tolist()])
        place = int(right[0]) if len(right) else LOST
        sizes, wanted = np.array([[len(matrix)], [place]], np.int64)
        yield Questions(matrix.astype(np.float16), sizes, wanted, np.array([context.file], np.str_))


def _evidence(
    engine: Engine, query: ExpandedQuery, unseen: Sequence[str]
) -> tuple[NDArray[np.int64], Matrix]:
    vector = encode_query(engine, query, learned=True)
    view = view_of(engine.index, query, vector, unseen=unseen)
    ids, matrix = features(view, rank(view, METHODS["fused"].weights))
    # No question is mined of a base layer: its APIs would all be wrong answers, and be learned as such.
    own = ids < engine.index.own_count
    return ids[own], matrix[own]


def _few(matrix: Matrix, place: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of a question: the right candidate first, then the strong and some by chance."""
    support = matrix[:, : len(SIGNALS) * len(OF_A_SIGNAL) : len(OF_A_SIGNAL)].sum(axis=1)
    strong = np.argsort(-support, kind="stable")[:STRONG]
    chance = rng.choice(len(matrix), min(RANDOM, len(matrix)), replace=False)
    others = np.setdiff1d(np.union1d(strong, chance), [place])
    return others if place == LOST else np.concatenate([[place], others])
