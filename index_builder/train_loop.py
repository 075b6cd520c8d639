"""The steps of a training with torch: gradients, checkpoints, the curve. `run_steps` needs the extra [train].

A checkpoint holds all that the next step depends on: a training that was cut short goes on to the same
weights bit for bit, in one process on the same CPU with as many threads. What a GPU draws by chance, and
what other processes draw, is not in it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from deepcodeseek.server.generation import sha256_file

from .atomic import whole_file
from .progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT = "checkpoint.pt"
CURVE, PICTURE = "curve.jsonl", "curve.png"
SMOOTHED = 20  # steps at least, whose mean is drawn
SAVE_STEPS = 25  # between two checkpoints
LENGTH_BUCKET = 8  # batches whose items are sorted by length: padding costs as much as text

log = logging.getLogger("deepcodeseek")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a training keeps what it needs to go on, and what it must be the same training of."""

    folder: Path
    fingerprint: str  # see `fingerprint_of`


def fingerprint_of(*parts: object) -> str:
    """Stands for a training by all that it depends on: its recipe, the weights it starts from, its data.

    Weights, a file or a folder of safetensors, count by their content, arrays by their bytes, all else as it
    is written out.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            files = [part] if part.is_file() else sorted(part.glob("*.safetensors"))
            digest.update("".join(repr(sha256_file(file)) for file in files).encode())
        elif isinstance(part, np.ndarray):
            digest.update(np.ascontiguousarray(part).data)  # not copied: it may be the largest there is
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Processes:
    """How one of the processes that train together goes backward, and whether it is the one that writes."""

    backward: Callable[[Tensor], None]
    writes: bool


def _backward(loss: Tensor) -> None:
    loss.backward()


ALONE = Processes(_backward, True)


def run_steps(
    steps: Sequence[T],
    losses_of: Callable[[T], Iterable[Tensor]],
    modules: Mapping[str, Any],
    optimizer: Any,
    place: Place,
    progress: Progress,
    stop_after: int | None = None,
    processes: Processes = ALONE,
) -> None:
    """Take all steps with a rate that rises and falls once, from the checkpoint on if there is one.

    The loss of a step is the sum of several; of each the gradients are made before the next is.
    `stop_after` so many steps it ends with a checkpoint.
    """
    import torch

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, len(steps)))
    state = {**modules, "optimizer": optimizer, "schedule": schedule}
    moving = [weight for group in optimizer.param_groups for weight in group["params"]]
    start = _resume(place, state)
    if processes.writes:
        _cut_curve(place.folder / CURVE, start)
    for number in range(start, len(steps)):
        progress("training", number, len(steps))
        optimizer.zero_grad()
        total = 0.0
        for loss in losses_of(steps[number]):
            processes.backward(loss)
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(moving, 1.0)
        optimizer.step()
        schedule.step()
        if processes.writes:
            _note(place, number, total)
            if number + 1 in (len(steps), stop_after) or (number + 1) % SAVE_STEPS == 0:
                _save(place, state, number + 1)
        if number + 1 == stop_after:
            break
    if processes.writes and (place.folder / CURVE).is_file():
        draw(place.folder)


def batches(
    items: Sequence[T], length: Callable[[T], int], batch: int, epochs: int, seed: int
) -> list[list[T]]:
    """All epochs' batches, in an order by seed, items of like length together."""
    made = []
    for epoch in range(epochs):
        rng = random.Random(f"{seed} {epoch}")
        order = rng.sample(list(items), len(items))
        several = batch * LENGTH_BUCKET
        some = []
        for start in range(0, len(order), several):
            bucket = sorted(order[start : start + several], key=length)
            some += [bucket[i : i + batch] for i in range(0, len(bucket), batch)]
        rng.shuffle(some)
        made += some
    return made


def freeze(bert: Any, layers: int) -> None:
    """The embeddings of a BERT model and its first layers do not learn."""
    for part in (bert.embeddings, *bert.encoder.layer[:layers]):
        for weight in part.parameters():
            weight.requires_grad = False


def _share(step: int, steps: int) -> float:
    """Of the highest rate: up for a tenth of the steps, then down to nothing."""
    rising = max(1, steps // 10)
    return min((step + 1) / rising, (steps - step) / max(1, steps - rising))


def curve_line(step: int, loss: float) -> str:
    """A step as CURVE has it."""
    return json.dumps({"step": step, "loss": round(loss, 4)})


def _note(place: Place, step: int, loss: float) -> None:
    with (place.folder / CURVE).open("a", encoding="utf-8") as file:
        file.write(curve_line(step, loss) + "\n")


def _cut_curve(path: Path, steps: int) -> None:
    """Keep so many steps: those after the checkpoint are taken again."""
    if path.is_file():
        lines = path.read_bytes().splitlines(keepends=True)  # the last may be half a line
        path.write_bytes(b"".join(lines[:steps]))


def draw(folder: Path) -> None:
    """The losses of a training as a picture; needs matplotlib."""
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in (folder / CURVE).read_text(encoding="utf-8").splitlines()]
    steps, losses = [line["step"] for line in lines], [line["loss"] for line in lines]
    width = max(SMOOTHED, len(losses) // 50)
    means = [fmean(losses[max(0, i + 1 - width) : i + 1]) for i in range(len(losses))]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, losses, color="0.8", linewidth=0.8, label="each step")
    axes.plot(steps, means, color="tab:blue", label=f"mean of {width}")
    axes.set(xlabel="step", ylabel="loss")
    axes.legend()
    figure.savefig(folder / PICTURE, dpi=100)


def _save(place: Place, state: Mapping[str, Any], step: int) -> None:
    import torch

    path = place.folder / CHECKPOINT
    content = {name: each.state_dict() for name, each in state.items()}
    rng = torch.get_rng_state()
    with writing(path), whole_file(path) as file:
        torch.save({**content, "rng": rng, "fingerprint": place.fingerprint, "step": step}, file)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What torch and safetensors raise where a file cannot be written is an OSError that names it."""
    from safetensors import SafetensorError

    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    except (RuntimeError, SafetensorError) as error:
        cause = error.__context__
        reason = cause.strerror if isinstance(cause, OSError) else str(error)
        raise OSError(errno.EIO, reason or "cannot be written", str(path)) from error


def _resume(place: Place, state: Mapping[str, Any]) -> int:
    """The step to go on with: 0 where there is no checkpoint of this training."""
    import torch

    def load(path: Path) -> Any:
        return torch.load(path, weights_only=True)  # weights and numbers: nothing in it is run

    content = read_checkpoint(place, CHECKPOINT, load, (*state, "rng", "step"))
    if not content:
        return 0
    for name, each in state.items():
        each.load_state_dict(content[name])
    torch.set_rng_state(content["rng"])
    return int(content["step"])


def read_checkpoint(
    place: Place, name: str, load: Callable[[Path], Any], parts: Sequence[str]
) -> Mapping[str, Any]:
    """These parts of a checkpoint; nothing where it is none of this training, or not whole, which is said."""
    path = place.folder / name
    if not path.is_file():
        return {}
    try:
        content = load(path)
        is_same = content["fingerprint"] == place.fingerprint
        return {part: content[part] for part in parts} if is_same else {}
    except Exception as error:  # neither torch nor numpy names a class for a damaged file
        reason = " ".join(str(error).split())[:100]
        log.error("%s is no whole checkpoint, the training begins anew: %s", path, reason)
        return {}
