"""Read-only lookups in an index: the metadata graph, full text, vectors, in one layer or several.

The first layer is the workspace's own; below it lie the base layers it was built on (the platform, a team's
published index). Ids count on from one layer to the next. What an upper layer defines or reads anew hides
what a lower one has of it.
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from pathlib import Path, PurePosixPath
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from .caches import kept
from .columns import Beginnings, Folders, Texts, Uses, postings
from .generation import (
    CORPORA,
    DATABASE,
    TABLES,
    Corpus,
    IndexProblem,
    Table,
    base_directory,
    damaged_files,
    read_manifest,
)
from .generation import OPTIONAL as OPTIONAL_FILES
from .generation import REBUILD as _REBUILD
from .lexical import Hits, Ids, Mask, Postings, Scores, best, bm25
from .places import PLATFORM, module_name
from .rows import API_COLUMNS, METHOD_COLUMNS, from_row
from .text import initials, name_terms
from .types import Api, Method, Usage
from .vectors import Vectors, nearest

_MEMBERS = 64  # that an API is looked up by
_LAST = "\U0010ffff"  # no path comes after it
_FACTS = ("package", "scope", "record_type", "record_name", "field", "table")


@dataclass(frozen=True, slots=True)
class ApiColumns:
    """One entry an API, row i belonging to the API with id i."""

    api_name: Texts
    name: Texts
    scope: Texts
    package: Texts
    access: Texts
    source: Texts
    kind: Texts
    doc_origin: Texts
    ajax: Mask  # callable by GlideAjax
    platform: Mask  # what every instance has, not what someone wrote for it
    live: Mask  # not hidden by an upper layer
    extends: Mask  # another one
    extended: Mask  # by another one of whatever file, also the one that is asked from


@dataclass(frozen=True, slots=True)
class UsageColumns:
    """One entry a known usage, row i belonging to the usage with id i."""

    api: Ids
    file: Ids
    file_package: Texts  # row i belonging to the file with id i
    kind: Texts  # "new", "static", "func" or "ajax"
    live: Mask


class Layer:
    """One generation, opened for reading."""

    def __init__(self, generation: Path, manifest: dict[str, Any], hnsw: bool = True) -> None:
        self.manifest = manifest
        uri = f"{(generation / DATABASE).resolve().as_uri()}?mode=ro&immutable=1"
        self.database = sqlite3.connect(uri, uri=True, check_same_thread=False)
        finalize(self, self.database.close)  # a connection is part of a cycle of its own
        dimension = int(manifest["encoder"]["dimension"])
        self.vectors = {table: Vectors(generation, table, dimension, hnsw) for table in TABLES}
        self.postings = {corpus: Postings(self.database, corpus) for corpus in CORPORA}

    def columns(self, table: str, *names: str) -> list[list[Any]]:
        """Columns of a table, by id."""
        rows = self.database.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY id").fetchall()
        return [[row[i] for row in rows] for i in range(len(names))]

    def count(self, table: str) -> int:
        """Rows of a table whose ids count from 0."""
        (count,) = self.database.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)


def open_index(directory: Path, encoder_sha256: str) -> Index:
    """Open the generation in use, and the base layers it was built on.

    Raises IndexProblem where a version, a hash or the encoder differs from what the manifest says. A base
    layer that cannot be used is a note of the index.
    """
    generation, manifest = read_manifest(directory)
    layers, notes = [], []
    layer, note = _open_layer(generation, manifest, encoder_sha256)
    layers.append(layer)
    notes += note
    for name in manifest["bases"]:
        try:
            layer, note = _open_layer(*read_manifest(base_directory(name)), encoder_sha256)
            layers.append(layer)
            notes += note
        except IndexProblem as problem:
            notes.append(f"the base layer {name} is left out: {problem}")
    return Index(generation.name, layers, tuple(notes))


def _open_layer(generation: Path, manifest: dict[str, Any], encoder_sha256: str) -> tuple[Layer, list[str]]:
    if manifest["encoder"].get("sha256") != encoder_sha256:
        raise IndexProblem(f"the index in {generation} was made with another encoder: {_REBUILD}")
    damaged = damaged_files(generation, manifest)
    needed = next((name for name in damaged if name not in OPTIONAL_FILES), "")
    if needed:
        path = generation / needed
        raise IndexProblem(f"{path} is damaged (its SHA-256 differs from the manifest): {_REBUILD}")
    notes = [f"{generation / name} is damaged, exact search stands in: {_REBUILD}" for name in damaged]
    try:
        return Layer(generation, manifest, hnsw=not damaged), notes
    except (sqlite3.Error, TypeError) as error:
        raise IndexProblem(f"the index in {generation} cannot be read ({error}): {_REBUILD}") from None


class Index:
    """All layers together."""

    def __init__(self, name: str, layers: Sequence[Layer], notes: tuple[str, ...] = ()) -> None:
        self.id = name
        self.notes = notes
        self.manifest = layers[0].manifest
        self._layers = tuple(layers)
        self._starts = {table: _starts(layers, table) for table in ("api", "file", "usage")}
        self.apis = self._api_columns()
        self.count = len(self.apis.name)
        self._ids_by_name = _ids_by_name(self.apis)
        self._files = self._file_ids()
        self.usages = self._usage_columns()
        self.is_named = self._counts("static") > self._counts("new")
        self.uses = Uses.of(self.usages.api[self.usages.live], self.usages.file[self.usages.live])
        self._ids_by_word = _postings_of_names(enumerate(self.apis.name))
        self._ids_by_initials = postings((initials(name), row) for row, name in enumerate(self.apis.name))
        self.files_by_word, self.file_folders = self._used_in()
        self.api_folders = Folders(self.apis.source)
        self.beginning_with = Beginnings(self.apis.name).find
        self.api = kept(self._api, 4096)
        self._scores = kept(self._bm25, 8)  # signals ask the same of different rows
        self.file_of = np.array([self._files.get(path, (-1,))[0] for path in self.apis.source], np.int64)
        self.name_weights = self._name_weights()
        self.file_facts = kept(self._file_facts, 256)  # asked with every key

    def close(self) -> None:
        for layer in self._layers:
            layer.database.close()

    def nearest(self, table: Table, vector: Scores, limit: int, keep: Mask) -> Hits:
        """The rows nearest to a unit vector among those that `keep` [rows] allows, best first."""
        return nearest([layer.vectors[table] for layer in self._layers], vector, limit, keep)

    @property
    def own_count(self) -> int:
        """How many APIs are of the first layer: their ids come first."""
        return len(self.own_vectors("doc"))

    def own_vectors(self, table: Table) -> NDArray[np.float32]:
        """Those of the first layer [rows, d], whose ids come first; read-only."""
        return self._layers[0].vectors[table].matrix

    def lexical(self, corpus: Corpus, terms: Sequence[str], limit: int, rarest: int, keep: Mask) -> Hits:
        """BM25 over the `rarest` of the terms: ids [n] and scores [n] of rows that `keep` [rows] allows, best
        first."""
        scores = self._scores(corpus, tuple(terms), rarest)
        ids = np.flatnonzero((scores > 0) & keep)
        return best(ids, scores[ids], limit)

    def _bm25(self, corpus: Corpus, terms: tuple[str, ...], rarest: int) -> Scores:
        return bm25([layer.postings[corpus] for layer in self._layers], terms, rarest)

    def find(self, name: str) -> tuple[int, ...]:
        """Ids of the APIs called `name`, with or without their scope."""
        return self._ids_by_name.get(name, ())

    def named(self, api_name: str) -> Api | None:
        """The API of exactly this api_name."""
        api_id = self._exact(api_name)
        return self.api(api_id) if api_id >= 0 else None

    def named_with(self, word: str) -> Ids:
        """Ids of the APIs whose name holds the word."""
        return self._ids_by_word.get(word, np.empty(0, np.int64))

    def abbreviated(self, word: str) -> Ids:
        """Ids of the APIs whose name begins its words with these letters."""
        return self._ids_by_initials.get(word, np.empty(0, np.int64))

    def rarity(self, rows: int) -> float:
        """What it says of an API to be one of so many, as BM25 has it."""
        return math.log1p(self.count / max(1, rows))

    def with_members(self, names: Sequence[str]) -> dict[str, Ids]:
        """Ids of the APIs that have a member of each of the names, their own or an ancestor's."""
        found: dict[str, list[int]] = {name: [] for name in names[:_MEMBERS]}
        marks = ",".join("?" * len(found))
        query = (
            f"SELECT name, api_id FROM method WHERE name IN ({marks})"
            f" UNION SELECT name, api_id FROM inherited WHERE name IN ({marks})"
        )
        for layer, start in zip(self._layers, self._starts["api"].tolist(), strict=True):
            for name, api_id in layer.database.execute(query, (*found, *found)):
                found[name].append(start + api_id)
        return {name: np.array(sorted(ids), np.int64) for name, ids in found.items()}

    def inherited(self, api_id: int) -> list[tuple[str, str]]:
        """The methods that an API has from its ancestors: name, and api_name of the one that defines it."""
        layer, local = self._place("api", api_id)
        query = "SELECT name, origin FROM inherited WHERE api_id = ? ORDER BY rowid"
        return list(layer.database.execute(query, (local,)))

    def exported_as(self, api_names: Sequence[str]) -> dict[str, str]:
        """What APIs are called by the module that defines them: "default", or "*" for the whole module."""
        marks = ",".join("?" * len(api_names))
        query = f"SELECT api_name, module, name FROM export WHERE api_name IN ({marks})"
        rows = [row for layer in self._layers for row in layer.database.execute(query, tuple(api_names))]
        return {api_name: name for api_name, module, name in rows if api_name.startswith(f"{module}.")}

    def methods_called(self, api_id: int) -> dict[str, int]:
        """How many known usages call each of an API's methods."""
        count = Counter[str]()
        query = "SELECT method, count(*) FROM usage WHERE api_name = ? GROUP BY method"
        for layer in self._layers:
            count.update(dict(layer.database.execute(query, (self.apis.api_name[api_id],))))
        return count

    def usage(self, usage_id: int) -> Usage:
        layer, local = self._place("usage", usage_id)
        row = layer.database.execute(
            "SELECT usage.file, line, method, context, statement, record_name"
            " FROM usage JOIN file ON file.id = file_id WHERE usage.id = ?",
            (local,),
        ).fetchone()
        usage = Usage(int(self.usages.api[usage_id]), *row)
        return usage if usage.caller else replace(usage, caller=module_name(usage.file))

    def usage_lines(self, api_id: int, method: str, limit: int) -> list[tuple[str, int]]:
        """File and line of its known usages, of one of its methods where that is named."""
        query = (
            "SELECT DISTINCT file, line FROM usage WHERE api_name = ? AND (? = '' OR method = ?)"
            " ORDER BY file, line LIMIT ?"
        )
        asked = (self.apis.api_name[api_id], method, method, limit)
        found = [row for layer in self._layers for row in layer.database.execute(query, asked)]
        return found[:limit]

    def example_of(self, api_id: int, method: str, elsewhere: str) -> Usage | None:
        """A known usage in another file than `elsewhere`, of a method where one is named."""
        query = (
            "SELECT usage.file, line, method, context, statement, record_name"
            " FROM usage JOIN file ON file.id = file_id"
            " WHERE api_name = ? AND (? = '' OR method = ?) AND usage.file != ? ORDER BY method = '' LIMIT 1"
        )
        asked = (self.apis.api_name[api_id], method, method, elsewhere)
        rows = (layer.database.execute(query, asked).fetchone() for layer in self._layers)
        return next((Usage(api_id, *row) for row in rows if row), None)

    def usages_of(self, api_id: int) -> list[Usage]:
        """Its known usages."""
        ids = np.flatnonzero((self.usages.api == api_id) & self.usages.live)
        return [self.usage(usage_id) for usage_id in ids.tolist()]

    def file_ids(self, path: str) -> tuple[int, ...]:
        """Ids of a file, one a layer that has it."""
        return self._files.get(path, ())

    def files_in(self, path: str) -> tuple[str, ...]:
        """The files below a folder; of a file itself."""
        return tuple(name for name in self._files if name == path or name.startswith(f"{path}/"))

    def _file_facts(self, path: str) -> dict[str, str]:
        """What is known of a file: all where it is indexed, else what its neighbours agree on."""
        database = self._layers[0].database
        columns = "package, scope, record_type, record_name, field, table_name"
        row = database.execute(f"SELECT {columns} FROM file WHERE path = ?", (path,)).fetchone()
        if row:
            return dict(zip(_FACTS, row, strict=True))
        for folder in PurePosixPath(path).parents:
            facts = self._neighbours("" if str(folder) == "." else f"{folder}/")
            if facts is not None:
                return facts
        return {}

    def _neighbours(self, folder: str) -> dict[str, str] | None:
        """Package and scope, each where all indexed files of a folder agree; None where it has none."""
        count, packages, package, scopes, scope = (
            self._layers[0]
            .database.execute(
                "SELECT count(*), count(DISTINCT package), min(package), count(DISTINCT scope), min(scope)"
                " FROM file WHERE path >= ? AND path < ?",
                (folder, f"{folder[:-1]}0" if folder else _LAST),  # 0 follows the slash
            )
            .fetchone()
        )
        if not count:
            return None
        return ({"package": package} if packages == 1 else {}) | ({"scope": scope} if scopes == 1 else {})

    def _place(self, table: str, row: int) -> tuple[Layer, int]:
        """The layer that holds a row, and its id there."""
        number = int(np.searchsorted(self._starts[table], row, side="right")) - 1
        return self._layers[number], int(row - self._starts[table][number])

    def _api(self, api_id: int) -> Api:
        layer, local = self._place("api", api_id)
        row = layer.database.execute(f"SELECT {', '.join(API_COLUMNS)} FROM api WHERE id = ?", (local,))
        methods = layer.database.execute(
            f"SELECT {', '.join(METHOD_COLUMNS)} FROM method WHERE api_id = ? ORDER BY rowid", (local,)
        )
        return from_row(
            Api,
            API_COLUMNS,
            row.fetchone(),
            methods=tuple(from_row(Method, METHOD_COLUMNS, method) for method in methods),
            id=api_id,
        )

    def _api_columns(self) -> ApiColumns:
        names = ("api_name", "name", "scope", "package", "access", "source", "kind", "doc_origin")
        layers = [layer.columns("api", *names, "ajax", "extends") for layer in self._layers]
        *texts, ajax, extends = (list(chain.from_iterable(columns)) for columns in zip(*layers, strict=True))
        live = _topmost([columns[0] for columns in layers])
        named = {name: Texts(rows) for name, rows in zip(names, texts, strict=True)}
        platform = named["package"].equal(PLATFORM)
        parents = frozenset(extends)
        return ApiColumns(
            **named,
            ajax=np.array(ajax, np.bool_),
            platform=platform,
            live=live,
            extends=np.array([bool(parent) for parent in extends]),
            extended=np.array([not parents.isdisjoint(names) for names in zip(*texts[:2], strict=True)]),
        )

    def _file_ids(self) -> dict[str, tuple[int, ...]]:
        ids: dict[str, tuple[int, ...]] = {}
        for start, layer in zip(self._starts["file"].tolist(), self._layers, strict=True):
            for local, path in layer.database.execute("SELECT id, path FROM file ORDER BY id"):
                ids[path] = (*ids.get(path, ()), start + local)
        return ids

    def _usage_columns(self) -> UsageColumns:
        apis, files = [], []
        packages, kinds = list[str](), list[str]()
        for layer, start in zip(self._layers, self._starts["file"].tolist(), strict=True):
            name, file, kind = layer.columns("usage", "api_name", "file_id", "kind")
            kinds += kind
            apis.append(np.array([self._exact(each) for each in name], np.int64))
            files.append(np.array(file, np.int64) + start)
            packages += layer.columns("file", "package")[0]
        hidden = [later for ids in self._files.values() for later in ids[1:]]
        api, file_id = np.concatenate(apis), np.concatenate(files)
        live = (api >= 0) & ~np.isin(file_id, hidden)
        return UsageColumns(np.maximum(api, 0), file_id, Texts(packages), Texts(kinds), live)

    def _counts(self, kind: str) -> Ids:
        """How many known usages of a kind each API has [apis]."""
        counted = self.usages.live & self.usages.kind.equal(kind)
        return np.bincount(self.usages.api[counted], minlength=self.count)

    def _used_in(self) -> tuple[dict[str, Ids], Folders]:
        """Files that use anything, by the words of their name; and the folders of all files."""
        using = set(self.uses.file.tolist())
        paths, names = [], []
        for layer, start in zip(self._layers, self._starts["file"].tolist(), strict=True):
            path, name = layer.columns("file", "path", "record_name")
            paths += path
            names += [
                (row, name or module_name(path))
                for row, (path, name) in enumerate(zip(path, name, strict=True), start)
                if row in using
            ]
        return _postings_of_names(names), Folders(paths)

    def _name_weights(self) -> NDArray[np.float64]:
        """The rarity of all words of each API's name [apis]."""
        weights = np.zeros(self.count)
        for ids in self._ids_by_word.values():
            weights[ids] += self.rarity(len(ids))
        return np.maximum(weights, 1.0)

    def _exact(self, api_name: str) -> int:
        """Id of the API that a usage names, -1 where its layer is missing."""
        return next((i for i in self.find(api_name) if self.apis.api_name[i] == api_name), -1)


def _starts(layers: Sequence[Layer], table: str) -> Ids:
    """Id of the first row of each layer."""
    return np.array([0, *accumulate(layer.count(table) for layer in layers)][:-1], np.int64)


def _topmost(layers: Sequence[Sequence[str]]) -> Mask:
    """False for each name that a layer before has."""
    seen: set[str] = set()
    live: list[bool] = []
    for names in layers:
        live += [name not in seen for name in names]
        seen.update(names)
    return np.array(live, np.bool_)


def _ids_by_name(apis: ApiColumns) -> dict[str, tuple[int, ...]]:
    ids: dict[str, tuple[int, ...]] = {}
    for api_id in np.flatnonzero(apis.live).tolist():
        for key in {apis.api_name[api_id], apis.name[api_id]}:
            ids[key] = (*ids.get(key, ()), api_id)
    return ids


def _postings_of_names(names: Iterable[tuple[int, str]]) -> dict[str, Ids]:
    return postings((word, row) for row, name in names for word in name_terms((name,)))
