"""The graph of a causal yes/no reranker (the Llama and Qwen3 families), written weight by weight.

It is made of onnxruntime's own operators: GroupQueryAttention with a key-value cache, so that the prompt that
all candidates share is computed once, and MatMulNBits, whose weights have 8 or 4 bits in blocks of 32 with a
scale each. Of the output head only one row is kept, `w_yes - w_no`. No weight is held longer than it takes to
quantize it, and all lie in a file beside the graph, for a protobuf ends at 2 GB.

    input_ids [1, tokens] int64, past_key_N and past_value_N [1, kv heads, past, head dimension] float32
    -> score [1], the logit of yes less that of no at the last position; present_key_N, present_value_N

onnxruntime-genai writes such graphs too, but with the whole head and for its own runtime. Needs the extra
[train].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from .checkpoints import ARCHITECTURES

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

Bits = Literal[8, 4]
Weights = Callable[[str], NDArray[np.float32]]
GRAPH, DATA = "model.onnx", "model.onnx.data"
BLOCK = 32  # weights that share a scale
POSITIONS = 4096  # the longest prompt: its tables of sines are a part of the graph
ALIGNMENT = 4096  # of a weight in its file, so that it can be mapped
OPSET = 21
CONTRIB = "com.microsoft"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a graph depends on but for its weights."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int  # of the feed-forward layers
    vocabulary: int
    theta: float  # of the rotary positions
    epsilon: float
    has_head_norm: bool  # Qwen3 norms each head's queries and keys

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """From a config.json; raises ValueError where it names what no graph can be written for."""
        family = str((config.get("architectures") or ["none"])[0])
        if family not in ARCHITECTURES:
            raise ValueError(f"{family} is no family that can be exported: {', '.join(ARCHITECTURES)}")
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        if rope.get("rope_type", "default") != "default" or config.get("attention_bias"):
            raise ValueError("scaled rotary positions and biases cannot be exported")
        if config.get("use_sliding_window") or config.get("hidden_act", "silu") != "silu":
            raise ValueError("sliding windows and activations other than SiLU cannot be exported")
        heads = int(config["num_attention_heads"])
        return cls(
            layers=int(config["num_hidden_layers"]),
            width=int(config["hidden_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
            inner=int(config["intermediate_size"]),
            vocabulary=int(config["vocab_size"]),
            theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
            epsilon=float(config["rms_norm_eps"]),
            has_head_norm=family == "Qwen3ForCausalLM",
        )

    @property
    def parameters(self) -> int:
        """Weights of the layers and the embeddings."""
        attention = self.width * self.head_dim * (self.heads + self.kv_heads) * 2
        return self.layers * (attention + 3 * self.width * self.inner) + self.vocabulary * self.width

    @property
    def cache_bytes(self) -> int:
        """That a token of the shared prompt takes."""
        return self.layers * 2 * self.kv_heads * self.head_dim * 4


def write_graph(shape: Shape, weights: Weights, head: NDArray[np.float32], bits: Bits, folder: Path) -> None:
    """Write GRAPH and DATA into a folder.

    `weights` gives a matrix [out, in] or a vector by its name in a checkpoint; `head` is the row [width].
    """
    with (folder / DATA).open("wb") as file:
        writer = _Writer(shape, weights, bits, file)
        model = writer.model(head)
    (folder / GRAPH).write_bytes(model.SerializeToString(deterministic=True))


def quantize_blocks(matrix: NDArray[np.float32], bits: Bits) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Weights [out, blocks, bytes] and scales [out * blocks] of a matrix [out, in] for MatMulNBits.

    The weight that is largest by magnitude gets the code that is exact on one side only, with its sign.
    """
    rows, columns = matrix.shape
    half = 1 << (bits - 1)
    blocks = np.pad(matrix, ((0, 0), (0, -columns % BLOCK))).reshape(rows, -1, BLOCK)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(-1)[..., None], -1)
    scales = np.where(largest == 0, 1.0, largest / -half).astype(np.float32)
    codes = np.clip(np.rint(blocks / scales) + half, 0, 2 * half - 1).astype(np.uint8)
    if bits == 4:
        codes = codes[..., ::2] | codes[..., 1::2] << 4
    return codes, scales.reshape(-1)


