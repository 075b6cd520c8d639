"""A compact cross-encoder in ONNX: the tokens of a pair in, one score out."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import numpy as np

from .lexical import Scores
from .models import ModelFiles, ModelProblem, verify
from .text import RERANKER_TEXT_VERSION

GOLDEN_MARGIN = 0.3  # scores nearer than this may change places: int8 differs between processors


def load_reranker(model: ModelFiles) -> OnnxReranker:
    """Verify and load a cross-encoder; raises ModelProblem, also where golden pairs come out otherwise."""
    verify(model)
    return OnnxReranker(model)


class OnnxReranker:
    """Scores pairs one by one, so that a pair has one score whatever stands beside it.

    int8 activations share a scale in a batch; and between two pairs it can be told to end.
    """

    def __init__(self, model: ModelFiles) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        if model.card.get("text_version") != RERANKER_TEXT_VERSION:
            raise ModelProblem(f"{model.directory} was trained on other texts than this version makes")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = min(4, os.cpu_count() or 1)
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as the encoder's
        try:
            self._session = onnxruntime.InferenceSession(
                str(model.path(model.file)), options, providers=["CPUExecutionProvider"]
            )
            self._tokenizer = Tokenizer.from_file(str(model.path("tokenizer.json")))
            self._tokenizer.enable_truncation(int(model.card["max_tokens"]), strategy="longest_first")
        except Exception as error:
            raise ModelProblem(f"{model.directory} cannot be loaded: {error}") from None
        self._tokenizer.no_padding()
        self._run_options = onnxruntime.RunOptions
        self._running = onnxruntime.RunOptions()
        self.files = model
        self.state = "loaded"
        self.pair_ms = self._check_golden()

    def score(self, query: str, documents: Sequence[str]) -> Scores:
        """Scores [n], higher is better; n is less than the documents' where it was cancelled meanwhile."""
        self._running = running = self._run_options()
        scores: list[float] = []
        for encoding in self._tokenizer.encode_batch([(query, document) for document in documents]):
            ids, types = (np.array([row], np.int64) for row in (encoding.ids, encoding.type_ids))
            inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types}
            try:
                scores.append(float(self._session.run(["score"], inputs, running)[0][0]))
            except Exception:
                if not running.terminate:
                    raise
                break
        return np.array(scores, np.float32)

    def cancel(self) -> None:
        """End the scoring under way, from any thread, also inside of the native call."""
        self._running.terminate = True

    def _check_golden(self) -> float:
        """Milliseconds that a pair takes here, found while the golden pairs are put in order."""
        taken, pairs = 0.0, 0
        for golden in self.files.card["golden"]:
            documents = golden["documents"]
            started = time.perf_counter()
            scores = self.score(golden["query"], documents)
            taken, pairs = taken + time.perf_counter() - started, pairs + len(documents)
            expected = np.array(golden["scores"], np.float32)
            clear = expected[:, None] - expected[None, :] > GOLDEN_MARGIN
            if np.any(clear & (scores[:, None] <= scores[None, :])):
                raise ModelProblem(
                    f"{self.files.directory} ranks its golden pairs otherwise than it was made to"
                )
        return taken * 1000 / max(1, pairs)
