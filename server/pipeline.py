"""The only place that knows the order: context, expand, retrieve, rerank."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar
from zipfile import BadZipFile

from .causal_reranker import load_causal
from .cross_encoder import load_reranker
from .expand import expand
from .fusion import Fusion, read_fusion
from .generation import ADAPTED, read_manifest
from .generator_process import GeneratorProcess
from .index import Index, open_index
from .lexical import Scores
from .models import (
    Encoder,
    Generator,
    LeftOut,
    ModelFiles,
    ModelKind,
    ModelProblem,
    Readable,
    Reranker,
    Resting,
    find_model,
    first_usable,
    load_encoder,
    model_folders,
    read_model,
    stamp_of,
    verify,
)
from .places import is_scope, place_of
from .rerank import rerank
from .retrieve import RAREST_TERMS, retrieve
from .signals import SIGNALS
from .stop import Stop, Stopped, in_time
from .text import (
    CAUSAL_TEXT_VERSION,
    RERANKER_TEXT_VERSION,
    TEXT_VERSION,
    encoder_query,
    whole_characters,
)
from .types import Answer, Context, ExpandedQuery, QueryForm, RankedApi, Stage, Trace

EXPAND_MS = 120_000.0
"""What an expansion may take where no deadline is set. So long that only a generator that hangs meets it:
the number of tokens bounds the work, and the same input gives the same text on a busy machine."""
EXPAND_LEAST_MS = 50.0
"""In less no model writes a token."""
RETRIEVE_RESERVE_MS = 80.0
"""What expansion leaves of a deadline to the stages after it."""
_LATE = "no time left"
T = TypeVar("T")
Notes = tuple[str, ...]
_RENEWED: tuple[ModelKind, ...] = ("generator", "adapter", "query", "reranker", "causal", "fusion")
"""What may be installed or trained while the server runs."""
_RERANKERS: Mapping[str, tuple[Callable[[ModelFiles], Readable], str]] = MappingProxyType(
    {"reranker": (load_reranker, RERANKER_TEXT_VERSION), "causal": (load_causal, CAUSAL_TEXT_VERSION)}
)
"""How one is loaded, and the version of the texts that it reads."""
RERANK_RESERVE_MS = 20.0
"""Below this, and what a query and one candidate take, a reranker would only end too late."""
ANSWER_RESERVE_MS = 10.0
"""What reading leaves of a deadline to the answer on its way."""
ENCODE_RESERVE_MS = 40.0
"""What encoding leaves of a deadline to the lookups: without vectors there still is a list."""


RERANK_DEPTH = 20
"""How many candidates a reranker reads at most where nobody says."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Everything loaded that answers; replaced whole, never changed."""

    index: Index
    encoder: Encoder | None = None
    generator: Generator | None = None
    reranker: Reranker | None = None
    causal: Reranker | None = None  # reads what the reranker left on top, where the time is enough for it
    notes: tuple[str, ...] = ()  # what could not be loaded, and the way out
    fusion: Fusion | None = None
    query_encoder: Encoder | None = None  # of questions, where one was trained: documents keep their vectors
    mark: str = ""  # names what it was loaded from: see `mark_of`


@dataclass(frozen=True, slots=True)
class Variant:
    """A named way through the pipeline."""

    weights: Mapping[str, float]
    learned: bool = False  # by the learned fusion, where there is one; else by reciprocal ranks
    graph: bool = True
    expand: bool = False
    rerank: bool = False
    window_only: bool = False  # the query is the lines before the cursor alone
    rarest: int = RAREST_TERMS


WRITTEN = "written documents, lexical"
"""A baseline's signal; what it says is in `documents, lexical` too."""

WEIGHTS: Mapping[str, float] = MappingProxyType(
    dict.fromkeys((signal for signal in SIGNALS if signal != WRITTEN), 1.0)
    # Popularity is the same for every question, and what a file already names is no news: both help where
    # an API is used again, and cost where a new one is needed. A half is the compromise (see LOG.md).
    | {"popularity": 0.5, "in file": 0.5}
    # These say much the same as others do, or little alone: only the learned fusion makes something of them.
    | dict.fromkeys(
        (
            *("usages, last lines", "unresolved names", "function", "words before", "words after"),
            *("code alike", "files alike", "like-named", "nearby", "neighbours"),
        ),
        0.0,
    )
)


def _baseline(signal: str) -> Variant:
    return Variant({signal: 1.0}, graph=False, window_only=True, rarest=1000)


