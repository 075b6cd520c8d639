"""Large files copied in pieces: what they hash to, and how far it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from deepcodeseek.server.generation import sha256_file

from .progress import Progress

PIECE = 1 << 20  # bytes


Told = Callable[[int], None]
"""Called with the number of bytes that were done since the last call."""


def copy_file(source: Path, target: Path, told: Told, link: bool = False) -> str:
    """Copy a file to where none is yet; the SHA-256 of what is there now. Raises OSError.

    Where `link`, both names stand for the same bytes afterwards if the file system can do that.
    """
    if link and _linked(source, target):
        told(target.stat().st_size)
        return sha256_file(target)
    digest = hashlib.sha256()
    with source.open("rb") as file, target.open("xb") as copy:
        while piece := file.read(PIECE):
            copy.write(piece)
            digest.update(piece)
            told(len(piece))
    return digest.hexdigest()


def in_megabytes(task: str, total: int, progress: Progress) -> Told:
    """Bytes summed up, and shown as megabytes of `total` bytes."""
    done = 0

    def told(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if done // PIECE != before // PIECE:
            progress(task, done // PIECE, max(1, total // PIECE))

    return told


def _linked(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one that has no links
        return False
    return True
