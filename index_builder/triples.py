"""Training triples, and a reader of those that CodeR-Pile holds.

CodeR-Pile (arXiv 2505.12697; data set nebula2025/CodeR-Pile, CC BY-NC-SA 4.0: nothing learnt from it may go
into weights that ship) is made of files such as `code2code/en/code_context_retrieval/en-sql-triplets.jsonl`.
Each line is an object as its generator writes it (FlagOpen/FlagEmbedding, research/BGE_Coder/data_generation/
triplet_generator.py) and as FlagEmbedding's training scripts read it:

    {"prompt": the task's instruction, "query": text, "pos": [text, ...], "neg": [text, ...]}

`prompt` is the same in a whole file and is passed over, as is any other key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Triple:
    """A query, a text that answers it, and texts that do not."""

    query: str
    positive: str
    negatives: tuple[str, ...]


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


def _triples(entry: Any) -> Iterator[Triple]:
    if not isinstance(entry, dict):
        raise _NoTriple("not an object")
    query = entry.get("query")
    if not isinstance(query, str) or not query.strip():
        raise _NoTriple("`query` is no text")
    positives, negatives = _texts(entry, "pos"), _texts(entry, "neg")
    if not positives:
        raise _NoTriple("`pos` is empty")
    wrong = tuple(text for text in dict.fromkeys(negatives) if text not in positives)
    yield from (Triple(query, positive, wrong) for positive in dict.fromkeys(positives))


def _texts(entry: dict[str, Any], key: str) -> list[str]:
    texts = entry.get(key)
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise _NoTriple(f"`{key}` is no list of texts")
    return texts


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, _NoTriple) else f"not JSON ({error})"
