"""What a generation holds, and its SQLite file: the metadata graph and the postings of the full text."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import sqlite_utils

from deepcodeseek.server import text
from deepcodeseek.server.generation import Corpus
from deepcodeseek.server.rows import API_COLUMNS, METHOD_COLUMNS, column_types, to_row
from deepcodeseek.server.types import Api, Method

from .extract import Extracted
from .graph import Edge, Names, ajax_reachable, find_exports, inherited_methods
from .scripts import Script

STATEMENT_CHARS = 300

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Terms:
    """How often each term stands in what an API is searched by."""

    written: dict[str, int]
    doc: dict[str, int]
    code: dict[str, int]


def api_terms(api: Api) -> Terms:
    """Counted once and kept: splitting text into words takes longer than all else an update does."""
    counters = (text.written_terms(api), text.document_terms(api), text.code_terms(api))
    return Terms(*(dict(Counter(terms)) for terms in counters))


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


Documentation = Literal["all", "written", "stripped"]
"""What describes an API: what was written, and where nothing was a synthesized text; only what was written;
or, as if nobody had written anything, only synthesized texts."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a build was asked for, and the next one will do again."""

    documentation: Documentation = "all"
    summarize: bool = False  # let the generator write a sentence where nobody did
    packages: bool = False  # also index the installed packages that the workspace depends on
    bases: tuple[str, ...] | None = None  # names of base layers; None: all installed
    below: str = ""  # the folder that sources are named as lying in
    origin: str = ""  # of a base layer: package and version that it was made from


@dataclass(frozen=True, slots=True)
class Content:
    """All that a generation holds."""

    apis: tuple[Api, ...]
    terms: tuple[Terms, ...]  # one an API
    extracted: tuple[Extracted, ...]
    files: tuple[str, ...]
    usages: tuple[Usage, ...]
    names: Names
    bases: tuple[str, ...]
    options: Options


def write_database(path: Path, content: Content) -> None:
    """Write the database anew; the same content gives the same bytes."""
    database = sqlite_utils.Database(path)
    connection = database.conn
    assert connection
    connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
    with connection:
        for name, (types, rows) in _tables(content).items():
            table = database.table(name)
            table.create(types, pk="id" if "id" in types else None)
            _insert(table, rows)
        for name, column in _INDEXES:
            database.table(name).create_index([column])
        _write_postings(database, "written", [terms.written for terms in content.terms])
        _write_postings(database, "doc", [terms.doc for terms in content.terms])
        _write_postings(database, "code", [terms.code for terms in content.terms])
        _write_postings(database, "usage", [Counter(_usage_terms(usage)) for usage in content.usages])
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()


# Tables

_INDEXES = (
    ("api", "api_name"),
    ("method", "api_id"),
    ("method", "name"),
    ("inherited", "name"),
    ("file", "path"),
    ("usage", "api_name"),
)
_FILE_FACTS = ("package", "scope", "record_type", "record_name", "field")
_USAGE_TEXTS = ("api_name", "file", "method", "kind", "context", "statement")


def _types(numbers: Iterable[str], texts: Iterable[str]) -> dict[str, type]:
    return {**dict.fromkeys(numbers, int), **dict.fromkeys(texts, str)}


def _tables(content: Content) -> dict[str, tuple[dict[str, type], Iterable[Row]]]:
    exports = find_exports(content.extracted).items()
    api = _types(["id", "ajax"], []) | column_types(Api, API_COLUMNS)
    method = _types(["api_id"], ["api_name"]) | column_types(Method, METHOD_COLUMNS)
    file = _types(["id"], ["path", *_FILE_FACTS, "table_name", "inferred"])
    return {
        "api": (api, _api_rows(content)),
        "method": (method, _method_rows(content)),
        "inherited": (_types(["api_id"], ["name", "origin"]), _inherited_rows(content)),
        "file": (file, _file_rows(content)),
        "usage": (_types(["id", "file_id", "line"], _USAGE_TEXTS), _usage_rows(content)),
        "table_use": (_types(["file_id", "written"], ["table_name"]), _table_rows(content)),
        "export": (
            _types([], ["module", "name", "api_name"]),
            ({"module": m, "name": name, "api_name": api_name} for (m, name), api_name in exports),
        ),
    }


