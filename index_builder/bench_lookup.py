"""How long an index of a generated workspace takes to answer, and from how many rows on HNSW is faster.

The questions stand where the generated business rules and Script Includes call: the lines before a call are
known, the rest of the file is not. Masks keep whole scopes, as those of the graph filter do.

A search runs on one thread. Its time is that thread's processor time: what it takes on a core of its own,
however busy the machine is. Only the whole first list, encoder and all, is timed by the clock.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepcodeseek.server.context import make_context
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.generation import TABLES, Table, read_manifest
from deepcodeseek.server.index import Index, open_index
from deepcodeseek.server.lexical import Mask
from deepcodeseek.server.models import Encoder, find_model, load_encoder
from deepcodeseek.server.pipeline import METHODS, known_facts, predict
from deepcodeseek.server.retrieve import RAREST_TERMS, reachable
from deepcodeseek.server.stop import Stop
from deepcodeseek.server.text import encoder_query, query_terms
from deepcodeseek.server.types import Context, ExpandedQuery
from deepcodeseek.server.vectors import Vectors
from deepcodeseek.server.view import POOL

from .write import write_hnsw

QUESTIONS = 100
SHARES = (100, 40, 1)  # percent of the rows that a mask keeps
ROWS = tuple(1024 * 2**power for power in range(1, 8))  # 2k to 128k
TYPED = "ba"  # letters of a name, in the questions that have some


def lookups(place: Path) -> dict[str, Any]:
    """Opening, memory, and the times of each kind of lookup, for the index in `place`."""
    encoder = _encoder()
    before = _resident_mb()
    start = time.perf_counter()
    index = open_index(place / "index", encoder.files.sha256)
    opened = time.perf_counter() - start
    held = _resident_mb()
    contexts = questions(index, place / "workspace")
    lists = _first_lists(index, encoder, contexts)
    used = _resident_mb()
    queries = [ExpandedQuery(context) for context in contexts]
    vectors = encoder.encode([encoder_query(query) for query in queries])
    terms = [query_terms(query) for query in queries]
    return {
        "open_seconds": round(opened, 2),
        "opened_mb": held - before,
        "server_mb": used,  # the mapped vectors that were read among it
        "graph_keeps_percent": _kept_percent(index, contexts),
        "ms": {**_vector_times(place, index, vectors), **_lexical_times(index, terms), **lists},
    }


def questions(index: Index, workspace: Path) -> list[Context]:
    """Contexts at calls, spread evenly over those that the index knows."""
    ids = np.unique(np.linspace(0, len(index.usages.api) - 1, QUESTIONS).astype(int))
    return [_question(index, workspace, int(usage_id)) for usage_id in ids]


def _question(index: Index, workspace: Path, usage_id: int) -> Context:
    usage = index.usage(usage_id)
    lines = (workspace / usage.file).read_text(encoding="utf-8").splitlines(keepends=True)
    facts = known_facts(index, {"file": usage.file})
    return make_context("".join(lines[: usage.line - 1]), "", facts)


def _kept_percent(index: Index, contexts: Sequence[Context]) -> float:
    """What the graph filter keeps, a mean over the questions."""
    every = index.usages.live
    return round(100 * float(np.mean([reachable(index, each, every).mean() for each in contexts])), 1)


# Times


def _vector_times(place: Path, index: Index, vectors: NDArray[np.float32]) -> dict[str, Any]:
    """One search among the documents, by mask, exact and by HNSW."""
    generation, manifest = read_manifest(place / "index")
    dimension = int(manifest["encoder"]["dimension"])
    matrix = np.load(generation / "doc.npy", mmap_mode="r", allow_pickle=False)
    with tempfile.TemporaryDirectory() as folder:
        exact, hnsw, _ = _both_searches(Path(folder), matrix, dimension)
        masks = {share: _mask(index, share) for share in SHARES}
        return {
            f"vectors, {name}, {share} %": times
            for share, mask in masks.items()
            for name, times in _side_by_side({"exact": exact, "hnsw": hnsw}, vectors, mask)[0].items()
        }


def _lexical_times(index: Index, terms: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {f"BM25, {table}": _times(_lexical(index, table), terms) for table in TABLES}


def _lexical(index: Index, table: Table) -> Callable[[Sequence[str]], object]:
    keep = index.usages.live if table == "usage" else index.apis.live
    return lambda terms: index.lexical(table, terms, POOL, RAREST_TERMS, keep)


def _first_lists(index: Index, encoder: Encoder, contexts: Sequence[Context]) -> dict[str, Any]:
    """Of a first list: all of it, and all but the encoder's part; the latter also with letters typed."""
    typed = [replace(context, prefix=TYPED) for context in contexts]
    known = Engine(index, Known(encoder, contexts))
    return {
        "first list": _percentiles([_clocked(Engine(index, encoder), context) for context in contexts]),
        "first list, without the encoder": _times(lambda each: _first_list(known, each), contexts),
        "first list, letters typed, without the encoder": _times(
            lambda each: _first_list(known, each), typed
        ),
    }


