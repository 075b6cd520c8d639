"""The stages' boundaries as tables: text, context, settings, expansion, reranking, documentation."""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import EXAMPLE, StandIn

from deepcodeseek.index_builder.llama_flags import cmake_args
from deepcodeseek.server import text
from deepcodeseek.server.context import make_context
from deepcodeseek.server.cross_encoder import check_golden
from deepcodeseek.server.documentation import api_markdown
from deepcodeseek.server.engine import Engine, load_engine, load_rerankers
from deepcodeseek.server.expand import expand
from deepcodeseek.server.generation import index_directory
from deepcodeseek.server.models import (
    CARD,
    SHIPPED,
    ModelFiles,
    ModelProblem,
    Resting,
    find_model,
    read_card,
)
from deepcodeseek.server.pipeline import METHODS, is_late, predict
from deepcodeseek.server.rerank import rerank
from deepcodeseek.server.settings import Settings, parse_settings
from deepcodeseek.server.stop import Stop, Stopped
from deepcodeseek.server.types import Api, Context, ExpandedQuery, Method, Prompt, RankedApi


@pytest.mark.parametrize(
    ("source", "tokens"),
    [
        ("getURLFor", ["get", "url", "for"]),
        ("JSONParser2", ["json", "parser"]),
        ("sys_user_group", ["sys", "user", "group"]),
        ("x1y22", ["x", "y"]),
        ("größe ÜberGabe", ["größe", "über", "gabe"]),
        ("$.a('b-c')", ["a", "b", "c"]),
        ("", []),
    ],
)
def test_lexical_tokens(source: str, tokens: list[str]) -> None:
    assert text.lexical_tokens(source) == tokens


@pytest.mark.parametrize(
    ("before", "lines", "window"),
    [
        ("", 3, ""),
        ("a\n\n  b  \n\t\nc", 2, "  b\nc"),
        ("a\r\nb\rc", 2, "b\nc"),
        ("a\u2028b\nc", 2, "a\u2028b\nc"),
    ],
)
def test_window_before(before: str, lines: int, window: str) -> None:
    assert text.window_before(before, lines) == window


def test_a_window_is_bounded() -> None:
    assert len(text.window_before("x" * 1_000_000)) <= text.WINDOW_CHARS


CURSORS = [
    # before, after -> prefix, trigger, window
    ("var a = 1;\nvar b = new Tru", "", "Tru", "new", "var a = 1;\nvar b = new"),
    ("var b = new global.Tru", "", "Tru", "new", "var b = new global."),
    ("new GlideAjax('Ber", "", "Ber", "ajax", "new GlideAjax('"),
    ("x = 12", "", "", "", "x = 12"),
    ("foo()\n    ", "", "", "", "foo()"),
    ("// a berth\n", "", "", "", "// a berth"),
    ("return new\n", "", "", "new", "return new"),
    ("<record><script><![CDATA[var a;\n", "b();]]></script></record>", "", "", "var a;"),
]


@pytest.mark.parametrize(("before", "after", "prefix", "trigger", "window"), CURSORS)
def test_make_context(before: str, after: str, prefix: str, trigger: str, window: str) -> None:
    context = make_context(before, after, {"scope": "global", "nonsense": "x"})
    assert (context.prefix, context.trigger, context.window) == (prefix, trigger, window)
    assert context.scope == "global"
    assert "]]>" not in context.after


@pytest.mark.parametrize(
    ("before", "qualifier"),
    [
        ("new global.Ha", "global"),
        ("x_a.b.C", "x_a.b"),
        ("f().m", ")"),
        ("a[0].", "]"),
        ("var a = 1.5; b", ""),
        ("new Ha", ""),
        ("// a berth.\n", ""),
        ("import * as units from './units';\nunits.", ""),
        ("const units = require('./units');\nunits.", ""),
    ],
)
def test_qualifier(before: str, qualifier: str) -> None:
    assert make_context(before, "").qualifier == qualifier


