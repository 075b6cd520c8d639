"""Models made of chance, which take what real ones of their shape take."""

from __future__ import annotations

from pathlib import Path

from deepcodeseek.index_builder.bench_expander import Shape, expander_table, measure, write_shape
from deepcodeseek.server.generator import Model
from deepcodeseek.server.types import Prompt


def test_a_shape_is_read_like_a_real_model_that_fills_gaps(tmp_path: Path) -> None:
    path = write_shape(Shape(1, 64, 2, 1, 96, 400), tmp_path / "qwen2-tiny.gguf")
    row = measure(path)
    assert row["form"] == "fim"
    assert row["reading_ms"] > 0 < row["writing_ms"]
    model = Model(str(path))
    prompt = Prompt("a(", "statement", after=");")
    assert model.llama.detokenize(model.prompts.tokens(prompt), special=True).startswith(b"<|fim_prefix|>a(")
    assert model.llama.n_vocab() == 400
    table = expander_table({"description": "Told.", "models": {path.stem: row}})
    assert f"| qwen2-tiny | {row['file_mb']:,} MB | " in table
