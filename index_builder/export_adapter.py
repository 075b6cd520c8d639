"""Write low-rank adapters as a GGUF file that llama.cpp adds to a model of the same shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
)
"""What llama.cpp calls the matrices of a layer of a Llama."""

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Adapter:
    """What is added to a matrix W [out, in]: alpha / rank * B @ A."""

    alpha: float
    pairs: Mapping[str, tuple[Matrix, Matrix]]  # A [rank, in] and B [out, rank], by the matrix's name


def write_adapter(adapter: Adapter, heads: tuple[int, int], path: Path) -> Path:
    """Write an adapter of a Llama; `heads` are its numbers of query and of key heads."""
    import gguf

    file = gguf.GGUFWriter(path, "llama")
    file.add_type(gguf.GGUFType.ADAPTER)
    file.add_string(gguf.Keys.Adapter.TYPE, "lora")
    file.add_float32(gguf.Keys.Adapter.LORA_ALPHA, adapter.alpha)
    for name, (down, up) in adapter.pairs.items():
        tensor = _tensor_name(name)
        _add(file, f"{tensor}.lora_a", down)
        _add(file, f"{tensor}.lora_b", _in_order(tensor, up, heads))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


def _tensor_name(name: str) -> str:
    """model.layers.3.mlp.up_proj -> blk.3.ffn_up.weight"""
    _, _, layer, matrix = name.split(".", 3)
    return f"blk.{layer}.{NAMES[matrix]}.weight"


def _in_order(tensor: str, up: Matrix, heads: tuple[int, int]) -> Matrix:
    """llama.cpp turns neighbouring rows of a head's queries and keys by their position, not both halves."""
    count = {"attn_q": heads[0], "attn_k": heads[1]}.get(tensor.split(".")[2])
    if count is None:
        return up
    return up.reshape(count, 2, len(up) // count // 2, -1).swapaxes(1, 2).reshape(up.shape)


def _add(file: Any, name: str, matrix: Matrix) -> None:
    file.add_tensor(name, np.ascontiguousarray(matrix.astype(np.float16)))
