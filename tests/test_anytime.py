"""What is known comes at once, the latest question wins, and nobody works for an answer that nobody wants."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import DRAFT, DRAFT_COLUMN, DRAFT_LINE, EXAMPLE, StandIn

from deepcodeseek.server.answers import CONTEXTS_KEPT, Answers, context_key
from deepcodeseek.server.context import make_context
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.lsp_anytime import AHEAD_SECONDS, Anytime, Question
from deepcodeseek.server.models import Encoder, ModelFiles, OnnxGraph, Remembering, Vectors
from deepcodeseek.server.pipeline import is_late, predict
from deepcodeseek.server.settings import Settings
from deepcodeseek.server.stop import Stop, Stopped
from deepcodeseek.server.text import file_terms
from deepcodeseek.server.types import Answer, Context, Evidence, ExpandedQuery, Prompt

ENDS = 0.5  # seconds; on an idle machine it is 0.05 (make bench-lsp), here others may be at work


class Counting:
    """The encoder, how often it was asked, and an encoding that goes on until it is stopped where wanted."""

    def __init__(self, encoder: Encoder, endless: bool = False) -> None:
        self.files, self.dimension, self.state = encoder.files, encoder.dimension, encoder.state
        self._encoder, self._endless = encoder, endless
        self.count = 0
        self.stopped = threading.Event()

    def encode(self, texts: Sequence[str], stop: Stop | None = None) -> Vectors:
        self.count += 1
        if self._endless and stop:
            with stop.ending(self.stopped.set):
                self.stopped.wait(20)
            stop.check()
        return self._encoder.encode(texts, stop)


class Writing:
    """A generator that has its answer ready."""

    files = ModelFiles("generator", Path(), {})
    state = "running"

    def __init__(self) -> None:
        self.count = self.rests = 0

    def start(self) -> None: ...

    def generate(self, prompt: Prompt, max_tokens: int, timeout_ms: float, stop: Stop | None = None) -> str:
        self.count += 1
        return "log.write(vessel)"

    def rest(self) -> None:
        self.rests += 1

    def close(self) -> None: ...


def context(prefix: str = "", line: int = DRAFT_LINE) -> Context:
    """At the cursor in the draft with some letters typed."""
    lines = (EXAMPLE / DRAFT).read_text(encoding="utf-8").splitlines(keepends=True)
    before = "".join(lines[: line - 1]) + " " * (DRAFT_COLUMN - 1)
    return make_context(before + prefix, "\n" + "".join(lines[line:]), {"file": DRAFT})


def names(answer: Answer) -> list[str]:
    return [ranked.api.name for ranked in answer.ranked]


# Answers


def test_the_letters_being_typed_do_not_change_what_an_answer_depends_on() -> None:
    key = context_key(context(), "engine")
    assert key == context_key(context("Ber"), "engine")
    assert key != context_key(context("Ber"), "other engine")
    assert key != context_key(context("Ber", DRAFT_LINE - 3), "engine")
    assert file_terms(context("Quay")) == file_terms(context())


@pytest.mark.parametrize(
    "changes", [{"rerank_depth": 5}, {"expand": True}, {"expand_tokens": 9}, {"lite": True}]
)
def test_an_answer_depends_on_the_settings_that_it_was_made_by(
    changes: dict[str, object], engine: Engine
) -> None:
    assert question(engine, **changes).key != question(engine).key
    assert question(engine, deadline_ms=5).key == question(engine).key


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("// \u0442\u0435\u0441\u0442\nvar a = 1;\n", "// \u0434\u0440\u0443\u0433\nvar a = 1;\n", False),
        ("if (a) {\n    ", "if (a) {\n", False),
        ("a();\n" * 3000 + "b();\n", "a();\n" * 4000 + "b();\n", True),
    ],
)
def test_what_an_answer_depends_on_is_the_text_around(one: str, other: str, is_same: bool) -> None:
    first, second = (context_key(make_context(before, ""), "engine") for before in (one, other))
    assert (first == second) == is_same


@pytest.mark.usefixtures("example_report")
@pytest.mark.parametrize("prefix", ["B", "ber", "BerthA", "BerthAx"])
def test_a_whole_answer_is_narrowed_to_the_letters_typed(prefix: str, engine: Engine) -> None:
    answers = Answers()
    answers.keep("key", "", predict(engine, context(), first_only=True))
    found = answers.find("key", prefix, engine.index)
    assert found
    assert set(names(found)) == set(names(predict(engine, context(prefix), first_only=True)))
    kept = names(answers.find("key", "", engine.index) or Answer())
    assert names(found) == [name for name in kept if name in set(names(found))]
    assert answers.find("other key", prefix, engine.index) is None


@pytest.mark.usefixtures("example_report")
def test_an_answer_that_was_cut_off_is_asked_again_for_more_letters(engine: Engine) -> None:
    whole = predict(engine, context(), first_only=True)
    cut = replace(whole, ranked=(whole.ranked * 100)[:100])
    answers = Answers()
    answers.keep("key", "", cut)
    assert answers.find("key", "", engine.index) == cut
    assert answers.find("key", "B", engine.index) is None


def test_the_latest_contexts_are_kept(engine: Engine) -> None:
    answers = Answers()
    for number in range(CONTEXTS_KEPT + 1):
        assert answers.find("0", "", engine.index) or not number  # which makes it the latest
        answers.keep(str(number), "", Answer())
    assert answers.find("1", "", engine.index) is None
    assert answers.find("0", "", engine.index)


# Stopping


def test_encoding_ends_where_it_is_stopped(encoder: Encoder) -> None:
    stop, when = Stop(), []
    threading.Timer(1.0, lambda: (when.append(time.monotonic()), stop.set())).start()
    with pytest.raises(Stopped):
        encoder.encode(["var berth = allocator.find(vessel);\n" * 50] * 200, stop)
    assert time.monotonic() - when[0] < ENDS


def test_a_run_of_the_runtime_under_way_is_ended() -> None:
    class Session:
        """Runs until it is told to end, as onnxruntime's does."""

        def run(self, outputs: object, inputs: object, options: Any) -> list[object]:
            end = time.monotonic() + 20
            while not options.terminate and time.monotonic() < end:
                time.sleep(0.01)
            if options.terminate:
                raise RuntimeError("Exiting due to terminate flag being set to true.")
            return []

    graph, stop = object.__new__(OnnxGraph), Stop()
    graph._session = Session()
    threading.Timer(0.2, stop.set).start()
    begin = time.monotonic()
    with pytest.raises(Stopped):
        graph.run([], {}, stop)
    assert time.monotonic() - begin < 10


