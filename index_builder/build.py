"""Build an index: walk, extract, resolve, embed, write a new generation, then name it `current`.

A generation is written under a name of its own and never touched again. Only when all its files and the
manifest with their hashes are on disk does `current` change, in one rename: a reader sees the old index or
the new one, whole, whatever happens in between.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sqlite_utils

from deepcodeseek.server import __version__, text
from deepcodeseek.server.index import CURRENT, DATABASE, FILES, MANIFEST, SCHEMA_VERSION, Table, sha256_file
from deepcodeseek.server.models import Encoder, Vectors
from deepcodeseek.server.types import Api

from .extract import Extracted, extract
from .graph import Edge, Names, ajax_reachable, find_exports, resolve_calls, unique_apis
from .scripts import Problem
from .sources import read_workspace

HNSW_M = 16
HNSW_EF_CONSTRUCTION = 200
ENCODE_ROWS = 32  # texts between two steps of the progress bar
STATEMENT_CHARS = 300

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a build made and what it could not read."""

    generation: str
    files: int
    apis: int
    methods: int
    usages: int
    problems: tuple[Problem, ...]
    skipped: Mapping[str, int]  # reason -> scripts left out on purpose


@dataclass(frozen=True, slots=True)
class Usage:
    """A resolved call site with the lines before it, as the index stores it."""

    api_id: int
    api_name: str
    file_id: int
    file: str
    record_name: str
    edge: Edge
    context: str


def build_index(workspace: Path, out: Path, encoder: Encoder, progress: Progress) -> Report:
    """Index `workspace` into a new generation of `out` and make it the current one.

    Raises OSError or sqlite3.Error where `out` cannot be written; the generation in use stays as it was.
    """
    progress("reading", 0, 1)
    workspace = workspace.resolve()  # `.` has no name
    read = read_workspace(workspace, frozenset({out.resolve()}), progress)
    extracted = []
    for done, script in enumerate(read.scripts):
        progress("parsing", done, len(read.scripts))
        extracted.append(extract(script))
    problems = (*read.problems, *(problem for item in extracted for problem in item.problems))
    apis = unique_apis(api for item in extracted for api in item.apis)
    files = tuple(dict.fromkeys(item.script.path for item in extracted))
    usages = _usages(extracted, apis, files)

    generation = _new_generation(out)
    try:
        _write_database(generation / DATABASE, extracted, apis, files, usages)
        for table, texts in _encoder_texts(apis, usages).items():
            _write_vectors(generation, table, texts, encoder, progress)
        counts = {"files": len(files), "apis": len(apis), "usages": len(usages)}
        _write_manifest(generation, encoder, counts)
        _make_current(out, generation)
    except BaseException:
        shutil.rmtree(generation, ignore_errors=True)
        raise
    _remove_old(out, keep=generation)
    methods = sum(len(api.methods) for api in apis)
    return Report(generation.name, len(files), len(apis), methods, len(usages), problems, read.skipped)


def _usages(extracted: Sequence[Extracted], apis: Sequence[Api], files: Sequence[str]) -> tuple[Usage, ...]:
    names, exports = Names(apis), find_exports(extracted)
    api_ids = {api.api_name: i for i, api in enumerate(apis)}
    file_ids = {path: i for i, path in enumerate(files)}
    return tuple(
        Usage(
            api_ids[edge.api_name],
            edge.api_name,
            file_ids[item.script.path],
            item.script.path,
            item.script.record_name,
            edge,
            text.window_before(item.script.code[: edge.call.start]),
        )
        for item in extracted
        for edge in resolve_calls(item, names, exports)
    )


def _encoder_texts(apis: Sequence[Api], usages: Sequence[Usage]) -> dict[Table, list[str]]:
    return {
        "doc": [text.encoder_document(api) for api in apis],
        "code": [text.encoder_code(api) for api in apis],
        "usage": [text.encoder_usage(usage.record_name, usage.context) for usage in usages],
    }


