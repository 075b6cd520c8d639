"""The loop that trainings with torch share: a damaged checkpoint is none, the curve has each step once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deepcodeseek.index_builder import train_loop
from deepcodeseek.index_builder.train_libraries import quiet
from deepcodeseek.index_builder.train_loop import CHECKPOINT, CURVE, PICTURE, Place, run_steps

torch = pytest.importorskip("torch")

STEPS = 6


def train(folder: Path, stop_after: int | None = None, killed_before: int = STEPS) -> list[float]:
    """The weights after STEPS steps of a linear layer, or as far as they come."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    layer = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)

    def losses(step: int) -> Iterator[Any]:
        if step == killed_before:
            raise KeyboardInterrupt
        yield (layer(torch.rand(4, 2)) - step).square().mean()

    place = Place(folder, "the same training")
    run_steps(range(STEPS), losses, {"layer": layer}, optimizer, place, lambda *_: None, stop_after)
    return list(layer.weight.flatten().tolist())


def steps_of(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / CURVE).read_text(encoding="utf-8").splitlines()]


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def without_a_part(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    del content["layer"]
    torch.save(content, path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": truncated,
    "empty": lambda path: path.write_bytes(b""),
    "no archive": lambda path: path.write_bytes(b"nothing of torch"),
    "a list": lambda path: torch.save([1], path),
    "a part missing": without_a_part,
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_checkpoint_is_said_and_none(what: str, tmp_path: Path) -> None:
    train(tmp_path, stop_after=2)
    DAMAGE[what](tmp_path / CHECKPOINT)
    lines: list[str] = []
    with quiet(lines.append):  # as every command runs it
        weights = train(tmp_path)
    (said,) = lines
    assert said.startswith(f"{tmp_path / CHECKPOINT} is no whole checkpoint")
    assert "\n" not in said
    assert weights == train(tmp_path / "whole")
    assert steps_of(tmp_path) == list(range(STEPS))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    part = (tmp_path / CHECKPOINT).with_suffix(".part")
    part.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as raised:
        train(tmp_path)
    assert raised.value.filename == str(tmp_path / CHECKPOINT)
    assert not part.is_symlink()
    assert not (tmp_path / CHECKPOINT).exists()


def test_what_was_killed_is_drawn_once_a_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(train_loop, "SAVE_STEPS", 3)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, killed_before=5)
    assert steps_of(tmp_path) == [0, 1, 2, 3, 4]
    with (tmp_path / CURVE).open("a") as file:
        file.write('{"step": 5, "lo')
    train(tmp_path)
    assert steps_of(tmp_path) == list(range(STEPS))
    assert (tmp_path / PICTURE).is_file()
