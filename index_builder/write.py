"""Write a generation: the database, the vectors, and the manifest that vouches for them."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from deepcodeseek.server import __version__, text
from deepcodeseek.server.generation import DATABASE, MANIFEST, SCHEMA_VERSION, Table, sha256_file
from deepcodeseek.server.models import Encoder, Vectors
from deepcodeseek.server.vectors import EXACT_ROWS

from .cache import Cache, digest
from .database import Content, write_database
from .generations import write_synced
from .progress import Progress

HNSW_M = 16
HNSW_EF_CONSTRUCTION = 200
ENCODE_ROWS = 32  # texts between two steps of the progress bar
VECTOR = "vector"


def write_generation(
    generation: Path, content: Content, encoder: Encoder, cache: Cache, progress: Progress
) -> None:
    """Write all files of a generation into its empty folder."""
    progress("writing", 0, 1)
    write_database(generation / DATABASE, content)
    texts = _encoder_texts(content)
    made = _vectors(list(chain.from_iterable(texts.values())), encoder, cache, progress)
    start = 0
    for table, every in texts.items():
        _write_vectors(generation, table, made[start : start + len(every)], progress)
        start += len(every)
    progress("writing", 0, 1)
    _write_manifest(generation, encoder, content)


# Vectors


def _encoder_texts(content: Content) -> dict[Table, list[str]]:
    return {
        "doc": [text.encoder_document(api) for api in content.apis],
        "code": [text.encoder_code(api) for api in content.apis],
        "usage": [text.encoder_usage(usage.record_name, usage.context) for usage in content.usages],
    }


def _vectors(texts: Sequence[str], encoder: Encoder, cache: Cache, progress: Progress) -> Vectors:
    """Vectors [texts, d]; a text that was encoded before is not encoded again."""
    progress("embedding", 0, 1)
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
    link_vectors(generation, table, vectors, progress)


def link_vectors(generation: Path, table: Table, vectors: Vectors, progress: Progress) -> None:
    """Write a graph beside vectors that are too many to be searched exactly."""
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
        "options": asdict(content.options),
        "files": {path.name: file_entry(path) for path in sorted(generation.iterdir())},
    }
    write_synced(generation / MANIFEST, json.dumps(manifest, indent=2))


def file_entry(path: Path) -> dict[str, Any]:
    """What a manifest says of a file."""
    return {"sha256": sha256_file(path), "bytes": path.stat().st_size}