METHODS: Mapping[str, Variant] = MappingProxyType(
    {
        "bm25-docs": _baseline(WRITTEN),
        "bm25-all-docs": _baseline("documents, lexical"),
        "bm25-raw": _baseline("code, lexical"),
        "dense-docs": _baseline("documents, dense"),
        "dense-raw": _baseline("code, dense"),
        "rrf": Variant(WEIGHTS),
        "fused": Variant(WEIGHTS, learned=True),
        "reranked": Variant(WEIGHTS, learned=True, rerank=True),
        "full": Variant(WEIGHTS, learned=True, expand=True, rerank=True),
    }
)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where models are looked for before the installed ones; what was adapted only where it is wanted."""

    chosen: Path | None
    adapted: Path | None  # None: what has learned from a code base is left out, wherever nobody chose it

    def first_usable(
        self, kind: ModelKind, load: Callable[[ModelFiles], T], without: str
    ) -> tuple[T | None, Notes]:
        """As in models.py."""

        def load_wanted(model: ModelFiles) -> T:
            place = model.directory.parent
            if self.adapted is None and model.is_adapted and place != self.chosen:
                raise LeftOut(
                    f"{model.directory} has learned from a code base and is left out: "
                    f"`eval run --models {place}` measures it"
                )
            return load(model)

        return first_usable(kind, load_wanted, without, self.chosen, self.adapted)


def load_engine(
    directory: Path,
    models_directory: Path | None = None,
    adapted: bool = True,
    lite: bool = False,
    prompt_form: str = "auto",
) -> Engine:
    """Index and models for answering; what is missing but the index and the encoder becomes a note.

    What was learned and does not load, damaged or of another version, gives way to the next place.
    Unless `adapted`, what learned from a code base is left out, beside the index and installed, but not in
    `models_directory`; where `lite`, so are the generator and the rerankers. `prompt_form`: "auto" or a form
    of the generator's prompts. Raises IndexProblem or ModelProblem where nothing can answer.
    """
    encoder_files = find_model("encoder", models_directory)
    if encoder_files is None:
        raise ModelProblem("no encoder is installed: reinstall deepcodeseek")
    encoder = load_encoder(encoder_files)
    mark = mark_of(directory, models_directory)
    index = open_index(directory, encoder_files.sha256)
    places = _Places(models_directory, directory / ADAPTED if adapted else None)
    query_encoder, query_notes = _load_query_encoder(places, encoder_files.sha256)
    fusion, fusion_notes = _load_fusion(places, query_encoder)
    generator, notes = (None, ()) if lite else load_generator(models_directory, prompt_form)
    reranker, reranker_notes = (None, ()) if lite else _load_reranker("reranker", places)
    causal, causal_notes = (None, ()) if lite else _load_reranker("causal", places)
    every = (*notes, *fusion_notes, *query_notes, *reranker_notes, *causal_notes, *index.notes)
    return Engine(index, encoder, generator, reranker, causal, every, fusion, query_encoder, mark)


def with_newer_index(engine: Engine, directory: Path, models_directory: Path | None = None) -> Engine | None:
    """The engine over the generation that is in use now, its models kept; None where other models are.

    Raises IndexProblem.
    """
    mark = mark_of(directory, models_directory)
    if engine.encoder is None or mark.split()[1:] != engine.mark.split()[1:]:
        return None
    index = open_index(directory, engine.encoder.files.sha256)
    of_models = [note for note in engine.notes if note not in engine.index.notes]
    return replace(engine, index=index, notes=(*of_models, *index.notes), mark=mark)


def load_generator(
    directory: Path | None = None, prompt_form: str = "auto"
) -> tuple[Generator | None, tuple[str, ...]]:
    """The generator, which starts when it is first needed, or none, and notes."""

    def load(files: ModelFiles) -> Generator:
        return GeneratorProcess(files, prompt_form, _adapter_of(files, directory))

    generator, notes = first_usable("generator", load, "nothing is written", directory)
    if generator is None and not notes:
        notes = ("no generator installed: run `deepcodeseek models get`",)
    return generator, notes


def _adapter_of(generator: ModelFiles, directory: Path | None) -> ModelFiles | None:
    """The first adapter that was made for the generator; a damaged one is the doctor's to tell."""
    for folder in model_folders("adapter", directory):
        with suppress(ModelProblem):
            adapter = read_model("adapter", folder)
            if is_made_for(adapter, generator):
                return adapter
    return None


def is_made_for(adapter: ModelFiles, generator: ModelFiles) -> bool:
    """Whether an adapter was trained over this GGUF file, whatever was made of it since."""
    return bool(adapter.card.get("base") == generator.card.get("made_from", generator.sha256))