def _insert(table: sqlite_utils.db.Table, rows: Iterable[Row]) -> None:
    """sqlite-utils' own insertion looks at every value first, which takes most of the time."""
    columns = list(table.columns_dict)
    marks = ", ".join(f":{column}" for column in columns)
    connection = table.db.conn
    assert connection
    connection.executemany(f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})", rows)


def _api_rows(content: Content) -> Iterator[Row]:
    for i, api in enumerate(content.apis):
        yield {"id": i, **to_row(api, API_COLUMNS), "ajax": ajax_reachable(api, content.names)}


def _method_rows(content: Content) -> Iterator[Row]:
    for i, api in enumerate(content.apis):
        for method in api.methods:
            yield {"api_id": i, "api_name": api.api_name, **to_row(method, METHOD_COLUMNS)}


def _file_rows(content: Content) -> Iterator[Row]:
    scripts: defaultdict[str, list[Script]] = defaultdict(list)
    for item in content.extracted:
        scripts[item.script.path].append(item.script)
    for i, path in enumerate(content.files):
        script, *others = scripts[path]
        facts = {name: getattr(script, name) for name in _FILE_FACTS}
        facts["field"] = "" if others else script.field
        inferred = json.dumps(sorted(script.inferred))
        yield {"id": i, "path": path, **facts, "table_name": script.table, "inferred": inferred}


def _usage_rows(content: Content) -> Iterator[Row]:
    for i, usage in enumerate(content.usages):
        call = usage.edge.call
        yield {
            "id": i,
            "file_id": usage.file_id,
            "line": call.line,
            "api_name": usage.edge.api_name,
            "file": usage.file,
            "method": call.method,
            "kind": call.kind,
            "context": usage.context,
            "statement": usage.statement,
        }


def _table_rows(content: Content) -> Iterator[Row]:
    ids = {path: i for i, path in enumerate(content.files)}
    for item in content.extracted:
        for name in item.tables:
            written = name in item.writes
            yield {"file_id": ids[item.script.path], "table_name": name, "written": written}


def _inherited_rows(content: Content) -> Iterator[Row]:
    """The methods that an API has from its ancestors."""
    for i, api in enumerate(content.apis):
        if api.extends:
            for inherited in inherited_methods(api, content.names):
                yield {"api_id": i, "name": inherited.method.name, "origin": inherited.api_name}


# Postings


def _usage_terms(usage: Usage) -> list[str]:
    return text.usage_terms(usage.record_name, usage.context, usage.statement)


def _write_postings(
    database: sqlite_utils.Database, corpus: Corpus, rows: Sequence[Mapping[str, int]]
) -> None:
    """For each term the rows that hold it and how often, as packed 32-bit numbers."""
    vocabulary = {term: i for i, term in enumerate(dict.fromkeys(chain.from_iterable(rows)))}
    terms = np.fromiter(map(vocabulary.__getitem__, chain.from_iterable(rows)), np.int64)
    places = np.repeat(np.arange(len(rows), dtype=np.int32), [len(row) for row in rows])
    counts = np.fromiter(chain.from_iterable(row.values() for row in rows), np.int32)
    order = np.argsort(terms, kind="stable")
    places, counts = places[order], counts[order]
    ends = np.cumsum(np.bincount(terms, minlength=len(vocabulary))).tolist()
    spans = zip(vocabulary, (0, *ends), ends, strict=False)
    lengths = np.array([sum(row.values()) for row in rows], np.int32)
    connection = database.conn
    assert connection
    connection.execute("CREATE TABLE IF NOT EXISTS corpus (name TEXT PRIMARY KEY, lengths BLOB NOT NULL)")
    connection.execute("INSERT INTO corpus VALUES (?, ?)", (corpus, lengths.tobytes()))
    connection.execute(
        f"CREATE TABLE {corpus}_posting (term TEXT PRIMARY KEY, places BLOB NOT NULL, counts BLOB NOT NULL)"
    )
    connection.executemany(
        f"INSERT INTO {corpus}_posting VALUES (?, ?, ?)",
        ((term, places[start:end].tobytes(), counts[start:end].tobytes()) for term, start, end in spans),
    )
