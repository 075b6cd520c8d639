"""Models: where they lie, whether they are whole, and the objects that run them.

A models directory holds one folder a kind, each with its card model.json: `encoder/` (model.onnx,
tokenizer.json), `query/` (the same, for questions alone), `reranker/` (the same files),
`fusion/` (fusion.npz), `generator/` (one GGUF). A directory named by the user is looked up first, then the
user's data directory, then what ships in `assets/`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np
import platformdirs
from numpy.typing import NDArray

from .generation import sha256_file

Vectors = NDArray[np.float32]
ModelKind = Literal["encoder", "query", "fusion", "generator", "reranker"]
CARD = "model.json"
ASSETS = Path(__file__).parent / "assets"
SHIPPED: Mapping[ModelKind, Path] = MappingProxyType(
    {"encoder": ASSETS / "all-minilm-l6-v2", "fusion": ASSETS / "fusion"}
)

GENERATOR_START_SECONDS = 60.0
GENERATOR_RESTARTS = 3


class ModelProblem(Exception):
    """A model is missing, damaged or does not work; the message names the file and the way out."""


class Encoder(Protocol):
    """Texts to unit vectors."""

    files: ModelFiles
    dimension: int
    state: str

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors [len(texts), dimension] of length 1."""
        ...


class Generator(Protocol):
    """Continues text."""

    files: ModelFiles

    def start(self) -> None:
        """Be ready for the first request; raises ModelProblem."""
        ...

    def generate(self, prompt: str, max_tokens: int, timeout_ms: float) -> str:
        """Greedy continuation; shorter where the time is up. Raises ModelProblem."""
        ...

    @property
    def state(self) -> str: ...

    def cancel(self) -> None:
        """End the request under way, from any thread: it answers with what it has."""
        ...

    def close(self) -> None: ...


class Reranker(Protocol):
    """Query and documents to one score each."""

    files: ModelFiles
    state: str
    pair_ms: float  # that a pair takes on this machine

    def score(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """Scores [n], higher is better: of all documents, or of the first n where it was cancelled."""
        ...

    def cancel(self) -> None:
        """End the scoring under way, from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on disk: its folder and its card."""

    kind: ModelKind
    directory: Path
    card: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.card.get("name", self.directory.name))

    @property
    def sha256(self) -> str:
        """Of the file that holds the weights."""
        return str(self.card["sha256"][self.file])

    @property
    def file(self) -> str:
        """Name of the file that holds the weights."""
        return str(self.card.get("file", "model.onnx"))

    def path(self, file: str) -> Path:
        return self.directory / file


def data_directory() -> Path:
    """The user's own models, outside of any project."""
    home = os.environ.get("DEEPCODESEEK_DATA_HOME")
    base = Path(home) if home else platformdirs.user_data_path("deepcodeseek", appauthor=False)
    return base / "models"


def find_model(kind: ModelKind, *directories: Path | None) -> ModelFiles | None:
    """The model of a kind that is in use: of the directories named, the user's data directory, what ships."""
    places = [base / kind for base in (*directories, data_directory()) if base]
    places += [SHIPPED[kind]] if kind in SHIPPED else []
    for place in places:
        if place.is_dir():
            return ModelFiles(kind, place, _read_card(place / CARD))
    return None


def verify(model: ModelFiles) -> None:
    """Check the SHA-256 of each file that the card names; raises ModelProblem."""
    for name, expected in model.card["sha256"].items():
        path = model.path(name)
        try:
            found = sha256_file(path)
        except OSError as error:
            raise ModelProblem(f"{path} cannot be read ({error.strerror}): {_mend(model)}") from None
        if found != expected:
            raise ModelProblem(f"{path} is damaged (its SHA-256 differs from its card): {_mend(model)}")


def load_encoder(model: ModelFiles) -> OnnxEncoder:
    """Verify and load an encoder; raises ModelProblem."""
    verify(model)
    return OnnxEncoder(model)


