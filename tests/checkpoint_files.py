"""Tiny checkpoints as a Hugging Face folder holds them, written by hand without any library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

VOCABULARY, WIDTH = 7, 4
EMBEDDING = "model.embed_tokens.weight"
SHAPES: Mapping[str, tuple[int, ...]] = {
    EMBEDDING: (VOCABULARY, WIDTH),
    "model.layers.0.input_layernorm.weight": (WIDTH,),
    "model.layers.1.input_layernorm.weight": (WIDTH,),
    "model.norm.weight": (WIDTH,),
}
PARAMETERS = sum(prod(shape) for shape in SHAPES.values())
CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
}
README = "---\nlanguage:\n- en\nlicense: apache-2.0\n---\nlicense: other\n"


def header(shapes: Mapping[str, tuple[int, ...]] = SHAPES) -> dict[str, Any]:
    """Of tensors in bf16, one after the other."""
    made: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in shapes.items():
        made[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + 2 * prod(shape)]}
        at += 2 * prod(shape)
    return made


def safetensors(made: Any, size: int = 2 * PARAMETERS) -> bytes:
    """A file with that header and as many bytes after it."""
    text = made if isinstance(made, bytes) else json.dumps(made).encode()
    return len(text).to_bytes(8, "little") + text + bytes(i % 251 for i in range(size))


def checkpoint(folder: Path, config: Mapping[str, Any] = CONFIG) -> Path:
    """A whole one in a single file, with a README and things that nobody asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "config.json": json.dumps(config),
        "tokenizer.json": json.dumps({"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}),
        "tokenizer_config.json": "{}",
        "README.md": README,
        "modeling_evil.py": "raise SystemExit('run')",
        "pytorch_model.bin": "pickled",
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "model.safetensors").write_bytes(safetensors(header()))
    return folder


def in_two(folder: Path) -> Path:
    """The same with the weights in two files and an index of them."""
    checkpoint(folder)
    (folder / "model.safetensors").unlink()
    names = [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]
    weight_map = {}
    for part, name in enumerate(names):
        shapes = dict(list(SHAPES.items())[2 * part : 2 * part + 2])
        size = 2 * sum(prod(shape) for shape in shapes.values())
        (folder / name).write_bytes(safetensors(header(shapes), size))
        weight_map |= dict.fromkeys(shapes, name)
    index = json.dumps({"metadata": {}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    return folder
