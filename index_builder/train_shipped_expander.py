"""Train the expander's adapter on corpora as corpora.py prepares them; its loss is measured on `eval-only`.

What comes of it serves the one GGUF file that it was trained over. Needs the extra [train].
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deepcodeseek.server.generation import sha256_file
from deepcodeseek.server.models import CARD, ModelFiles

from .atomic import model_folder, write_lines
from .prepared import EVAL_ONLY, TRAIN, Prepared, prepared
from .progress import Progress
from .train_expander import LAYERS, Lesson, Recipe, Tokenize, lessons_of, load_base, mean_loss, restore, train
from .train_shipped import NO_CORPUS

WORK = "expander-training"
FILE = "adapter.gguf"
MAX_SAMPLES = 400  # of a corpus: a large one must not drown the others
MEASURED_SAMPLES = 100  # of an eval-only corpus


def train_shipped_expander(
    corpora: Path, base: ModelFiles, out: Path, recipe: Recipe, most: int, progress: Progress
) -> dict[str, Any]:
    """Train on at most so many lessons over the GGUF file `base`; the card of what goes to out/adapter.

    Cut short, it goes on from its last checkpoint. Raises ValueError where a folder holds no corpus to train
    on.
    """
    every = prepared(corpora, TRAIN)
    tokenize = _tokenizer(base.path(base.file))
    learned = _lessons(every, MAX_SAMPLES, tokenize, recipe)
    if not learned:
        raise ValueError(NO_CORPUS.format(corpora))
    learned = random.Random(recipe.seed).sample(learned, min(most, len(learned)))
    unseen = {
        corpus.name: _lessons([corpus], MEASURED_SAMPLES, tokenize, recipe)
        for corpus in prepared(corpora, EVAL_ONLY)
    }
    before = _losses(base, None, unseen, recipe)
    adapter = train(learned, base.path(base.file), out / WORK, recipe, progress)
    about = {
        "lessons": len(learned),
        "recipe": asdict(recipe),
        "layers": ", ".join(LAYERS),
        "nats_per_token": {"base": before, "adapted": _losses(base, out / WORK, unseen, recipe)},
        "trained_on": [corpus.source for corpus in every],
    }
    return _install(adapter, out / "adapter", base, about)


def _lessons(corpora: Sequence[Prepared], most: int, tokenize: Tokenize, recipe: Recipe) -> list[Lesson]:
    return [
        lesson
        for corpus in corpora
        for lesson in lessons_of(corpus.engine(), corpus.samples(most), tokenize, recipe.statement_tokens)
    ]


def _tokenizer(model: Path) -> Tokenize:
    """As the server reads prompts, by the model's own vocabulary."""
    from llama_cpp import Llama

    vocabulary = Llama(str(model), vocab_only=True, verbose=False)
    return lambda text: list(vocabulary.tokenize(text.encode(), False, False))


def _losses(
    base: ModelFiles, trained: Path | None, unseen: dict[str, list[Lesson]], recipe: Recipe
) -> dict[str, float]:
    """By corpus, of the base or of what a training has left in its folder."""
    model = load_base(base.path(base.file))
    if trained:
        restore(model, trained, recipe)
    return {name: round(mean_loss(model, lessons, recipe.batch), 3) for name, lessons in unseen.items()}


def _install(adapter: Path, place: Path, base: ModelFiles, about: dict[str, Any]) -> dict[str, Any]:
    """The adapter beside its card, which names the file that it belongs to."""
    with model_folder(place) as staged:
        shutil.copyfile(adapter, staged / FILE)
        card = {
            "kind": "adapter",
            "name": f"{base.name}, next statement",
            "licence": "Apache-2.0",
            "file": FILE,
            "sha256": {FILE: sha256_file(staged / FILE)},
            "base": base.card.get("made_from", base.sha256),
            **about,
        }
        write_lines(staged / CARD, [json.dumps(card, indent=1)])
    return card
