"""Retrieve candidates: graph filter, the signals' rankings, their fusion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from .fusion import Fusion, features
from .index import Index
from .lexical import Ids, Mask, Scores, best
from .signals import RANK_OFFSET, SIGNALS, named_in
from .text import file_terms, query_terms
from .types import Candidate, Context, Evidence, ExpandedQuery, Usage
from .view import Ranking, View

MAX_CANDIDATES = 100

RAREST_TERMS = 16
"""Of a query, looked up in the full text. The common ones match nearly everything: over code, leaving them
out took a quarter of the time and gained 2 points at top-40 (see LOG.md)."""

PLATFORM_WEIGHT = 0.8
"""Of a platform class's score against that of an API someone wrote: at 1 the classes take places that others
are expected in, below it they are found too late (see LOG.md, results/glide.json)."""

PLATFORM_MARGIN = 1.0
"""By which the learned fusion must prefer a platform class: at 0 the classes take places that others are
expected in, above 1 they are found later and nothing more is gained (see LOG.md)."""

Weights = Mapping[str, float]


def retrieve(
    index: Index,
    query: ExpandedQuery,
    vector: Scores | None,
    weights: Weights,
    graph: bool = True,
    rarest: int = RAREST_TERMS,
    fusion: Fusion | None = None,
    unseen: Sequence[str] = (),
) -> tuple[tuple[Candidate, ...], str]:
    """At most MAX_CANDIDATES candidates, best first, and a note on what the graph filter kept.

    Without a learned `fusion` reciprocal ranks are added, with one weight a signal. The files `unseen` are
    as if they were not there.
    """
    view = view_of(index, query, vector, graph, rarest, unseen)
    rankings = rank(view, weights if fusion else [name for name in weights if weights[name]])
    note = f"{int(view.apis.sum())} of {index.count} APIs kept by the graph"
    if fusion:
        ids, matrix = features(view, rankings)
        scores = fusion.score(matrix) - PLATFORM_MARGIN * index.apis.platform[ids]
        ids, scores = best(ids, scores.astype(np.float32), MAX_CANDIDATES)
    else:
        ids, scores = _reciprocal_ranks(index, rankings, weights)
    return _candidates(index, ids, scores, rankings), note


def rank(view: View, signals: Iterable[str]) -> dict[str, Ranking]:
    """What each of the signals says."""
    return {name: SIGNALS[name](view) for name in signals}


def view_of(
    index: Index,
    query: ExpandedQuery,
    vector: Scores | None,
    graph: bool = True,
    rarest: int = RAREST_TERMS,
    unseen: Sequence[str] = (),
) -> View:
    """The index as the caller of a query may see it, without what stands in the files `unseen` either."""
    context = query.context
    apis, files = index.apis.live, np.ones(len(index.usages.file_package), np.bool_)
    for path in filter(None, (context.file, *unseen)):
        apis = apis & ~index.apis.source.equal(path)
        files[list(index.file_ids(path))] = False
    usages = index.usages.live & files[index.usages.file]
    if graph:
        apis = apis & reachable(index, context, usages)
        if context.qualifier:
            apis = apis & index.apis.scope.equal(context.qualifier)
    if context.prefix:
        apis = apis & index.beginning_with(context.prefix)
    terms, of_file = tuple(query_terms(query)), tuple(file_terms(context))
    used = tuple(sorted(named_in(index, context)))
    told = usages & apis[index.usages.api]
    uses = (apis & ~index.apis.platform)[index.uses.api] & files[index.uses.file]
    return View(index, context, terms, of_file, rarest, vector, apis, told, uses, used, files)


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


def _reciprocal_ranks(index: Index, rankings: Mapping[str, Ranking], weights: Weights) -> tuple[Ids, Scores]:
    totals = np.zeros(index.count, np.float64)
    for name, ranking in rankings.items():
        totals[ranking.ids] += weights[name] * RANK_OFFSET / (RANK_OFFSET + np.arange(len(ranking.ids)))
    totals[index.apis.platform] *= PLATFORM_WEIGHT
    ids = np.flatnonzero(totals)
    return best(ids, totals[ids].astype(np.float32), MAX_CANDIDATES)


def _candidates(
    index: Index, ids: Ids, scores: Scores, rankings: Mapping[str, Ranking]
) -> tuple[Candidate, ...]:
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
