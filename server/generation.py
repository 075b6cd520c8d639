"""An index on disk: where it lies, which generation is in use, and whether its files are whole.

An index directory holds generations, each whole and never edited, and a file `current` that names the one
in use. Every file of a generation is checked against the SHA-256 in its manifest before it is opened: a
damaged hnswlib file can end the process that loads it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, Literal

import platformdirs

from .text import TEXT_VERSION

SCHEMA_VERSION = 2
DATABASE = "graph.sqlite"
MANIFEST = "manifest.json"
CURRENT = "current"
SOURCE = "workspace"  # beside the generations: what they are built from
ADAPTED = "models"  # beside the generations: weights that learned from the workspace

Table = Literal["doc", "code", "usage"]
"""What is searched by vectors: documentation, raw code, contexts of known usages."""
TABLES: tuple[Table, ...] = ("doc", "code", "usage")

Corpus = Literal["written", "doc", "code", "usage"]
"""What is searched by words: also the documentation that somebody wrote, alone."""
CORPORA: tuple[Corpus, ...] = ("written", "doc", "code", "usage")
REQUIRED = frozenset({DATABASE, *(f"{table}.npy" for table in TABLES)})
OPTIONAL = frozenset(f"{table}.hnsw" for table in TABLES)  # exact search does without them

_GENERATION = re.compile(r"gen-[\w-]+")
_BASE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
REBUILD = "rebuild it with `deepcodeseek index WORKSPACE`"


class IndexProblem(Exception):
    """The index cannot be used; the message names the path and the way out."""


def index_directory(workspace: Path) -> Path:
    """Where the index of a workspace is kept unless a place is named."""
    resolved = workspace.resolve()
    digest = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:12]
    return _cache_home() / "indexes" / f"{resolved.name or 'root'}-{digest}"


def source_of(directory: Path) -> Path | None:
    """The workspace that an index was last built from, where that is known."""
    try:
        return Path((directory / SOURCE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def base_directory(name: str = "") -> Path:
    """Where the base layers are kept, or the one of that name."""
    home = os.environ.get("DEEPCODESEEK_DATA_HOME")
    base = Path(home) if home else platformdirs.user_data_path("deepcodeseek", appauthor=False)
    return base / "bases" / name


def is_base_name(name: str) -> bool:
    """Whether a base layer can be called so: a name, never a path."""
    return _BASE.fullmatch(name) is not None


def sha256_file(path: Path) -> str:
    """Lowercase hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(directory: Path) -> tuple[Path, dict[str, Any]]:
    """The generation in use and its manifest, checked but for the files' hashes.

    Raises IndexProblem where there is none or it belongs to another version.
    """
    try:
        name = (directory / CURRENT).read_text(encoding="utf-8").strip()
        if not _GENERATION.fullmatch(name):
            raise IndexProblem(f"{directory / CURRENT} names no generation: {REBUILD}")
        generation = directory / name
        manifest = json.loads((generation / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise IndexProblem(f"no index in {directory}: run `deepcodeseek index WORKSPACE`") from None
    except (OSError, ValueError, RecursionError) as error:
        raise IndexProblem(f"the index manifest in {directory} cannot be read ({error}): {REBUILD}") from None
    if problem := manifest_problem(manifest):
        raise IndexProblem(f"the index in {generation} {problem}: {REBUILD}")
    return generation, manifest


def manifest_problem(manifest: Any) -> str:
    """What is wrong with a manifest, or nothing."""
    if not isinstance(manifest, dict):
        return "has a manifest that is not an object"
    for key, wanted in (("schema_version", SCHEMA_VERSION), ("text_version", TEXT_VERSION)):
        if manifest.get(key) != wanted:
            return f"has {key} {manifest.get(key)}, not {wanted}"
    return "" if _is_complete(manifest) else "has an incomplete manifest"


def _is_complete(manifest: dict[str, Any]) -> bool:
    encoder, counts, files, bases = (manifest.get(key) for key in ("encoder", "counts", "files", "bases"))
    return (
        isinstance(encoder, dict)
        and isinstance(encoder.get("dimension"), int)
        and isinstance(counts, dict)
        and isinstance(bases, list)
        and all(isinstance(name, str) and is_base_name(name) for name in bases)
        and isinstance(files, dict)
        and REQUIRED <= files.keys() <= REQUIRED | OPTIONAL
        and all(isinstance(entry, dict) and "sha256" in entry for entry in files.values())
    )


def damaged_files(generation: Path, manifest: dict[str, Any]) -> list[str]:
    """Names of the files that are missing or differ from what the manifest says."""
    return [
        name
        for name, entry in manifest["files"].items()
        if not (generation / name).is_file() or sha256_file(generation / name) != entry["sha256"]
    ]


def _cache_home() -> Path:
    home = os.environ.get("DEEPCODESEEK_CACHE_HOME")
    return Path(home) if home else platformdirs.user_cache_path("deepcodeseek", appauthor=False)
