"""What speaks for an API at a cursor: each signal ranks the APIs on its own.

Nothing mined from the caller's own file counts: neither its record, nor its calls, nor what they say of
popularity. Where the platform's own classes are in the index, they take part by what speaks for them at this
cursor. That they are called everywhere is known to everyone: it counts neither for them nor for what stands
beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import name_signals
from .columns import folder_of
from .generation import Corpus, Table
from .index import Index
from .lexical import Hits, Mask, best
from .text import last_line_terms, name_terms
from .types import Context
from .view import NOTHING, POOL, Ranking, View, ranked, ranked_all

USAGE_POOL = 300
USAGES_COUNTED = 3  # an API's best usages that speak for it

FILE_TERMS = 32  # of a whole file, the rarest, that are looked up

RANK_OFFSET = 5
"""Of reciprocal rank fusion. Cormack et al. (2009) take 60; here signals are few and their first places
mean much: 5 gained 5 points at top-5 over 60 (see LOG.md)."""


def _written_lexical(view: View) -> Ranking:
    return _lexical(view, "written")


def _documents_lexical(view: View) -> Ranking:
    return _lexical(view, "doc")


def _code_lexical(view: View) -> Ranking:
    return _lexical(view, "code")


def _lexical(view: View, corpus: Corpus) -> Ranking:
    return Ranking(
        *_of_apis(view, lambda keep: view.index.lexical(corpus, view.terms, POOL, view.rarest, keep))
    )


def _documents_dense(view: View) -> Ranking:
    return _dense(view, "doc")


def _code_dense(view: View) -> Ranking:
    return _dense(view, "code")


def _last_lines(view: View) -> Ranking:
    """APIs by their known usages whose context shares words with the last lines before the cursor alone."""
    terms = last_line_terms(view.context)
    return _by_api(view, _usages_with(view, terms))


def _dense(view: View, table: Table) -> Ranking:
    if view.vector is None:
        return NOTHING
    vector = view.vector
    return Ranking(*_of_apis(view, lambda keep: view.index.nearest(table, vector, POOL, keep)))


def _usages_lexical(view: View) -> Ranking:
    """APIs by their known usages whose context shares words with the query."""
    return _by_api(view, _usages_with(view, view.terms))


def _usages_with(view: View, terms: Sequence[str]) -> Hits:
    search = view.index.lexical
    return _of_usages(view, lambda keep: search("usage", terms, USAGE_POOL, view.rarest, keep))


def _usages_dense(view: View) -> Ranking:
    """APIs by their known usages whose context is near to the query."""
    if view.vector is None:
        return NOTHING
    vector, search = view.vector, view.index.nearest
    return _by_api(view, _of_usages(view, lambda keep: search("usage", vector, USAGE_POOL, keep)))


def _of_apis(view: View, search: Callable[[Mask], Hits]) -> Hits:
    return _apart(view.apis, view.index.apis.platform, search)


def _of_usages(view: View, search: Callable[[Mask], Hits]) -> Hits:
    return _apart(view.usages, view.index.apis.platform[view.index.usages.api], search)


def _apart(keep: Mask, platform: Mask, search: Callable[[Mask], Hits]) -> Hits:
    """The best of what is one's own and the best of the platform's, together.

    Its classes are called so often that they would take all places in a pool.
    """
    parts = [part for part in (keep & ~platform, keep & platform) if part.any()]
    if len(parts) < 2:
        return search(keep)
    ids, scores = zip(*map(search, parts), strict=True)
    return best(np.concatenate(ids), np.concatenate(scores), sum(map(len, ids)))


def _by_api(view: View, hits: Hits) -> Ranking:
    """Usages speak for their API: the best USAGES_COUNTED, each worth half of the one before."""
    scores: dict[int, float] = {}
    seen: dict[int, int] = {}
    nearest: dict[int, int] = {}
    for usage, score in zip(*(column.tolist() for column in hits), strict=True):
        api = int(view.index.usages.api[usage])
        nearest.setdefault(api, usage)
        count = seen[api] = seen.get(api, 0) + 1
        if count <= USAGES_COUNTED:
            scores[api] = scores.get(api, 0.0) + score * 0.5 ** (count - 1)
    return ranked(scores, nearest)


def _like_named(view: View) -> Ranking:
    """APIs that other files use whose name shares words with the caller's; a rare word counts more."""
    files = view.index.files_by_word
    weights = np.zeros(len(view.index.usages.file_package))
    for word in sorted(name_terms((view.context.record_name,))):
        ids = files.get(word, NOTHING.ids)
        weights[ids] += math.log1p(len(weights) / max(1, len(ids)))
    return _by_file(view, weights)