@pytest.mark.usefixtures("example_report")
def test_what_a_deadline_leaves_out_is_said_and_the_rest_answers(engine: Engine) -> None:
    endless = replace(engine, encoder=Counting(engine.encoder, endless=True), query_encoder=None)
    answer = predict(endless, context(), first_only=True, deadline_ms=100)
    assert is_late(answer)
    assert "BerthAllocator" in names(answer)


# Questions


def question(engine: Engine, prefix: str = "", line: int = DRAFT_LINE, **settings: object) -> Question:
    given = replace(Settings(expand=False, deadline_ms=60_000), **settings)
    return Question(engine, given, context(prefix, line))


def counted(engine: Engine, endless: bool = False) -> tuple[Engine, Counting]:
    counting = Counting(engine.encoder, endless)
    return replace(engine, encoder=Remembering(counting), query_encoder=None, generator=None), counting


def asyncio_run(session: Callable[[Anytime, list[str]], object]) -> list[str]:
    """Run a session; what was counted in it."""
    counts: list[str] = []

    async def run() -> None:
        await session(Anytime(counts.append, idle_seconds=1.0), counts)  # type: ignore[misc]

    asyncio.run(run())
    return counts


async def until(has_come: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for what a busy machine does late."""
    async with asyncio.timeout(seconds):
        while not has_come():
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("example_report")
def test_a_name_is_encoded_once_and_questions_at_once_share_their_answer(engine: Engine) -> None:
    with_count, counting = counted(engine)

    async def session(anytime: Anytime, counts: list[str]) -> None:
        same = [anytime.answer(question(with_count)) for _ in range(20)]
        assert len({id(answer) for answer in await asyncio.gather(*same)}) == 1
        for prefix in ("B", "Be", "Ber", "Be", ""):
            assert names(await anytime.answer(question(with_count, prefix)))

    asyncio_run(session)
    assert counting.count == 1


@pytest.mark.usefixtures("example_report")
def test_the_latest_question_wins_and_the_one_before_ends_at_once(engine: Engine) -> None:
    stuck, counting = counted(engine, endless=True)
    works, _ = counted(engine)

    async def session(anytime: Anytime, counts: list[str]) -> None:
        first = asyncio.ensure_future(anytime.answer(question(stuck)))
        await asyncio.sleep(0.1)
        start = time.monotonic()
        latest = asyncio.ensure_future(anytime.answer(question(works, line=DRAFT_LINE - 3)))
        with pytest.raises(asyncio.CancelledError):
            await first
        assert time.monotonic() - start < ENDS
        assert names(await latest)

    asyncio_run(session)
    assert counting.stopped.is_set()


@pytest.mark.usefixtures("example_report")
def test_a_cancelled_question_ends_the_native_work(engine: Engine) -> None:
    stuck, counting = counted(engine, endless=True)

    async def session(anytime: Anytime, counts: list[str]) -> None:
        asked = asyncio.ensure_future(anytime.answer(question(stuck)))
        await asyncio.sleep(0.1)
        asked.cancel()
        assert await asyncio.to_thread(counting.stopped.wait, ENDS)

    asyncio_run(session)


@pytest.mark.usefixtures("example_report")
def test_a_pause_makes_the_first_list_ahead_and_a_longer_one_refines_it(engine: Engine) -> None:
    with_count, counting = counted(engine)
    generator = Writing()
    asked = question(replace(with_count, generator=generator), expand=True)

    async def make() -> Question:
        return asked

    async def session(anytime: Anytime, counts: list[str]) -> None:
        for _ in range(5):  # keys that follow one another faster than a pause
            anytime.look_ahead(make)
            await asyncio.sleep(AHEAD_SECONDS / 3)
        assert counting.count == 0
        await until(lambda: "refined" in counts)
        assert (counting.count, generator.count) == (2, 1)  # the query, and the query with its expansion
        answer = await anytime.answer(asked)
        assert answer.trace.stages[0].stage == "expand"
        assert generator.rests == 0
        anytime.look_ahead(make)
        await until(lambda: generator.rests == 1)

    counts = asyncio_run(session)
    assert (generator.count, counts) == (1, ["refined"])  # and once is enough


@pytest.mark.usefixtures("example_report")
def test_the_models_of_each_folder_rest(engine: Engine) -> None:
    """Work in one workspace folder does not keep the models of another awake."""
    with_count, _ = counted(engine)
    one, other = Writing(), Writing()

    async def session(anytime: Anytime, counts: list[str]) -> None:
        for number, generator in enumerate((one, other)):
            asked = question(
                replace(with_count, generator=generator, mark=str(number)), expand=True, deadline_ms=60_000
            )

            async def make(asked: Question = asked) -> Question:
                return asked

            anytime.look_ahead(make)
            await until(lambda: len(counts) == number + 1)  # noqa: B023
        await until(lambda: (one.rests, other.rests) == (1, 1))

    assert asyncio_run(session) == ["refined", "refined"]


class LastFirst(StandIn):
    """A cross-encoder that turns over what it reads."""

    def __init__(self) -> None:
        self.count = 0

    def each(self, query: str, documents: Sequence[str], stop: Stop) -> Iterator[float]:
        self.count += 1
        yield from (1000.0 * number for number in range(len(documents)))


@pytest.mark.usefixtures("example_report")
def test_what_the_cross_encoder_read_stays_first_as_letters_are_typed(engine: Engine) -> None:
    reranker = LastFirst()
    reranked = question(replace(engine, generator=None, reranker=reranker))

    async def make() -> Question:
        return reranked

    async def session(anytime: Anytime, counts: list[str]) -> None:
        first = names(await anytime.answer(reranked))
        anytime.look_ahead(make)
        await until(lambda: "refined" in counts)
        refined = names(await anytime.answer(reranked))
        assert refined != first
        letter = refined[0][0]
        typed = replace(reranked, context=context(letter))
        assert names(await anytime.answer(typed))[0] == refined[0]
        assert reranker.count == 1  # a key does not wait for it

    assert asyncio_run(session) == ["refined"]


@pytest.mark.usefixtures("example_report")
def test_a_cut_off_list_keeps_the_refined_head_for_other_letters(engine: Engine) -> None:
    whole = predict(engine, context(), first_only=True)
    read = tuple(
        replace(item, evidence=(*item.evidence, Evidence("reranker", 1, 0.0))) for item in whole.ranked[4::-1]
    )
    answers = Answers()
    answers.refine("key", ExpandedQuery(context()), "", replace(whole, ranked=read + whole.ranked[5:]))
    merged = names(answers.with_refined_head("key", "", whole))
    assert merged[:5] == names(whole)[4::-1]
    assert sorted(merged) == sorted(names(whole))
    assert answers.with_refined_head("other", "", whole) == whole


@pytest.mark.usefixtures("example_report")
def test_a_question_asked_again_at_once_after_a_cancel_is_answered(engine: Engine) -> None:
    slow, _ = counted(engine, endless=True)

    async def session(anytime: Anytime, counts: list[str]) -> None:
        first = asyncio.ensure_future(anytime.answer(question(slow, deadline_ms=300)))
        await asyncio.sleep(0.1)
        first.cancel()
        again = asyncio.ensure_future(anytime.answer(question(slow, deadline_ms=300)))
        assert names(await again)
        assert first.cancelled()

    asyncio_run(session)


@pytest.mark.usefixtures("example_report")
def test_letters_that_are_deleted_again_leave_no_head_of_theirs(engine: Engine) -> None:
    reranker = LastFirst()
    reranked = question(replace(engine, generator=None, reranker=reranker))
    typed = replace(reranked, context=context("H"))

    async def session(anytime: Anytime, counts: list[str]) -> None:
        first = names(await anytime.answer(reranked))
        for number, asked in enumerate((typed, reranked), 1):
            anytime.look_ahead(partial(_as_is, asked))
            await until(lambda: counts.count("refined") == number)  # noqa: B023
            if asked is typed:
                assert names(await anytime.answer(typed)) != [name for name in first if name[0] == "H"]
                assert names(await anytime.answer(reranked)) == first
        assert names(await anytime.answer(reranked)) != first

    asyncio_run(session)
    assert reranker.count == 2


async def _as_is(asked: Question) -> Question:
    return asked


@pytest.mark.usefixtures("example_report")
def test_a_letter_does_not_wait_for_a_refinement_under_way(engine: Engine) -> None:
    reranker = Endless()
    reranked = question(replace(engine, generator=None, reranker=reranker))

    async def session(anytime: Anytime, counts: list[str]) -> None:
        anytime.look_ahead(partial(_as_is, replace(reranked, context=context("H"))))
        await until(reranker.begun.is_set)
        assert names(await anytime.answer(replace(reranked, context=context("B"))))
        assert not reranker.ended.is_set()
        anytime.look_ahead(partial(_as_is, replace(reranked, context=context("B"))))
        await until(reranker.ended.is_set)  # the latest question wins
        reranker.ends.set()

    asyncio_run(session)


class Endless(StandIn):
    """A cross-encoder that reads until it is stopped."""

    def __init__(self) -> None:
        self.begun, self.ended, self.ends = threading.Event(), threading.Event(), threading.Event()

    def each(self, query: str, documents: Sequence[str], stop: Stop) -> Iterator[float]:
        self.begun.set()
        with stop.ending(self.ends.set):
            self.ends.wait(20)
        self.ended.set()
        self.ends.clear()
        stop.check()
        yield 0.0
