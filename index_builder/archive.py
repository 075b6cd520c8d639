"""An index in one file, to hand on: `team.tar.zst` with the manifest first, then the files it vouches for.

Whoever imports one trusts nothing in it: only the names a generation has, no more bytes than the manifest
says, and the SHA-256 of each before anything is put to use.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import IO, Any

import zstandard

from deepcodeseek.server.generation import (
    MANIFEST,
    REBUILD,
    IndexProblem,
    base_directory,
    damaged_files,
    is_base_name,
    manifest_problem,
    read_manifest,
)

from .generations import make_current, new_generation

LEVEL = 10  # of compression: above it takes long for little
MAX_MANIFEST = 1_000_000  # bytes
MAX_FILE = 16_000_000_000
_CHUNK = 1 << 20


def export_index(directory: Path, target: Path) -> int:
    """Write the generation in use to one file; its size in bytes. Raises IndexProblem or OSError."""
    generation, manifest = read_manifest(directory)
    if damaged := damaged_files(generation, manifest):
        raise IndexProblem(f"{generation / damaged[0]} is damaged: {REBUILD}")
    part = target.with_name(f"{target.name}.part")
    compressor = zstandard.ZstdCompressor(LEVEL, threads=-1)
    try:
        with (
            part.open("wb") as file,
            compressor.stream_writer(file) as stream,
            tarfile.open(fileobj=stream, mode="w|") as archive,
        ):
            for name in (MANIFEST, *sorted(manifest["files"])):
                _add(archive, generation / name)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target.stat().st_size


def _add(archive: tarfile.TarFile, path: Path) -> None:
    member = tarfile.TarInfo(path.name)  # without times and owners: the same index gives the same file
    member.size = path.stat().st_size
    with path.open("rb") as file:
        archive.addfile(member, file)


def import_index(source: Path, name: str, encoder_sha256: str) -> Path:
    """Install an exported index as the base layer `name`; its directory. Raises IndexProblem or OSError."""
    if not is_base_name(name):
        raise IndexProblem(
            f"{name!r} cannot name a base layer: use lower-case letters, digits, `.`, `_`, `-`"
        )
    directory = base_directory(name)
    generation = new_generation(directory)
    try:
        with source.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
            _unpack(stream, generation, source, encoder_sha256)
        make_current(directory, generation)
    except BaseException as error:
        shutil.rmtree(generation, ignore_errors=True)
        with contextlib.suppress(OSError):
            directory.rmdir()  # where there was none before
        if isinstance(error, tarfile.TarError | zstandard.ZstdError | EOFError):
            raise IndexProblem(f"{source} is no exported index: {error}") from None
        raise
    return directory


def _unpack(stream: Any, generation: Path, source: Path, encoder_sha256: str) -> None:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        first = archive.next()
        if first is None or first.name != MANIFEST or not first.isreg() or first.size > MAX_MANIFEST:
            raise IndexProblem(f"{source} is no exported index: it does not begin with {MANIFEST}")
        content = _read(archive, first)
        manifest = _checked(content, source, encoder_sha256)
        missing = dict(manifest["files"])
        while (member := archive.next()) is not None:
            entry = missing.pop(member.name, None)
            if entry is None or not member.isreg() or member.size != entry.get("bytes"):
                raise IndexProblem(f"{source} holds {member.name!r}, which its manifest does not vouch for")
            if _copy(archive, member, generation / member.name) != entry["sha256"]:
                raise IndexProblem(f"{member.name} in {source} is damaged (its SHA-256 differs)")
    if missing:
        raise IndexProblem(f"{source} is cut off: {min(missing)} is missing")
    (generation / MANIFEST).write_bytes(content)


def _checked(content: bytes, source: Path, encoder_sha256: str) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(content)
    except (ValueError, RecursionError):
        raise IndexProblem(f"{source} is no exported index: its manifest is not JSON") from None
    if problem := manifest_problem(manifest):
        raise IndexProblem(f"the index in {source} {problem}: export it anew with this version")
    if manifest["encoder"].get("sha256") != encoder_sha256:
        raise IndexProblem(f"the index in {source} was made with another encoder: export it anew")
    for entry in manifest["files"].values():
        if not isinstance(entry.get("bytes"), int) or not 0 <= entry["bytes"] <= MAX_FILE:
            raise IndexProblem(f"{source} is no exported index: a file of it has no size")
    return manifest


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""


def _copy(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> str:
    """Write a member's bytes and give their SHA-256."""
    digest = hashlib.sha256()
    source: IO[bytes] = archive.extractfile(member) or io.BytesIO()
    with target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
