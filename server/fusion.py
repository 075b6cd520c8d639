"""Learned fusion: all that the signals say of the candidates -> one score each.

A network with one hidden layer, trained with a listwise loss (index_builder/train_fusion.py). It sees ranks,
and scores only as they stand to the other scores of the same question: nothing that another corpus shifts.
"""

from __future__ import annotations

from collections.abc import Mapping
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from .columns import folder_of
from .lexical import Ids, Mask, Scores
from .models import ModelFiles, ModelProblem, verify
from .signals import RANK_OFFSET, SIGNALS
from .view import Ranking, View

Matrix = NDArray[np.float32]

OF_A_SIGNAL = ("reciprocal rank", "rank", "share", "deviation", "lead", "is silent")
OF_AN_API = (
    *("same package", "at home", "nearness", "nearer namesake", "platform", "documented"),
    *("class", "function", "extends", "is extended"),
)
OF_THE_QUESTION = ("typed", "in a record", "names used")
FEATURES = (
    *(f"{signal}: {feature}" for signal in SIGNALS for feature in OF_A_SIGNAL),
    *OF_AN_API,
    *OF_THE_QUESTION,
)

GLOBAL = "global"  # the scope of most records, which says little
_WORST_RANK = 201.0
_FURTHEST = 6.0  # standard deviations


class Fusion:
    """Weights of the network, and the hash of their file. Raises ValueError where they are made for other
    features."""

    def __init__(
        self, names: tuple[str, ...], hidden: Matrix, bias: Scores, output: Scores, sha256: str = ""
    ) -> None:
        if names != FEATURES or hidden.shape != (len(names), len(bias)) or output.shape != bias.shape:
            raise ValueError("it was made for other evidence than this version gathers")
        self.parameters, self.sha256 = (hidden, bias, output), sha256

    def score(self, matrix: Matrix) -> Scores:
        """Features [n, d] of the candidates of one question -> scores [n], higher is better."""
        hidden, bias, output = self.parameters
        scores: Scores = np.maximum(matrix @ hidden + bias, 0.0) @ output
        return scores


def load_fusion(model: ModelFiles) -> Fusion:
    """Verify and load a learned fusion, as the training wrote it; raises ModelProblem."""
    verify(model)
    try:
        with np.load(model.path(model.file), allow_pickle=False) as file:
            names = tuple(str(name) for name in file["features"])
            return Fusion(names, file["hidden"], file["bias"], file["output"], model.sha256)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ModelProblem(f"the fusion in {model.directory} is left out: {error}") from None


def features(view: View, rankings: Mapping[str, Ranking]) -> tuple[Ids, Matrix]:
    """Ids [n] of the APIs that any signal ranks, and their features [n, d] in the order of FEATURES."""
    ids = np.unique(np.concatenate([np.empty(0, np.int64), *(ranking.ids for ranking in rankings.values())]))
    places = np.zeros(view.index.count, np.int64)
    places[ids] = np.arange(len(ids))
    columns = [
        column for signal in SIGNALS for column in _of_a_signal(rankings.get(signal), places, len(ids))
    ]
    columns += _of_the_apis(view, ids)
    columns += [np.full(len(ids), value, np.float32) for value in _of_the_question(view)]
    return ids, np.stack(columns, axis=1) if columns else np.empty((0, len(FEATURES)), np.float32)


def _of_a_signal(ranking: Ranking | None, places: Ids, n: int) -> Matrix:
    """[6, n]"""
    values = np.zeros((len(OF_A_SIGNAL), n), np.float32)
    if ranking is None or not len(ranking.ids):
        values[5] = 1.0
        return values
    at, scores = places[ranking.ids], ranking.scores.astype(np.float64)
    ranks = np.arange(len(at))
    best, spread = float(scores[0]), float(scores.std())
    values[0, at] = RANK_OFFSET / (RANK_OFFSET + ranks)
    values[1, at] = 1.0 - np.log1p(ranks) / np.log(_WORST_RANK)
    values[2, at] = scores / best if best > 0 else 0.0
    if spread > 0:
        values[3, at] = np.clip((scores - scores.mean()) / spread, -_FURTHEST, _FURTHEST) / _FURTHEST
    values[4] = 1.0 - scores[1] / best if len(scores) > 1 and best > 0 else 1.0
    return values


def _of_the_apis(view: View, ids: Ids) -> list[Scores]:
    apis, context = view.index.apis, view.context
    near = view.index.api_folders.nearness(folder_of(context.file))[ids]
    in_scope = apis.scope.equal(context.scope)[ids] & (context.scope != GLOBAL)
    home = in_scope if context.scope else near == 1.0
    every = (
        apis.package.equal(context.package)[ids] if context.package else np.zeros(len(ids)),
        home,
        near,
        _is_shadowed(apis.name.numbers[ids], home + near),
        apis.platform[ids],
        apis.doc_origin.equal("written")[ids],
        (apis.kind.equal("class") | apis.kind.equal("script_include"))[ids],
        apis.kind.equal("function")[ids],
        apis.extends[ids],
        apis.extended[ids],
    )
    return [np.asarray(column).astype(np.float32) for column in every]


def _is_shadowed(name: NDArray[np.int32], nearness: NDArray[np.float64]) -> Mask:
    """Whether another of the candidates has the same name and is nearer to the caller."""
    _, group = np.unique(name, return_inverse=True)
    nearest = np.zeros(len(name))
    np.maximum.at(nearest, group, nearness)
    shadowed: Mask = nearest[group] > nearness
    return shadowed


def _of_the_question(view: View) -> tuple[float, ...]:
    context = view.context
    return (
        float(bool(context.prefix or context.trigger)),
        float(bool(context.record_type)),
        min(1.0, float(np.log1p(len(view.used)) / 4)),
    )
