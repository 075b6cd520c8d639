"""Folders that appear whole or not at all, whenever the process that makes them is killed."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from deepcodeseek.index_builder.atomic import new_folder, remove_folder

KILLED = """
import os, sys
from pathlib import Path
from deepcodeseek.index_builder.atomic import new_folder, remove_folder
rename, place, left = Path.rename, Path(sys.argv[1]), int(sys.argv[2])
def counted(self, target):
    global left
    if left == 0:
        os._exit(9)
    left -= 1
    return rename(self, target)
Path.rename = counted
if sys.argv[3] == "remove":
    import shutil
    shutil.rmtree = lambda *_, **__: os._exit(9)
    remove_folder(place)
with new_folder(place) as staged:
    (staged / "model").write_text("new")
"""


def killed(place: Path, renames: int, what: str = "make") -> None:
    """A process that is killed after so many renames."""
    ended = subprocess.run([sys.executable, "-c", KILLED, str(place), str(renames), what], check=False)
    assert ended.returncode == 9


@pytest.mark.parametrize("renames", [0, 1])
def test_a_killed_run_loses_neither_what_was_nor_the_next_run(renames: int, tmp_path: Path) -> None:
    place = tmp_path / "fusion"
    place.mkdir()
    (place / "model").write_text("old")
    killed(place, renames)
    with suppress(ValueError), new_folder(place):
        raise ValueError("the next run comes to nothing")
    assert [path.name for path in tmp_path.iterdir()] == ["fusion"]
    assert (place / "model").read_text() == "old"
    with new_folder(place) as staged:
        (staged / "model").write_text("newer")
    assert [path.name for path in tmp_path.iterdir()] == ["fusion"]
    assert (place / "model").read_text() == "newer"


@pytest.mark.parametrize("was_being_deleted", [False, True])
def test_what_was_removed_does_not_come_back(was_being_deleted: bool, tmp_path: Path) -> None:
    place = tmp_path / "fusion"
    place.mkdir()
    if was_being_deleted:
        (tmp_path / "fusion.012345.old").mkdir()
        remove_folder(place)
    else:
        killed(place, 1, "remove")
    with suppress(ValueError), new_folder(place):
        raise ValueError("nothing is made")
    assert not list(tmp_path.iterdir())