def test_names_of_the_file_come_nearest_first() -> None:
    assert make_context("far(); near(); ", "ahead();").used == ("near", "far", "ahead")


@pytest.mark.parametrize(
    ("options", "changed", "problems"),
    [
        (None, {}, 0),
        ({"maxItems": 5, "expand": False}, {"max_items": 5, "expand": False}, 0),
        ({"maxItems": 0}, {}, 1),
        ({"maxItems": True}, {}, 1),
        ({"maxItems": "5", "unknown": 1}, {}, 2),
        ({"expandPrompt": "fim"}, {"expand_prompt": "fim"}, 0),
        ({"expandPrompt": "chat"}, {}, 1),
        ({"indexDirectory": "/x"}, {"index_directory": "/x"}, 0),
        ([1], {}, 1),
    ],
)
def test_parse_settings(options: object, changed: dict[str, object], problems: int) -> None:
    settings, said = parse_settings(options)
    assert settings == Settings(**changed)
    assert len(said) == problems


@pytest.mark.parametrize(
    ("before", "prompt"),
    [
        ("if (a) {\n    ", "// Rule.js, table task\n\nif (a) {\n    "),
        ("a();\n", "// Rule.js, table task\n\na();\n"),
        ("x = ", "// Rule.js, table task\n\nx ="),
    ],
)
def test_expander_prompt(before: str, prompt: str) -> None:
    context = make_context(before, "", {"record_name": "Rule", "table": "task"})
    assert text.expander_prompt(context).text == prompt


@pytest.mark.parametrize(
    ("generated", "code"),
    [
        ("\n\n    a();\n    b();\n\nc();", "a();\nb();"),
        ("a();\n```\nprose", "a();"),
        ("  \n", ""),
        ("x" * 1000, "x" * text.EXPANSION_CHARS),
    ],
)
def test_expansion_code(generated: str, code: str) -> None:
    assert text.expansion_code(generated) == code


def test_a_description_is_asked_for_by_an_example_and_a_copy_of_it_is_none() -> None:
    context = make_context("var a = 1;\n", "", {"record_name": "Own", "table": "task"})
    example, _, asked = text.description_prompt(context).text.rpartition("\n\n// Own.js")
    assert asked == ", table task\nvar a = 1;\n\n// What comes next, in one sentence:"
    assert text.description_sentence(example.rpartition("sentence:")[2]) == ""
    assert text.description_sentence(" find the berth for a vessel.\n\nfoo") == "find the berth for a vessel."


def test_queries_hold_both_sides_of_the_cursor_and_the_expansion() -> None:
    context = make_context("before();\n", "\nafter();\n", {"record_name": "OnSave", "table": "task"})
    query = ExpandedQuery(context, "hypothetical();")
    assert text.query_terms(query) == ["on", "save", "task", "before", "hypothetical", "after"]
    assert text.encoder_query(query) == "on save\nbefore();\nhypothetical();\nafter();"


class EchoGenerator:
    """Continues a prompt with its last line; fails where it is told to."""

    files = ModelFiles("generator", Path(), {})
    state = "running"

    def __init__(self, problem: str = "") -> None:
        self.problem = problem

    def start(self) -> None:
        pass

    def generate(self, prompt: Prompt, max_tokens: int, timeout_ms: float, stop: Stop | None = None) -> str:
        if self.problem:
            raise ModelProblem(self.problem)
        return prompt.text.rstrip().rsplit("\n", 1)[-1]

    def rest(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("generator", "code", "source", "note"),
    [
        (EchoGenerator(), "run();", "llm", "run();"),
        (EchoGenerator("it died"), "", "none", "it died"),
        (None, "", "none", "no generator installed"),
    ],
)
def test_expand(generator: EchoGenerator | None, code: str, source: str, note: str) -> None:
    query, said = expand(make_context("run();\n", ""), generator, 8, 100)
    assert (query.code, query.source) == (code, source)
    assert said.startswith(note)


