"""What a GGUF model of some size takes as the expander: memory, and the time to read a prompt and to write.

    python -m deepcodeseek.index_builder.bench_expander --shape 0.5B --out results.json
    python -m deepcodeseek.index_builder.bench_expander --gguf FILE --out results.json

A shape is a model with chance for weights and the tokens to fill in gaps: what it writes means nothing, and
takes as long as the real one. Each run is a process of its own, and adds its row to the file.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from deepcodeseek.server.generator import THREADS, Model
from deepcodeseek.server.types import Prompt

from .atomic import write_lines

READ, WRITTEN = 120, 12  # tokens of an expansion, about
ROUNDS = 5
END = "<|end|>"
SPECIAL = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|im_start|>", "<|im_end|>", END)
CODE = "function moor(vessel, berth) {\n    var length = vessel.length;\n    return berth.fits(length);\n}\n"
Q4_BLOCK, Q8_BLOCK = 18, 34  # bytes for 32 weights, the first two of them a scale
DESCRIPTION = (
    "Memory of the process and milliseconds, medians of {rounds}, on {threads} of {cores} cores: a prompt of "
    "{read} tokens that fills a gap where the model can, and a statement of {written}."
)


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a Qwen2 model."""

    layers: int
    width: int
    heads: int
    key_heads: int
    forward: int
    vocabulary: int = 151_936


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {"0.5B": Shape(24, 896, 14, 2, 4864), "1.5B": Shape(28, 1536, 12, 2, 8960)}
)


def main() -> None:
    """Measure one model and add its row to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--shape", choices=SHAPES)
    what.add_argument("--gguf", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="the file of results")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = given.gguf or write_shape(SHAPES[given.shape], Path(scratch) / f"qwen2-{given.shape}.gguf")
        row = measure(path)
    about = {"rounds": ROUNDS, "threads": THREADS, "cores": os.cpu_count(), "read": READ, "written": WRITTEN}
    content: dict[str, Any] = {"description": DESCRIPTION.format(**about), "models": {}}
    if given.out.is_file():
        content = json.loads(given.out.read_text(encoding="utf-8"))
    content["models"][path.stem] = row
    write_lines(given.out, [json.dumps(content, indent=1)])
    print(path.stem, row)


def measure(path: Path) -> dict[str, Any]:
    """Its size and memory, and how long a prompt and a statement take."""
    before, model = _memory_mb(), Model(str(path))
    code = CODE * (1 + READ // 20)
    form = model.prompts.form_of(Prompt(code, "statement", after=CODE))
    reading, writing = [], []
    for number in range(ROUNDS):
        tokens = model.prompts.tokens(Prompt(code, "statement", after=CODE))[-READ:]
        tokens[0] = model.prompts.tokenize(str(number), False)[0]  # nothing is known of it yet
        model.llama.n_tokens = 0
        reading.append(_ms(lambda tokens=tokens: model.llama.eval(tokens)))
        writing.append(sum(_ms(lambda t=token: model.llama.eval([t])) for token in tokens[:WRITTEN]))
    return {
        "file_mb": round(path.stat().st_size / 1e6),
        "memory_mb": _memory_mb() - before,
        "form": form,
        "reading_ms": round(float(np.median(reading)), 1),
        "writing_ms": round(float(np.median(writing)), 1),
    }


def _ms(work: Any) -> float:
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def _memory_mb() -> int:
    """What this process holds now."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) // 1000 for line in lines if line.startswith("VmRSS"))


def write_shape(shape: Shape, path: Path) -> Path:
    """A GGUF file of the kind Q4_0 with chance for weights."""
    import gguf

    file = gguf.GGUFWriter(path, "qwen2")
    file.add_context_length(32_768)
    file.add_embedding_length(shape.width)
    file.add_block_count(shape.layers)
    file.add_feed_forward_length(shape.forward)
    file.add_head_count(shape.heads)
    file.add_head_count_kv(shape.key_heads)
    file.add_layer_norm_rms_eps(1e-6)
    file.add_rope_freq_base(1e6)
    _add_vocabulary(file, shape.vocabulary)
    chance = np.random.default_rng(0)
    for name, rows, columns, kind in _matrices(shape):
        block, quantization = (
            (Q8_BLOCK, gguf.GGMLQuantizationType.Q8_0)
            if kind == "q8"
            else (Q4_BLOCK, gguf.GGMLQuantizationType.Q4_0)
        )
        blocks = chance.integers(0, 256, (rows, columns // 32, block), np.uint8)
        blocks[:, :, :2] = np.array([0.002], np.float16).view(np.uint8)
        file.add_tensor(f"{name}.weight", blocks.reshape(rows, -1), raw_dtype=quantization)
    for name, count, value in _vectors(shape):
        file.add_tensor(name, np.full(count, value, np.float32))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


def _add_vocabulary(file: Any, count: int) -> None:
    """The bytes, what is special, and names that nothing is read as."""
    import gguf

    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    letters = [chr(byte if byte in visible else next(others)) for byte in range(256)]
    rest = [f"unused{number}" for number in range(count - len(letters) - len(SPECIAL))]
    kinds = [gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * len(SPECIAL)
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("qwen2")
    file.add_token_list([*letters, *SPECIAL, *rest])
    file.add_token_types([*kinds, *([gguf.TokenType.UNUSED] * len(rest))])
    file.add_token_merges(["a b"])
    file.add_eos_token_id(len(letters) + SPECIAL.index(END))
    file.add_add_bos_token(False)


def _matrices(shape: Shape) -> Iterator[tuple[str, int, int, str]]:
    """Name, rows, columns and kind."""
    keys = shape.width // shape.heads * shape.key_heads
    yield "token_embd", shape.vocabulary, shape.width, "q4"
    yield "output", shape.vocabulary, shape.width, "q8"
    for layer in range(shape.layers):
        for name, rows, columns in (
            ("attn_q", shape.width, shape.width),
            ("attn_k", keys, shape.width),
            ("attn_v", keys, shape.width),
            ("attn_output", shape.width, shape.width),
            ("ffn_gate", shape.forward, shape.width),
            ("ffn_up", shape.forward, shape.width),
            ("ffn_down", shape.width, shape.forward),
        ):
            yield f"blk.{layer}.{name}", rows, columns, "q4"


def _vectors(shape: Shape) -> Iterator[tuple[str, int, float]]:
    """Name, length and value."""
    keys = shape.width // shape.heads * shape.key_heads
    yield "output_norm.weight", shape.width, 1.0
    for layer in range(shape.layers):
        yield f"blk.{layer}.attn_norm.weight", shape.width, 1.0
        yield f"blk.{layer}.ffn_norm.weight", shape.width, 1.0
        yield f"blk.{layer}.attn_q.bias", shape.width, 0.0
        yield f"blk.{layer}.attn_k.bias", keys, 0.0
        yield f"blk.{layer}.attn_v.bias", keys, 0.0


def expander_table(content: Mapping[str, Any]) -> str:
    """Markdown: each model with its memory and its milliseconds."""
    head = "| model | file | memory | prompts | reading one | writing a statement | together |"
    rows = (
        f"| {name} | {row['file_mb']:,} MB | {row['memory_mb']:,} MB | {row['form']} "
        f"| {row['reading_ms']:,.0f} ms | {row['writing_ms']:,.0f} ms "
        f"| {row['reading_ms'] + row['writing_ms']:,.0f} ms |"
        for name, row in sorted(content["models"].items(), key=lambda item: item[1]["file_mb"])
    )
    return "\n".join((head, "|---|---|---|---|---|---|---|", *rows, "", content["description"])) + "\n"


if __name__ == "__main__":
    main()
