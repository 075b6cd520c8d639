"""What names at a cursor say of an API: those of the caller, of the code around, of what is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from .lexical import Ids
from .text import lexical_tokens, name_terms
from .view import Ranking, View, ranked_all

FADING = 0.3  # of what a line or a name says, with each one between it and the cursor


def names(view: View) -> Ranking:
    """APIs by the caller's own name and table."""
    return _named_like(view, _equally((view.context.record_name, view.context.table)))


def function(view: View) -> Ranking:
    """APIs by the name of the function around the cursor."""
    return _named_like(view, _equally((view.context.function,)))


def words_before(view: View) -> Ranking:
    """APIs by the lines before the cursor."""
    return _named_like(view, _fading(view.context.window.split("\n")[::-1]))


def words_after(view: View) -> Ranking:
    """APIs by the lines after the cursor."""
    return _named_like(view, _fading(view.context.window_after.split("\n")))


def unresolved_names(view: View) -> Ranking:
    """APIs by what the statement at the cursor defines or would have to.

    That is what the code below it uses and nothing in the file defines, twice as much where methods are
    called on it; initials are a word.
    """
    found = view.context.unresolved
    weights = _fading(name.removeprefix("this.") for name in found.names)
    for receiver in found.receivers:
        for word in name_terms((receiver.removeprefix("this."),)):
            weights[word] = 2.0 * weights.get(word, 0.0)
    return _named_like(view, weights, view.index.abbreviated)


def _equally(texts: Sequence[str]) -> dict[str, float]:
    """The words of texts, each of the same weight."""
    return dict.fromkeys(sorted(name_terms(texts)), 1.0)


def _fading(texts: Iterable[str]) -> dict[str, float]:
    """The words of texts, those of each weighing less than those of the one before."""
    weights: dict[str, float] = {}
    for place, text in enumerate(texts):
        for word in lexical_tokens(text):
            weights.setdefault(word, 1.0 / (1.0 + FADING * place))
    return weights


def _named_like(
    view: View, weights: Mapping[str, float], also: Callable[[str], Ids] | None = None
) -> Ranking:
    """APIs that the file does not name, by words that their names hold; a rare word counts more, and all of
    them the more the less is left of the name. `also` finds more APIs by a word."""
    index, scores = view.index, np.zeros(view.index.count)
    for word, weight in weights.items():
        ids = index.named_with(word)
        ids = np.union1d(ids, also(word)) if also else ids
        scores[ids] += weight * index.rarity(len(ids))
    scores[~view.apis] = 0.0
    scores[list(view.used)] = 0.0
    return ranked_all(scores * np.minimum(1.0, scores / index.name_weights))


def members(view: View) -> Ranking:
    """APIs with the methods that the file calls on what nothing in it defines; a rare name counts more."""
    index, scores = view.index, np.zeros(view.index.count)
    for ids in index.with_members(view.context.unresolved.members).values():
        scores[ids] += index.rarity(len(ids))
    scores[~view.apis] = 0.0
    return ranked_all(scores)
