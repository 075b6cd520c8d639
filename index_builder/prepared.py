"""Corpora as corpora.py prepares them, and what is gathered of them for training.

What was gathered of a corpus is kept beside its index, and gathered again only where index, samples, features
or models have changed.
"""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepcodeseek.server.engine import Engine
from deepcodeseek.server.fusion import FEATURES, Fusion, load_fusion
from deepcodeseek.server.generation import read_manifest, sha256_file
from deepcodeseek.server.index import open_index
from deepcodeseek.server.models import Encoder, ModelKind, load_encoder, shipped
from deepcodeseek.server.text import RERANKER_TEXT_VERSION

from .cache import digest
from .candidates import NEGATIVES, candidate_lists
from .corpora import MADE
from .evaluate import Asked, read_samples
from .evidence import EVIDENCE_VERSION, Questions, gather
from .progress import Progress
from .triples import Triple, read_coder_pile, write_triples

SAMPLES = "samples.jsonl"
MAX_SAMPLES = 1000  # of a corpus: a large one must not drown the others
MAX_LISTS = 500  # of a corpus, that a cross-encoder learns from
TRAIN, EVAL_ONLY = "train", "eval-only"
RETRIEVING: tuple[ModelKind, ...] = ("encoder", "fusion")  # what decides over a list


@dataclass(frozen=True, slots=True)
class Prepared:
    """A corpus on disk."""

    folder: Path
    about: Mapping[str, Any]  # its entry in the lock file

    @property
    def name(self) -> str:
        return str(self.about["name"])

    @property
    def source(self) -> dict[str, Any]:
        """What a card says of it."""
        packages = [f"{p['name']}@{p['version']} ({p['licence']})" for p in self.about["packages"]]
        return {"name": self.name, "packages": packages}

    def engine(self, query_encoder: Encoder | None = None, fused: bool = True) -> Engine:
        """What retrieves with the weights that ship, whatever the user has adapted or put before them.

        Unless `fused`, without the fusion: that may be made for other signals than the one to be trained.
        Raises IndexProblem or ModelProblem.
        """
        encoder = shipped("encoder")
        index = open_index(self.folder / "index", encoder.sha256)
        fusion = load_fusion(shipped("fusion")) if fused else None
        return Engine(index, load_encoder(encoder), fusion=fusion, query_encoder=query_encoder)

    def samples(self, most: int) -> list[dict[str, Any]]:
        """Balanced samples, drawn where there are more."""
        balanced = [s for s in read_samples(self.folder / SAMPLES) if s.get("balanced", True)]
        return random.Random(0).sample(balanced, min(most, len(balanced)))

    def key(self, *about: str) -> str:
        """Names what is made of its index and samples, and of `about`."""
        generation, _ = read_manifest(self.folder / "index")
        return digest(generation.name, sha256_file(self.folder / SAMPLES), *about).hex()[:12]


def prepared(corpora: Path, kind: str) -> list[Prepared]:
    """The corpora of a list that lie in a folder, by name; raises ValueError where one cannot be read."""
    every = [(path.parent, _about(path)) for path in sorted(corpora.glob(f"*/{MADE}"))]
    return [Prepared(folder, about) for folder, about in every if about["list"] == kind]


def _about(path: Path) -> Mapping[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))["corpus"]
        return {key: about[key] for key in ("name", "list", "packages")}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} does not say what was prepared ({error!r}): prepare it again") from None


def evidence(corpus: Prepared, encoder: Encoder | None, progress: Progress) -> Iterator[Questions]:
    """A corpus's questions, as mined and with nothing after the cursor."""
    made_by = [encoder.files.sha256] if encoder else []
    key = corpus.key(json.dumps([FEATURES, EVIDENCE_VERSION, MAX_SAMPLES]), *made_by)
    engine = None
    for after in (True, False):
        path = corpus.folder / f"evidence-{key}-{int(after)}.npz"
        if not path.is_file():
            engine = engine or corpus.engine(encoder, fused=False)
            questions = gather(engine, corpus.samples(MAX_SAMPLES), Asked(after=after), progress)
            part = path.with_suffix(
                f".{secrets.token_hex(3)}.part.npz"
            )  # several processes may make the same
            try:
                questions.save(part)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        yield Questions.load(path)


def lists(corpus: Prepared, progress: Progress, fusion: Fusion | None = None) -> list[Triple]:
    """The candidates of a corpus's questions, of half of them with nothing after the cursor.

    In the order of a fusion, the one that ships if none is given.
    """
    fusion = fusion or load_fusion(shipped("fusion"))
    weights = digest(*(array.tobytes() for array in fusion.parameters)).hex()
    made_by = [RERANKER_TEXT_VERSION, EVIDENCE_VERSION, MAX_LISTS, NEGATIVES]
    key = corpus.key(json.dumps(made_by), shipped("encoder").sha256, weights)
    path = corpus.folder / f"lists-{key}.jsonl"
    if not path.is_file():
        engine, samples = replace(corpus.engine(fused=False), fusion=fusion), corpus.samples(MAX_LISTS)
        half = len(samples) // 2
        made = [
            triple
            for part, after in ((samples[:half], True), (samples[half:], False))
            for triple in candidate_lists(engine, part, Asked(after=after), progress)
        ]
        write_triples(path, made)
    return list(read_coder_pile(path, lambda _: None))