def _nearby(view: View) -> Ranking:
    """APIs that files in the folders around use, the nearer the more."""
    return _by_file(view, view.index.file_folders.nearness(folder_of(view.context.file)) ** 2)


def _by_file(view: View, weights: NDArray[Any]) -> Ranking:
    """APIs by the weights [files] of the files that use them."""
    uses, seen = view.index.uses, view.uses
    return ranked_all(np.bincount(uses.api[seen], weights[uses.file[seen]], view.index.count))


def _code_alike(view: View) -> Ranking:
    """APIs whose code shares words with the file around the cursor."""
    return Ranking(*_of_apis(view, lambda keep: _alike(view, "code", POOL, keep)))


def _files_alike(view: View) -> Ranking:
    """APIs that other files use which share words with the file around the cursor."""
    index = view.index
    weights = np.zeros(len(view.files))
    told = index.apis.live & ~index.apis.platform & (index.file_of >= 0) & view.files[index.file_of]
    apis, shared = _alike(view, "code", POOL, told)
    np.maximum.at(weights, index.file_of[apis], shared)
    usages, shared = _alike(view, "usage", USAGE_POOL, view.usages)
    np.maximum.at(weights, index.usages.file[usages], shared)
    return _by_file(view, (weights / max(1.0, weights.max(initial=0.0))) ** 2)


def _alike(view: View, corpus: Corpus, limit: int, keep: Mask) -> Hits:
    return view.index.lexical(corpus, view.file_terms, limit, FILE_TERMS, keep)


def _neighbours(view: View) -> Ranking:
    """APIs next to the file in the graph of calls: those that use what it defines, and those that are used by
    what it names."""
    index, uses, seen = view.index, view.index.uses, view.uses
    defines = index.apis.source.equal(view.context.file) if view.context.file else np.zeros_like(view.apis)
    calling = np.zeros(len(view.files) + 1, np.bool_)  # the last stands for what no file defines
    calling[uses.file[defines[uses.api] & view.files[uses.file]]] = True
    named = np.zeros(len(view.files) + 1)
    named[index.file_of[list(view.used)]] = 1.0
    named[-1] = calling[-1] = 0
    scores = np.bincount(uses.api[seen], named[uses.file[seen]], index.count) + calling[index.file_of]
    scores[~view.apis] = 0.0
    scores[list(view.used)] = 0.0
    return ranked_all(scores)


def _in_file(view: View) -> Ranking:
    """APIs that this file already names."""
    return ranked({api: 1.0 for api in view.used if view.apis[api]})


def _co_use(view: View) -> Ranking:
    """APIs that other files use together with those this file names."""
    uses = view.index.uses
    among = view.uses
    used = list(view.used)
    together = np.zeros(int(uses.file.max(initial=0)) + 1)  # of each file, how much its APIs go with these
    for api in used:
        files = uses.files_of(api, among)
        together[files] += 1 / (len(files) + 1)
    scores = np.bincount(uses.api[among], together[uses.file[among]], view.index.count)
    scores[used] = 0.0
    return ranked_all(scores)


def _popularity(view: View) -> Ranking:
    """APIs by the number of other files that use them."""
    return ranked_all(view.index.uses.counts(view.uses, view.index.count))


def named_in(index: Index, context: Context) -> tuple[int, ...]:
    """The APIs that the file names, the nearest before the cursor first."""
    named = dict.fromkeys(api for name in context.used for api in index.find(name))
    return tuple(api for api in named if not index.apis.platform[api])


SIGNALS: Mapping[str, Callable[[View], Ranking]] = MappingProxyType(
    {
        "written documents, lexical": _written_lexical,
        "documents, lexical": _documents_lexical,
        "documents, dense": _documents_dense,
        "code, lexical": _code_lexical,
        "code, dense": _code_dense,
        "usages, lexical": _usages_lexical,
        "usages, dense": _usages_dense,
        "usages, last lines": _last_lines,
        "names": name_signals.names,
        "members": name_signals.members,
        "unresolved names": name_signals.unresolved_names,
        "function": name_signals.function,
        "words before": name_signals.words_before,
        "words after": name_signals.words_after,
        "code alike": _code_alike,
        "files alike": _files_alike,
        "like-named": _like_named,
        "nearby": _nearby,
        "neighbours": _neighbours,
        "in file": _in_file,
        "co-use": _co_use,
        "popularity": _popularity,
    }
)
