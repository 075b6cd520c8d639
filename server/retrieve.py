"""Retrieve candidates: graph filter, lexical and vector search, known usages, fusion.

Each signal ranks APIs on its own; reciprocal ranks are added with one weight a signal. Nothing mined from
the caller's own file counts: neither its record, nor its calls, nor what they say of popularity.

Where the platform's own classes are in the index, they take part by what speaks for them at this cursor. That
they are called everywhere is known to everyone: it counts neither for them nor for what stands beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .generation import Corpus, Table
from .index import Index
from .lexical import Hits, Ids, Mask, Scores, best
from .text import name_terms, query_terms
from .types import Candidate, Context, Evidence, ExpandedQuery, Usage

POOL = 200  # the best of each signal that take part in the fusion
USAGE_POOL = 300
USAGES_COUNTED = 3  # an API's best usages that speak for it
MAX_CANDIDATES = 100

RAREST_TERMS = 16
"""Of a query, looked up in the full text. The common ones match nearly everything: over code, leaving them
out took a quarter of the time and gained 2 points at top-40 (see LOG.md)."""

RANK_OFFSET = 5
"""Of reciprocal rank fusion. Cormack et al. (2009) take 60; here signals are few and their first places
mean much: 5 gained 5 points at top-5 over 60 (see LOG.md)."""

PLATFORM_WEIGHT = 0.8
"""Of a platform class's score against that of an API someone wrote: at 1 the classes take places that others
are expected in, below it they are found too late (see LOG.md, results/glide.json)."""

Weights = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class View:
    """The index as one caller may see it."""

    index: Index
    context: Context
    terms: tuple[str, ...]  # of the query
    rarest: int  # how many of them are looked up
    vector: Scores | None  # of the query, where the encoder was at hand
    apis: Mask  # [apis] that may be predicted
    usages: Mask  # [usages] of these, mined from other files


@dataclass(frozen=True, slots=True)
class Ranking:
    """What one signal says: APIs, best first, and for some the known usage that speaks for them."""

    ids: Ids
    scores: Scores
    usages: Mapping[int, int] = field(default_factory=dict)


def retrieve(
    index: Index,
    query: ExpandedQuery,
    vector: Scores | None,
    weights: Weights,
    graph: bool = True,
    rarest: int = RAREST_TERMS,
) -> tuple[tuple[Candidate, ...], str]:
    """At most MAX_CANDIDATES candidates, best first, and a note on what the graph filter kept."""
    view = _view(index, query, vector, graph, rarest)
    rankings = {name: SIGNALS[name](view) for name in weights}
    note = f"{int(view.apis.sum())} of {index.count} APIs kept by the graph"
    return _fuse(index, rankings, weights), note


def _view(index: Index, query: ExpandedQuery, vector: Scores | None, graph: bool, rarest: int) -> View:
    context = query.context
    apis = index.apis.live & (~index.apis.source.equal(context.file) if context.file else True)
    usages = index.usages.live & ~np.isin(index.usages.file, index.file_ids(context.file))
    if graph:
        apis = apis & reachable(index, context, usages)
        if context.qualifier:
            apis = apis & index.apis.scope.equal(context.qualifier)
    if context.prefix:
        apis = apis & index.beginning_with(context.prefix)
    return View(
        index, context, tuple(query_terms(query)), rarest, vector, apis, usages & apis[index.usages.api]
    )


def reachable(index: Index, context: Context, usages: Mask) -> Mask:
    """What can be called from here; where metadata is missing the filter widens.

    From the browser that is only what GlideAjax reaches, and the scopes hold for it as well. An API that
    states a package and no scope goes by its package: most such are modules.
    """
    keep = _scope_allows(index, context)
    if context.package:
        keep &= _in_scope(index, context) | _package_allows(index, context.package, usages)
    if context.side == "client" or context.trigger == "ajax":
        keep &= index.apis.ajax
    return keep


def _in_scope(index: Index, context: Context) -> Mask:
    """The caller's own scope, in which everything is within reach: of a record without one, any scope."""
    if not context.scope and not context.record_type:  # a module has none
        return np.zeros(index.count, np.bool_)
    scope = index.apis.scope
    return scope.equal(context.scope) if context.scope else ~scope.equal("")


def _scope_allows(index: Index, context: Context) -> Mask:
    """What other scopes keep to themselves is out of reach, the global scope's too."""
    is_private = index.apis.access.equal("package_private") & ~index.apis.scope.equal("")
    return _in_scope(index, context) | ~is_private if context.scope else np.ones_like(is_private)


def _package_allows(index: Index, package: str, usages: Mask) -> Mask:
    """The caller's own package, those that others call, the platform, and whatever states public access."""
    columns = index.apis
    is_open = columns.access.equal("public") | columns.package.equal("") | columns.package.equal(package)
    return is_open | columns.platform | _shared(index, usages)


def _shared(index: Index, usages: Mask) -> Mask:
    """APIs of packages that some other package calls."""
    package = index.apis.package
    called = package.numbers[index.usages.api]
    calling = package.numbered_here(index.usages.file_package)[index.usages.file]
    shared = np.zeros(len(package.values), np.bool_)
    shared[called[usages & (called != calling)]] = True
    return shared[package.numbers]


def _written_lexical(view: View) -> Ranking:
    return _lexical(view, "written")


def _documents_lexical(view: View) -> Ranking:
    return _lexical(view, "doc")


