"""Whether the export of a causal reranker of real size ranks as its float model does; its weights are random.

    python -m deepcodeseek.index_builder.export_bench --out results/causal-export.json

A checkpoint of the shape of Qwen3-Reranker-0.6B is written as transformers writes one, and exported as
`deepcodeseek models export` would, with 8 and with 4 bits. Needs the extra [train], 4 GB of memory and
2 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from deepcodeseek.server.models import SHIPPED

from .atomic import write_lines
from .bench_causal import SHAPES
from .bench_scale import apart, machine
from .export_causal import export_causal
from .export_causal_graph import Bits, Shape
from .export_graph import write_tokenizer

SHAPE = "0.6B"
SPREAD = 0.04  # of the weights: with the 0.02 of trained ones nearly all documents would score the same
BITS: tuple[Bits, ...] = (8, 4)


def main() -> None:
    """Write a checkpoint, export it twice, and write what was said of both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the file of results")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / SHAPE
        apart(partial(write_checkpoint, SHAPES[SHAPE]), checkpoint)
        rows = [export_row(checkpoint, bits) for bits in BITS]
    content = {
        "description": f"A checkpoint of the shape of {SHAPE} with random weights (normal, {SPREAD}; "
        "bfloat16), exported and compared with transformers on the golden documents.",
        "command": "python -m deepcodeseek.index_builder.export_bench --out causal-export.json",
        "machine": machine(),
        "rows": rows,
    }
    write_lines(given.out, [json.dumps(content, indent=1)])


def write_checkpoint(shape: Shape, place: Path) -> None:
    """A folder of random weights as transformers writes it, with the tokenizer of the encoder that ships."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        rope_parameters={"rope_theta": shape.theta, "rope_type": "default"},
        rms_norm_eps=shape.epsilon,
        tie_word_embeddings=True,
        initializer_range=SPREAD,
    )
    Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(place)
    write_tokenizer(SHIPPED["encoder"], place)


def export_row(checkpoint: Path, bits: Bits) -> dict[str, Any]:
    """The row of an export: what it said, whether it was refused, and what it took."""
    start = time.monotonic()
    row, peak = apart(partial(_export, bits=bits), checkpoint)
    return {"bits": bits, **row, "seconds": round(time.monotonic() - start), "peak_mb": peak}


def _export(checkpoint: Path, bits: Bits) -> dict[str, Any]:
    said: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            export_causal(checkpoint, Path(folder), bits, said.append)
            refused = None
        except ValueError as error:
            refused = str(error)
    return {"said": said, "refused": refused}


if __name__ == "__main__":
    main()
