"""Models from a hub: which files of a repository are wanted, at one commit, and into their place."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from deepcodeseek.server.models import CARD, ModelProblem, find_model, read_card, verify

from .checkpoints import (
    CONFIG,
    OPTIONAL,
    TOKENIZER,
    WEIGHTS,
    WEIGHTS_INDEX,
    checkpoints_directory,
    supported_architecture,
    verify_checkpoint,
)
from .copying import in_megabytes
from .download import RemoteFile
from .hub import Hub
from .machine import existing
from .model_import import import_model
from .model_store import downloads_directory
from .progress import Progress, silent

MAX_GIGABYTES = 20.0
GGUF = ".gguf"

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HASH = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(r"\w[\w.+-]*(?:/\w[\w.+-]*)*", re.ASCII)
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors", re.ASCII)
_ONE_OF_SEVERAL = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.ASCII)
_LICENCE = re.compile(r"[\w.+-]{1,60}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pinned:
    """What is known of a repository before anybody is asked."""

    revision: str  # a commit
    files: tuple[RemoteFile, ...]  # those that matter
    file: str = ""  # that is wanted, where it holds several models


# Commits, sizes and hashes as several public repositories that pin the same models state them. The hub's own
# listing has to agree before anything is fetched.
KNOWN: Mapping[str, Pinned] = MappingProxyType(
    {
        "Qwen/Qwen3-Reranker-0.6B": Pinned(
            "e61197ed45024b0ed8a2d74b80b4d909f1255473",
            (
                RemoteFile(
                    "model.safetensors",
                    1_191_588_280,
                    "27cd75a405b9c1b46b59abfd88aaa209e6fed2a1972cde9b70e7659537c5e65b",
                ),
                RemoteFile(
                    "tokenizer.json",
                    11_422_654,
                    "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4",
                ),
            ),
        ),
        "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF": Pinned(
            "ebb2015119c907b064c512bf053e945850b5875f",
            (
                RemoteFile(
                    "qwen2.5-coder-0.5b-instruct-q4_0.gguf",
                    428_730_240,
                    "9739055e046d62a937e5b7879012209ef40ebea8a1569a96028de491f3f091d5",
                ),
            ),
            "qwen2.5-coder-0.5b-instruct-q4_0.gguf",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Offer:
    """The files of a model at one commit of a hub's repository, and what is said of them."""

    hub: str  # its address
    name: str  # OWNER/NAME
    revision: str  # 40 hexadecimal digits
    licence: str  # as the repository states it, or ""
    files: tuple[RemoteFile, ...]  # the small ones first

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(file.size for file in self.files)

    @property
    def gguf(self) -> str:
        """The name of the one file, where it is a GGUF; else ""."""
        name = PurePosixPath(self.files[0].path).name
        return name if name.endswith(GGUF) else ""

    @property
    def origin(self) -> dict[str, str]:
        """What a card says of it."""
        stated = {"licence": self.licence} if self.licence else {}
        return stated | {"source": f"{self.hub}/{self.name}", "revision": self.revision}


def look_up(hub: Hub, name: str, revision: str = "", file: str = "") -> Offer:
    """What a hub has under OWNER/NAME at a commit: one known here, else the newest, unless one is named.

    `file` chooses a GGUF where there are several. Nothing is fetched yet. Raises ModelProblem.
    """
    if not _REPOSITORY.fullmatch(name):
        raise ModelProblem(f"{name!r} is no model on a hub: their names are OWNER/NAME")
    if revision and not _COMMIT.fullmatch(revision):
        raise ModelProblem(f"{revision!r} is no commit: 40 hexadecimal digits, since branches and tags move")
    known = KNOWN.get(name)
    revision = revision or (known.revision if known else "")
    about = hub.ask(f"/api/models/{name}" + (f"/revision/{revision}" if revision else ""))
    commit = about.get("sha") if isinstance(about, dict) else None
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit) or commit != (revision or commit):
        raise ModelProblem(f"{hub.url} states another commit of {name} than was asked for, or none")
    listed = _listed(hub.ask(f"/api/models/{name}/tree/{commit}?recursive=true"))
    wanted = _wanted(name, listed, file or (known.file if known else ""))
    pinned = known.files if known and known.revision == commit else ()
    for pin in pinned:
        if pin != listed.get(pin.path):
            raise ModelProblem(
                f"{hub.url} lists another {pin.path} than this version knows of {name}: nothing was fetched"
            )
    files = tuple(sorted((listed[path] for path in wanted), key=lambda each: each.size))
    return Offer(hub.url, name, commit, _licence(about), files)