def _first_list(engine: Engine, context: Context) -> object:
    return predict(engine, context, METHODS["fused"], first_only=True)


def _clocked(engine: Engine, context: Context) -> float:
    start = time.perf_counter()
    _first_list(engine, context)
    return 1000 * (time.perf_counter() - start)


class Known:
    """An encoder that has been asked before."""

    def __init__(self, encoder: Encoder, contexts: Sequence[Context]) -> None:
        self.files, self.dimension, self.state = encoder.files, encoder.dimension, encoder.state
        texts = list(dict.fromkeys(encoder_query(ExpandedQuery(context)) for context in contexts))
        self._vectors = dict(zip(texts, encoder.encode(texts), strict=True))

    def encode(self, texts: Sequence[str], stop: Stop | None = None) -> NDArray[np.float32]:
        return np.stack([self._vectors[text] for text in texts])


def _times(work: Callable[[Any], object], inputs: Sequence[Any]) -> dict[str, float]:
    work(inputs[0])  # what is read once is read before
    return _percentiles([_timed(work, each)[0] for each in inputs])


def _timed(work: Callable[[Any], Any], given: Any) -> tuple[float, Any]:
    start = time.thread_time()
    result = work(given)
    return 1000 * (time.thread_time() - start), result


def _percentiles(ms: Sequence[float]) -> dict[str, float]:
    middle, high = np.percentile(ms, (50, 95))
    return {"n": len(ms), "p50": round(float(middle), 3), "p95": round(float(high), 3)}


# Exact search and HNSW


def crossover(place: Path) -> list[dict[str, Any]]:
    """Both kinds of search over more and more rows, and how many of the nearest rows HNSW finds.

    The rows are documents and code of the index, mixed; the questions are those of `lookups`.
    """
    generation, manifest = read_manifest(place / "index")
    encoder, dimension = _encoder(), int(manifest["encoder"]["dimension"])
    index = open_index(place / "index", encoder.files.sha256)
    contexts = questions(index, place / "workspace")
    vectors = encoder.encode([encoder_query(ExpandedQuery(context)) for context in contexts])
    rows = np.concatenate(
        [np.load(generation / f"{table}.npy", allow_pickle=False) for table in ("doc", "code")]
    )
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    return [_crossing(rows[:count], vectors, dimension) for count in ROWS if count <= len(rows)]


def _crossing(rows: NDArray[np.float32], vectors: NDArray[np.float32], dimension: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        exact, hnsw, seconds = _both_searches(Path(folder), rows, dimension)
        times, found = _side_by_side({"exact": exact, "hnsw": hnsw}, vectors, np.ones(len(rows), np.bool_))
    shared = [len(np.intersect1d(*pair)) / len(pair[0]) for pair in zip(*found.values(), strict=True)]
    return {
        "rows": len(rows),
        **times,
        "recall_percent": round(100 * float(np.mean(shared)), 1),
        "link_seconds": round(seconds, 1),
    }


def _both_searches(folder: Path, rows: NDArray[np.float32], dimension: int) -> tuple[Vectors, Vectors, float]:
    """The same rows for exact search and for HNSW, and the seconds that the graph took."""
    np.save(folder / "doc.npy", rows, allow_pickle=False)
    start = time.process_time()  # hnswlib adds rows in a thread of its own
    write_hnsw(folder / "doc.hnsw", np.load(folder / "doc.npy", allow_pickle=False))
    seconds = time.process_time() - start
    exact = Vectors(folder, "doc", dimension, hnsw=False)
    return exact, Vectors(folder, "doc", dimension, exact_rows=0), seconds


def _side_by_side(
    searches: Mapping[str, Vectors], vectors: NDArray[np.float32], mask: Mask
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Times of each, and the rows that each found; by turns, so that a busy machine slows all alike."""
    ms: dict[str, list[float]] = {name: [] for name in searches}
    found: dict[str, list[Any]] = {name: [] for name in searches}
    for i, vector in enumerate([vectors[0], *vectors]):
        for name, search in searches.items():
            took, hits = _timed(partial(search.nearest, limit=POOL, keep=mask), vector)
            if i:  # the first reads the rows from the disk
                ms[name].append(took)
                found[name].append(hits[0])
    return {name: _percentiles(values) for name, values in ms.items()}, found


def _mask(index: Index, percent: int) -> Mask:
    """Keeps a part of the APIs: those of scopes in a random order, until there are enough."""
    scope = index.apis.scope
    order = np.random.default_rng(0).permutation(len(scope.values))[scope.numbers]
    keep = np.zeros(index.count, np.bool_)
    keep[np.argsort(order, kind="stable")[: max(1, index.count * percent // 100)]] = True
    return keep


def _encoder() -> Encoder:
    files = find_model("encoder")
    assert files, "the encoder ships with the package"
    return load_encoder(files)


def _resident_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