def _write_database(
    path: Path,
    extracted: Sequence[Extracted],
    apis: Sequence[Api],
    files: Sequence[str],
    usages: Sequence[Usage],
) -> None:
    database = sqlite_utils.Database(path)
    connection = database.conn
    assert connection
    connection.executescript(_SCHEMA)
    file_ids = {path: i for i, path in enumerate(files)}
    with connection:
        names = Names(apis)
        database.table("api").insert_all(
            _api_row(i, api, ajax_reachable(api, names)) for i, api in enumerate(apis)
        )
        database.table("method").insert_all(row for i, api in enumerate(apis) for row in _method_rows(i, api))
        database.table("file").insert_all(_file_rows(extracted, files))
        database.table("usage").insert_all(map(_usage_row, range(len(usages)), usages))
        database.table("table_use").insert_all(
            {"file_id": file_ids[item.script.path], "table_name": table}
            for item in extracted
            for table in item.tables
        )
        _insert_terms(connection, "doc", [text.document_terms(api) for api in apis])
        _insert_terms(connection, "code", [text.code_terms(api) for api in apis])
        _insert_terms(connection, "usage", [_usage_terms(usage) for usage in usages])
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()


_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE api (
    id INTEGER PRIMARY KEY, api_name TEXT UNIQUE NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
    scope TEXT NOT NULL, package TEXT NOT NULL, access TEXT NOT NULL, client_callable INTEGER NOT NULL,
    ajax INTEGER NOT NULL, -- whether GlideAjax can reach it, inheritance included
    extends TEXT NOT NULL, params TEXT NOT NULL, doc TEXT NOT NULL, doc_origin TEXT NOT NULL,
    source TEXT NOT NULL, line INTEGER NOT NULL, code TEXT NOT NULL
);
CREATE INDEX api_by_name ON api (name);
CREATE TABLE method (
    api_id INTEGER NOT NULL REFERENCES api (id), api_name TEXT NOT NULL, name TEXT NOT NULL,
    params TEXT NOT NULL, doc TEXT NOT NULL, line INTEGER NOT NULL, is_static INTEGER NOT NULL,
    is_private INTEGER NOT NULL
);
CREATE INDEX method_by_api ON method (api_id);
CREATE TABLE file (
    id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, package TEXT NOT NULL, scope TEXT NOT NULL,
    record_type TEXT NOT NULL, record_name TEXT NOT NULL, table_name TEXT NOT NULL
);
CREATE TABLE usage (
    id INTEGER PRIMARY KEY, api_id INTEGER NOT NULL REFERENCES api (id), api_name TEXT NOT NULL,
    file_id INTEGER NOT NULL REFERENCES file (id), file TEXT NOT NULL, line INTEGER NOT NULL,
    method TEXT NOT NULL, kind TEXT NOT NULL, context TEXT NOT NULL, statement TEXT NOT NULL
);
CREATE INDEX usage_by_api ON usage (api_id);
CREATE TABLE table_use (file_id INTEGER NOT NULL REFERENCES file (id), table_name TEXT NOT NULL);
CREATE VIRTUAL TABLE doc_fts USING fts5 (terms, content = '', tokenize = "unicode61 remove_diacritics 0");
CREATE VIRTUAL TABLE code_fts USING fts5 (terms, content = '', tokenize = "unicode61 remove_diacritics 0");
CREATE VIRTUAL TABLE usage_fts USING fts5 (terms, content = '', tokenize = "unicode61 remove_diacritics 0");
CREATE VIRTUAL TABLE doc_terms USING fts5vocab (doc_fts, row);
CREATE VIRTUAL TABLE code_terms USING fts5vocab (code_fts, row);
CREATE VIRTUAL TABLE usage_terms USING fts5vocab (usage_fts, row);
"""


def _insert_terms(connection: Any, table: Table, documents: Sequence[Sequence[str]]) -> None:
    connection.executemany(
        f"INSERT INTO {table}_fts (rowid, terms) VALUES (?, ?)",
        ((i, " ".join(terms)) for i, terms in enumerate(documents)),
    )


def _api_row(api_id: int, api: Api, ajax: bool) -> dict[str, Any]:
    return {
        "id": api_id,
        "api_name": api.api_name,
        "name": api.name,
        "kind": api.kind,
        "scope": api.scope,
        "package": api.package,
        "access": api.access,
        "client_callable": api.client_callable,
        "ajax": ajax,
        "extends": api.extends,
        "params": json.dumps(api.params),
        "doc": api.doc,
        "doc_origin": api.doc_origin,
        "source": api.source,
        "line": api.line,
        "code": api.code,
    }


def _method_rows(api_id: int, api: Api) -> list[dict[str, Any]]:
    return [
        {
            "api_id": api_id,
            "api_name": api.api_name,
            "name": method.name,
            "params": json.dumps(method.params),
            "doc": method.doc,
            "line": method.line,
            "is_static": method.is_static,
            "is_private": method.is_private,
        }
        for method in api.methods
    ]


def _file_rows(extracted: Sequence[Extracted], files: Sequence[str]) -> list[dict[str, Any]]:
    scripts = {item.script.path: item.script for item in extracted}
    return [
        {
            "id": i,
            "path": path,
            "package": scripts[path].package,
            "scope": scripts[path].scope,
            "record_type": scripts[path].record_type,
            "record_name": scripts[path].record_name,
            "table_name": scripts[path].table,
        }
        for i, path in enumerate(files)
    ]


def _usage_row(usage_id: int, usage: Usage) -> dict[str, Any]:
    call = usage.edge.call
    return {
        "id": usage_id,
        "api_id": usage.api_id,
        "api_name": usage.api_name,
        "file_id": usage.file_id,
        "file": usage.file,
        "line": call.line,
        "method": call.method,
        "kind": call.kind,
        "context": usage.context,
        "statement": call.statement[:STATEMENT_CHARS],
    }


def _usage_terms(usage: Usage) -> list[str]:
    return text.usage_terms(usage.record_name, usage.context, usage.edge.call.statement[:STATEMENT_CHARS])


def _write_vectors(
    generation: Path, table: Table, texts: Sequence[str], encoder: Encoder, progress: Progress
) -> None:
    vectors = np.zeros((len(texts), encoder.dimension), np.float32)
    # Similar lengths share a batch; the rows still land where they belong.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), ENCODE_ROWS):
        progress(f"embedding {table}", start, len(order))
        rows = order[start : start + ENCODE_ROWS]
        vectors[rows] = encoder.encode([texts[i] for i in rows])
    np.save(generation / f"{table}.npy", vectors, allow_pickle=False)
    _write_hnsw(generation / f"{table}.hnsw", vectors)


def _write_hnsw(path: Path, vectors: Vectors) -> None:
    import hnswlib

    graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
    graph.init_index(max(1, len(vectors)), ef_construction=HNSW_EF_CONSTRUCTION, M=HNSW_M, random_seed=0)
    if len(vectors):
        # On one thread: with more, the same vectors give another graph each time.
        graph.add_items(vectors, np.arange(len(vectors)), num_threads=1)
    graph.save_index(str(path))
    if path.stat().st_size != graph.index_file_size():  # hnswlib does not notice a full disk
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _new_generation(out: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    generation = out / f"gen-{stamp}-{secrets.token_hex(3)}"
    generation.mkdir(parents=True)
    return generation


def _write_manifest(generation: Path, encoder: Encoder, counts: dict[str, int]) -> None:
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
        "counts": counts,
        "files": files,
    }
    _write_synced(generation / MANIFEST, json.dumps(manifest, indent=2))


def _make_current(out: Path, generation: Path) -> None:
    for path in generation.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    part = out / f"{CURRENT}.{secrets.token_hex(3)}.part"
    _write_synced(part, generation.name + "\n")
    part.replace(out / CURRENT)


def _write_synced(path: Path, content: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _is_generation(path: Path) -> bool:
    """Whether a folder was made here: by its name, and it holds nothing else."""
    if not _GENERATION.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
        return False
    return {child.name for child in path.iterdir()} <= FILES | {MANIFEST}


_GENERATION = re.compile(r"gen-\d{8}T\d{6}-[0-9a-f]{6}")


def _remove_old(out: Path, keep: Path) -> None:
    """Remove earlier generations but the last, which a running server may still be opening."""
    earlier = sorted(path for path in out.iterdir() if path != keep and _is_generation(path))
    for path in earlier[:-1]:
        shutil.rmtree(path, ignore_errors=True)
