"""Train the fusion: a network of one hidden layer that picks the right candidate from all evidence.

The loss is listwise: the cross-entropy of a softmax over the candidates of a question (ListNet's top-one
probability with one right answer; Cao et al., 2007). While training, whole signals fall silent at random, so
that none is relied on where it has nothing to say, and hidden units do (dropout; Srivastava et al., 2014).
AdamW (Loshchilov and Hutter, 2019) with a rate that rises and falls once. In numpy: it takes a minute, needs
nothing that the server does not have, and gives the same weights each time, cut short or not, on one kind of
processor with as many threads; the loss of each epoch is in the card.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from deepcodeseek.server import __version__
from deepcodeseek.server.fusion import FEATURES, OF_A_SIGNAL, Fusion, Matrix
from deepcodeseek.server.generation import sha256_file
from deepcodeseek.server.models import CARD
from deepcodeseek.server.signals import SIGNALS

from .atomic import model_folder, whole_file, write_lines
from .evidence import GENERAL, LOST, Questions
from .progress import Progress
from .train_loop import CURVE, Place, curve_line, draw, fingerprint_of, read_checkpoint

WEIGHTS, CHECKPOINT = "fusion.npz", "checkpoint.npz"
SILENT = OF_A_SIGNAL.index("is silent")

Array = NDArray[np.float32]
Parameters = tuple[Array, Array, Array]  # hidden [d, h], bias [h], output [h]
Ranks = NDArray[np.int64]
DEPTHS = (1, 5, 40)
LEAST_GAIN = 1.64  # standard errors of the mean reciprocal rank


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training depends on, but for its data."""

    epochs: int = 8
    batch: int = 16  # questions
    hidden: int = 32
    rate: float = 3e-3
    decay: float = 0.05
    dropout: float = 0.2  # of hidden units
    silence: float = 0.1  # of signals
    seed: int = 0


