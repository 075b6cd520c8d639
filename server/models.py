"""Models: where they lie, whether they are whole, and the objects that run them.

A models directory holds one folder a kind, each with its card model.json: `encoder/` (model.onnx,
tokenizer.json), `query/` (the same, for questions alone), `reranker/` (the same files), `causal/` (the same
and model.onnx.data), `fusion/` (fusion.npz), `generator/` (one GGUF), `adapter/` (a GGUF of what was learned
over that one). A directory named by the user is looked up first, then the user's data directory, then what
ships in `assets/`. Of what an engine can do without, one that does not load gives way to the next place.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import platformdirs
from numpy.typing import NDArray

from .generation import sha256_file
from .stop import Stop
from .types import Prompt

Vectors = NDArray[np.float32]
T = TypeVar("T")
ModelKind = Literal["encoder", "query", "fusion", "generator", "adapter", "reranker", "causal"]
CARD = "model.json"
ASSETS = Path(__file__).parent / "assets"
SHIPPED: Mapping[ModelKind, Path] = MappingProxyType(
    {
        "encoder": ASSETS / "all-minilm-l6-v2",
        "fusion": ASSETS / "fusion",
        "reranker": ASSETS / "reranker",
        "adapter": ASSETS / "adapter",
    }
)


class ModelProblem(Exception):
    """A model is missing, damaged or does not work; the message names the file and the way out."""


class LeftOut(ModelProblem):
    """Nothing is wrong with a model, but it is not to be used here; the message says why."""


class Encoder(Protocol):
    """Texts to unit vectors."""

    files: ModelFiles
    dimension: int
    state: str

    def encode(self, texts: Sequence[str], stop: Stop | None = None) -> Vectors:
        """Vectors [len(texts), dimension] of length 1. Raises Stopped as soon as `stop` is set."""
        ...


class Generator(Protocol):
    """Writes what a prompt asks for."""

    files: ModelFiles
    adapter: ModelFiles | None

    def start(self) -> None:
        """Be ready for the first request; raises ModelProblem."""
        ...

    def generate(self, prompt: Prompt, max_tokens: int, timeout_ms: float, stop: Stop | None = None) -> str:
        """Greedily, up to the prompt's end and no further; shorter where tokens or time are up.

        Raises ModelProblem, and Stopped by `stop`.
        """
        ...

    @property
    def state(self) -> str: ...

    def rest(self) -> None:
        """Give its memory back until the next request."""
        ...

    def close(self) -> None: ...


class Readable(Protocol):
    """Query and documents to one score each."""

    files: ModelFiles
    query_ms: float  # that a query took on this machine, before its documents, when it was loaded
    pair_ms: float  # and each document

    def each(self, query: str, documents: Sequence[str], stop: Stop) -> Iterator[float]:
        """The score of each document once it is read, higher is better. Raises Stopped by `stop`."""
        ...


class Reranker(Readable, Protocol):
    """One that need not be in memory."""

    @property
    def state(self) -> str: ...

    def start(self) -> None:
        """Be ready for the first question; raises ModelProblem."""
        ...

    def rest(self) -> None:
        """Give its memory back until the next request."""
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

    @property
    def is_adapted(self) -> bool:
        """Whether `train adapt` made it. An adapter's card tells by that word what the adapter is worth."""
        return self.kind != "adapter" and ("adapted" in self.card or self.name == "adapted")

    def path(self, file: str) -> Path:
        return self.directory / file


def data_directory() -> Path:
    """The user's own models, outside of any project."""
    home = os.environ.get("DEEPCODESEEK_DATA_HOME")
    base = Path(home) if home else platformdirs.user_data_path("deepcodeseek", appauthor=False)
    return base / "models"


def model_folders(kind: ModelKind, *directories: Path | None) -> list[Path]:
    """Where a model of a kind lies: in the directories named, the user's data directory, what ships."""
    places = [base / kind for base in (*directories, data_directory()) if base]
    places += [SHIPPED[kind]] if kind in SHIPPED else []
    return [place for place in dict.fromkeys(places) if place.is_dir()]


def find_model(kind: ModelKind, *directories: Path | None) -> ModelFiles | None:
    """The first model of a kind, or none; raises ModelProblem where its card is damaged."""
    return next((read_model(kind, place) for place in model_folders(kind, *directories)), None)


