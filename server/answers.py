"""Answers given before, by all that they depend on, and what of them holds when letters are typed on."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace

from .index import Index
from .retrieve import MAX_CANDIDATES
from .text import FILE_CHARS
from .types import Answer, Context, ExpandedQuery, RankedApi, Stage

CONTEXTS_KEPT = 24  # an answer holds some 150 KB
PREFIXES_KEPT = 4  # of one context; a name that is typed needs one or two, as whole lists are narrowed


def context_key(context: Context, engine: str) -> str:
    """Stands for everything that an answer depends on but the letters of the name being typed.

    `engine` names what answers, and the settings that it answers by.
    """
    near = untyped(context)
    normalized = replace(near, before=near.before[-FILE_CHARS:], after=near.after[:FILE_CHARS])
    text = f"{engine}\n{normalized!r}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def untyped(context: Context) -> Context:
    """The same place before the first letter of the name was typed."""
    return replace(context, before=context.before.removesuffix(context.prefix), prefix="")


@dataclass(slots=True)
class _Known:
    """Of one context: the answer for each prefix that was asked for, and what its refinement gave."""

    expanded: ExpandedQuery | None = None
    refined_for: str = ""  # the prefix that every candidate of the refinement began with
    head: tuple[RankedApi, ...] = ()  # what the cross-encoder read, in its order
    answers: dict[str, Answer] = field(default_factory=dict)


class Answers:
    """The latest contexts and what was answered; for one thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def find(self, key: str, prefix: str, index: Index) -> Answer | None:
        """The answer for a prefix: the one that was given, or one for fewer letters, narrowed."""
        known = self._known.get(key)
        if known is None:
            return None
        self._known.move_to_end(key)
        if prefix in known.answers:
            return known.answers[prefix]
        wider = [p for p in known.answers if prefix.lower().startswith(p.lower())]
        wider = [p for p in wider if _is_whole(known.answers[p])]
        return _narrowed(known.answers[max(wider, key=len)], prefix, index) if wider else None

    def keep(self, key: str, prefix: str, answer: Answer) -> None:
        known = self._entry(key)
        known.answers[prefix] = answer
        while len(known.answers) > PREFIXES_KEPT:
            known.answers.pop(next(iter(known.answers)))

    def refine(self, key: str, expanded: ExpandedQuery, prefix: str, answer: Answer) -> None:
        """From now on the expanded query is asked: what was answered without it no longer holds."""
        known = self._entry(key)
        known.expanded, known.refined_for, known.answers = expanded, prefix, {prefix: answer}
        known.head = tuple(item for item in answer.ranked if _was_read(item))

    def is_refined(self, key: str, prefix: str) -> bool:
        """Whether what a refinement gave holds for these letters: for fewer it saw only some candidates."""
        known = self._known.get(key)
        return bool(known and known.expanded and prefix.lower().startswith(known.refined_for.lower()))

    def with_refined_head(self, key: str, prefix: str, answer: Answer) -> Answer:
        """An answer for other letters, first what the cross-encoder read of it before, in its order."""
        known = self._known.get(key)
        if known is None or not self.is_refined(key, prefix):
            return answer
        ids = {item.api.id for item in answer.ranked}
        head = tuple(item for item in known.head if item.api.id in ids)
        read = {item.api.id for item in head}
        return replace(answer, ranked=head + tuple(i for i in answer.ranked if i.api.id not in read))

    def remark(self, key: str, stage: Stage) -> None:
        """Add to the trace of what is known of a context why it is no better."""
        known = self._entry(key)
        for prefix, answer in known.answers.items():
            stages = [each for each in answer.trace.stages if each.stage != stage.stage]
            known.answers[prefix] = replace(answer, trace=replace(answer.trace, stages=(*stages, stage)))

    def expanded(self, key: str) -> ExpandedQuery | None:
        """The expansion of a context's query, where there is one."""
        known = self._known.get(key)
        return known.expanded if known else None

    def _entry(self, key: str) -> _Known:
        known = self._known.setdefault(key, _Known())
        self._known.move_to_end(key)
        while len(self._known) > CONTEXTS_KEPT:
            self._known.popitem(last=False)
        return known


def _was_read(item: RankedApi) -> bool:
    return any(evidence.signal == "reranker" for evidence in item.evidence)


def _is_whole(answer: Answer) -> bool:
    """Whether it holds all that anything speaks for; of more, those further down could begin so too."""
    return len(answer.ranked) < MAX_CANDIDATES


def _narrowed(answer: Answer, prefix: str, index: Index) -> Answer:
    start = time.perf_counter()
    begins = index.beginning_with(prefix)
    ranked = tuple(item for item in answer.ranked if begins[item.api.id])
    stage = Stage("narrow", 1000 * (time.perf_counter() - start), f"to those that begin with {prefix}")
    return Answer(ranked, replace(answer.trace, stages=(*answer.trace.stages, stage)))
