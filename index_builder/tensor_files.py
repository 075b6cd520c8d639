"""What safetensors files say of their tensors, read from the headers alone.

A header is a length of 8 bytes, little-endian, and that many bytes of JSON: name -> type, shape and place in
the bytes that follow. Nothing is trusted: it must be short, name known types, and claim every byte once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deepcodeseek.server.models import ModelProblem

MAX_HEADER = 16 << 20  # bytes; that of an 8B model in one file takes 50 thousand
MAX_DIMENSIONS = 8
_LENGTH = 8  # bytes
_METADATA = "__metadata__"
_BITS: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 8),
        **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
        **dict.fromkeys(("U32", "I32", "F32"), 32),
        **dict.fromkeys(("U64", "I64", "F64"), 64),
    }
)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int  # in the bytes after the header
    end: int

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


def read_tensors(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a safetensors file by name; raises ModelProblem where it is not whole, or OSError."""
    header, size = _read_header(path)
    tensors = {name: _tensor(path, name, entry) for name, entry in header.items() if name != _METADATA}
    at = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin != at:
            raise ModelProblem(f"{path} is no safetensors file: its tensors overlap or leave gaps")
        at = tensor.end
    if at > size:
        raise ModelProblem(f"{path} is cut off: {at - size:,} bytes are missing")
    if at < size:
        raise ModelProblem(f"{path} is no safetensors file: {size - at:,} bytes belong to no tensor")
    return tensors


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and how many bytes follow it."""
    with path.open("rb") as file:
        size = path.stat().st_size - _LENGTH
        length = int.from_bytes(file.read(_LENGTH), "little")
        if not 0 < length <= min(MAX_HEADER, size):
            raise ModelProblem(f"{path} is no safetensors file, or cut off: its header has {length:,} bytes")
        text = file.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise ModelProblem(f"{path} is no safetensors file: its header is no sound JSON object")
    return header, size - length


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; of a name that stands there twice readers would differ."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands there twice")
    return made


def _tensor(path: Path, name: str, entry: Any) -> Tensor:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]}:
            tensor = Tensor(dtype, tuple(shape), begin, end)
            if _is_sound(tensor):
                return tensor
    raise ModelProblem(f"{path} is no safetensors file: what it says of {name[:80]!r} cannot be")


def _is_sound(tensor: Tensor) -> bool:
    return (
        tensor.dtype in _BITS
        and len(tensor.shape) <= MAX_DIMENSIONS
        and all(type(length) is int and 0 <= length < 1 << 48 for length in tensor.shape)
        and 0 <= tensor.begin <= tensor.end
        and tensor.parameters * _BITS[tensor.dtype] == (tensor.end - tensor.begin) * 8
    )
