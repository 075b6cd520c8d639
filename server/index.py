"""Read-only lookups in an index directory: the metadata graph, full text, vectors.

An index directory holds generations, each whole and never edited, and a file `current` that names the one
in use. Every file of a generation is checked against the SHA-256 in its manifest before it is opened: a
damaged hnswlib file can end the process that loads it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import platformdirs
from numpy.typing import NDArray

from .text import TEXT_VERSION, name_terms
from .types import Api, Method, Usage

SCHEMA_VERSION = 1
DATABASE = "graph.sqlite"
MANIFEST = "manifest.json"
CURRENT = "current"
HNSW_MAX_EF = 512

Table = Literal["doc", "code", "usage"]
TABLES: tuple[Table, ...] = ("doc", "code", "usage")
FILES = frozenset({DATABASE, *(f"{table}.{suffix}" for table in TABLES for suffix in ("npy", "hnsw"))})

EXACT_ROWS = 4096
"""Up to so many rows are searched exactly: a matrix product misses nothing and takes 0.07 ms here against
0.33 ms by HNSW. Where the two meet lies higher (see LOG.md)."""

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]
Hits = tuple[Ids, Scores]


class IndexProblem(Exception):
    """The index cannot be used; the message names the path and the way out."""


@dataclass(frozen=True, slots=True)
class ApiColumns:
    """One entry an API, row i belonging to the API with id i."""

    name: NDArray[np.str_]
    scope: NDArray[np.str_]
    package: NDArray[np.str_]
    access: NDArray[np.str_]
    source: NDArray[np.str_]
    ajax: NDArray[np.bool_]  # callable by GlideAjax


@dataclass(frozen=True, slots=True)
class UsageColumns:
    """One entry a known usage, row i belonging to the usage with id i."""

    api: Ids
    file: Ids
    file_package: NDArray[np.str_]  # row i belonging to the file with id i


def index_directory(workspace: Path) -> Path:
    """Where the index of a workspace is kept unless a place is named."""
    resolved = workspace.resolve()
    digest = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:12]
    home = os.environ.get("DEEPCODESEEK_CACHE_HOME")
    base = Path(home) if home else platformdirs.user_cache_path("deepcodeseek", appauthor=False)
    return base / "indexes" / f"{resolved.name or 'root'}-{digest}"


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
            raise IndexProblem(f"{directory / CURRENT} names no generation: {_REBUILD}")
        generation = directory / name
        manifest = json.loads((generation / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise IndexProblem(f"no index in {directory}: run `deepcodeseek index WORKSPACE`") from None
    except (OSError, ValueError, RecursionError) as error:
        raise IndexProblem(
            f"the index manifest in {directory} cannot be read ({error}): {_REBUILD}"
        ) from None
    if not isinstance(manifest, dict):
        raise IndexProblem(f"the index manifest in {generation} is not an object: {_REBUILD}")
    for key, wanted in (("schema_version", SCHEMA_VERSION), ("text_version", TEXT_VERSION)):
        if manifest.get(key) != wanted:
            found = manifest.get(key)
            raise IndexProblem(f"the index in {generation} has {key} {found}, not {wanted}: {_REBUILD}")
    if not _is_complete(manifest):
        raise IndexProblem(f"the index manifest in {generation} is incomplete: {_REBUILD}")
    return generation, manifest


def _is_complete(manifest: dict[str, Any]) -> bool:
    encoder, counts, files = (manifest.get(key) for key in ("encoder", "counts", "files"))
    return (
        isinstance(encoder, dict)
        and isinstance(encoder.get("dimension"), int)
        and isinstance(counts, dict)
        and isinstance(files, dict)
        and files.keys() >= FILES
        and all(isinstance(entry, dict) and "sha256" in entry for entry in files.values())
    )


def open_index(directory: Path, encoder_sha256: str) -> Index:
    """Open the generation in use.

    Raises IndexProblem where a version, a hash or the encoder differs from what the manifest says.
    """
    generation, manifest = read_manifest(directory)
    if manifest["encoder"].get("sha256") != encoder_sha256:
        raise IndexProblem(f"the index in {generation} was made with another encoder: {_REBUILD}")
    for name, entry in manifest["files"].items():
        path = generation / name
        if not path.is_file() or sha256_file(path) != entry["sha256"]:
            raise IndexProblem(f"{path} is damaged (its SHA-256 differs from the manifest): {_REBUILD}")
    return Index(generation, manifest)


_GENERATION = re.compile(r"gen-[\w-]+")
_REBUILD = "rebuild it with `deepcodeseek index WORKSPACE`"


class Vectors:
    """Unit vectors of one table: exact search where few rows are asked, HNSW over the others."""

    def __init__(self, generation: Path, table: Table, dimension: int) -> None:
        self._matrix: NDArray[np.float32] = np.load(
            generation / f"{table}.npy", mmap_mode="r", allow_pickle=False
        )
        if self._matrix.shape[1:] != (dimension,):
            raise IndexProblem(f"{generation / table}.npy has not {dimension} columns: {_REBUILD}")
        self._hnsw: Any = None
        if len(self._matrix) > EXACT_ROWS:
            self._hnsw = _load_hnsw(generation / f"{table}.hnsw", dimension)

    def __len__(self) -> int:
        return len(self._matrix)

    def nearest(self, vector: Scores, limit: int, keep: NDArray[np.bool_]) -> Hits:
        """The `limit` rows nearest to `vector` [d] among those that `keep` [rows] allows, best first."""
        kept = int(keep.sum())
        if self._hnsw is None or kept <= EXACT_ROWS:
            return self._exact(vector, limit, keep)
        # A filter inside hnswlib costs a Python call for each visited node: look further and drop instead.
        wanted = min(HNSW_MAX_EF, 2 * limit * len(self) // kept)
        try:
            labels, distances = self._hnsw.knn_query(vector, k=wanted)
        except RuntimeError:  # too few were reached, as among many equal vectors
            return self._exact(vector, limit, keep)
        ids = labels[0].astype(np.int64)
        allowed = keep[ids]
        if int(allowed.sum()) < min(limit, kept):
            return self._exact(vector, limit, keep)
        return best(ids[allowed], (1.0 - distances[0])[allowed].astype(np.float32), limit)

    def _exact(self, vector: Scores, limit: int, keep: NDArray[np.bool_]) -> Hits:
        ids = np.flatnonzero(keep)
        # Gathering rows costs more than multiplying the few that are not asked for.
        rows = self._matrix if 2 * len(ids) > len(self) else self._matrix[ids]
        scores = rows @ vector
        return best(ids, scores[ids] if len(scores) == len(self) else scores, limit)


class Index:
    """One generation, opened for reading."""

    def __init__(self, generation: Path, manifest: dict[str, Any]) -> None:
        self.manifest = manifest
        self.id: str = generation.name
        uri = f"{(generation / DATABASE).resolve().as_uri()}?mode=ro&immutable=1"
        self._database = sqlite3.connect(uri, uri=True, check_same_thread=False)
        dimension = int(manifest["encoder"]["dimension"])
        self._vectors = {table: Vectors(generation, table, dimension) for table in TABLES}
        self.apis = self._api_columns()
        self.usages = self._usage_columns()
        self.count = len(self.apis.scope)
        self._ids_by_name = self._names()
        self._ids_by_word = _postings(self.apis.name)
        self._frequency = {table: self._document_frequency(table) for table in TABLES}
        self.api = lru_cache(maxsize=4096)(self._api)

    def close(self) -> None:
        self._database.close()

    def vectors(self, table: Table) -> Vectors:
        return self._vectors[table]

    def lexical(self, table: Table, terms: Sequence[str], limit: int, rarest: int) -> Hits:
        """BM25 over one full-text table, best first: row ids [n] and scores [n], higher is better.

        Only the `rarest` of the terms are looked up.
        """
        known = [term for term in dict.fromkeys(terms) if term in self._frequency[table]]
        chosen = sorted(known, key=lambda term: self._frequency[table][term])[:rarest]
        if not chosen:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        match = " OR ".join(f'"{term}"' for term in chosen)
        rows = self._database.execute(
            f"SELECT rowid, -rank FROM {table}_fts WHERE {table}_fts MATCH ? ORDER BY rank LIMIT ?",
            (match, limit),
        ).fetchall()
        ids, scores = zip(*rows, strict=True) if rows else ((), ())
        return np.array(ids, np.int64), np.array(scores, np.float32)

    def find(self, name: str) -> tuple[int, ...]:
        """Ids of the APIs called `name`, with or without their scope."""
        return self._ids_by_name.get(name, ())

    def named_with(self, word: str) -> Ids:
        """Ids of the APIs whose name holds the word."""
        return self._ids_by_word.get(word, np.empty(0, np.int64))

    def usage(self, usage_id: int) -> Usage:
        row = self._database.execute(
            "SELECT api_id, file, line, method, context, statement, record_name"
            " FROM usage JOIN file ON file.id = file_id WHERE usage.id = ?",
            (usage_id,),
        ).fetchone()
        return Usage(*row)

    def file_row(self, path: str) -> int:
        """Id of a file, or -1."""
        row = self._database.execute("SELECT id FROM file WHERE path = ?", (path,)).fetchone()
        return int(row[0]) if row else -1

    def file_facts(self, path: str) -> dict[str, str]:
        """What is known of a file: all where it is indexed, else what its neighbours agree on."""
        columns = ("package", "scope", "record_type", "record_name", "table")
        row = self._database.execute(
            "SELECT package, scope, record_type, record_name, table_name FROM file WHERE path = ?", (path,)
        ).fetchone()
        if row:
            return dict(zip(columns, row, strict=True))
        for folder in PurePosixPath(path).parents:
            facts = self._neighbours("" if str(folder) == "." else f"{folder}/")
            if facts is not None:
                return facts
        return {}

    def _neighbours(self, folder: str) -> dict[str, str] | None:
        """Package and scope, each where all indexed files of a folder agree; None where it has none."""
        count, packages, package, scopes, scope = self._database.execute(
            "SELECT count(*), count(DISTINCT package), min(package), count(DISTINCT scope), min(scope)"
            " FROM file WHERE substr(path, 1, ?) = ?",
            (len(folder), folder),
        ).fetchone()
        if not count:
            return None
        return ({"package": package} if packages == 1 else {}) | ({"scope": scope} if scopes == 1 else {})

    def _api(self, api_id: int) -> Api:
        row = self._database.execute(f"SELECT {', '.join(_API_COLUMNS)} FROM api WHERE id = ?", (api_id,))
        values = dict(zip(_API_COLUMNS, row.fetchone(), strict=True))
        rows = self._database.execute(
            "SELECT name, params, doc, line, is_static, is_private FROM method"
            " WHERE api_id = ? ORDER BY rowid",
            (api_id,),
        )
        values["params"] = tuple(json.loads(values["params"]))
        values["client_callable"] = bool(values["client_callable"])
        return Api(**values, methods=tuple(_method(*row) for row in rows))

    def _api_columns(self) -> ApiColumns:
        columns = ("name", "scope", "package", "access", "source", "ajax")
        rows = self._database.execute(f"SELECT {', '.join(columns)} FROM api ORDER BY id").fetchall()
        name, scope, package, access, source = (np.array([row[i] for row in rows], np.str_) for i in range(5))
        ajax = np.array([row[5] for row in rows], np.bool_)
        return ApiColumns(name, scope, package, access, source, ajax)

    def _usage_columns(self) -> UsageColumns:
        packages = self._database.execute("SELECT package FROM file ORDER BY id").fetchall()
        rows = self._database.execute("SELECT api_id, file_id FROM usage ORDER BY id").fetchall()
        pairs = np.array(rows, dtype=np.int64).reshape(-1, 2)
        return UsageColumns(
            pairs[:, 0],
            pairs[:, 1],
            np.array([package for (package,) in packages], dtype=np.str_),
        )

    def _names(self) -> dict[str, tuple[int, ...]]:
        names: dict[str, tuple[int, ...]] = {}
        for api_id, api_name, name in self._database.execute(
            "SELECT id, api_name, name FROM api ORDER BY id"
        ):
            for key in {api_name, name}:
                names[key] = (*names.get(key, ()), api_id)
        return names

    def _document_frequency(self, table: Table) -> dict[str, int]:
        rows: Iterable[tuple[str, int]] = self._database.execute(f"SELECT term, doc FROM {table}_terms")
        return dict(rows)


def best(ids: Ids, scores: Scores, limit: int) -> Hits:
    """The `limit` highest scores, best first; equal scores in the order of their ids."""
    order = np.lexsort((ids, -scores))[:limit]
    return ids[order], scores[order]


_API_COLUMNS = (
    "id", "api_name", "name", "kind", "scope", "package", "access", "client_callable", "extends", "params",
    "doc", "doc_origin", "source", "line", "code",
)  # fmt: skip


def _method(name: str, params: str, doc: str, line: int, is_static: int, is_private: int) -> Method:
    return Method(name, tuple(json.loads(params)), doc, line, bool(is_static), bool(is_private))


def _postings(names: Iterable[str]) -> dict[str, Ids]:
    postings: dict[str, list[int]] = {}
    for api_id, name in enumerate(names):
        for word in name_terms((str(name),)):
            postings.setdefault(word, []).append(api_id)
    return {word: np.array(ids, np.int64) for word, ids in postings.items()}


def _load_hnsw(path: Path, dimension: int) -> Any:
    import hnswlib

    graph = hnswlib.Index(space="ip", dim=dimension)
    graph.load_index(str(path))
    graph.set_num_threads(1)
    graph.set_ef(HNSW_MAX_EF)
    return graph
