"""Train the fusion that ships, on corpora as corpora.py prepares them.

Each call is asked twice, with what stands after it and without: most code is written from top to bottom. What
was gathered of a corpus is kept beside its index, and gathered again only where index, samples or features
have changed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepcodeseek.server.fusion import FEATURES
from deepcodeseek.server.generation import read_manifest, sha256_file
from deepcodeseek.server.pipeline import load_engine

from .cache import digest
from .evaluate import Asked, read_samples
from .evidence import GENERAL, Questions, gather
from .train_fusion import Recipe, as_fusion, ranks, top, train, write_fusion

SAMPLES = "samples.jsonl"
MADE = "corpus.json"
MAX_SAMPLES = 1000  # of a corpus: a large one must not drown the others
GENERAL_QUESTIONS = 40  # of an eval-only corpus, asked each way: what adapting may make worse
TRAIN, EVAL_ONLY = "train", "eval-only"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A corpus on disk."""

    folder: Path
    about: Mapping[str, Any]  # its entry in the lock file

    @property
    def name(self) -> str:
        return str(self.about["name"])


def prepared(corpora: Path, kind: str) -> list[Prepared]:
    """The corpora of a list that lie in a folder, by name."""
    found = []
    for path in sorted(corpora.glob(f"*/{MADE}")):
        about = json.loads(path.read_text(encoding="utf-8"))["corpus"]
        if about["list"] == kind:
            found.append(Prepared(path.parent, about))
    return found


def train_shipped(corpora: Path, out: Path, recipe: Recipe, progress: Progress) -> dict[str, Any]:
    """Train on the list `train`, measure on `eval-only`; the card of what was written to `out`.

    Raises ValueError where a folder holds no corpus to train on.
    """
    learned = [part.few() for corpus in prepared(corpora, TRAIN) for part in evidence(corpus, progress)]
    if not learned:
        raise ValueError(f"{corpora} holds no corpus of the list {TRAIN!r}: prepare some first")
    unseen = {corpus.name: list(evidence(corpus, progress)) for corpus in prepared(corpora, EVAL_ONLY)}
    every = Questions.joined(learned)
    parameters, curve = train(every, recipe, progress)
    fusion = as_fusion(parameters)
    measured = {name: [top(ranks(fusion, part)) for part in parts] for name, parts in unseen.items()}
    about = {
        "licence": "Apache-2.0",
        "trained_on": [_source(corpus) for corpus in prepared(corpora, TRAIN)],
        "questions": len(every.sizes),
        "loss": [round(loss, 4) for loss in curve],
        "top_k_percent": {
            name: {"as mined": before, "nothing after the cursor": after}
            for name, (before, after) in measured.items()
        },
    }
    out.mkdir(parents=True, exist_ok=True)
    general = [_drawn(part, GENERAL_QUESTIONS) for parts in unseen.values() for part in parts]
    if general:
        Questions.joined(general).save(out / GENERAL)
    write_fusion(parameters, out, about, recipe)
    return about


def _drawn(questions: Questions, count: int) -> Questions:
    rng = np.random.default_rng(0)
    keep = np.zeros(len(questions.sizes), np.bool_)
    keep[rng.permutation(len(keep))[:count]] = True
    return questions.chosen(keep).few()


def evidence(corpus: Prepared, progress: Progress) -> Iterator[Questions]:
    """A corpus's questions, as mined and with nothing after the cursor."""
    samples = corpus.folder / SAMPLES
    generation, _ = read_manifest(corpus.folder / "index")
    key = digest(generation.name, sha256_file(samples), json.dumps([FEATURES, MAX_SAMPLES]))
    engine = None
    for after in (True, False):
        path = corpus.folder / f"evidence-{key.hex()[:12]}-{int(after)}.npz"
        if not path.is_file():
            engine = engine or load_engine(corpus.folder / "index")
            asked = _some(read_samples(samples), MAX_SAMPLES)
            questions = gather(engine, asked, Asked(after=after), progress)
            part = path.with_suffix(".part.npz")
            questions.save(part)
            part.replace(path)
        yield Questions.load(path)


def _some(samples: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    balanced = [sample for sample in samples if sample.get("balanced", True)]
    return random.Random(0).sample(balanced, min(most, len(balanced)))


def _source(corpus: Prepared) -> dict[str, Any]:
    return {
        "name": corpus.name,
        "packages": [f"{p['name']}@{p['version']} ({p['licence']})" for p in corpus.about["packages"]],
    }
