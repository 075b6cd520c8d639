"""Time and memory of causal rerankers of real size, whose weights are random, beside the compact one.

    python -m deepcodeseek.index_builder.bench_causal --out results/causal.json [--shapes 0.6B,8B]

For each shape and number of bits a graph is written (export_causal_graph.py) and run in a process of its own:
a shared prompt of QUERY tokens and documents of DOCUMENT tokens, which is what the texts of text.py come to.
Naive scoring reads the whole prompt for each candidate. Of the 8B shape few layers are built, and what one
layer takes is multiplied: the file says so. Needs the extra [train].
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepcodeseek.server.cross_encoder import load_reranker
from deepcodeseek.server.models import CARD, SHIPPED, ModelFiles, onnx_session, read_card

from .atomic import write_lines
from .bench_scale import apart, machine
from .export_causal_graph import DATA, GRAPH, Bits, Shape, write_graph

QUERY, DOCUMENT = 180, 90  # tokens: instruction and query; document and the end of the template
CANDIDATES = (5, 10, 20, 40)
SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        # As the config.json of Qwen3-Reranker-0.6B and -8B have them.
        "0.6B": Shape(28, 1024, 16, 8, 128, 3072, 151_669, 1e6, 1e-6, True),
        "8B": Shape(36, 4096, 32, 8, 128, 12_288, 151_665, 1e6, 1e-6, True),
    }
)
BUILT_LAYERS: Mapping[str, tuple[int, ...]] = MappingProxyType({"0.6B": (28,), "8B": (2, 4)})
"""How many are built: all, or two numbers that tell what one layer takes."""


DESCRIPTION = (
    f"Random weights of the real shapes, on two cores: a shared prompt of {QUERY} tokens, candidates of "
    f"{DOCUMENT}. Memory is the process's peak. Of 8B two and four layers are built, and what a layer takes "
    "is multiplied."
)


@dataclass(frozen=True, slots=True)
class Times:
    """Of one graph, in milliseconds: a shared prompt, a document after it, and a whole prompt (naive)."""

    load: float
    query: float
    document: float
    naive: float


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the file of results")
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--repeats", type=int, default=3, help="the median counts")
    given = parser.parse_args()
    rows = [row for name in given.shapes.split(",") for row in measured(name, given.repeats)]
    content = {
        "description": DESCRIPTION,
        "command": "python -m deepcodeseek.index_builder.bench_causal --out causal.json",
        "repeats": given.repeats,
        "machine": machine(),
        "tokens": {"query": QUERY, "document": DOCUMENT},
        "rows": [compact(), *rows],
    }
    write_lines(given.out, [json.dumps(content, indent=1)])


def measured(name: str, repeats: int) -> list[dict[str, Any]]:
    """The rows of a shape: with 8 and with 4 bits."""
    rows = []
    for bits in (8, 4):
        parts = [_built(replace(SHAPES[name], layers=layers), bits, repeats) for layers in BUILT_LAYERS[name]]
        rows.append(_row(name, bits, parts))
    return rows


def compact() -> dict[str, Any]:
    """The row of the cross-encoder that ships: a pair is read as a whole."""
    folder = SHIPPED["reranker"]
    pair, peak = apart(_compact_pair, folder)
    return {
        "model": "compact, 22.7 M", "bits": 8, "peak_mb": peak,
        "disk_mb": round((folder / "model.onnx").stat().st_size / 1e6),
        "naive_ms": {str(n): round(n * pair) for n in CANDIDATES},
    }  # fmt: skip


def _compact_pair(folder: Path) -> float:
    return load_reranker(ModelFiles("reranker", folder, read_card(folder / CARD))).pair_ms


def _built(shape: Shape, bits: Bits, repeats: int) -> tuple[Shape, Times, int, int]:
    """A graph's shape, its times, the most megabytes that its process held, and its bytes on disk."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_graph(shape, _random(shape), np.zeros(shape.width, np.float32), bits, place)
        (place / "shape.json").write_text(json.dumps(asdict(shape)))
        size = sum((place / file).stat().st_size for file in (GRAPH, DATA))
        times, peak = apart(partial(_times, repeats=repeats), place)
    return shape, times, peak, size


