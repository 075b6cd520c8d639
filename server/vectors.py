"""Unit vectors: exact search where few rows are asked, HNSW where there are many and most of them are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .generation import REBUILD, IndexProblem, Table
from .lexical import Hits, Mask, Scores, best

HNSW_MAX_EF = 512
FURTHER = 1.25  # than a mask that is spread evenly would need

EXACT_ROWS = 32_768
"""Up to so many rows are searched exactly: it misses nothing and needs no graph, which takes long to build.
Both take the same time at 16,384 rows where memory gives 20 GB/s, and at more where it is faster or the rows
lie in a cache; at 32,768 rows exact search takes 2.2 ms, HNSW 1.6 ms, and of the nearest 200 it misses 4
(see LOG.md). A laptop's memory gives 20 to 40 GB/s."""

BLOCK_ROWS = 64
GATHER_COST = 5
"""Copying a row out of the matrix takes as long as multiplying so many where they lie (see LOG.md)."""


class Vectors:
    """One table of one layer. Without its HNSW file it is searched exactly, however large.

    `exact_rows` stands in for EXACT_ROWS where the two kinds of search are compared.
    """

    def __init__(
        self,
        generation: Path,
        table: Table,
        dimension: int,
        hnsw: bool = True,
        exact_rows: int | None = None,
    ) -> None:
        self._exact_rows = EXACT_ROWS if exact_rows is None else exact_rows
        mapped = np.load(generation / f"{table}.npy", mmap_mode="r", allow_pickle=False)
        self._matrix: NDArray[np.float32] = np.asarray(mapped)  # slices of a memmap cost more than they do
        if self._matrix.shape[1:] != (dimension,):
            raise IndexProblem(f"{generation / table}.npy has not {dimension} columns: {REBUILD}")
        self._hnsw: Any = None
        path = generation / f"{table}.hnsw"
        if hnsw and len(self._matrix) > self._exact_rows and path.is_file():
            self._hnsw = _load_hnsw(path, dimension)

    def __len__(self) -> int:
        return len(self._matrix)

    @property
    def matrix(self) -> NDArray[np.float32]:
        """[rows, d], read-only."""
        return self._matrix

    def nearest(self, vector: Scores, limit: int, keep: Mask) -> Hits:
        """The `limit` rows nearest to `vector` [d] among those that `keep` [rows] allows, best first."""
        kept = int(keep.sum())
        # A filter inside hnswlib costs a Python call for each visited node: look further and drop instead.
        wanted = FURTHER * limit * len(self) / max(1, kept)
        if self._hnsw is None or kept <= self._exact_rows or wanted > HNSW_MAX_EF:
            return self._exact(vector, limit, keep)
        try:
            labels, distances = self._hnsw.knn_query(vector, k=min(len(self), int(wanted)))
        except RuntimeError:  # too few were reached, as among many equal vectors
            return self._exact(vector, limit, keep)
        ids = labels[0].astype(np.int64)
        allowed = keep[ids]
        if int(allowed.sum()) < min(limit, kept):
            return self._exact(vector, limit, keep)
        return best(ids[allowed], (1.0 - distances[0])[allowed].astype(np.float32), limit)

    def _exact(self, vector: Scores, limit: int, keep: Mask) -> Hits:
        ids = np.flatnonzero(keep)
        spans = _spans(keep)
        if GATHER_COST * len(ids) < sum(end - start for start, end in spans):
            return best(ids, self._matrix[ids] @ vector, limit)
        scores = np.empty(len(self), np.float32)
        for start, end in spans:
            np.dot(self._matrix[start:end], vector, out=scores[start:end])
        return best(ids, scores[ids], limit)


def _spans(keep: Mask) -> list[tuple[int, int]]:
    """Beginning and end of the rows to multiply, in blocks: what the graph filter drops lies together."""
    if not len(keep):
        return []
    wanted = np.logical_or.reduceat(keep, np.arange(0, len(keep), BLOCK_ROWS))
    edges = np.flatnonzero(np.diff(wanted.astype(np.int8), prepend=0, append=0)) * BLOCK_ROWS
    return list(zip(edges[::2].tolist(), np.minimum(edges[1::2], len(keep)).tolist(), strict=True))


def nearest(layers: Sequence[Vectors], vector: Scores, limit: int, keep: Mask) -> Hits:
    """The best rows of all layers; ids count on from one layer to the next, as `keep` [all rows] does."""
    starts = accumulate(map(len, layers), initial=0)
    found = [
        (start, layer.nearest(vector, limit, keep[start : start + len(layer)]))
        for start, layer in zip(starts, layers, strict=False)
    ]
    ids = np.concatenate([start + hits[0] for start, hits in found])
    return best(ids, np.concatenate([hits[1] for _, hits in found]), limit)


def _load_hnsw(path: Path, dimension: int) -> Any:
    import hnswlib

    graph = hnswlib.Index(space="ip", dim=dimension)
    graph.load_index(str(path))
    graph.set_num_threads(1)
    graph.set_ef(HNSW_MAX_EF)
    return graph
