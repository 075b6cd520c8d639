"""The files of a generation: the metadata graph with its postings in SQLite, vectors, the manifest."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import sqlite_utils

from deepcodeseek.server import __version__, text
from deepcodeseek.server.generation import DATABASE, MANIFEST, SCHEMA_VERSION, Table, sha256_file
from deepcodeseek.server.models import Encoder, Vectors
from deepcodeseek.server.rows import API_COLUMNS, METHOD_COLUMNS, column_types, to_row
from deepcodeseek.server.types import Api, Method
from deepcodeseek.server.vectors import EXACT_ROWS

from .cache import Cache, digest
from .extract import Extracted
from .graph import Edge, Names, ajax_reachable, find_exports
from .scripts import Script

HNSW_M = 16
HNSW_EF_CONSTRUCTION = 200
ENCODE_ROWS = 32  # texts between two steps of the progress bar
STATEMENT_CHARS = 300
VECTOR = "vector"

Progress = Callable[[str, int, int], None]
Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Usage:
    """A resolved call site with the lines before it, as the index stores it."""

    file_id: int
    file: str
    record_name: str
    edge: Edge
    context: str

    @property
    def statement(self) -> str:
        return self.edge.call.statement[:STATEMENT_CHARS]


@dataclass(frozen=True, slots=True)
class Content:
    """All that a generation holds."""

    apis: tuple[Api, ...]
    code_terms: tuple[Counts, ...]  # one an API
    extracted: tuple[Extracted, ...]
    files: tuple[str, ...]
    usages: tuple[Usage, ...]
    names: Names
    bases: tuple[str, ...]


def write_generation(
    generation: Path, content: Content, encoder: Encoder, cache: Cache, progress: Progress
) -> None:
    """Write all files of a generation into its empty folder."""
    _write_database(generation / DATABASE, content)
    texts = _encoder_texts(content)
    made = _vectors(list(chain.from_iterable(texts.values())), encoder, cache, progress)
    start = 0
    for table, every in texts.items():
        _write_vectors(generation, table, made[start : start + len(every)], progress)
        start += len(every)
    _write_manifest(generation, encoder, content)


# The database


def _write_database(path: Path, content: Content) -> None:
    database = sqlite_utils.Database(path)
    connection = database.conn
    assert connection
    connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
    with connection:
        _write_apis(database, content)
        _write_files(database, content)
        _write_postings(database, "doc", [_counts(text.document_terms(api)) for api in content.apis])
        _write_postings(database, "code", content.code_terms)
        _write_postings(database, "usage", [_counts(_usage_terms(usage)) for usage in content.usages])
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()


def _write_apis(database: sqlite_utils.Database, content: Content) -> None:
    apis = database.table("api")
    apis.create({"id": int, **column_types(Api, API_COLUMNS), "ajax": int}, pk="id")
    apis.insert_all(
        {"id": i, **to_row(api, API_COLUMNS), "ajax": ajax_reachable(api, content.names)}
        for i, api in enumerate(content.apis)
    )
    methods = database.table("method")
    methods.create({"api_id": int, "api_name": str, **column_types(Method, METHOD_COLUMNS)})
    methods.insert_all(
        {"api_id": i, "api_name": api.api_name, **to_row(method, METHOD_COLUMNS)}
        for i, api in enumerate(content.apis)
        for method in api.methods
    )
    apis.create_index(["api_name"], unique=True)
    methods.create_index(["api_id"])


def _write_files(database: sqlite_utils.Database, content: Content) -> None:
    scripts = {item.script.path: item.script for item in content.extracted}
    ids = {path: i for i, path in enumerate(content.files)}
    files = database.table("file")
    files.create(dict.fromkeys(("id",), int) | dict.fromkeys(_FILE_COLUMNS, str), pk="id")
    files.insert_all(
        dict(zip(("id", *_FILE_COLUMNS), (i, path, *_file_facts(scripts[path])), strict=True))
        for path, i in ids.items()
    )
    files.create_index(["path"], unique=True)
    usages = database.table("usage")
    usages.create(dict.fromkeys(_USAGE_NUMBERS, int) | dict.fromkeys(_USAGE_TEXTS, str), pk="id")
    usages.insert_all(_usage_row(i, usage) for i, usage in enumerate(content.usages))
    usages.create_index(["api_name"])
    tables = database.table("table_use")
    tables.create({"file_id": int, "table_name": str})
    tables.insert_all(
        {"file_id": ids[item.script.path], "table_name": table}
        for item in content.extracted
        for table in item.tables
    )
    exports = database.table("export")
    exports.create({"module": str, "name": str, "api_name": str})
    exports.insert_all(
        {"module": module, "name": name, "api_name": api_name}
        for (module, name), api_name in find_exports(content.extracted).items()
    )


_FILE_COLUMNS = ("path", "package", "scope", "record_type", "record_name", "table_name", "inferred")
_USAGE_NUMBERS = ("id", "file_id", "line")
_USAGE_TEXTS = ("api_name", "file", "method", "kind", "context", "statement")


def _file_facts(script: Script) -> tuple[str, ...]:
    inferred = json.dumps(sorted(script.inferred))
    return (
        script.package,
        script.scope,
        script.record_type,
        script.record_name,
        script.table,
        inferred,
    )


def _usage_row(usage_id: int, usage: Usage) -> dict[str, Any]:
    call = usage.edge.call
    return {
        "id": usage_id,
        "file_id": usage.file_id,
        "line": call.line,
        "api_name": usage.edge.api_name,
        "file": usage.file,
        "method": call.method,
        "kind": call.kind,
        "context": usage.context,
        "statement": usage.statement,
    }


# Postings


def _usage_terms(usage: Usage) -> list[str]:
    return text.usage_terms(usage.record_name, usage.context, usage.statement)


def _write_postings(database: sqlite_utils.Database, table: Table, rows: Sequence[Counts]) -> None:
    """For each term the rows that hold it and how often, as packed 32-bit numbers."""
    vocabulary: dict[str, int] = {}
    every = (vocabulary.setdefault(term, len(vocabulary)) for row in rows for term in row)
    terms = np.fromiter(every, np.int64)
    places = np.repeat(np.arange(len(rows), dtype=np.int32), [len(row) for row in rows])
    counts = np.fromiter((count for row in rows for count in row.values()), np.int32)
    order = np.argsort(terms, kind="stable")
    ends = np.cumsum(np.bincount(terms, minlength=len(vocabulary))).tolist()
    lengths = np.array([sum(row.values()) for row in rows], np.int32)
    connection = database.conn
    assert connection
    connection.execute("CREATE TABLE IF NOT EXISTS corpus (name TEXT PRIMARY KEY, lengths BLOB NOT NULL)")
    connection.execute("INSERT INTO corpus VALUES (?, ?)", (table, lengths.tobytes()))
    connection.execute(
        f"CREATE TABLE {table}_posting (term TEXT PRIMARY KEY, places BLOB NOT NULL, counts BLOB NOT NULL)"
    )
    places, counts = places[order], counts[order]
    spans = zip(vocabulary, (0, *ends), ends, strict=False)
    connection.executemany(
        f"INSERT INTO {table}_posting VALUES (?, ?, ?)",
        ((term, places[start:end].tobytes(), counts[start:end].tobytes()) for term, start, end in spans),
    )


# Vectors


def _encoder_texts(content: Content) -> dict[Table, list[str]]:
    return {
        "doc": [text.encoder_document(api) for api in content.apis],
        "code": [text.encoder_code(api) for api in content.apis],
        "usage": [text.encoder_usage(usage.record_name, usage.context) for usage in content.usages],
    }


def _vectors(texts: Sequence[str], encoder: Encoder, cache: Cache, progress: Progress) -> Vectors:
    """Vectors [texts, d]; a text that was encoded before is not encoded again."""
    keys = [digest(encoder.files.sha256, each) for each in texts]
    vectors = np.zeros((len(texts), encoder.dimension), np.float32)
    known = cache.get(VECTOR, keys)
    for i, key in enumerate(keys):
        if key in known:
            vectors[i] = np.frombuffer(known[key], np.float32)
    missing = list({key: i for i, key in enumerate(keys) if key not in known}.values())
    made: dict[bytes, Any] = {}
    for start in range(0, len(missing), ENCODE_ROWS):
        progress("embedding", start, len(missing))
        some = missing[start : start + ENCODE_ROWS]
        encoded = encoder.encode([texts[i] for i in some])
        fresh = {keys[i]: vector for i, vector in zip(some, encoded, strict=True)}
        cache.put(VECTOR, {key: vector.tobytes() for key, vector in fresh.items()})
        made |= fresh
    for i, key in enumerate(keys):
        if key in made:
            vectors[i] = made[key]
    cache.keep_only(VECTOR, keys)
    return vectors


def _write_vectors(generation: Path, table: Table, vectors: Vectors, progress: Progress) -> None:
    np.save(generation / f"{table}.npy", vectors, allow_pickle=False)
    if len(vectors) > EXACT_ROWS:
        progress(f"linking {table}", 0, 1)
        write_hnsw(generation / f"{table}.hnsw", vectors)


def write_hnsw(path: Path, vectors: Vectors) -> None:
    """A graph over vectors [n, d] for searching them by inner product."""
    import hnswlib

    graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
    graph.init_index(max(1, len(vectors)), ef_construction=HNSW_EF_CONSTRUCTION, M=HNSW_M, random_seed=0)
    if len(vectors):
        # On one thread: with more, the same vectors give another graph each time.
        graph.add_items(vectors, np.arange(len(vectors)), num_threads=1)
    graph.save_index(str(path))
    if path.stat().st_size != graph.index_file_size():  # hnswlib does not notice a full disk
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


# The manifest


def _write_manifest(generation: Path, encoder: Encoder, content: Content) -> None:
    files = {
        path.name: {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(generation.iterdir())
    }
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "text_version": text.TEXT_VERSION,
        "deepcodeseek": __version__,
        "encoder": {
            "name": encoder.files.name,
            "sha256": encoder.files.sha256,
            "dimension": encoder.dimension,
        },
        "counts": {
            "files": len(content.files),
            "apis": len(content.apis),
            "usages": len(content.usages),
        },
        "bases": list(content.bases),
        "files": files,
    }
    write_synced(generation / MANIFEST, json.dumps(manifest, indent=2))


def write_synced(path: Path, content: str) -> None:
    """Write a small file so that it is on the disk when this returns."""
    with path.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _counts(terms: Iterable[str]) -> Counts:
    return Counter(terms)