def mark_of(directory: Path, models_directory: Path | None = None) -> str:
    """Names what an engine would be loaded from now; raises IndexProblem."""
    generation, _ = read_manifest(directory)
    places = (models_directory, directory / ADAPTED)
    return " ".join((generation.name, *(_mark_of_model(kind, *places) for kind in _RENEWED)))


def _mark_of_model(kind: ModelKind, *places: Path | None) -> str:
    """The stamp of all that may be used, and the hash of what comes first."""
    stamp = stamp_of(kind, *places)
    try:
        model = find_model(kind, *places)
    except ModelProblem:
        return f"{stamp} damaged"
    return f"{stamp} {model.sha256 if model else 'none'}"


def _load_query_encoder(places: _Places, documents: str) -> tuple[Encoder | None, Notes]:
    """The encoder of questions that was trained against the documents' one, or none, and notes."""

    def load(model: ModelFiles) -> Encoder:
        if model.card.get("documents") != documents:
            raise ModelProblem(f"the encoder in {model.directory} was trained for another one")
        if "text_version" in model.card:
            _check_texts(model, TEXT_VERSION)
        return load_encoder(model)

    return places.first_usable("query", load, "the encoder of documents stands in")


def _load_fusion(places: _Places, query_encoder: Encoder | None) -> tuple[Fusion | None, Notes]:
    """The learned fusion that fits the encoder of questions in use, or none, and notes."""
    in_use = query_encoder.files.sha256 if query_encoder else ""

    def load(model: ModelFiles) -> Fusion:
        if model.card.get("query") not in (None, "", in_use):
            raise ModelProblem(f"{model.directory} learned with an encoder of questions that is not in use")
        return load_fusion(model)

    return places.first_usable("fusion", load, "reciprocal ranks stand in")


def _load_reranker(kind: Literal["reranker", "causal"], places: _Places) -> tuple[Reranker | None, Notes]:
    """A reranker or none, and notes; what its card says is looked at now, what it ranks when it is loaded."""
    load, version = _RERANKERS[kind]

    def rest(model: ModelFiles) -> Reranker:
        _check_texts(model, version)
        return Resting(model, load)

    return places.first_usable(kind, rest, "the order before it stands")


def _check_texts(model: ModelFiles, version: str) -> None:
    """Raises ModelProblem where it was made for texts of another version."""
    if model.card.get("text_version") != version:
        raise ModelProblem(f"{model.directory} was made for other texts than this version makes")


def load_rerankers(engine: Engine) -> None:
    """Load what a deadline leaves no time to load; of one that cannot be, each answer's trace says why."""
    for reranker in (engine.reranker, engine.causal):
        with suppress(ModelProblem):
            if reranker:
                reranker.start()


def encode_query(
    engine: Engine, query: ExpandedQuery, learned: bool, stop: Stop | None = None
) -> Scores | None:
    """The vector [d] of a question; a baseline's by the encoder of the documents."""
    encoder = (engine.query_encoder if learned else None) or engine.encoder
    return encoder.encode([encoder_query(query)], stop)[0] if encoder else None


def is_late(answer: Answer) -> bool:
    """Whether a deadline left out something that no other stage stands in for."""
    return any(_LATE in stage.note for stage in answer.trace.stages if stage.stage != "causal")


def _encode_in_time(
    engine: Engine, query: ExpandedQuery, learned: bool, left_ms: float, stop: Stop
) -> tuple[Scores | None, str]:
    """The vector and a note; none where `left_ms` is too short for it on a machine this busy."""
    try:
        with in_time(stop, left_ms) as late:
            return encode_query(engine, query, learned, late), ""
    except Stopped:
        stop.check()
        return None, f"left out: {_LATE}"


def load_fusion(files: ModelFiles) -> Fusion:
    """Verify and load a learned fusion; raises ModelProblem."""
    verify(files)
    try:
        return read_fusion(files.path(files.file), files.sha256)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ModelProblem(f"the fusion in {files.directory} is left out: {error}") from None


def known_facts(index: Index, given: Mapping[str, str], home: str = "") -> dict[str, str]:
    """What is known of a file: what is given, then what was read of it, its path, and its neighbours."""
    given = {key: whole_characters(value) for key, value in given.items()}
    facts = _file_facts(index, given.get("file", ""), home)
    stated = _filled(given)
    if not is_scope(stated.get("scope", "")) and facts.get("scope"):
        stated.pop("scope", None)  # some records state their scope's sys_id
    return {**facts, **stated}