def _code_lexical(view: View) -> Ranking:
    return _lexical(view, "code")


def _lexical(view: View, corpus: Corpus) -> Ranking:
    return Ranking(*view.index.lexical(corpus, view.terms, POOL, view.rarest, view.apis))


def _documents_dense(view: View) -> Ranking:
    return _dense(view, "doc")


def _code_dense(view: View) -> Ranking:
    return _dense(view, "code")


def _dense(view: View, table: Table) -> Ranking:
    if view.vector is None:
        return _NOTHING
    return Ranking(*view.index.nearest(table, view.vector, POOL, view.apis))


def _usages_lexical(view: View) -> Ranking:
    """APIs by their known usages whose context shares words with the query."""
    return _by_api(view, view.index.lexical("usage", view.terms, USAGE_POOL, view.rarest, view.usages))


def _usages_dense(view: View) -> Ranking:
    """APIs by their known usages whose context is near to the query."""
    if view.vector is None:
        return _NOTHING
    return _by_api(view, view.index.nearest("usage", view.vector, USAGE_POOL, view.usages))


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
    return _ranked(scores, nearest)


def _names(view: View) -> Ranking:
    """APIs whose name shares words with the caller's own name and table; a rare word counts more."""
    context = view.context
    scores = np.zeros(view.index.count)
    for word in sorted(name_terms((context.record_name, context.table))):
        ids = view.index.named_with(word)
        scores[ids[view.apis[ids]]] += math.log1p(view.index.count / max(1, len(ids)))
    return _ranked_all(scores)


def _in_file(view: View) -> Ranking:
    """APIs that this file already names."""
    return _ranked({api: 1.0 for api in _used(view) if view.apis[api]})


def _co_use(view: View) -> Ranking:
    """APIs that other files use together with those this file names."""
    uses = view.index.uses
    among = _seen_uses(view)
    used = _used(view)
    scores = np.zeros(view.index.count)
    is_together = np.zeros(int(uses.file.max(initial=0)) + 1, np.bool_)
    for api in used:
        files = uses.files_of(api, among)
        is_together[files] = True
        scores += uses.counts(among & is_together[uses.file], view.index.count) / (len(files) + 1)
        is_together[files] = False
    scores[used] = 0.0
    return _ranked_all(scores)


def _popularity(view: View) -> Ranking:
    """APIs by the number of other files that use them."""
    return _ranked_all(view.index.uses.counts(_seen_uses(view), view.index.count))


def _seen_uses(view: View) -> Mask:
    """Uses that say how popular an API is and what it goes with: of other files, not the platform's."""
    uses, told = view.index.uses, view.apis & ~view.index.apis.platform
    return told[uses.api] & ~np.isin(uses.file, view.index.file_ids(view.context.file))


def _used(view: View) -> list[int]:
    named = {api for name in view.context.used for api in view.index.find(name)}
    return sorted(api for api in named if not view.index.apis.platform[api])


SIGNALS: Mapping[str, Callable[[View], Ranking]] = MappingProxyType(
    {
        "written documents, lexical": _written_lexical,
        "documents, lexical": _documents_lexical,
        "documents, dense": _documents_dense,
        "code, lexical": _code_lexical,
        "code, dense": _code_dense,
        "usages, lexical": _usages_lexical,
        "usages, dense": _usages_dense,
        "names": _names,
        "in file": _in_file,
        "co-use": _co_use,
        "popularity": _popularity,
    }
)

_NOTHING = Ranking(np.empty(0, np.int64), np.empty(0, np.float32))


def _ranked(scores: Mapping[int, float], usages: Mapping[int, int] | None = None) -> Ranking:
    ids = np.fromiter(scores.keys(), np.int64, len(scores))
    hits = best(ids, np.fromiter(scores.values(), np.float32, len(scores)), POOL)
    return Ranking(*hits, usages or {})


def _ranked_all(scores: NDArray[Any]) -> Ranking:
    """Of scores [apis], those above 0."""
    ids = np.flatnonzero(scores)
    return Ranking(*best(ids, scores[ids].astype(np.float32), POOL))


def _fuse(index: Index, rankings: Mapping[str, Ranking], weights: Weights) -> tuple[Candidate, ...]:
    totals = np.zeros(index.count, np.float64)
    for name, ranking in rankings.items():
        totals[ranking.ids] += weights[name] * RANK_OFFSET / (RANK_OFFSET + np.arange(len(ranking.ids)))
    totals[index.apis.platform] *= PLATFORM_WEIGHT
    ids = np.flatnonzero(totals)
    ids, scores = best(ids, totals[ids].astype(np.float32), MAX_CANDIDATES)
    places = {name: {api: place for place, api in enumerate(r.ids.tolist())} for name, r in rankings.items()}
    return tuple(
        Candidate(api, score, _evidence(api, rankings, places), _nearest_usage(index, api, rankings))
        for api, score in zip(ids.tolist(), scores.tolist(), strict=True)
    )


def _evidence(
    api: int, rankings: Mapping[str, Ranking], places: Mapping[str, Mapping[int, int]]
) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(name, places[name][api] + 1, float(rankings[name].scores[places[name][api]]))
        for name in rankings
        if api in places[name]
    )


def _nearest_usage(index: Index, api: int, rankings: Mapping[str, Ranking]) -> Usage | None:
    found = [ranking.usages[api] for ranking in rankings.values() if api in ranking.usages]
    return index.usage(found[-1]) if found else None
