"""When answers are made: what is known comes at once, the latest question is worked on, the rest is stopped.

The first list (lookups and their fusion) answers a request. In a pause in typing it is made ahead for where
the cursor stands; in a longer one the query is expanded and the list refined. An editor asks again with the
next letter, as lists are incomplete, and gets the refined one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from .answers import Answers, context_key, untyped
from .engine import Engine
from .models import Generator, Reranker
from .pipeline import RETRIEVE_RESERVE_MS, expand_context, is_late, predict
from .settings import Settings
from .stop import Stop, Stopped
from .types import Answer, Context, ExpandedQuery, Stage

AHEAD_SECONDS = 0.06  # in typing, before the first list is made ahead: sooner it would often be wasted
PAUSE_SECONDS = 0.5  # before the generator is set to work; of a hundred keys three let wait so long
FRUITLESS = 3  # refinements in a row that their deadline ended: from then on one in RARELY pauses is tried
RARELY = 10
IDLE_SECONDS = 600.0  # without a refinement, before generator and rerankers give their memory back

log = logging.getLogger("deepcodeseek")
T = TypeVar("T")


async def run_on(executor: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Native work off the event loop."""
    return await asyncio.get_running_loop().run_in_executor(executor, partial(work, *arguments, **options))


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, of which engine, and within which bounds."""

    engine: Engine
    settings: Settings
    context: Context

    @property
    def key(self) -> str:
        settings = self.settings
        asked_by = (settings.rerank_depth, settings.expand, settings.expand_tokens, settings.expand_prompt)
        return context_key(self.context, f"{self.engine.mark} {settings.lite} {asked_by}")


@dataclass(slots=True)
class _Work:
    """An answer being made, and how many wait for it."""

    about: tuple[str, str]  # the question's key, the prefix
    stop: Stop
    task: asyncio.Task[Answer]
    waiting: int = 0

    def end(self) -> None:
        self.stop.set()
        self.task.cancel()


@dataclass(slots=True)
class _Refinement:
    key: str
    prefix: str
    expands: bool
    stop: Stop = field(default_factory=Stop)


class Anytime:
    """At most one first list and one refinement are being made; for the event loop's thread."""

    def __init__(self, count: Callable[[str], None], idle_seconds: float = IDLE_SECONDS) -> None:
        self._count = count
        self._idle_seconds = idle_seconds
        self._answers = Answers()
        self._predictions = ThreadPoolExecutor(1, "predict")
        self._refinements = ThreadPoolExecutor(1, "refine")  # of its own: a key does not wait for it
        self._expansions = ThreadPoolExecutor(1, "expand")
        self._work: _Work | None = None
        self._ahead: asyncio.Task[None] | None = None
        self._refinement: _Refinement | None = None
        self._resting: dict[tuple[int, ...], asyncio.TimerHandle] = {}  # by models: each folder has its own
        self._fruitless = 0  # refinements in a row
        self._passed_over = 0  # pauses, since the last refinement
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, question: Question) -> Answer:
        """The best that is known, or else the first list.

        Cancelled when another question comes before it is made; what a deadline cut short is not kept.
        """
        found = self.known(question)
        if found:
            return found
        key, prefix = question.key, question.context.prefix
        work = self._work
        if work is None or work.about != (key, prefix) or work.stop.is_set or work.task.done():
            if work:
                work.end()
            work = self._work = self._begin(question, key)
        return await _wait_for(work)

    def known(self, question: Question) -> Answer | None:
        """What was answered before, the same object where nothing better came since; or None."""
        return self._answers.find(question.key, question.context.prefix, question.engine.index)

    def look_ahead(self, make: Callable[[], Awaitable[Question | None]]) -> None:
        """In the pause that may begin now, make the answer to the question that `make` finds.

        Whatever was to be made ahead before is not.
        """
        self.look_no_further()
        self._ahead = asyncio.ensure_future(self._look_ahead(make))
        self._ahead.add_done_callback(_log_failure)

    def look_no_further(self) -> None:
        """Forget what was to be made ahead."""
        if self._ahead:
            self._ahead.cancel()

    async def _look_ahead(self, make: Callable[[], Awaitable[Question | None]]) -> None:
        await asyncio.sleep(AHEAD_SECONDS)
        question = await make()
        if question is None or (self._work and not self._work.task.done()):
            return  # who waits for an answer goes first, and is looked ahead for afterwards
        # Whichever name is typed next, its vector is the same, and this finds it.
        await self.answer(replace(question, context=untyped(question.context)))
        await asyncio.sleep(PAUSE_SECONDS - AHEAD_SECONDS)
        self._begin_refinement(question)

    def _begin(self, question: Question, key: str) -> _Work:
        if self._refinement and self._refinement.key != key:
            self._refinement.stop.set()
        stop = Stop()
        task = asyncio.ensure_future(self._first_list(question, key, stop))
        return _Work((key, question.context.prefix), stop, task)

    async def _first_list(self, question: Question, key: str, stop: Stop) -> Answer:
        expanded = self._answers.expanded(key)
        options = {"expanded": expanded, "first_only": True}  # the cross-encoder would let a key wait
        deadline = question.settings.deadline_ms
        answer = await self._predict(self._predictions, question, deadline, stop, **options)
        answer = self._answers.with_refined_head(key, question.context.prefix, answer)
        if not is_late(answer):
            self._answers.keep(key, question.context.prefix, answer)
        return answer

    async def _predict(
        self, executor: ThreadPoolExecutor, question: Question, deadline_ms: float, stop: Stop, **options: Any
    ) -> Answer:
        return await run_on(
            executor,
            predict,
            question.engine,
            question.context,
            deadline_ms=deadline_ms,
            rerank_depth=question.settings.rerank_depth,
            stop=stop,
            **options,
        )

    def _begin_refinement(self, question: Question) -> None:
        """Unless it is refined, or being refined, already; another one under way gives way."""
        key, prefix = question.key, question.context.prefix
        can_expand = bool(question.settings.expand and question.engine.generator)
        if not (can_expand or question.engine.reranker) or self._answers.is_refined(key, prefix):
            return
        if self._refinement:
            under_way = (self._refinement.key, self._refinement.prefix)
            if under_way == (key, prefix) and not self._refinement.stop.is_set:
                return
            self._refinement.stop.set()
        expands = can_expand and not self._answers.expanded(key) and self._is_worth_expanding()
        if not (expands or question.engine.reranker):
            return
        self._refinement = _Refinement(key, prefix, expands)
        task = asyncio.ensure_future(self._refine(question, self._refinement))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_log_failure)

    def _is_worth_expanding(self) -> bool:
        """Seldom, where the deadline ended the last expansions."""
        self._passed_over += 1
        if self._fruitless >= FRUITLESS and self._passed_over < RARELY:
            return False
        self._passed_over = 0
        return True

    async def _refine(self, question: Question, refinement: _Refinement) -> None:
        try:
            is_refined = await self._refined(question, refinement)
        except Stopped:
            return
        finally:
            if self._refinement is refinement:
                self._refinement = None
            self._rest_when_idle(question.engine)
        self._count("refined" if is_refined else "not refined")

    async def _refined(self, question: Question, refinement: _Refinement) -> bool:
        """Whether a better list is known now; why not stands in the trace of the one that is."""
        start, key = time.perf_counter(), refinement.key
        expanded, note = self._answers.expanded(key) or ExpandedQuery(question.context), "off"
        if refinement.expands:
            expanded, note = await self._expand(question, refinement.stop)
            self._fruitless = 0 if expanded.code else self._fruitless + 1
        taken = 1000 * (time.perf_counter() - start)
        if expanded.code or question.engine.reranker:
            left = question.settings.deadline_ms - taken
            answer = await self._predict(
                self._refinements, question, left, refinement.stop, expanded=expanded
            )
            if not is_late(answer):
                self._answers.refine(key, expanded, question.context.prefix, answer)
                return True
        self._answers.remark(key, Stage("expand", taken, note))
        return False

    def _rest_when_idle(self, engine: Engine) -> None:
        models = [model for model in (engine.generator, engine.reranker, engine.causal) if model]
        key = tuple(map(id, models))  # an engine of a newer index has the same
        if key in self._resting:
            self._resting[key].cancel()
        loop = asyncio.get_running_loop()
        self._resting[key] = loop.call_later(self._idle_seconds, self._rest, key, models)

    def _rest(self, key: tuple[int, ...], models: Sequence[Generator | Reranker]) -> None:
        del self._resting[key]
        self._expansions.submit(_rest, models)

    async def _expand(self, question: Question, stop: Stop) -> tuple[ExpandedQuery, str]:
        settings = question.settings
        left = settings.deadline_ms - RETRIEVE_RESERVE_MS
        expanded, note = await run_on(
            self._expansions,
            expand_context,
            question.engine,
            question.context,
            settings.expand_tokens,
            left,
            stop=stop,
        )
        return (replace(expanded, source="cache") if expanded.code else expanded), note


def _rest(models: Sequence[Generator | Reranker]) -> None:
    for model in models:
        model.rest()


def _log_failure(task: asyncio.Task[None]) -> None:
    """Nobody asked for what is made ahead, so nobody would hear of it."""
    error = None if task.cancelled() else task.exception()
    if error:
        log.error("an answer could not be made ahead: %s: %s", type(error).__name__, error)


async def _wait_for(work: _Work) -> Answer:
    """The answer; who is cancelled and is the last to wait for it ends the work."""
    work.waiting += 1
    try:
        return await asyncio.shield(work.task)
    finally:
        work.waiting -= 1
        if not work.waiting and not work.task.done():
            work.end()