def _file_facts(index: Index, path: str, home: str) -> dict[str, str]:
    if not path:
        return {}
    place, indexed = place_of(path, home), _filled(index.file_facts(path))
    said = _filled({key: getattr(place, key) for key in ("scope", "record_type", "record_name", "field")})
    # Of a file that is indexed its own record has spoken; of a new one only its neighbours.
    return {**said, **indexed} if index.file_ids(path) else {**indexed, **said}


def _filled(facts: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in facts.items() if value}


class _Clock:
    """Collects the stages of one question."""

    def __init__(self, deadline_ms: float | None) -> None:
        self._start = self._last = time.perf_counter()
        self._deadline = deadline_ms
        self.stages: list[Stage] = []

    def done(self, stage: str, note: str = "") -> None:
        now = time.perf_counter()
        self.stages.append(Stage(stage, (now - self._last) * 1000, note))
        self._last = now

    def left(self, otherwise: float) -> float:
        """Milliseconds until the deadline, or `otherwise` where there is none."""
        if self._deadline is None:
            return otherwise
        return self._deadline - (time.perf_counter() - self._start) * 1000


def predict(
    engine: Engine,
    context: Context,
    variant: Variant = METHODS["full"],
    *,
    expanded: ExpandedQuery | None = None,
    first_only: bool = False,
    deadline_ms: float | None = None,
    expand_tokens: int = 24,
    rerank_depth: int = RERANK_DEPTH,
    stop: Stop | None = None,
) -> Answer:
    """Ranked APIs for a context, and the trace of how they came about.

    `expanded` is an expansion made before, for the same lines; `first_only` stops after the first list (no
    expansion, no cross-encoder). With `deadline_ms` a stage that would come too late is left out and the
    trace says so. Raises Stopped soon after `stop` is set.
    """
    clock, stop = _Clock(deadline_ms), stop or Stop()
    if variant.window_only:
        context = replace(context, record_name="", table="", window_after="")
    query = replace(expanded, context=context) if expanded else ExpandedQuery(context)
    if expanded:
        clock.done("expand", " ".join(expanded.code.split()))
    elif variant.expand and not first_only:
        left = clock.left(EXPAND_MS + RETRIEVE_RESERVE_MS) - RETRIEVE_RESERVE_MS
        query, note = expand_context(engine, context, expand_tokens, left, stop=stop)
        clock.done("expand", note)
    vector = None
    if engine.encoder and any(name.endswith("dense") for name in variant.weights):
        left = clock.left(math.inf) - ENCODE_RESERVE_MS
        vector, note = _encode_in_time(engine, query, variant.learned, left, stop)
        clock.done("encode", note)
    stop.check()
    fusion = engine.fusion if variant.learned else None
    candidates, note = retrieve(
        engine.index, query, vector, variant.weights, variant.graph, variant.rarest, fusion
    )
    ranked = tuple(RankedApi(engine.index.api(c.api_id), c.score, c.evidence, c.usage) for c in candidates)
    clock.done("retrieve", note)
    if variant.rerank and not first_only:
        ranked, note = _rerank(engine.reranker, query, ranked, rerank_depth, clock.left(math.inf), stop)
        clock.done("rerank", note)
        if engine.causal:
            ranked, note = _rerank(engine.causal, query, ranked, rerank_depth, clock.left(math.inf), stop)
            clock.done("causal", note)
    return Answer(ranked, Trace(engine.index.id, tuple(clock.stages)))


def expand_context(
    engine: Engine,
    context: Context,
    tokens: int,
    left_ms: float = EXPAND_MS,
    form: QueryForm = "code",
    stop: Stop | None = None,
) -> tuple[ExpandedQuery, str]:
    """The expanded query and a note; what is not written within `left_ms` is left out."""
    if left_ms < EXPAND_LEAST_MS:
        return ExpandedQuery(context), f"skipped: {_LATE}"
    if engine.generator is None and engine.notes:
        return ExpandedQuery(context), engine.notes[0]
    return expand(context, engine.generator, tokens, left_ms, form, stop)


def _rerank(
    reranker: Reranker | None,
    query: ExpandedQuery,
    ranked: tuple[RankedApi, ...],
    depth: int,
    left_ms: float,
    stop: Stop,
) -> tuple[tuple[RankedApi, ...], str]:
    if reranker is None:
        return ranked, "no reranker installed"
    if left_ms < RERANK_RESERVE_MS + reranker.query_ms + reranker.pair_ms:
        return ranked, f"skipped: {_LATE}"
    try:
        reordered, read = rerank(query, ranked, reranker, depth, left_ms - ANSWER_RESERVE_MS, stop)
    except ModelProblem as problem:
        return ranked, str(problem)
    return reordered, f"{read} candidates read" if read or not ranked else f"none read: {_LATE}"
