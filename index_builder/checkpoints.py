"""Checkpoints: causal language models as Hugging Face folders hold them, to be trained and exported here.

Looked at without running anything of them. What counts is config.json, tokenizer.json and the weights in
safetensors; of the rest a few JSON files are taken and nothing else: no code, no templates, nothing pickled.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from deepcodeseek.server.generation import sha256_file
from deepcodeseek.server.models import CARD, ModelKind, ModelProblem, data_directory, read_card

from .atomic import OLD, PART, new_folder
from .copying import copy_file, in_megabytes
from .machine import existing
from .progress import Progress, silent
from .tensor_files import Tensor, read_tensors

KIND = "checkpoint"
ARCHITECTURES = ("Qwen3ForCausalLM", "LlamaForCausalLM")
CONFIG, TOKENIZER = "config.json", "tokenizer.json"
WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
OPTIONAL = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
MAX_JSON = 64 << 20  # bytes; the tokenizer of Qwen3 has 11 million
NOTHING: Mapping[str, Any] = MappingProxyType({})

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}", re.ASCII)
_SHARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors", re.ASCII)
_LICENCE = re.compile(r"^license:[ \t]*[\"']?([\w.+-]+)", re.M | re.ASCII)
_SNAPSHOT = re.compile(r"models--(?:.+--)?(.+)")  # a repository's folder in the cache of Hugging Face
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

Stamp = tuple[str, int, int]  # a file's name, its size in bytes, when it was changed in nanoseconds


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A Hugging Face folder that was looked at."""

    directory: Path
    architecture: str
    parameters: int
    weights: str  # the file that holds them, or the first of several
    files: tuple[Stamp, ...]  # what is taken of it
    licence: str = field(compare=False)  # as its README states it, or ""

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(size for _, size, _ in self.files)


def checkpoints_directory() -> Path:
    """Where imported checkpoints lie, each in a folder of its name."""
    return data_directory() / "checkpoints"


def inspect_checkpoint(folder: Path) -> Checkpoint:
    """What a folder holds; raises ModelProblem where it is no checkpoint of ARCHITECTURES, or OSError."""
    architecture = supported_architecture(folder)
    if not isinstance(_read_json(folder / TOKENIZER).get("model"), dict):
        raise ModelProblem(f"{folder / TOKENIZER} is no tokenizer")
    shards, index = _shards(folder)
    tensors = _tensors(folder, shards, index)
    _check_shapes(folder, _read_json(folder / CONFIG), tensors)
    optional = [name for name in OPTIONAL if (folder / name).is_file()]
    for name in optional:
        _read_json(folder / name)
    names = [CONFIG, TOKENIZER, *optional, *([WEIGHTS_INDEX] if index else []), *shards]
    return Checkpoint(
        folder,
        architecture,
        sum(tensor.parameters for tensor in tensors.values()),
        shards[0],
        tuple(_stamp(folder / name) for name in names),
        _licence(folder / "README.md"),
    )


def supported_architecture(folder: Path) -> str:
    """What the config.json of a checkpoint names; raises ModelProblem where it is none of ARCHITECTURES."""
    stated = _read_json(folder / CONFIG).get("architectures")
    names = [str(name) for name in stated] if isinstance(stated, list) else []
    for name in names:
        if name in ARCHITECTURES:
            return name
    what = f"an architecture that is not supported, {', '.join(names)[:80]!r}" if names else "no architecture"
    raise ModelProblem(f"{folder / CONFIG} names {what}: supported are {' and '.join(ARCHITECTURES)}")


def import_checkpoint(
    folder: Path,
    name: str = "",
    progress: Progress = silent,
    origin: Mapping[str, Any] = NOTHING,
    link: bool = False,
) -> Path:
    """Copy a checkpoint into the data directory, as a whole and in the place of one of that name.

    `origin` goes into its card, or that of the card it has already. Where `link`, files are linked and not
    copied if that is possible. Raises ModelProblem or OSError, and then nothing is left of it.
    """
    found = inspect_checkpoint(folder)
    origin = origin or _origin(folder)
    place = checkpoints_directory() / _named(name or _usual_name(folder))
    if not link:
        _check_space(place, found.size)
    told = in_megabytes("copy", found.size, progress)
    with new_folder(place) as staged:
        hashes = {file: copy_file(folder / file, staged / file, told, link) for file, *_ in found.files}
        if inspect_checkpoint(folder) != found:
            raise ModelProblem(f"{folder} changed while it was copied: nothing was imported")
        card = {
            "kind": KIND,
            "name": place.name,
            "architecture": found.architecture,
            "parameters": found.parameters,
            **({"licence": found.licence} if found.licence else {}),
            **origin,
            "file": found.weights,
            "sha256": hashes,
        }
        (staged / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return place


def installed_checkpoints() -> tuple[Path, ...]:
    """The folders of all that were imported, by name."""
    place = checkpoints_directory()
    folders = sorted(place.iterdir()) if place.is_dir() else []
    return tuple(each for each in folders if _is_name(each.name) and each.is_dir())


def find_checkpoint(name: str) -> Path:
    """The folder of one that was imported, whole, or any other by its path; raises ModelProblem."""
    place = checkpoints_directory() / name
    if _is_name(name) and place.is_dir():
        verify_checkpoint(place)
        return place
    if not Path(name).is_dir():
        raise ModelProblem(f"there is no checkpoint {name!r}: `deepcodeseek models list` names them")
    supported_architecture(Path(name))
    return Path(name)


def verify_checkpoint(place: Path) -> Mapping[str, Any]:
    """Its card, once every file has the SHA-256 that the card states; raises ModelProblem."""
    card = read_card(place / CARD)
    for name, expected in card["sha256"].items():
        path = place / name
        try:
            found = sha256_file(path)
        except OSError as error:
            raise ModelProblem(f"{path} cannot be read ({error.strerror}): import it again") from None
        if found != expected:
            raise ModelProblem(f"{path} is damaged (its SHA-256 differs from its card): import it again")
    return card


def _origin(folder: Path) -> Mapping[str, Any]:
    """Where a checkpoint that was imported elsewhere is from; raises ModelProblem where it is damaged."""
    if not (folder / CARD).is_file() or _read_json(folder / CARD).get("kind") != KIND:
        return NOTHING
    card = verify_checkpoint(folder)
    return {key: card[key] for key in ("licence", "source", "revision") if key in card}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_JSON + 1)
        content = json.loads(text) if len(text) <= MAX_JSON else None
    except FileNotFoundError:
        raise ModelProblem(f"{path.parent} is no checkpoint: there is no {path.name}") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ModelProblem(f"{path} is no JSON object")
    return content


