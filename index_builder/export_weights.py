"""The float weights of an exported graph: what ships is what a training goes on from.

int8 weights are rounded ones: training goes on from them as from any others.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepcodeseek.server.models import ModelFiles

from .train_loop import writing
from .train_reranker import HEAD

if TYPE_CHECKING:
    from onnx import ModelProto

Array = NDArray[np.float32]
HEAD_PARTS = ("likeness", "first")  # of a cross-encoder, as export_reranker.py names them
_PREFIX = "bert."


def float_weights(model: ModelFiles, config: Path, out: Path) -> Path:
    """Write the folder `out` as transformers reads it, with the configuration in the file `config`.

    Raises ValueError where the graph is none of ours.
    """
    import onnx
    from safetensors.numpy import save_file

    graph = onnx.load(model.path(model.file))
    weights = dict(_weights(graph))
    if not any(name.endswith("query.weight") for name in weights):
        raise ValueError(f"{model.path(model.file)} holds no layers that can be trained")
    out.mkdir(parents=True, exist_ok=True)
    head = [weights.pop(name) for name in HEAD_PARTS if name in weights]
    contiguous = {name: np.ascontiguousarray(value) for name, value in weights.items()}
    with writing(out):
        save_file(contiguous, out / "model.safetensors")
        if head:
            save_file({"head": np.concatenate(head)}, out / HEAD)
    shutil.copyfile(model.path("tokenizer.json"), out / "tokenizer.json")
    shutil.copyfile(config, out / "config.json")
    return out


def _weights(model: ModelProto) -> Iterator[tuple[str, Array]]:
    """Names as in transformers' BertModel, and values; a linear layer's is [out, in]."""
    from onnx.numpy_helper import to_array

    values = {each.name: to_array(each) for each in model.graph.initializer}
    for name, value in values.items():
        if name in HEAD_PARTS or name.startswith(_PREFIX):
            if name.endswith("_quantized"):
                yield name.removeprefix(_PREFIX).removesuffix("_quantized"), _dequantized(name, values)
            elif not name.endswith(("_scale", "_zero_point")):
                yield name.removeprefix(_PREFIX), value.astype(np.float32)
    consumers: dict[str, Any] = {}
    for node in model.graph.node:
        for name in node.input:
            consumers.setdefault(name, node)
    for node in model.graph.node:
        if node.op_type == "MatMulInteger" and node.input[1] in values:
            bias = _bias_behind(node, consumers, values)
            yield f"{bias.removesuffix('bias')}weight", _dequantized(node.input[1], values).T


def _dequantized(name: str, values: dict[str, NDArray[Any]]) -> Array:
    base = name.removesuffix("_quantized")
    scale, zero = values[f"{base}_scale"], values[f"{base}_zero_point"]
    value: Array = (values[name].astype(np.float32) - zero.astype(np.float32)) * scale
    return value


def _bias_behind(node: Any, consumers: dict[str, Any], values: dict[str, NDArray[Any]]) -> str:
    """The name of the bias that is added to what a matrix product gives."""
    while node is not None:
        node = consumers.get(node.output[0])
        if node is not None and node.op_type == "Add":
            for name in node.input:
                if name in values and name.endswith(".bias"):
                    return str(name).removeprefix(_PREFIX)
    raise ValueError("a matrix product without a bias behind it")