def first_usable(
    kind: ModelKind, load: Callable[[ModelFiles], T], without: str, *directories: Path | None
) -> tuple[T | None, tuple[str, ...]]:
    """What `load` makes of the first model of a kind that it can, and a note on each before that one.

    A note ends with what is used instead; `without` says it where there is no other.
    """
    problems: list[str] = []
    for place in model_folders(kind, *directories):
        model = ModelFiles(kind, place, {})
        try:
            model = read_model(kind, place)
            loaded = load(model)
        except LeftOut as reason:
            problems.append(str(reason))
        except ModelProblem as problem:
            problems.append(_with_mend(str(problem), model))
        else:
            return loaded, tuple(f"{said}; {place} is used instead" for said in problems)
    return None, tuple(f"{said}; {without}" for said in problems)


def stamp_of(kind: ModelKind, *directories: Path | None) -> str:
    """Another one as soon as a model of a kind comes, goes or is mended, in any place that is looked in.

    A damaged file and a whole one may be named by the same card, so that the files themselves are looked at.
    """
    stamps = map(_stamp, model_folders(kind, *directories))
    return sha256("\n".join(stamps).encode(errors="surrogateescape")).hexdigest()[:16]


def _stamp(folder: Path) -> str:
    """Its path, names, sizes and times of its files: hashing these would take too long to be done often."""
    try:
        states = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
    except OSError as error:  # it is being replaced
        return f"{folder}: {error.strerror}"
    return " ".join((str(folder), *(f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states)))


def shipped(kind: ModelKind) -> ModelFiles:
    """The model of a kind that ships, whatever is installed; raises ModelProblem."""
    return read_model(kind, SHIPPED[kind])


def read_model(kind: ModelKind, folder: Path) -> ModelFiles:
    """The model in a folder, by its card; raises ModelProblem."""
    try:
        return ModelFiles(kind, folder, read_card(folder / CARD))
    except ModelProblem as problem:
        raise ModelProblem(_with_mend(str(problem), ModelFiles(kind, folder, {}))) from None


def verify(model: ModelFiles) -> None:
    """Check the SHA-256 of each file that the card names; raises ModelProblem."""
    for name, expected in model.card["sha256"].items():
        path = model.path(name)
        try:
            found = sha256_file(path)
        except OSError as error:
            raise ModelProblem(f"{path} cannot be read ({error.strerror}): {mend_of(model)}") from None
        if found != expected:
            raise ModelProblem(f"{path} is damaged (its SHA-256 differs from its card): {mend_of(model)}")


def check_texts(model: ModelFiles, version: str) -> None:
    """Raises ModelProblem where it was made for texts of another version than this one makes."""
    if model.card.get("text_version") != version:
        raise ModelProblem(f"{model.directory} was made for other texts than this version makes")


@contextmanager
def trying(model: ModelFiles) -> Iterator[None]:
    """Whatever goes wrong inside with a model is a ModelProblem, which names it."""
    try:
        yield
    except ModelProblem:
        raise
    except Exception as error:  # of a card that lacks something, or one of onnxruntime's own
        said = " ".join(str(error).split()) or type(error).__name__
        said = f"its card states no {said}" if isinstance(error, KeyError) else said
        raise ModelProblem(f"{model.directory} cannot be used as {model.kind}: {said}") from None


def load_encoder(model: ModelFiles) -> OnnxEncoder:
    """Verify and load an encoder; raises ModelProblem."""
    verify(model)
    with trying(model):
        return OnnxEncoder(model)


class OnnxEncoder:
    """A sentence encoder in ONNX: token ids in, one unit vector a text out."""

    def __init__(self, model: ModelFiles) -> None:
        self._graph = OnnxGraph(model)
        self.dimension = int(model.card["dimension"])
        self.files = model
        self.state = "loaded"

    def encode(self, texts: Sequence[str], stop: Stop | None = None) -> Vectors:
        """One text a run: int8 activations share a scale, and in a batch each would depend on the others.

        Costs a fifth of the rate, and the same text always has the same vector.
        """
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, encoding in enumerate(self._graph.tokens(list(texts))):
            ids = np.array([encoding.ids], np.int64)
            inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            vectors[row] = self._graph.run(["embedding"], inputs, stop or Stop())[0][0]
        return vectors