def test_expand_by_a_description() -> None:
    context = make_context("berth = find(vessel, the, longest);\n", "")
    query, _ = expand(context, EchoGenerator(), 8, 100, "description")
    assert query.code == "What comes next, in one sentence:."


class LengthReranker(StandIn):
    """The longer the document, the better; after `most` of them it goes on until it is stopped."""

    def __init__(self, most: int = 100) -> None:
        self.most = most

    def each(self, query: str, documents: Sequence[str], stop: Stop) -> Iterator[float]:
        yield from map(len, documents[: self.most])
        if self.most < len(documents):
            ended = threading.Event()
            with stop.ending(ended.set):
                ended.wait(20)
            stop.check()


@pytest.mark.parametrize(
    ("depth", "left_ms", "most", "expected"),
    [
        (3, math.inf, 9, ["ccc", "bb", "a", "dddd"]),  # the first three, the rest stays
        (4, math.inf, 9, ["dddd", "ccc", "bb", "a"]),
        (4, 50.0, 2, ["ccc", "a", "bb", "dddd"]),  # time for two
        (4, 50.0, 1, ["a", "ccc", "bb", "dddd"]),
        (4, 50.0, 0, ["a", "ccc", "bb", "dddd"]),
        (0, math.inf, 9, ["a", "ccc", "bb", "dddd"]),
    ],
)
def test_rerank_reads_the_first_and_keeps_the_rest(
    depth: int, left_ms: float, most: int, expected: list[str]
) -> None:
    names = ("a", "ccc", "bb", "dddd")
    ranked = tuple(RankedApi(Api(f"global.{n}", n, "script_include"), 1.0) for n in names)
    query = ExpandedQuery(Context("", "", "", ""))
    reordered, read = rerank(query, ranked, LengthReranker(most), depth, left_ms)
    assert read == min(depth, most)
    assert [item.api.name for item in reordered] == expected
    told = [e for item in reordered for e in item.evidence if e.signal == "reranker"]
    assert [e.rank for e in told] == list(range(1, len(told) + 1))


@pytest.mark.usefixtures("example_report")
@pytest.mark.parametrize(
    ("problem", "note", "loads"),
    [("", "3 candidates read", 2), ("it ranks otherwise", "it ranks otherwise", 1)],
)
def test_a_reranker_is_loaded_when_it_reads_and_one_that_cannot_be_is_a_note(
    engine: Engine, problem: str, note: str, loads: int
) -> None:
    files, loaded = find_model("reranker"), []
    assert files

    def load(model: ModelFiles) -> LengthReranker:
        loaded.append(model)
        if problem:
            raise ModelProblem(problem)
        return LengthReranker()

    resting = Resting(files, load)
    equipped = replace(engine, generator=None, reranker=resting)
    context = make_context("var vessel = next();\nnew ", "", {})
    for _ in range(2):
        answer = predict(equipped, context, METHODS["reranked"], rerank_depth=3)
        assert answer.trace.stages[-1].note == note
        assert answer.ranked
        resting.rest()
    assert len(loaded) == loads


class Paced(StandIn):
    """Reads a document in its milliseconds, and counts those that it begins."""

    pair_ms = 80.0

    def __init__(self) -> None:
        self.begun = 0

    def each(self, query: str, documents: Sequence[str], stop: Stop) -> Iterator[float]:
        for document in documents:
            self.begun += 1
            stopped = threading.Event()
            with stop.ending(stopped.set):
                stopped.wait(self.pair_ms / 1000)
            stop.check()
            yield float(len(document))


@pytest.mark.parametrize(("left_ms", "begun"), [(220.0, 2), (math.inf, 5)])
def test_what_would_not_end_in_time_at_the_measured_rate_is_not_begun(left_ms: float, begun: int) -> None:
    ranked = tuple(RankedApi(Api(n, n, "class"), 1.0) for n in "abcde")
    reranker = Paced()
    _, read = rerank(ExpandedQuery(Context("", "", "", "")), ranked, reranker, 5, left_ms)
    assert (reranker.begun, read) == (begun, begun)


