"""A causal language model in ONNX that says whether a document answers a query: yes or no.

The score is the logit of yes less that of no at the last position, of which softmax makes the probability of
yes (Qwen3-Reranker, arXiv 2506.05176). What all documents of a query share, the instruction and the query, is
computed once: its keys and values are inputs of the graph.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .cross_encoder import check_golden, scores_of
from .models import ModelFiles, OnnxGraph, check_texts, trying, verify
from .stop import Stop
from .text import CAUSAL_BETWEEN, CAUSAL_ENDING, CAUSAL_OPENING, CAUSAL_TEXT_VERSION, causal_text

QUERY_TOKENS = 256
DOCUMENT_TOKENS = 192
USUAL_TOKENS = 75  # of a query, and of a document
Tokens = tuple[int, ...]


def load_causal(model: ModelFiles) -> CausalReranker:
    """Verify and load a causal reranker; raises ModelProblem, also where golden lists come out otherwise."""
    verify(model)
    with trying(model):
        reranker = CausalReranker(model)
        check_golden(reranker)
        return reranker


class Prompts:
    """Query and document to token ids; `encode` adds no tokens of its own. Training makes them here too."""

    def __init__(self, encode: Callable[[list[str]], Sequence[Sequence[int]]]) -> None:
        self._encode = encode
        pieces = encode([CAUSAL_OPENING, CAUSAL_BETWEEN, CAUSAL_ENDING])
        self._opening, self._between, self._ending = map(tuple, pieces)

    def query(self, text: str) -> Tokens:
        """What stands before every document."""
        (ids,) = self._encode([causal_text(text)])
        return (*self._opening, *ids[:QUERY_TOKENS], *self._between)

    def documents(self, texts: Sequence[str]) -> list[Tokens]:
        """Each document up to the place of the answer."""
        every = self._encode([causal_text(text) for text in texts])
        return [(*ids[:DOCUMENT_TOKENS], *self._ending) for ids in every]


@dataclass(frozen=True, slots=True)
class _Read:
    """Tokens, and keys and values [1, heads, tokens, dimension] of each layer."""

    ids: Tokens
    cache: tuple[Any, ...]


class CausalReranker:
    """Documents one by one, all after the same query."""

    def __init__(self, model: ModelFiles) -> None:
        card = model.card
        check_texts(model, CAUSAL_TEXT_VERSION)
        self._graph = OnnxGraph(model)
        self._prompts = Prompts(lambda texts: [each.ids for each in self._graph.tokens(texts, special=False)])
        numbers = range(int(card["layers"]))
        self._names = [f"{part}_{number}" for number in numbers for part in ("key", "value")]
        nothing = np.zeros((1, int(card["kv_heads"]), 0, int(card["head_dim"])), np.float32)
        self._nothing = self._last = _Read((), (nothing,) * len(self._names))
        self._weight = float(card.get("weight", 1.0))
        self.files = model
        self.query_ms, self.pair_ms = self._measured()

    def each(self, query: str, documents: Sequence[str], stop: Stop) -> Iterator[float]:
        shared = self._read(self._prompts.query(query), stop)
        for ids in self._prompts.documents(documents):
            (score,) = self._graph.run(["score"], self._inputs(ids, shared), stop)[0]
            yield float(score) * self._weight

    def _read(self, ids: Tokens, stop: Stop) -> _Read:
        """The keys and values of a prompt; what it begins with like the last one is kept."""
        common = _common(ids, self._last.ids[: len(ids) - 1])
        past = _Read(ids[:common], tuple(part[:, :, :common] for part in self._last.cache))
        outputs = [f"present_{name}" for name in self._names]
        read = _Read(ids, tuple(self._graph.run(outputs, self._inputs(ids[common:], past), stop)))
        self._last = read
        return read

    def _inputs(self, ids: Tokens, past: _Read) -> dict[str, Any]:
        cache = zip(self._names, past.cache, strict=True)
        return {"input_ids": np.array([ids], np.int64), **{f"past_{name}": part for name, part in cache}}

    def _measured(self) -> tuple[float, float]:
        """Milliseconds that a query and a document of usual length take here."""
        text = " ".join(["record"] * USUAL_TOKENS)
        self._last = self._nothing
        times = []
        for documents in ([], [text]):
            started = time.perf_counter()
            scores_of(self, text, documents)
            times.append((time.perf_counter() - started) * 1000)
        return times[0], times[1]


def _common(first: Tokens, second: Tokens) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(first), len(second)))
