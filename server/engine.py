"""What answers: an index and the models that go with it, found, checked and loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar

from .causal_reranker import load_causal
from .cross_encoder import load_reranker
from .fusion import Fusion, load_fusion
from .generation import ADAPTED, read_manifest
from .generator_process import GeneratorProcess
from .index import Index, open_index
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
    check_texts,
    find_model,
    first_usable,
    load_encoder,
    model_folders,
    read_model,
    stamp_of,
    verify,
)
from .text import CAUSAL_TEXT_VERSION, RERANKER_TEXT_VERSION, TEXT_VERSION

T = TypeVar("T")
Notes = tuple[str, ...]
_RENEWED: tuple[ModelKind, ...] = ("generator", "adapter", "query", "reranker", "causal", "fusion")
"""What may be installed or trained while the server runs."""
_RERANKERS: Mapping[str, tuple[Callable[[ModelFiles], Readable], str]] = MappingProxyType(
    {"reranker": (load_reranker, RERANKER_TEXT_VERSION), "causal": (load_causal, CAUSAL_TEXT_VERSION)}
)
"""How one is loaded, and the version of the texts that it reads."""


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


def unfit_models(engine: Engine, models_directory: Path) -> list[ModelKind]:
    """The kinds of what `train adapt` makes that a models directory holds and that would not answer over the
    engine's index: of another version, damaged, a fusion without the encoder that it learned with."""
    places = _Places(models_directory, None)
    query, query_notes = _load_query_encoder(places, engine.encoder.files.sha256 if engine.encoder else "")
    beside = query if (models_directory / "query").is_dir() else engine.query_encoder
    notes = (*query_notes, *_load_fusion(places, beside)[1], *_load_reranker("reranker", places)[1])
    kinds: tuple[ModelKind, ...] = ("query", "fusion", "reranker")
    return [kind for kind in kinds if any(str(models_directory / kind) in note for note in notes)]


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

    damaged: list[str] = []

    def load(files: ModelFiles) -> Generator:
        return GeneratorProcess(files, prompt_form, _adapter_of(files, directory, damaged.append))

    generator, notes = first_usable("generator", load, "nothing is written", directory)
    if generator is None and not notes:
        notes = ("no generator installed: run `deepcodeseek models get`",)
    return generator, tuple(dict.fromkeys((*notes, *damaged)))


def _adapter_of(
    generator: ModelFiles, directory: Path | None, say: Callable[[str], None]
) -> ModelFiles | None:
    """The first adapter that was made for the generator; `say` is told of a damaged one before it."""
    for folder in model_folders("adapter", directory):
        try:
            adapter = read_model("adapter", folder)
            if is_made_for(adapter, generator):
                verify(adapter)
                return adapter
        except ModelProblem as problem:
            say(f"{problem}; it is left out")
    return None


def is_made_for(adapter: ModelFiles, generator: ModelFiles) -> bool:
    """Whether an adapter was trained over this GGUF file, whatever was made of it since."""
    return bool(adapter.card.get("base") == generator.card.get("made_from", generator.sha256))


def mark_of(directory: Path, models_directory: Path | None = None) -> str:
    """Names what an engine would be loaded from now; raises IndexProblem."""
    generation, _ = read_manifest(directory)
    places = (models_directory, directory / ADAPTED)
    return " ".join((generation.name, *(stamp_of(kind, *places) for kind in _RENEWED)))


def _load_query_encoder(places: _Places, documents: str) -> tuple[Encoder | None, Notes]:
    """The encoder of questions that was trained against the documents' one, or none, and notes."""

    def load(model: ModelFiles) -> Encoder:
        if model.card.get("documents") != documents:
            raise ModelProblem(f"the encoder in {model.directory} was trained for another one")
        if "text_version" in model.card:
            check_texts(model, TEXT_VERSION)
        return load_encoder(model)

    return places.first_usable("query", load, "the encoder of documents stands in")


def _load_fusion(places: _Places, query_encoder: Encoder | None) -> tuple[Fusion | None, Notes]:
    """The learned fusion that fits the encoder of questions in use, or none, and notes."""
    in_use = query_encoder.files.sha256 if query_encoder else ""

    def load(model: ModelFiles) -> Fusion:
        learned_with = model.card.get("query", in_use)
        # What ships learned with none and serves beside any; what was adapted was judged with its own alone.
        if learned_with != in_use and (learned_with or model.is_adapted):
            raise ModelProblem(
                f"{model.directory} learned with another encoder of questions than that in use"
            )
        return load_fusion(model)

    return places.first_usable("fusion", load, "reciprocal ranks stand in")


def _load_reranker(kind: Literal["reranker", "causal"], places: _Places) -> tuple[Reranker | None, Notes]:
    """A reranker or none, and notes; what its card says is looked at now, what it ranks when it is loaded."""
    load, version = _RERANKERS[kind]

    def rest(model: ModelFiles) -> Reranker:
        check_texts(model, version)
        return Resting(model, load)

    return places.first_usable(kind, rest, "the order before it stands")


def load_rerankers(engine: Engine) -> None:
    """Load what a deadline leaves no time to load; of one that cannot be, each answer's trace says why."""
    for reranker in (engine.reranker, engine.causal):
        with suppress(ModelProblem):
            if reranker:
                reranker.start()
