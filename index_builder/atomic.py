"""Files and folders that appear whole or not at all, and locks on them."""

from __future__ import annotations

import glob
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

PART, OLD = ".part", ".old"  # what is being made, and what it takes the place of


def write_lines(out: Path, lines: Iterable[str]) -> int:
    """Write lines to a file that appears when all are made; how many there were."""
    part = out.with_name(f"{out.name}.{secrets.token_hex(3)}{PART}")
    count = 0
    try:
        with part.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(line + "\n")
                count += 1
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return count


@contextmanager
def whole_file(out: Path) -> Iterator[BinaryIO]:
    """A file to write that appears at `out` when the block ends without an error; raises OSError."""
    part = out.with_suffix(PART)
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the name and not what it names
        part.replace(out)
    except OSError as error:
        error.filename = error.filename or str(out)
        raise
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def alone(lock: Path, busy: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock, which goes with the process, however that ends; `busy` is said where another has it."""
    held = FileLock(lock)
    try:
        held.acquire(blocking=False)
    except Timeout:
        say(f"{busy}: waiting for it")
        held.acquire()
    try:
        yield
    finally:
        held.release()


@contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `place` when the block ends without an error.

    Else it is gone, and what stood at `place` stands there still. What killed processes left beside it goes
    as well, but for what was to make room when one was killed: that is put back. So no two processes may make
    the same folder at a time. Raises OSError.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    put_back(place)
    for left in _left(place, PART):
        _delete(left)
    staged, retired = _beside(place, PART), _beside(place, OLD)
    try:
        staged.mkdir()
        yield staged
        if place.exists():
            place.rename(retired)
        staged.rename(place)
    finally:
        if retired.exists() and not place.exists():
            retired.rename(place)
        _delete(staged)
        _delete(retired)


@contextmanager
def model_folder(out: Path) -> Iterator[Path]:
    """A folder to write a model into that becomes `out` where nothing is raised; its README.md is kept."""
    with new_folder(out) as staged:
        yield staged
        if (out / "README.md").is_file():
            shutil.copyfile(out / "README.md", staged / "README.md")


def remove_folder(place: Path) -> None:
    """Take a folder away by one rename, then delete it; raises OSError."""
    put_back(place)
    retired = _beside(place, PART)  # not OLD: a kill must not bring it back
    place.rename(retired)
    _delete(retired)


def _beside(place: Path, end: str) -> Path:
    return place.with_name(f"{place.name}.{secrets.token_hex(3)}{end}")


def put_back(place: Path) -> None:
    """What was to make room at `place` when a process was killed stands there again, or goes where that one
    had come further; raises OSError."""
    for left in _left(place, OLD):
        if place.exists():
            _delete(left)
        else:
            left.rename(place)


def _left(place: Path, end: str) -> Iterator[Path]:
    return place.parent.glob(f"{glob.escape(place.name)}.{'[0-9a-f]' * 6}{end}")


def _delete(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