class OnnxEncoder:
    """A sentence encoder in ONNX: token ids in, one unit vector a text out."""

    def __init__(self, model: ModelFiles) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = min(4, os.cpu_count() or 1)
        options.log_severity_level = 3
        # Waiting threads would spin, and take a core from the generator and the editor.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(model.path("model.onnx")),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=["SkipLayerNormFusion"],  # its kernel costs a fifth of the time
            )
            self._tokenizer = Tokenizer.from_file(str(model.path("tokenizer.json")))
            self._tokenizer.enable_truncation(int(model.card["max_tokens"]))
            self.dimension = int(model.card["dimension"])
        except Exception as error:
            raise ModelProblem(f"{model.directory} cannot be loaded: {error}") from None
        self._tokenizer.no_padding()
        self.files = model
        self.state = "loaded"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One text a run: int8 activations share a scale, and in a batch each would depend on the others.

        Costs a fifth of the rate, and the same text always has the same vector.
        """
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, encoding in enumerate(self._tokenizer.encode_batch(list(texts))):
            ids = np.array([encoding.ids], np.int64)
            inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            vectors[row] = self._session.run(["embedding"], inputs)[0][0]
        return vectors


class GeneratorProcess:
    """A GGUF model in a child process; restarted when it dies, given up after a few deaths."""

    def __init__(self, model: ModelFiles) -> None:
        verify(model)
        self.files = model
        self._path = model.path(model.file)
        self._lock = threading.Lock()  # one request at a time
        self._writing = threading.Lock()  # a cancel may come while a request is written
        self._flags: list[str] = []
        self._closed = False
        self._deaths = 0
        self._number = 0
        self._child: subprocess.Popen[str] | None = None
        self._lines: SimpleQueue[dict[str, Any] | None] = SimpleQueue()

    def generate(self, prompt: str, max_tokens: int, timeout_ms: float) -> str:
        with self._lock:
            self._ensure_started()
            self._number += 1
            request = {
                "id": self._number,
                "prompt": prompt,
                "max_tokens": max_tokens,
                "timeout_ms": timeout_ms,
            }
            self._send(request)
            # The child keeps the deadline itself; the margin is for one that hangs.
            return str(self._receive(timeout_ms / 1000 + 5.0, self._number)["text"])

    def cancel(self) -> None:
        self._send({"cancel": self._number})

    @property
    def state(self) -> str:
        """'not started', 'running' or 'given up'."""
        if self._deaths > GENERATOR_RESTARTS:
            return "given up"
        return "running" if self._child and self._child.poll() is None else "not started"

    def start(self) -> None:
        """Start and probe the child now instead of at the first request; raises ModelProblem."""
        with self._lock:
            self._ensure_started()

    def close(self) -> None:
        self._closed = True
        self._kill()

    def _kill(self) -> None:
        child, self._child = self._child, None
        if child:
            child.kill()
            child.wait()

    def _ensure_started(self) -> None:
        while self._child is None or self._child.poll() is not None:
            if self._closed:
                raise ModelProblem("the generator was closed")
            if self._deaths > GENERATOR_RESTARTS:
                raise ModelProblem(f"the generator died {self._deaths} times and is given up: {self._path}")
            self._spawn()
            try:
                self._receive(GENERATOR_START_SECONDS)
            except ModelProblem:
                # Repacked weights crash on some processors: the next try does without.
                if self._closed:
                    raise
                if self._flags:
                    self._deaths = GENERATOR_RESTARTS + 1
                    raise
                self._flags = ["--no-repack"]

    def _spawn(self) -> None:
        command = [sys.executable, "-I", "-m", "deepcodeseek.server.generator", str(self._path), *self._flags]
        self._lines = SimpleQueue()
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        threading.Thread(target=_forward, args=(self._child, self._lines), daemon=True).start()

    def _send(self, message: dict[str, Any]) -> None:
        child = self._child
        if child and child.stdin:
            # A dead child is noticed where its answer is missed.
            with self._writing, contextlib.suppress(OSError, ValueError):
                child.stdin.write(json.dumps(message) + "\n")
                child.stdin.flush()

    def _receive(self, seconds: float, number: int | None = None) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while True:
            try:
                message = self._lines.get(timeout=max(0.01, end - time.monotonic()))
            except Empty:
                raise self._died("did not answer in time") from None
            if message is None:
                raise self._died(_cause(self._child))
            if "error" in message:
                raise self._died(str(message["error"]))
            if number is None or message.get("id") == number:
                return message

    def _died(self, cause: str) -> ModelProblem:
        self._kill()
        self._deaths += 1
        return ModelProblem(f"the generator {cause}: {self._path}")


def _forward(child: subprocess.Popen[str], lines: SimpleQueue[dict[str, Any] | None]) -> None:
    assert child.stdout
    for line in child.stdout:
        lines.put(json.loads(line))
    lines.put(None)


def _cause(child: subprocess.Popen[str] | None) -> str:
    status = child.wait() if child else None
    if status is not None and status < 0:
        return f"died ({signal.Signals(-status).name})"
    return f"ended (status {status})"


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelProblem(f"the model card {path} cannot be read: {error}") from None
    if not isinstance(card, dict):
        raise ModelProblem(f"the model card {path} is not an object")
    hashes = card.get("sha256")
    if not isinstance(hashes, dict) or str(card.get("file", "model.onnx")) not in hashes:
        raise ModelProblem(f"the model card {path} states no SHA-256 of a model file")
    return card


def _mend(model: ModelFiles) -> str:
    return "run `deepcodeseek models get`" if model.kind == "generator" else "reinstall deepcodeseek"