def _times(place: Path, repeats: int) -> Times:
    shape = Shape(**json.loads((place / "shape.json").read_bytes()))
    started = time.perf_counter()
    graph = _Graph(place, shape)
    load = (time.perf_counter() - started) * 1000
    rng = np.random.default_rng(0)
    prompt, document = (rng.integers(0, shape.vocabulary, n).tolist() for n in (QUERY, DOCUMENT))
    past = graph.read(prompt)

    def median(work: Callable[[], object]) -> float:
        return float(np.median([_clocked(work) for _ in range(repeats)]))

    return Times(
        load=load,
        query=median(lambda: graph.read(prompt)),
        document=median(lambda: graph.score(document, past)),
        naive=median(lambda: graph.score([*prompt, *document], graph.nothing)),
    )


class _Graph:
    """A graph without a tokenizer: tokens in, caches and scores out."""

    def __init__(self, place: Path, shape: Shape) -> None:
        self._session = onnx_session(place / GRAPH)
        self._names = [f"{part}_{n}" for n in range(shape.layers) for part in ("key", "value")]
        empty = np.zeros((1, shape.kv_heads, 0, shape.head_dim), np.float32)
        self.nothing = [empty] * len(self._names)

    def read(self, ids: list[int]) -> list[Any]:
        """The keys and values of a prompt."""
        cache: list[Any] = self._run([f"present_{name}" for name in self._names], ids, self.nothing)
        return cache

    def score(self, ids: list[int], past: list[Any]) -> float:
        """Of the tokens after those whose keys and values are given."""
        return float(self._run(["score"], ids, past)[0][0])

    def _run(self, outputs: list[str], ids: list[int], past: list[Any]) -> Any:
        cache = {f"past_{name}": part for name, part in zip(self._names, past, strict=True)}
        return self._session.run(outputs, {"input_ids": np.array([ids], np.int64), **cache})


def _row(name: str, bits: Bits, built: list[tuple[Shape, Times, int, int]]) -> dict[str, Any]:
    """What a shape takes, by all its layers or by two numbers of them."""
    whole = SHAPES[name]
    numbers = [(*asdict(times).values(), float(peak), size / 1e6) for _, times, peak, size in built]
    load, query, document, naive, peak, disk = _extended(
        [shape.layers for shape, *_ in built], np.array(numbers), whole.layers
    )
    return {
        "model": name,
        "bits": bits,
        "layers_built": [shape.layers for shape, *_ in built],
        "parameters_million": round(whole.parameters / 1e6),
        "disk_mb": round(disk),
        "peak_mb": round(peak),
        "load_ms": round(load),
        "query_ms": round(query),
        "document_ms": round(document),
        "naive_ms": {str(n): round(n * naive) for n in CANDIDATES},
        "shared_ms": {str(n): round(query + n * document) for n in CANDIDATES},
    }


def _extended(layers: list[int], numbers: NDArray[np.float64], whole: int) -> list[float]:
    """The numbers [built, n] at so many layers: as they are, or on the line through two of them."""
    if len(layers) == 1:
        return list(map(float, numbers[0]))
    each = (numbers[1] - numbers[0]) / (layers[1] - layers[0])
    return list(map(float, numbers[1] + each * (whole - layers[1])))


def _random(shape: Shape) -> Callable[[str], NDArray[np.float32]]:
    """Weights of a shape by their names: a normal distribution, norms of one."""
    rng = np.random.default_rng(0)
    heads, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    sizes = {
        "embed_tokens": (shape.vocabulary, shape.width), "q_proj": (heads, shape.width),
        "k_proj": (kv, shape.width),
        "v_proj": (kv, shape.width), "o_proj": (shape.width, heads), "gate_proj": (shape.inner, shape.width),
        "up_proj": (shape.inner, shape.width), "down_proj": (shape.width, shape.inner),
        "q_norm": (shape.head_dim,), "k_norm": (shape.head_dim,),
    }  # fmt: skip

    def weight(name: str) -> NDArray[np.float32]:
        size = sizes.get(name.split(".")[-2], (shape.width,))
        if len(size) == 1:
            return np.ones(size, np.float32)
        return rng.standard_normal(size, np.float32) * np.float32(0.02)

    return weight


def _clocked(work: Callable[[], object]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