def get_model(
    hub: Hub, offer: Offer, max_gigabytes: float = MAX_GIGABYTES, progress: Progress = silent
) -> tuple[Path, bool]:
    """Fetch what is offered and import it; its place, and whether it was not there yet.

    What was fetched stays until it is imported. Raises ModelProblem or OSError.
    """
    installed = _installed(offer)
    if installed:
        return installed, False
    folder = downloads_directory() / f"{offer.name.replace('/', '--')}--{offer.revision[:12]}"
    _check_size(offer, folder, max_gigabytes)
    told = in_megabytes("fetch", offer.size, progress)
    for file in offer.files:
        name = PurePosixPath(file.path).name
        hub.fetch(f"/{offer.name}/resolve/{offer.revision}/{file.path}", file, folder / name, told)
        if name == CONFIG:
            supported_architecture(folder)  # before gigabytes are fetched in vain
    source = folder / offer.gguf if offer.gguf else folder
    place = import_model(source, offer.name.partition("/")[2], progress, offer.origin, link=True)
    shutil.rmtree(folder)
    return place, True


def _installed(offer: Offer) -> Path | None:
    """Where the same lies already, whole."""
    try:
        if offer.gguf:
            model = find_model("generator")
            if model is None or model.file != offer.gguf or not _is_from(offer, model.card):
                return None
            verify(model)
            return model.path(model.file)
        place = checkpoints_directory() / offer.name.partition("/")[2]
        is_same = (place / CARD).is_file() and _is_from(offer, read_card(place / CARD))
        return place if is_same and verify_checkpoint(place) else None
    except ModelProblem:  # damaged: it is fetched again
        return None


def _is_from(offer: Offer, card: Mapping[str, Any]) -> bool:
    return offer.origin.items() <= card.items()


def _listed(listing: Any) -> dict[str, RemoteFile]:
    """The files of a listing by path, but for those that are strangely named or not described in full."""
    entries = listing if isinstance(listing, list) else []
    files = [_remote_file(entry) for entry in entries]
    return {file.path: file for file in files if file}


def _remote_file(entry: Any) -> RemoteFile | None:
    match entry:
        case {"type": "file", "path": str(path), "lfs": {"oid": str(digest), "size": int(size)}}:
            is_sound = _HASH.fullmatch(digest)
        case {"type": "file", "path": str(path), "oid": str(digest), "size": int(size)}:
            is_sound = _COMMIT.fullmatch(digest)
        case _:
            return None
    return RemoteFile(path, size, digest) if is_sound and size >= 0 and _PATH.fullmatch(path) else None


def _wanted(name: str, listed: Mapping[str, RemoteFile], file: str) -> list[str]:
    """The paths of one model; raises ModelProblem where there is none, or more than one."""
    models = [path for path in listed if path.endswith(GGUF) and not _ONE_OF_SEVERAL.search(path)]
    if file:
        if file not in models:
            raise ModelProblem(f"{name} has no {file} in one piece; it has {_named(models)}")
        return [file]
    weights = [WEIGHTS] if WEIGHTS in listed else [path for path in listed if _SHARD.fullmatch(path)]
    if weights:
        needed = [CONFIG, TOKENIZER, *([] if WEIGHTS in listed else [WEIGHTS_INDEX])]
        missing = [path for path in needed if path not in listed]
        if missing:
            raise ModelProblem(f"{name} is no whole checkpoint: there is no {_named(missing)}")
        return [*needed, *(path for path in OPTIONAL if path in listed), *weights]
    if len(models) == 1:
        return models
    if models:
        raise ModelProblem(f"{name} has several models: choose one with --file, of {_named(models)}")
    raise ModelProblem(f"{name} has neither weights as safetensors nor a GGUF")


def _named(paths: list[str]) -> str:
    return ", ".join(sorted(paths)[:20]) or "none"


def _licence(about: Mapping[str, Any]) -> str:
    card = about.get("cardData")
    stated = card.get("license") if isinstance(card, dict) else None
    return stated if isinstance(stated, str) and _LICENCE.fullmatch(stated) else ""


def _check_size(offer: Offer, folder: Path, max_gigabytes: float) -> None:
    if offer.size > max_gigabytes * 1e9:
        raise ModelProblem(
            f"{offer.name} takes {offer.size / 1e9:,.1f} GB, more than --max-gb {max_gigabytes:g} allows"
        )
    free = shutil.disk_usage(existing(folder)).free + sum(each.stat().st_size for each in folder.glob("*"))
    if offer.size > free:
        raise ModelProblem(
            f"{offer.name} takes {offer.size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free for {folder}"
        )
