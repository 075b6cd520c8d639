"""A BERT model in torch -> one int8 ONNX graph. Needs the extra [train]."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import ModelProto

LIBRARIES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")
OPSET = 20  # the first with Gelu as one operator; onnxruntime 1.17 and later
MASKED = -1e4  # added to the attention scores of padding: zero after softmax, yet finite


def write_tokenizer(weights: Path, folder: Path) -> None:
    """The tokenizer of a float model, which pads and cuts as its caller says."""
    tokenizer = json.loads((weights / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["padding"] = tokenizer["truncation"] = None
    tokenizer_json = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")


def made_with() -> dict[str, str]:
    """Versions of the libraries that decide over a graph's bytes."""
    return {name: version(name) for name in LIBRARIES}


def attention_bias(mask: Any) -> Any:
    """What is added to the attention scores [n, 1, 1, tokens]; the library's own costs 20 nodes."""
    return (1 - mask.float())[:, None, None, :] * MASKED


def scale_rows(bert: Any) -> None:
    """Divide each input row of the feed-forward layers by its largest magnitude, and multiply after.

    Dynamic quantization takes one scale for a whole activation tensor, so an outlier in one token costs all
    tokens of the batch their precision. Both layers of the feed-forward part have such outliers.
    """
    import torch
    from torch.nn.functional import linear

    class RowScaled(torch.nn.Module):
        def __init__(self, layer: Any) -> None:
            super().__init__()
            self.weight, self.bias = layer.weight, layer.bias

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            scale = rows.abs().amax(-1, keepdim=True).clamp(min=1e-9)
            return linear(rows / scale, self.weight) * scale + self.bias

    for layer in bert.encoder.layer:
        layer.intermediate.dense = RowScaled(layer.intermediate.dense)
        layer.output.dense = RowScaled(layer.output.dense)


def export_graph(module: Any, inputs: Sequence[str], output: str) -> ModelProto:
    """The graph of a module that takes int64 inputs [batch, sequence]."""
    import torch

    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    sample = torch.ones((2, 8), dtype=torch.int64)
    program = torch.onnx.export(
        module.eval(),
        tuple(sample.clone() for _ in inputs),  # one tensor for several would become one input
        input_names=list(inputs),
        output_names=[output],
        dynamic_shapes=tuple(axes for _ in inputs),
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # for mypy: None comes only with a file name
    return program.model_proto


def rename_values(model: ModelProto, names: Mapping[str, str]) -> None:
    """Give inner values and the outputs of a graph other names."""
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in model.graph.output:
        value.name = names.get(value.name, value.name)


def quantize(model: ModelProto, path: Path) -> None:
    """Write the graph with int8 weights and activations; same weights and libraries, same bytes."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    del model.graph.value_info[:]
    # 7-bit weights: without VNNI a processor adds two 8-bit products in 16 bits and saturates.
    quantize_dynamic(
        model, path, op_types_to_quantize=["MatMul", "Gather"], weight_type=QuantType.QInt8,
        per_channel=True, reduce_range=True,
    )  # fmt: skip
    model = onnx.load(path)
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("metadata_props")  # stack traces of the export, with paths of this machine
        part.ClearField("doc_string")
    path.write_bytes(model.SerializeToString(deterministic=True))