@pytest.mark.usefixtures("example_report")
def test_a_deadline_and_a_stop_hold_while_a_reranker_is_loaded(engine: Engine) -> None:
    files, allowed = find_model("reranker"), threading.Event()
    assert files

    def load(model: ModelFiles) -> LengthReranker:
        assert allowed.wait(60)
        return LengthReranker()

    resting = Resting(files, load)
    equipped = replace(engine, generator=None, reranker=resting)
    context, method = make_context("var vessel = next();\nnew ", "", {}), METHODS["reranked"]
    try:
        answer = predict(equipped, context, method, rerank_depth=3, deadline_ms=2000.0)
        assert answer.trace.stages[-1].note == "none read: no time left"
        assert answer.ranked
        assert is_late(answer)
        assert resting.state == "loading"
        stop = Stop()
        threading.Timer(0.1, stop.set).start()
        with pytest.raises(Stopped):
            predict(equipped, context, method, stop=stop)
    finally:
        allowed.set()
    load_rerankers(equipped)
    assert resting.state == "loaded"
    answer = predict(equipped, context, method, rerank_depth=3, deadline_ms=5000.0)
    assert answer.trace.stages[-1].note == "3 candidates read"


class Fixed(StandIn):
    """Reads every document as a card said before, or otherwise."""

    def __init__(self, golden: object, scores: Sequence[float]) -> None:
        self.files, self.scores = ModelFiles("reranker", Path("there"), {"golden": golden}), scores

    def each(self, query: str, documents: Sequence[str], stop: Stop) -> Iterator[float]:
        yield from self.scores


@pytest.mark.parametrize(
    ("stated", "found", "problem"),
    [
        ([4.0, 1.0], [2.0, 1.9], ""),
        ([4.0, 1.0, 0.9], [2.0, 0.0, 1.0], ""),  # of the last two it is not sure
        ([4.0, 1.0], [1.0, 1.0], "otherwise"),
        ([4.0, 1.0], [1.0, 4.0], "otherwise"),
        ([4.0, 1.0], [math.nan, math.nan], "otherwise"),
        ([4.0, 1.0], [math.inf, math.nan], "otherwise"),
        ([0.2, 0.1], [0.2, 0.1], "no golden lists"),
        ([math.nan, 1.0], [2.0, 1.0], "no golden lists"),
        ([], [], "no golden lists"),
    ],
)
def test_golden_lists_stand_in_their_order_and_tell_something_apart(
    stated: list[float], found: list[float], problem: str
) -> None:
    documents = [str(number) for number in range(len(stated))]
    reranker = Fixed([{"query": "q", "documents": documents, "scores": stated}], found)
    if not problem:
        check_golden(reranker)
        return
    with pytest.raises(ModelProblem, match=problem):
        check_golden(reranker)


@pytest.mark.usefixtures("example_report")
@pytest.mark.parametrize(("change", "note"), [({"dimension": None}, "query"), ({}, "states no 'dimension'")])
def test_an_encoder_of_questions_with_a_bad_card_is_a_note(
    change: dict[str, object], note: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(SHIPPED["encoder"], tmp_path / "query")
    card = read_card(folder / CARD)
    card |= {"kind": "query", "documents": card["sha256"]["model.onnx"]}
    del card["dimension"]
    (folder / CARD).write_text(json.dumps(card | change), encoding="utf-8")
    engine = load_engine(index_directory(EXAMPLE), tmp_path, lite=True)
    assert engine.query_encoder is None
    assert any(str(folder) in each and note in each for each in engine.notes)


def test_reading_ends_where_nobody_waits_for_it() -> None:
    ranked = tuple(RankedApi(Api(n, n, "class"), 1.0) for n in "abc")
    stop = Stop()
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Stopped):
        rerank(ExpandedQuery(Context("", "", "", "")), ranked, LengthReranker(1), 3, 10_000.0, stop)


