"""A compact cross-encoder in ONNX: the tokens of a pair in, one score out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from .lexical import Scores
from .models import ModelFiles, ModelProblem, OnnxGraph, Readable, check_texts, trying, verify
from .stop import Stop
from .text import RERANKER_TEXT_VERSION

USUAL_TOKENS = 150  # of a pair
MEASURED = 3  # pairs, when it is loaded
GOLDEN_MARGIN = 0.3  # scores nearer than this may change places: int8 differs between processors


def load_reranker(model: ModelFiles) -> OnnxReranker:
    """Verify and load a cross-encoder; raises ModelProblem, also where golden pairs come out otherwise."""
    verify(model)
    with trying(model):
        reranker = OnnxReranker(model)
        check_golden(reranker)
        return reranker


class OnnxReranker:
    """Scores pairs one by one: in a batch int8 activations share a scale, and pairs depend on each other."""

    def __init__(self, model: ModelFiles) -> None:
        check_texts(model, RERANKER_TEXT_VERSION)
        self._graph = OnnxGraph(model)
        self.files = model
        self.query_ms = 0.0
        self.pair_ms = self._measured()

    def each(self, query: str, documents: Sequence[str], stop: Stop) -> Iterator[float]:
        for encoding in self._graph.tokens([(query, document) for document in documents]):
            ids, types = (np.array([values], np.int64) for values in (encoding.ids, encoding.type_ids))
            inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types}
            yield float(self._graph.run(["score"], inputs, stop)[0][0])

    def _measured(self) -> float:
        """Milliseconds that a pair of usual length takes here."""
        text = " ".join(["record"] * (USUAL_TOKENS // 2))
        started = time.perf_counter()
        scores_of(self, text, [text] * MEASURED)
        return (time.perf_counter() - started) * 1000 / MEASURED


def scores_of(reranker: Readable, query: str, documents: Sequence[str], stop: Stop | None = None) -> Scores:
    """Scores [len(documents)], higher is better. Raises Stopped as soon as `stop` is set."""
    return np.fromiter(reranker.each(query, documents, stop or Stop()), np.float32, len(documents))


def check_golden(reranker: Readable) -> None:
    """Raises ModelProblem where documents that the card tells apart come out in another order, or it tells
    none apart: that would check nothing."""
    pairs = 0
    for golden in reranker.files.card["golden"]:
        scores = scores_of(reranker, golden["query"], golden["documents"])
        expected = np.array(golden["scores"], np.float32)
        clear = expected[:, None] - expected[None, :] > GOLDEN_MARGIN
        pairs += int(clear.sum())
        if not np.all(scores[:, None] > scores[None, :], where=clear):  # no NaN is more than another
            raise ModelProblem(f"{reranker.files.directory} ranks its golden lists otherwise than it should")
    if not pairs:
        raise ModelProblem(f"{reranker.files.directory} has no golden lists that tell documents apart")
