"""Models from disk: what lies there, whether it works, and into its place with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_never

from deepcodeseek.server.causal_reranker import load_causal
from deepcodeseek.server.cross_encoder import load_reranker
from deepcodeseek.server.engine import is_made_for
from deepcodeseek.server.fusion import load_fusion
from deepcodeseek.server.generation import sha256_file
from deepcodeseek.server.generator_process import GeneratorProcess
from deepcodeseek.server.models import (
    CARD,
    ModelFiles,
    ModelProblem,
    data_directory,
    find_model,
    load_encoder,
    read_card,
    trying,
)

from .atomic import new_folder
from .checkpoints import CONFIG, NOTHING, import_checkpoint
from .copying import copy_file, in_megabytes
from .model_store import KINDS, card_of, install_file
from .progress import Progress, silent

GGUF_MAGIC = b"GGUF"
README = "README.md"


def import_model(
    source: Path,
    name: str = "",
    progress: Progress = silent,
    origin: Mapping[str, Any] = NOTHING,
    link: bool = False,
) -> Path:
    """Install what lies at `source`: a GGUF file, a model that was exported here, or a checkpoint.

    `name` is for a checkpoint alone; `origin` and `link` as with import_checkpoint. What was installed before
    stays where this fails. Raises ModelProblem.
    """
    try:
        if not source.is_dir():
            return import_generator(source, progress, origin, link)
        if (source / CARD).is_file() and not (source / CONFIG).is_file():
            return import_exported(source, progress)
        return import_checkpoint(source, name, progress, origin, link)
    except OSError as error:
        raise ModelProblem(
            f"{error.filename or data_directory()}: {error.strerror or error}: nothing was imported"
        ) from None


def import_generator(
    source: Path, progress: Progress = silent, origin: Mapping[str, Any] = NOTHING, link: bool = False
) -> Path:
    """Copy a GGUF into its place once it has loaded and generated in a child process; raises ModelProblem."""
    try:
        with source.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
        if magic != GGUF_MAGIC:
            raise ModelProblem(f"{source} is not a GGUF file")
        digest = sha256_file(source)
    except OSError as error:
        raise ModelProblem(f"{source} cannot be read: {error.strerror}") from None
    card = card_of("generator", source.stem, source.name, digest)
    _probe(ModelFiles("generator", source.parent, card))
    place = data_directory() / "generator"
    install_file(source, place, card | dict(origin), progress, link)
    return place / source.name


def import_exported(source: Path, progress: Progress = silent) -> Path:
    """Install a model folder with its card, once it loads from the copy as it would in the server.

    Raises ModelProblem or OSError.
    """
    card = read_card(source / CARD)
    kind = next((kind for kind in KINDS if kind == card.get("kind")), None)
    if kind is None:
        raise ModelProblem(f"{source / CARD} is of no kind that can be imported: {', '.join(KINDS)}")
    files = [str(file) for file in card["sha256"]]
    odd = [file for file in files if Path(file).name != file or file in (CARD, "..")]
    if odd:
        raise ModelProblem(f"{source / CARD} names {odd[0]!r}, which is no file beside it")
    files += [README] if (source / README).is_file() else []
    told = in_megabytes("copy", sum((source / file).stat().st_size for file in files), progress)
    place = data_directory() / kind
    with new_folder(place) as staged:
        for file in files:
            copy_file(source / file, staged / file, told)
        (staged / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        try:
            _try_out(ModelFiles(kind, staged, card))
        except ModelProblem as problem:
            raise ModelProblem(str(problem).replace(str(staged), str(source))) from None
    return place


def _try_out(model: ModelFiles) -> None:
    """Load a model as the server does, by its hashes; raises ModelProblem."""
    with trying(model):
        match model.kind:
            case "encoder" | "query":
                _check_documents(model)
                load_encoder(model).encode(["var total = 0;"])
            case "reranker":
                load_reranker(model)
            case "causal":
                load_causal(model)
            case "fusion":
                load_fusion(model)
            case "generator":
                _probe(model)
            case "adapter":
                _probe(_base_of(model), model)
            case _:
                assert_never(model.kind)


def _check_documents(model: ModelFiles) -> None:
    """An encoder of questions belongs to the encoder that it was trained against."""
    encoder = find_model("encoder")
    if model.kind == "query" and encoder and model.card.get("documents") != encoder.sha256:
        raise ModelProblem(f"{model.directory} was trained for another encoder than {encoder.name}")


def _base_of(adapter: ModelFiles) -> ModelFiles:
    """The generator that an adapter was trained over."""
    generator = find_model("generator")
    if generator is None or not is_made_for(adapter, generator):
        raise ModelProblem(f"{adapter.directory} was trained over another expander than the one installed")
    return generator


def _probe(model: ModelFiles, adapter: ModelFiles | None = None) -> None:
    generator = GeneratorProcess(model, adapter=adapter)
    try:
        generator.start()
    finally:
        generator.close()
