"""Adapt the encoder of questions to a workspace: two learn from one half of the files each.

So each file has one that was neither asked from it nor drawn to the contexts of its calls; what is written is
the mean of their weights (Wortsman et al., 2022). Needs the extra [train].
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deepcodeseek.server.engine import Engine
from deepcodeseek.server.models import ModelFiles, load_encoder
from deepcodeseek.server.text import TEXT_VERSION

from .evaluate import some_of
from .export_encoder import base_weights, export_encoder
from .progress import Progress
from .train_fusion import named
from .train_query import Recipe, documents_of, mean_weights, questions_of, train

RECIPE = Recipe(epochs=3)
MOST_LEARNED = 800  # questions of each half, drawn where there are more


def adapt_encoder(
    engine: Engine,
    halves: Sequence[Sequence[Mapping[str, Any]]],
    leave_out: Collection[str],
    work: Path,
    out: Path,
    progress: Progress,
    say: Callable[[str], None],
) -> list[Engine]:
    """The engine with an encoder that has learned from one half of the files, for each; their mean in `out`.

    Cut short, it goes on from its last checkpoint in `work`. Raises ValueError, and writes no `out`, where
    there is nothing to learn from or an export does not agree with what was trained.
    """
    assert engine.encoder
    card = {
        "kind": "query",
        "name": "adapted",
        "documents": engine.encoder.files.sha256,
        "text_version": TEXT_VERSION,
    }
    engines, every = [], []
    for number, (half, other) in enumerate(zip(halves, halves[::-1], strict=True)):
        documents = {"": documents_of(engine, leave_out, {str(sample["file"]) for sample in other})}
        folder, show = work / str(number), named(progress, f"encoder {number + 1} of {len(halves)}")
        questions = questions_of(engine, some_of(half, MOST_LEARNED), "")
        weights = train(questions, documents, base_weights(), folder, RECIPE, show)
        written = export_encoder(weights, folder / "query", card, {}, lambda _: None)
        encoder = load_encoder(ModelFiles("query", folder / "query", written))
        engines.append(replace(engine, query_encoder=encoder))
        every.append(weights)
    export_encoder(mean_weights(every, work / "mean"), out, card, {}, say)
    return engines
