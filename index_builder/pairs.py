"""Training pairs: the question at each mined call, and texts that describe what was called.

All text is made by server/text.py, as it is when an editor asks. A corpus is a folder with an index and the
samples mined from the same sources (corpora.py).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepcodeseek.server.index import Index
from deepcodeseek.server.pipeline import Engine
from deepcodeseek.server.text import encoder_code, encoder_document, encoder_query, encoder_usage
from deepcodeseek.server.types import ExpandedQuery

from .evaluate import Asked, context_of

MAX_USAGES = 4  # of an API, from other files, that stand in a pair


@dataclass(frozen=True, slots=True)
class Pair:
    """What stood before a call, and texts that say what was called: any of them is a right answer."""

    project: str
    target: str  # api_name
    file: str
    query: str
    documents: tuple[str, ...]  # its documentation, its code
    usages: tuple[str, ...]  # contexts of its calls in other files


def pairs(
    engine: Engine, samples: Sequence[Mapping[str, Any]], project: str, seed: int = 0
) -> Iterator[Pair]:
    """A pair for each sample whose target is in the index, every other one without the lines after the call.

    Most code is written from top to bottom: a model must not rely on what comes after.
    """
    rng = random.Random(seed)
    for sample in samples:
        context = context_of(engine, sample, Asked(after=rng.random() < 0.5))
        target = exact(engine.index, str(sample["target"]))
        if context is None or target is None:
            continue
        api = engine.index.api(target)
        used = [usage for usage in engine.index.usages_of(target) if usage.file != context.file]
        chosen = rng.sample(used, min(MAX_USAGES, len(used)))
        yield Pair(
            project,
            api.api_name,
            context.file,
            encoder_query(ExpandedQuery(context)),
            (encoder_document(api), encoder_code(api)),
            tuple(encoder_usage(usage.caller, usage.context) for usage in chosen),
        )


def exact(index: Index, api_name: str) -> int | None:
    """Id of the API of that full name."""
    return next((i for i in index.find(api_name) if index.apis.api_name[i] == api_name), None)