def train(
    questions: Questions,
    recipe: Recipe,
    progress: Progress,
    start: Parameters | None = None,
    folder: Path | None = None,
) -> tuple[Parameters, tuple[float, ...]]:
    """Weights, from `start` on or from the beginning, and the mean loss of each epoch.

    After each epoch a checkpoint lies in `folder`; it goes on from the one there if it is of the same
    training. Raises ValueError where no question has its right candidate, OSError.
    """
    asked = np.flatnonzero(questions.wanted != LOST)
    if not len(asked):
        raise ValueError("no question has its right answer among the candidates")
    place = _place(folder, recipe, start, questions) if folder else None
    state = (_resumed(place) if place else None) or _begun(questions, recipe, start)
    weights, rng, losses = state.weights, state.rng, state.losses
    per_epoch = -(-len(asked) // recipe.batch)
    steps = recipe.epochs * per_epoch
    while len(losses) < steps:
        for batch in _batches(rng.permutation(asked), recipe.batch):
            step = len(losses)
            progress("training", step, steps)
            matrices = [_silenced(questions.of(i), recipe.silence, rng) for i in batch]
            loss, gradients = _loss(weights, matrices, questions.wanted[batch], recipe.dropout, rng)
            rate = _rate(recipe.rate, step, steps)
            _update(weights, gradients, state.moments, rate, recipe.decay, step + 1)
            losses.append(loss)
        if place:
            _save(place, state)
    if place:
        _show(place.folder, losses)
    curve = (float(np.mean(losses[i : i + per_epoch])) for i in range(0, steps, per_epoch))
    hidden, bias, output = weights
    return (hidden, bias, output), tuple(curve)


def ranks(fusion: Fusion, questions: Questions) -> Ranks:
    """Of each question's right candidate; 0 where it is none."""
    every = (_rank(fusion, questions, i) for i in range(len(questions.sizes)))
    return np.fromiter(every, np.int64, len(questions.sizes))


def top(found: Ranks) -> dict[int, float]:
    """Percent of the ranks among the first 1, 5, 40."""
    return {k: round(100 * float(np.mean((found > 0) & (found <= k))), 2) for k in DEPTHS}


def rank_at(scores: NDArray[Any], place: int) -> int:
    """Of the one at a place, from 1: what is level with it, or no number, goes before it."""
    return len(scores) - int((scores < scores[place]).sum())


def reciprocal(found: Ranks) -> NDArray[np.float64]:
    """1 / rank, or 0 where there is none."""
    return np.where(found > 0, 1.0 / np.maximum(found, 1), 0.0)


def gain_of(before: Ranks, after: Ranks, files: Sequence[str] = ()) -> tuple[float, float]:
    """What the mean reciprocal rank gained, and its standard error; (0, 0) where nothing was asked.

    Of questions in the same of `files` [n] one tells what the others do: the error is that of clusters (Liang
    and Zeger, 1986).
    """
    gains = reciprocal(after) - reciprocal(before)
    if not len(gains):
        return 0.0, 0.0
    cluster = np.unique(np.array(files or range(len(gains))), return_inverse=True)[1]
    sums = np.bincount(cluster, gains - gains.mean())
    spread = (sums**2).sum() * len(sums) / max(1, len(sums) - 1)
    return float(gains.mean()), float(np.sqrt(spread) / len(gains))


def is_gain(before: Ranks, after: Ranks, files: Sequence[str] = ()) -> bool:
    """Whether the mean reciprocal rank gained more than chance gives."""
    gain, error = gain_of(before, after, files)
    return gain > LEAST_GAIN * error


def write_fusion(
    parameters: Parameters, out: Path, about: dict[str, Any], recipe: Recipe, general: Questions | None = None
) -> None:
    """A model directory that appears whole: the weights, their card, and the `general` questions.

    Raises ValueError, and writes nothing, where a weight is no number.
    """
    hidden, bias, output = parameters
    if not all(np.isfinite(part).all() for part in parameters):
        raise ValueError("the training came to weights that are no numbers: nothing is written")
    with model_folder(out) as staged:
        np.savez(staged / WEIGHTS, features=np.array(FEATURES), hidden=hidden, bias=bias, output=output)
        if general:
            general.save(staged / GENERAL)
        card = {
            "kind": "fusion",
            "name": "fusion",
            "file": WEIGHTS,
            "sha256": {WEIGHTS: sha256_file(staged / WEIGHTS)},
            "deepcodeseek": __version__,
            "recipe": asdict(recipe),
            **about,
        }
        write_lines(staged / CARD, [json.dumps(card, indent=2)])


def named(progress: Progress, task: str) -> Progress:
    """Progress under another name: each of several trainings its own."""
    return lambda _, done, total: progress(task, done, total)


def as_fusion(parameters: Parameters) -> Fusion:
    """To score with."""
    return Fusion(FEATURES, *parameters)


def _rank(fusion: Fusion, questions: Questions, number: int) -> int:
    place = questions.wanted[number]
    if place == LOST:
        return 0
    return rank_at(fusion.score(questions.of(number)), place)


# The state between two epochs


@dataclass(frozen=True, slots=True)
class _State:
    """All that the next step depends on but for the questions and the recipe; each step changes it."""

    weights: list[Array]
    moments: list[tuple[Array, Array]]  # the running mean of each one's gradients and of their squares
    rng: np.random.Generator
    losses: list[float]  # of each step so far


def _begun(questions: Questions, recipe: Recipe, start: Parameters | None) -> _State:
    rng = np.random.default_rng(recipe.seed)
    weights = [w.copy() for w in start or _initial(recipe.hidden, rng)]
    if not start:  # what is never seen must say nothing, not what chance gave it
        weights[0][~questions.features.any(axis=0)] = 0.0
    return _State(weights, [(np.zeros_like(w), np.zeros_like(w)) for w in weights], rng, [])


def _place(folder: Path, recipe: Recipe, start: Parameters | None, questions: Questions) -> Place:
    folder.mkdir(parents=True, exist_ok=True)
    learned = (questions.features, questions.sizes, questions.wanted)
    return Place(folder, fingerprint_of(recipe, FEATURES, *(start or ()), *learned))


def _save(place: Place, state: _State) -> None:
    stacked = np.stack([np.vstack(each) for each in (state.weights, *zip(*state.moments, strict=True))])
    rng = json.dumps(state.rng.bit_generator.state)
    with whole_file(place.folder / CHECKPOINT) as file:
        np.savez(file, stacked=stacked, rng=rng, losses=state.losses, fingerprint=place.fingerprint)


def _show(folder: Path, losses: Sequence[float]) -> None:
    """The curve, and its picture where matplotlib is there."""
    write_lines(folder / CURVE, map(curve_line, count(), losses))
    with suppress(ImportError):
        draw(folder)


def _resumed(place: Place) -> _State | None:
    """As the last epoch left it; None where there is no checkpoint of this training."""

    def load(path: Path) -> dict[str, NDArray[Any]]:
        if not is_zipfile(path):  # numpy would advise to trust it
            raise ValueError("it is no archive of numpy")
        with np.load(path, allow_pickle=False) as file:
            return dict(file)

    content = read_checkpoint(place, CHECKPOINT, load, ("stacked", "rng", "losses"))
    if not content:
        return None
    rng = np.random.default_rng()
    rng.bit_generator.state = json.loads(str(content["rng"]))
    weights, means, squares = (
        [part.copy() for part in (each[:-2], each[-2], each[-1])] for each in content["stacked"]
    )
    return _State(weights, list(zip(means, squares, strict=True)), rng, content["losses"].tolist())


# One step


def _initial(hidden: int, rng: np.random.Generator) -> Parameters:
    """Uniform, as wide as keeps the spread of what goes through (He et al., 2015)."""
    bound = 1.0 / np.sqrt(len(FEATURES))
    return (
        rng.uniform(-bound, bound, (len(FEATURES), hidden)).astype(np.float32),
        rng.uniform(-bound, bound, hidden).astype(np.float32),
        rng.uniform(-1.0, 1.0, hidden).astype(np.float32) / np.float32(np.sqrt(hidden)),
    )


def _batches(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    return (order[i : i + size] for i in range(0, len(order), size))


def _silenced(matrix: Matrix, share: float, rng: np.random.Generator) -> Matrix:
    """With some signals as if they had found nothing."""
    for signal in np.flatnonzero(rng.random(len(SIGNALS)) < share).tolist():
        first = signal * len(OF_A_SIGNAL)
        matrix[:, first : first + len(OF_A_SIGNAL)] = 0.0
        matrix[:, first + SILENT] = 1.0
    return matrix


def _loss(
    weights: Sequence[Array],
    matrices: Sequence[Matrix],
    wanted: NDArray[np.int64],
    dropout: float,
    rng: np.random.Generator,
) -> tuple[float, tuple[Array, Array, Array]]:
    """The mean loss of some questions, and its gradients."""
    hidden, bias, output = weights
    rows = np.concatenate(matrices)
    before = rows @ hidden + bias
    kept = (rng.random(before.shape) >= dropout).astype(np.float32) / np.float32(1.0 - dropout)
    units = np.maximum(before, 0.0) * kept
    scores = units @ output
    ends = np.cumsum([len(matrix) for matrix in matrices])
    loss, slopes = 0.0, np.empty_like(scores)
    for end, matrix, place in zip(ends.tolist(), matrices, wanted.tolist(), strict=True):
        part = slice(end - len(matrix), end)
        shares = _softmax(scores[part])
        loss -= float(np.log(max(1e-30, shares[place])))
        shares[place] -= 1.0
        slopes[part] = shares
    slopes /= len(matrices)
    back = np.outer(slopes, output) * kept * (before > 0)
    return loss / len(matrices), (rows.T @ back, back.sum(axis=0), units.T @ slopes)


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max())
    shares: Array = powers / powers.sum()
    return shares


def _rate(highest: float, step: int, steps: int) -> float:
    """Up for three tenths of the steps, then down, each on half a cosine (Smith and Topin, 2019)."""
    rising = 0.3 * steps
    share = step / rising if step < rising else (steps - step) / max(1.0, steps - rising)
    return highest * (0.04 + 0.96 * 0.5 * (1.0 - float(np.cos(np.pi * share))))


def _update(
    weights: Sequence[Array],
    gradients: Sequence[Array],
    moments: Sequence[tuple[Array, Array]],
    rate: float,
    decay: float,
    step: int,
) -> None:
    for weight, gradient, (mean, square) in zip(weights, gradients, moments, strict=True):
        weight *= 1.0 - rate * decay
        mean += 0.1 * (gradient - mean)
        square += 0.001 * (gradient * gradient - square)
        weight -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
