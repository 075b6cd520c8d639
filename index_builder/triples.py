"""Training triples, and a reader of those that CodeR-Pile holds.

CodeR-Pile (arXiv 2505.12697; data set nebula2025/CodeR-Pile, CC BY-NC-SA 4.0: nothing learnt from it may go
into weights that ship) is made of files such as `code2code/en/code_context_retrieval/en-sql-triplets.jsonl`.
Each line is an object as its generator writes it (FlagOpen/FlagEmbedding, research/BGE_Coder/data_generation/
triplet_generator.py) and as FlagEmbedding's training scripts read it:

    {"prompt": the task's instruction, "query": text, "pos": [text, ...], "neg": [text, ...]}

`prompt` is the same in a whole file and is passed over, as is any other key. Ours add two: `priors`, the
retriever's scores of the positive and then of the negatives, and `file`, from which was asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .atomic import write_lines

MAX_PRIOR = 1e30  # of that size sums still are finite numbers of 32 bits


@dataclass(frozen=True, slots=True)
class Triple:
    """A query, a text that answers it, and texts that do not."""

    query: str
    positive: str
    negatives: tuple[str, ...]
    priors: tuple[float, ...] = ()  # the retriever's scores, the positive's first; or none
    file: str = field(default="", repr=False, compare=False)  # that was asked from, if known


def longest(triple: Triple) -> int:
    """Characters of its longest pair of texts."""
    return len(triple.query) + max(map(len, (triple.positive, *triple.negatives)))


class _NoTriple(ValueError):
    """What is said of a line that is JSON and yet no triple."""


def read_coder_pile(path: Path, say: Callable[[str], None]) -> Iterator[Triple]:
    """The triples of a file of JSON lines, one for each positive text; raises OSError.

    A line that holds none is passed over, and `say` is told which and why. Negatives may be none at all:
    those of other queries in a batch serve then.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield from _triples(json.loads(line))
            except (ValueError, RecursionError) as error:
                say(f"{path}:{number}: passed over: {_reason(error)}")


def write_triples(path: Path, triples: Iterable[Triple]) -> None:
    """Write a file that `read_coder_pile` reads."""
    write_lines(path, (json.dumps(_entry(triple)) for triple in triples))


def _entry(triple: Triple) -> dict[str, Any]:
    texts = {"query": triple.query, "pos": [triple.positive], "neg": triple.negatives}
    return {**texts, "priors": triple.priors, "file": triple.file}


def _triples(entry: Any) -> Iterator[Triple]:
    if not isinstance(entry, dict):
        raise _NoTriple("not an object")
    query = entry.get("query")
    if not isinstance(query, str) or not query.strip():
        raise _NoTriple("`query` is no text")
    positives, negatives = _texts(entry, "pos"), _texts(entry, "neg")
    if not positives:
        raise _NoTriple("`pos` is empty")
    priors = _priors(entry.get("priors"), len(positives) + len(negatives))
    wrong = tuple(text for text in dict.fromkeys(negatives) if text not in positives)
    if len(positives) + len(wrong) != len(priors) or len(positives) > 1:
        priors = ()
    file = str(entry.get("file", ""))
    yield from (Triple(query, positive, wrong, priors, file) for positive in dict.fromkeys(positives))


def _texts(entry: dict[str, Any], key: str) -> list[str]:
    texts = entry.get(key)
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise _NoTriple(f"`{key}` is no list of texts")
    return texts


def _priors(value: Any, count: int) -> tuple[float, ...]:
    """Numbers, one for each text, or none."""
    if not isinstance(value, list) or len(value) != count:
        return ()
    if not all(isinstance(prior, int | float) for prior in value):
        return ()
    if not all(abs(prior) < MAX_PRIOR for prior in value):  # nor is NaN
        raise _NoTriple("`priors` are not finite")
    return tuple(map(float, value))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, _NoTriple) else f"not JSON ({error})"
