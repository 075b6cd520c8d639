"""Generations of an index: a new one beside the one in use, and the switch from one to the other."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from datetime import UTC, datetime
from pathlib import Path

from deepcodeseek.server.generation import (
    CURRENT,
    MANIFEST,
    OPTIONAL,
    REQUIRED,
    SOURCE,
    IndexProblem,
    damaged_files,
    read_manifest,
)


def write_synced(path: Path, content: str) -> None:
    """Write a small file so that it is on the disk when this returns."""
    with path.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def new_generation(out: Path) -> Path:
    """An empty folder for one."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    generation = out / f"gen-{stamp}-{secrets.token_hex(3)}"
    generation.mkdir(parents=True)
    return generation


def unless_equal(out: Path, generation: Path) -> Path:
    """The generation in use where it says the same and is whole: who has it open need not open another."""
    try:
        used, manifest = read_manifest(out)
        same = (used / MANIFEST).read_bytes() == (generation / MANIFEST).read_bytes()
    except (IndexProblem, OSError):
        return generation
    if not same or damaged_files(used, manifest):
        return generation
    shutil.rmtree(generation)
    return used


def make_current(out: Path, generation: Path) -> None:
    """Name a whole generation the one in use; of the others only the last stays, which may be open."""
    for path in generation.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    before = _named(out)
    if generation.name == before:
        before = _last_beside(generation)
    else:
        part = out / f"{CURRENT}.{secrets.token_hex(3)}.part"
        write_synced(part, generation.name + "\n")
        part.replace(out / CURRENT)
    for path in out.iterdir():
        if path.name not in (generation.name, before) and _is_generation(path):
            shutil.rmtree(path, ignore_errors=True)
        elif _PART.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _last_beside(generation: Path) -> str:
    """The newest whole generation but for one; what a killed build left has no manifest."""
    whole = (path.parent.name for path in generation.parent.glob(f"*/{MANIFEST}"))
    return max((name for name in whole if name != generation.name), default="")


def remember_source(out: Path, workspace: Path) -> None:
    """Note beside the generations what they are built from; it goes with none that is exported."""
    part = out / f"{SOURCE}.{secrets.token_hex(3)}.part"
    write_synced(part, os.fsdecode(workspace))
    part.replace(out / SOURCE)


def _named(out: Path) -> str:
    try:
        return (out / CURRENT).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _is_generation(path: Path) -> bool:
    """Whether a folder was made here: by its name, and it holds nothing else."""
    if not _GENERATION.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
        return False
    return {child.name for child in path.iterdir()} <= REQUIRED | OPTIONAL | {MANIFEST}


_GENERATION = re.compile(r"gen-\d{8}T\d{6}-[0-9a-f]{6}")
_PART = re.compile(rf"(?:{CURRENT}|{SOURCE})\.[0-9a-f]{{6}}\.part")
