"""Train what ships, on corpora as corpora.py prepares them: an encoder of questions, and the fusion.

The fusion must not trust a signal that was trained on the very answers it is judged by: two encoders learn
from every other corpus each, evidence is gathered with the one that has not seen the corpus, and what ships
is the mean of their weights. Each call is asked twice, with what stands after it and without: most code is
written from top to bottom.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from deepcodeseek.server.fusion import Fusion
from deepcodeseek.server.models import CARD, SHIPPED, Encoder, ModelFiles, ModelKind, load_encoder
from deepcodeseek.server.text import TEXT_VERSION

from .evidence import Questions
from .prepared import EVAL_ONLY, TRAIN, Prepared, evidence, prepared
from .progress import Progress
from .train_fusion import CHECKPOINT, Recipe, as_fusion, named, ranks, top, train, write_fusion
from .train_query import Recipe as QueryRecipe

GENERAL_QUESTIONS = 40  # of an eval-only corpus, asked each way: what adapting may make worse
MAX_QUERY_SAMPLES = 500  # of a corpus, that the encoder learns from
WORK, HALVES = "query-training", ("0", "1")
FUSION_WORK = "fusion-training"
NO_CORPUS = "{} holds no corpus of the list 'train': prepare some first"


def train_shipped(corpora: Path, out: Path, recipe: Recipe, progress: Progress) -> dict[str, Any]:
    """Train the fusion on the list `train`, measure on `eval-only`; the card of what goes to out/fusion.

    With the encoders that `train_query_encoder` has left in `out`. Cut short, it goes on from its last
    checkpoint. Raises ValueError where a folder holds no corpus to train on, or where each of the encoders
    has seen a corpus.
    """
    mean = _encoder(out / "query")
    halves = [_encoder(out / WORK / half / "query") for half in HALVES] if mean else []
    learned = [
        part.few()
        for corpus in prepared(corpora, TRAIN)
        for part in evidence(corpus, _unseen_by(halves, corpus), progress)
    ]
    if not learned:
        raise ValueError(NO_CORPUS.format(corpora))
    found = {corpus.name: list(evidence(corpus, mean, progress)) for corpus in prepared(corpora, EVAL_ONLY)}
    unseen = {name: parts for name, parts in found.items() if all(len(part.sizes) for part in parts)}
    every = Questions.joined(learned)
    parameters, curve = train(every, recipe, progress, folder=out / FUSION_WORK)
    fusion = as_fusion(parameters)
    measured = {name: [top(ranks(fusion, part)) for part in parts] for name, parts in unseen.items()}
    about = {
        "licence": "Apache-2.0",
        "query": mean.files.sha256 if mean else "",
        "trained_on": [corpus.source for corpus in prepared(corpora, TRAIN)],
        "questions": len(every.sizes),
        "measured_questions": {name: len(parts[0].sizes) for name, parts in unseen.items()},
        "loss": [round(loss, 4) for loss in curve],
        "top_k_percent": {
            name: {"as mined": before, "nothing after the cursor": after}
            for name, (before, after) in measured.items()
        },
    }
    general = [_drawn(part, GENERAL_QUESTIONS) for parts in unseen.values() for part in parts]
    write_fusion(parameters, out / "fusion", about, recipe, Questions.joined(general) if general else None)
    # Else what is changed in this code would not count the next time.
    (out / FUSION_WORK / CHECKPOINT).unlink(missing_ok=True)
    return about


def unseen_fusions(corpora: Sequence[Prepared], progress: Progress) -> list[Fusion | None]:
    """For each corpus a fusion that learned from every other one, and not from it.

    What learns on top of a fusion must see it err as it errs at code that it has not seen. None where there
    is one corpus alone. Raises ValueError where a half of the corpora gives nothing to learn from.
    """
    if len(corpora) < len(HALVES):
        return [None for _ in corpora]
    fusions = []
    for number, half in enumerate((corpora[::2], corpora[1::2]), 1):
        parts = [part.few() for corpus in half for part in evidence(corpus, None, progress)]
        show = named(progress, f"training fusion {number} of {len(HALVES)}")
        fusions.append(as_fusion(train(Questions.joined(parts), Recipe(), show)[0]))
    return [fusions[1 - number % 2] for number in range(len(corpora))]


def _unseen_by(halves: Sequence[Encoder | None], corpus: Prepared) -> Encoder | None:
    """The encoder that has not learned from a corpus; none where none was trained."""
    if not halves:
        return None
    for encoder in halves:
        if encoder and corpus.source not in encoder.files.card.get("trained_on", (corpus.source,)):
            return encoder
    raise ValueError(
        f"no half of the encoder of questions is known not to have learned from {corpus.name}: run "
        "`deepcodeseek train query` on these corpora"
    )


def _drawn(questions: Questions, count: int) -> Questions:
    rng = np.random.default_rng(0)
    keep = np.zeros(len(questions.sizes), np.bool_)
    keep[rng.permutation(len(keep))[:count]] = True
    return questions.chosen(keep).few()


def train_query_encoder(corpora: Path, out: Path, recipe: QueryRecipe, progress: Progress) -> None:
    """Train an encoder of questions on the list `train`, into out/query; what it was made of stays beside it.

    Cut short, it goes on from its last checkpoint. Needs the extra [train]. Raises ValueError where a folder
    holds no corpus to train on.
    """
    from . import train_query
    from .export_encoder import base_weights, export_encoder

    every = prepared(corpora, TRAIN)
    if not every:
        raise ValueError(NO_CORPUS.format(corpora))
    folders = [out / WORK / half for half in HALVES]
    documents_by = _files("encoder", SHIPPED["encoder"]).sha256
    card = {
        "kind": "query",
        "name": "questions",
        "licence": "Apache-2.0",
        "documents": documents_by,
        "text_version": TEXT_VERSION,
    }
    for half, folder in enumerate(folders):
        questions, documents, its = [], {}, every[half::2]
        for corpus in its:
            engine = corpus.engine()
            asked = corpus.samples(MAX_QUERY_SAMPLES)
            questions += train_query.questions_of(engine, asked, corpus.name)
            documents[corpus.name] = train_query.documents_of(engine)
        weights = train_query.train(questions, documents, base_weights(), folder, recipe, progress)
        learned = {"trained_on": [corpus.source for corpus in its]}
        export_encoder(weights, folder / "query", card | learned, {}, lambda _: None)
    mean = train_query.mean_weights([folder / "weights" for folder in folders], out / WORK / "mean")
    about = {"recipe": asdict(recipe), "trained_on": [corpus.source for corpus in every]}
    export_encoder(mean, out / "query", card | about, {}, lambda _: None)


def _encoder(folder: Path) -> Encoder | None:
    return load_encoder(_files("query", folder)) if folder.is_dir() else None


def _files(kind: ModelKind, folder: Path) -> ModelFiles:
    return ModelFiles(kind, folder, json.loads((folder / CARD).read_text(encoding="utf-8")))