def onnx_session(path: Path) -> Any:
    """A session of onnxruntime as all models here run in; raises what the library does."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = min(4, os.cpu_count() or 1)
    options.log_severity_level = 3
    # Waiting threads would spin, and take a core from the generator and the editor.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        str(path),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["SkipLayerNormFusion"],  # its kernel costs a fifth of the time
    )


class OnnxGraph:
    """A graph of onnxruntime, and its tokenizer. Raises ModelProblem where they are damaged."""

    def __init__(self, model: ModelFiles) -> None:
        from tokenizers import Tokenizer

        try:
            self._session = onnx_session(model.path(model.file))
            self._tokenizer = Tokenizer.from_file(str(model.path("tokenizer.json")))
            self._tokenizer.enable_truncation(int(model.card["max_tokens"]))
        except Exception as error:
            raise ModelProblem(f"{model.directory} cannot be loaded: {error}") from None
        self._tokenizer.no_padding()

    def tokens(self, texts: list[str] | list[tuple[str, str]], special: bool = True) -> list[Any]:
        """The encodings of texts or of pairs, the longer part of a pair cut first.

        Unless `special`, a model's own tokens are added nowhere.
        """
        encodings: list[Any] = self._tokenizer.encode_batch(texts, add_special_tokens=special)
        return encodings

    def run(self, outputs: list[str], inputs: Mapping[str, NDArray[Any]], stop: Stop) -> list[Any]:
        """The outputs of these names. Raises Stopped as soon as `stop` is set."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        with stop.ending(lambda: setattr(options, "terminate", True)):
            try:
                results: list[Any] = self._session.run(outputs, inputs, options)
                return results
            except Exception:
                stop.check()  # it says so in words of its own
                raise


class Remembering:
    """An encoder that keeps the vectors of the last texts that it was asked for one at a time.

    The letters of a name being typed are no part of a question's text: its vector is made once a name.
    """

    def __init__(self, encoder: Encoder, kept: int = 64) -> None:
        self.files, self.dimension, self.state = encoder.files, encoder.dimension, encoder.state
        self._encoder, self._kept = encoder, kept
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str], stop: Stop | None = None) -> Vectors:
        if len(texts) != 1:
            return self._encoder.encode(texts, stop)
        with self._lock:
            vectors = self._vectors.pop(texts[0], None)
        if vectors is None:
            vectors = self._encoder.encode(texts, stop)
        with self._lock:
            self._vectors[texts[0]] = vectors
            while len(self._vectors) > self._kept:
                self._vectors.popitem(last=False)
        return vectors


class Resting:
    """A reranker that is loaded when it first reads, and again after a rest; its hashes are checked at once.

    `load` gives one that can be read with, in a thread of its own: who is stopped does not wait for it.
    Raises ModelProblem, now or when it reads.
    """

    def __init__(self, files: ModelFiles, load: Callable[[ModelFiles], Readable]) -> None:
        verify(files)
        self.files, self._load = files, load
        self.query_ms = self.pair_ms = 0.0
        self._loader = ThreadPoolExecutor(1, f"load {files.kind}")
        self._loading: Future[Readable] | None = None
        self._lock = threading.Lock()

    @property
    def state(self) -> str:
        loading = self._loading
        if loading is None:
            return "not loaded"
        return str(loading.exception() or "loaded") if loading.done() else "loading"

    def start(self) -> None:
        self._loaded(Stop())

    def each(self, query: str, documents: Sequence[str], stop: Stop) -> Iterator[float]:
        yield from self._loaded(stop).each(query, documents, stop)

    def rest(self) -> None:
        with self._lock:
            if self.state == "loaded":
                self._loading = None

    def _loaded(self, stop: Stop) -> Readable:
        """The model, once it is there; raises Stopped as soon as `stop` is set."""
        with self._lock:
            loading = self._loading = self._loading or self._loader.submit(self._measured)
        ready = threading.Event()
        loading.add_done_callback(lambda _: ready.set())
        with stop.ending(ready.set):
            ready.wait()
        stop.check()
        return loading.result()

    def _measured(self) -> Readable:
        model = self._load(self.files)
        self.query_ms, self.pair_ms = model.query_ms, model.pair_ms
        return model


def read_card(path: Path) -> dict[str, Any]:
    """A model's card, which names the file of its weights and hashes; raises ModelProblem."""
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


def _with_mend(said: str, model: ModelFiles) -> str:
    """A problem with the way out, where it does not name it yet."""
    mend = mend_of(model)
    return said if mend in said else f"{said}: {mend}"


def mend_of(model: ModelFiles) -> str:
    """The way out where a model does not work, by where it lies."""
    if model.directory == SHIPPED.get(model.kind):
        return "reinstall deepcodeseek"
    if model.directory == data_directory() / model.kind:
        remove = f"import it again, or `deepcodeseek models remove {model.kind}`"
        return "run `deepcodeseek models get`" if model.kind == "generator" else remove
    again = "run `deepcodeseek train adapt` again" if model.is_adapted else "put a whole one there"
    return f"{again}, or delete {model.directory}"