def _shards(folder: Path) -> tuple[list[str], Mapping[str, str]]:
    """The files that hold the weights, and the index of several: tensor -> file."""
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS], NOTHING
    if (folder / WEIGHTS_INDEX).is_file():
        index = _read_json(folder / WEIGHTS_INDEX).get("weight_map")
        if not isinstance(index, dict) or not index:
            raise ModelProblem(f"{folder / WEIGHTS_INDEX} names no files")
        shards = sorted({str(name) for name in index.values()})
        odd = [name for name in shards if not _SHARD.fullmatch(name)]
        if odd:
            raise ModelProblem(f"{folder / WEIGHTS_INDEX} names {odd[0][:80]!r}, which is no name of weights")
        missing = [name for name in shards if not (folder / name).is_file()]
        if missing:
            raise ModelProblem(f"{folder} is not complete: {', '.join(missing)} is missing")
        return shards, index
    if any(path.suffix in _PICKLED for path in folder.iterdir()):
        raise ModelProblem(
            f"{folder} holds pickled weights alone, which could run code: ask for them as safetensors"
        )
    raise ModelProblem(f"{folder} is no checkpoint: there is neither {WEIGHTS} nor {WEIGHTS_INDEX}")


def _tensors(folder: Path, shards: Iterable[str], index: Mapping[str, str]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for shard in shards:
        held = read_tensors(folder / shard)
        twice = tensors.keys() & held.keys()
        missing = [name for name, file in index.items() if file == shard and name not in held]
        if twice or missing:
            what = (
                f"holds {min(twice)!r} once more"
                if twice
                else f"lacks {missing[0]!r}, which is said to be in it"
            )
            raise ModelProblem(f"{folder / shard} {what}")
        tensors |= held
    return tensors


def _check_shapes(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """The weights are those of the model that config.json describes, down to its last layer."""
    embedding = tensors.get("model.embed_tokens.weight")
    wanted = (config.get("vocab_size"), config.get("hidden_size"))
    layers = {name.split(".")[2] for name in tensors if name.startswith("model.layers.")}
    if embedding is None or embedding.shape != wanted or len(layers) != config.get("num_hidden_layers"):
        raise ModelProblem(f"{folder} is not complete: its weights are not those that {CONFIG} describes")


def _stamp(path: Path) -> Stamp:
    state = path.stat()
    return path.name, state.st_size, state.st_mtime_ns


def _licence(readme: Path) -> str:
    """What the front matter of a model's README states."""
    if not readme.is_file():
        return ""
    with readme.open(encoding="utf-8", errors="replace") as file:
        text = file.read(1 << 16)
    front = text.split("\n---", 1)[0] if text.startswith("---") else ""
    stated = _LICENCE.search(front)
    return stated[1] if stated else ""


def _usual_name(folder: Path) -> str:
    """A folder's own name; that of the repository where it lies in the cache of Hugging Face."""
    resolved = folder.resolve()
    cached = _SNAPSHOT.fullmatch(resolved.parents[1].name) if len(resolved.parents) > 1 else None
    return cached[1] if cached and resolved.parent.name == "snapshots" else resolved.name


def _named(name: str) -> str:
    if not _is_name(name) or name in get_args(ModelKind):
        raise ModelProblem(f"{name!r} is no name for a checkpoint: give it one with --name")
    return name


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and not name.endswith((PART, OLD))


def _check_space(place: Path, size: int) -> None:
    free = shutil.disk_usage(existing(place)).free
    if free < size:
        raise ModelProblem(
            f"{place} takes {size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free: nothing was imported"
        )