class _Writer:
    """Nodes and weights of one graph, in the order in which they are computed."""

    def __init__(self, shape: Shape, weights: Weights, bits: Bits, file: BinaryIO) -> None:
        self._shape, self._weights, self._bits, self._file = shape, weights, bits, file
        self._nodes: list[NodeProto] = []
        self._tensors: list[TensorProto] = []

    def model(self, head: NDArray[np.float32]) -> Any:
        """The whole graph."""
        from onnx import helper

        graph = helper.make_graph(self._body(head), "yes_no", self._inputs(), self._outputs(), self._tensors)
        sets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=sets, producer_name="deepcodeseek")

    def _body(self, head: NDArray[np.float32]) -> list[NodeProto]:
        self._lengths()
        states = self._embedded()
        for layer in range(self._shape.layers):
            states = self._attended(states, layer)
            states = self._fed_forward(states, layer)
        last = self._add(
            "Gather", [states, self._constant("last", np.array(-1, np.int64))], "last_state", axis=1
        )
        row = self._add("Mul", [self._normed(last, "model.norm"), self._constant("head", head)], "weighed")
        axes = self._constant("axes", np.array([-1], np.int64))
        self._add("ReduceSum", [row, axes], "score", keepdims=0)
        return self._nodes

    def _lengths(self) -> None:
        """`total`, the tokens of past and present together, and `seqlens`, one less, in a vector."""
        past, now = (
            self._add("Shape", [name], f"{name}_length", start=at, end=at + 1)
            for name, at in (("past_key_0", 2), ("input_ids", 1))
        )
        total = self._add("Cast", [self._add("Add", [past, now], "length")], "length32", to=_INT32)
        one = self._constant("one", np.array([1], np.int32))
        self._add("Sub", [total, one], "seqlens")
        self._add("Squeeze", [total], "total")
        angles = np.arange(POSITIONS)[:, None] * self._shape.theta ** -(
            np.arange(0, self._shape.head_dim, 2) / self._shape.head_dim
        )
        self._constant("cosines", np.cos(angles).astype(np.float32))
        self._constant("sines", np.sin(angles).astype(np.float32))

    def _embedded(self) -> str:
        """The tokens' vectors, whose rows are int8 with a scale each."""
        table = self._weights("model.embed_tokens.weight")
        scales = np.maximum(np.abs(table).max(1, keepdims=True), 1e-9) / 127
        rows = self._constant("embeddings", np.rint(table / scales).astype(np.int8))
        scale = self._constant("embedding_scales", scales.astype(np.float32))
        codes = self._add("Gather", [rows, "input_ids"], "codes")
        floats = self._add("Cast", [codes], "code_floats", to=_FLOAT)
        return self._add(
            "Mul", [floats, self._add("Gather", [scale, "input_ids"], "code_scales")], "embedded"
        )

    def _attended(self, states: str, layer: int) -> str:
        shape, name = self._shape, f"model.layers.{layer}"
        normed = self._normed(states, f"{name}.input_layernorm")
        parts = [self._times(normed, f"{name}.self_attn.{part}_proj") for part in "qkv"]
        if shape.has_head_norm:
            for at, (part, heads) in enumerate((("q", shape.heads), ("k", shape.kv_heads))):
                parts[at] = self._head_normed(parts[at], f"{name}.self_attn.{part}_norm", heads)
        cache = [f"past_key_{layer}", f"past_value_{layer}"]
        self._nodes.append(
            _node(
                "GroupQueryAttention",
                [*parts, *cache, "seqlens", "total", "cosines", "sines"],
                [f"{name}.attended", f"present_key_{layer}", f"present_value_{layer}"],
                CONTRIB,
                num_heads=shape.heads,
                kv_num_heads=shape.kv_heads,
                do_rotary=1,
            )
        )
        attended = self._times(f"{name}.attended", f"{name}.self_attn.o_proj")
        return self._add("Add", [states, attended], f"{name}.middle")

    def _fed_forward(self, states: str, layer: int) -> str:
        name = f"model.layers.{layer}.mlp"
        normed = self._normed(states, f"model.layers.{layer}.post_attention_layernorm")
        gate, up = (self._times(normed, f"{name}.{part}_proj") for part in ("gate", "up"))
        open_gate = self._add("Mul", [gate, self._add("Sigmoid", [gate], f"{name}.sigmoid")], f"{name}.silu")
        product = self._add("Mul", [open_gate, up], f"{name}.product")
        return self._add("Add", [states, self._times(product, f"{name}.down_proj")], f"{name}.out")

    def _normed(self, states: str, weight: str) -> str:
        scale = self._constant(f"{weight}.weight", self._weights(f"{weight}.weight"))
        epsilon = self._shape.epsilon
        return self._add(
            "SimplifiedLayerNormalization", [states, scale], f"{weight}.normed", axis=-1, epsilon=epsilon
        )

    def _head_normed(self, states: str, weight: str, heads: int) -> str:
        """Each head's part of the states normed for itself."""
        dim = self._shape.head_dim
        apart = self._constant(f"{weight}.apart", np.array([0, 0, heads, dim], np.int64))
        whole = self._constant(f"{weight}.whole", np.array([0, 0, heads * dim], np.int64))
        split = self._add("Reshape", [states, apart], f"{weight}.split")
        return self._add("Reshape", [self._normed(split, weight), whole], f"{weight}.joined")

    def _times(self, states: str, weight: str) -> str:
        """The product with a quantized matrix; activations are int8 by blocks as well."""
        matrix = self._weights(f"{weight}.weight")
        codes, scales = quantize_blocks(matrix, self._bits)
        inputs = [
            states,
            self._constant(f"{weight}.codes", codes),
            self._constant(f"{weight}.scales", scales),
        ]
        self._nodes.append(
            _node(
                "MatMulNBits", inputs, [weight], CONTRIB,
                K=matrix.shape[1], N=matrix.shape[0], bits=self._bits, block_size=BLOCK, accuracy_level=4,
            )
        )  # fmt: skip
        return weight

    def _add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(_node(operator, inputs, [output], "", **attributes))
        return output

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        """A weight of the graph: small ones in it, the others in the file beside it."""
        from onnx import TensorProto, numpy_helper

        values = np.asarray(values, order="C")
        if values.nbytes < ALIGNMENT:
            self._tensors.append(numpy_helper.from_array(values, name))
            return name
        self._file.write(bytes(-self._file.tell() % ALIGNMENT))
        place = {"location": DATA, "offset": self._file.tell(), "length": values.nbytes}
        self._file.write(values.data)
        tensor = numpy_helper.from_array(values[:0], name)
        del tensor.dims[:]
        tensor.dims.extend(values.shape)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        self._tensors.append(tensor)
        return name

    def _inputs(self) -> list[Any]:
        from onnx import helper

        ids = helper.make_tensor_value_info("input_ids", _INT64, [1, "tokens"])
        return [ids, *self._cache("past", "past")]

    def _outputs(self) -> list[Any]:
        from onnx import helper

        return [helper.make_tensor_value_info("score", _FLOAT, [1]), *self._cache("present", "total")]

    def _cache(self, name: str, length: str) -> list[Any]:
        from onnx import helper

        dims = [1, self._shape.kv_heads, length, self._shape.head_dim]
        return [
            helper.make_tensor_value_info(f"{name}_{part}_{layer}", _FLOAT, dims)
            for layer in range(self._shape.layers)
            for part in ("key", "value")
        ]


_FLOAT, _INT32, _INT64 = 1, 6, 7  # TensorProto.FLOAT and so on, without importing onnx with this file


def _node(operator: str, inputs: list[str], outputs: list[str], domain: str, **attributes: Any) -> NodeProto:
    from onnx import helper

    return helper.make_node(operator, inputs, outputs, name=outputs[0], domain=domain, **attributes)