@pytest.mark.parametrize(
    ("compact", "causal_query_ms", "notes", "late"),
    [
        (9, 1.0, ["3 candidates read", "3 candidates read"], False),
        (1, 1.0, ["1 candidates read", "skipped: no time left"], False),  # what was read stays
        (9, 9000.0, ["3 candidates read", "skipped: no time left"], False),
        (0, 1.0, ["none read: no time left", "skipped: no time left"], True),
    ],
)
@pytest.mark.usefixtures("example_report")
def test_a_deadline_bounds_both_rerankers_and_what_was_read_in_time_stays(
    engine: Engine, compact: int, causal_query_ms: float, notes: list[str], late: bool
) -> None:
    causal = LengthReranker()
    causal.files, causal.query_ms = ModelFiles("causal", Path(), {}), causal_query_ms
    both = replace(engine, generator=None, reranker=LengthReranker(compact), causal=causal)
    started = time.monotonic()
    context = make_context("var vessel = next();\nnew ", "", {})
    answer = predict(both, context, METHODS["reranked"], deadline_ms=1500, rerank_depth=3)
    assert time.monotonic() - started < 10
    assert [stage.note for stage in answer.trace.stages][-2:] == notes
    assert is_late(answer) is late


def test_what_retrieval_says_counts_beside_the_cross_encoder() -> None:
    ranked = tuple(
        RankedApi(Api(n, n, "class"), score) for n, score in (("a", 9.0), ("bbb", 8.0), ("ccccccc", 1.0))
    )
    reordered, _ = rerank(ExpandedQuery(Context("", "", "", "")), ranked, LengthReranker(), 3)
    assert [(item.api.name, item.score) for item in reordered] == [
        ("bbb", 13.0),
        ("a", 12.0),
        ("ccccccc", 10.0),
    ]


def test_documentation_is_escaped_markdown() -> None:
    method = Method("find", ("id",), "Finds <b>one</b>.\n@returns {Object} it")
    answer = Method("answer", sysparms=("sysparm_id", "sysparm_day"))
    hidden = Method("_hidden", (), is_private=True)
    api = Api(
        "global.A",
        "A",
        "script_include",
        methods=(method, answer, hidden),
        doc="![x](http://e)",
        source="a.js",
        line=3,
        access="public",
        caller_access="restricted",
    )
    markdown = api_markdown(api)
    assert "`global.A` · public · callers restricted" in markdown
    assert "new A()" in markdown
    assert "`find(id)` — Finds \\<b>one\\</b>." in markdown
    assert "`answer()`, reads sysparm\\_id, sysparm\\_day\n" in f"{markdown}\n"
    assert "_hidden" not in markdown
    assert "\\!\\[x\\](" in markdown
    assert "No documentation was written for it" in markdown
    assert "`a.js:3`" in markdown


@pytest.mark.parametrize(
    ("machine", "flags", "present", "absent"),
    [
        ("x86_64", "flags : fma avx2 f16c", "-DGGML_AVX2=ON", "NATIVE=ON"),
        ("x86_64", "flags : avx2 amx_int8 avx512f", "-DGGML_AVX512=OFF", "AMX"),
        ("x86_64", "flags : avx512f avx512bw avx512dq avx512vl avx512cd", "-DGGML_AVX512=ON", "AMX"),
        ("arm64", "", "-DLLAMA_BUILD_TOOLS=OFF", "GGML_NATIVE"),
        ("x86_64", "", "-DMTMD_BUILD=OFF", "GGML_NATIVE"),
    ],
)
def test_llama_flags(machine: str, flags: str, present: str, absent: str) -> None:
    args = cmake_args(machine, flags)
    assert present in args
    assert absent not in args
