"""An index in one file, to hand on: `team.tar.zst` with the manifest first, then the files it vouches for.

Whoever imports one trusts nothing in it: only the names a generation has, no more bytes than the manifest
says, and the SHA-256 of each before anything is put to use. The graphs for hnswlib, which reads them without
looking, are made anew from the vectors.
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

import numpy as np
import zstandard

from deepcodeseek.server.generation import (
    MANIFEST,
    OPTIONAL,
    REBUILD,
    TABLES,
    IndexProblem,
    base_directory,
    damaged_files,
    is_base_name,
    manifest_problem,
    read_manifest,
)
from deepcodeseek.server.models import Vectors

from .generations import make_current, new_generation, write_synced
from .progress import Progress, silent
from .write import file_entry, link_vectors

LEVEL = 10  # of compression: above it takes long for little
MAX_MANIFEST = 1_000_000  # bytes
MAX_FILE = 16_000_000_000
MAX_BETWEEN = 32_768  # bytes between the contents of two members, which tarfile holds and searches as a whole
_CHUNK = 1 << 20
_HOSTILE = (
    tarfile.TarError,
    zstandard.ZstdError,
    EOFError,
    ValueError,
    OverflowError,
    RuntimeError,
    MemoryError,
)


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


def import_index(source: Path, name: str, encoder_sha256: str, progress: Progress = silent) -> Path:
    """Install an exported index as the base layer `name`; its directory. Raises IndexProblem or OSError."""
    if not is_base_name(name):
        raise IndexProblem(
            f"{name!r} cannot name a base layer: use lower-case letters, digits, `.`, `_`, `-`"
        )
    directory = base_directory(name)
    generation = new_generation(directory)
    try:
        with source.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
            manifest = _unpack(_Bounded(stream), generation, source, encoder_sha256)
        manifest = _link_anew(generation, manifest, progress)
        write_synced(generation / MANIFEST, json.dumps(manifest, indent=2))
        make_current(directory, generation)
    except BaseException as error:
        shutil.rmtree(generation, ignore_errors=True)
        with contextlib.suppress(OSError):
            directory.rmdir()  # where there was none before
        if isinstance(error, _HOSTILE):
            raise IndexProblem(f"{source} is no exported index: {error}") from None
        raise
    return directory


class _Bounded:
    """A stream that ends in an error after `left` bytes."""

    def __init__(self, stream: Any) -> None:
        self.left = MAX_BETWEEN
        self._stream = stream

    def read(self, size: int) -> bytes:
        content: bytes = self._stream.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise tarfile.ReadError("too much stands between its files")
        return content


def _unpack(stream: _Bounded, generation: Path, source: Path, encoder_sha256: str) -> dict[str, Any]:
    """Write all files but the manifest, which is returned."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]  # read is enough
        first = archive.next()
        if first is None or first.name != MANIFEST or not first.isreg() or first.size > MAX_MANIFEST:
            raise IndexProblem(f"{source} is no exported index: it does not begin with {MANIFEST}")
        content = io.BytesIO()
        _copy(archive, first, stream, content)
        manifest = _checked(content.getvalue(), source, encoder_sha256)
        missing = dict(manifest["files"])
        while (member := archive.next()) is not None:
            entry = missing.pop(member.name, None)
            if entry is None or not member.isreg() or member.size != entry.get("bytes"):
                raise IndexProblem(f"{source} holds {member.name!r}, which its manifest does not vouch for")
            with (generation / member.name).open("xb") as file:
                digest = _copy(archive, member, stream, file)
                file.flush()
                os.fsync(file.fileno())
            if digest != entry["sha256"]:
                raise IndexProblem(f"{member.name} in {source} is damaged (its SHA-256 differs)")
    if missing:
        raise IndexProblem(f"{source} is cut off: {min(missing)} is missing")
    return manifest


def _link_anew(generation: Path, manifest: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Graphs as a build makes them of these vectors, in place of those that came; what vouches for them."""
    for name in OPTIONAL:
        (generation / name).unlink(missing_ok=True)
    for table in TABLES:
        vectors = _vectors(generation / f"{table}.npy", manifest["encoder"]["dimension"])
        link_vectors(generation, table, vectors, progress)
    kept = {name: entry for name, entry in manifest["files"].items() if name not in OPTIONAL}
    made = {path.name: file_entry(path) for path in generation.iterdir() if path.name in OPTIONAL}
    return manifest | {"files": dict(sorted((kept | made).items()))}


def _vectors(path: Path, dimension: int) -> Vectors:
    try:
        vectors = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception:  # numpy reads a header as it would a program's text, and fails in as many ways
        raise ValueError(f"{path.name} holds no vectors") from None
    if vectors.dtype != np.float32 or vectors.ndim != 2 or not 0 < dimension == vectors.shape[1]:
        raise ValueError(f"{path.name} holds no vectors of {dimension} numbers")
    with np.errstate(all="ignore"):
        if not np.isfinite(vectors.sum()):
            raise ValueError(f"{path.name} holds what is no number")
    return vectors


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


def _copy(archive: tarfile.TarFile, member: tarfile.TarInfo, stream: _Bounded, file: IO[bytes]) -> str:
    """Write a member's bytes and give their SHA-256."""
    digest = hashlib.sha256()
    stream.left = member.size + MAX_BETWEEN
    source: IO[bytes] = archive.extractfile(member) or io.BytesIO()
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        file.write(chunk)
    stream.left = MAX_BETWEEN
    return digest.hexdigest()
