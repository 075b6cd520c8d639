"""Documentation where none was written: what is said, that it is marked, and that it stays apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deepcodeseek.index_builder.build import build_index
from deepcodeseek.index_builder.cache import Cache
from deepcodeseek.index_builder.comments import without_documentation
from deepcodeseek.index_builder.database import Documentation, Options
from deepcodeseek.index_builder.extract import extract
from deepcodeseek.index_builder.scripts import Script
from deepcodeseek.index_builder.summarize import summarize
from deepcodeseek.index_builder.synthesize import with_example
from deepcodeseek.server import text
from deepcodeseek.server.documentation import api_markdown
from deepcodeseek.server.index import open_index
from deepcodeseek.server.models import Encoder, ModelFiles, ModelProblem
from deepcodeseek.server.types import Api, Prompt

CODE = """var BerthFinder = Class.create();
BerthFinder.prototype = Object.extendsObject(global.AbstractFinder, {
%s
});
"""


def include(members: str) -> Api:
    script = Script(
        "f.js",
        CODE % members,
        line_offset=9,
        record_type="sys_script_include",
        record_name="BerthFinder",
        api_name="x_a.BerthFinder",
        scope="x_a",
    )
    (api,) = extract(script).apis
    return api


METHODS = [
    # a member, what is said of it
    ("isFree: function(berth) { return true; }", "Is free.\n@param berth\n@returns {boolean}"),
    ("getCount: function() { return 3; }", "Get count.\n@returns {number}"),
    ("names: function(a, b) { if (a) { return []; } return ''; }",
     "Names.\n@param a\n@param b\n@returns {Array|string}"),
    ("other: function() { return this.x; }", "Other.\n@returns"),
    ("run: function() { list.forEach(function(x) { return x == 1; }); }", "Run."),
    ("find: function() { var gr = new GlideRecord('x_berth'); gr.addQuery('active', true); gr.query(); }",
     "Find. Reads x_berth by active."),
    ("book: function() { var gr = new GlideRecord('x_call'); gr.setValue('state', 2); gr.insert(); }",
     "Book. Reads and writes x_call by state."),
    ("warn: function() { new HarbourLog('a').warn(gs.getMessage('No berth is free')); }",
     'Warn. Calls HarbourLog.warn. Says "No berth is free".'),
    ("check: function() { throw new RangeError('x'); }", "Check.\n@throws {RangeError}"),
    ("ask: function() { return this.getParameter('sysparm_berth'); }",
     "Ask.\nAnswers GlideAjax; reads sysparm_berth.\n@returns"),
    ("/** Written. */ said: function() { return 1; }", ""),
]  # fmt: skip


@pytest.mark.parametrize(("member", "expected"), METHODS)
def test_an_undocumented_method_is_described_by_what_it_does(member: str, expected: str) -> None:
    (method,) = include(member).methods
    assert method.synthesized == expected
    assert bool(method.doc) == (not expected)


def test_a_class_is_described_by_its_methods() -> None:
    api = include("free: function() { new GlideRecord('x_berth'); },\n_own: function() { new Log(); }")
    assert api.doc_origin == "synthesized"
    assert (
        api.synthesized == "Berth finder, extends global.AbstractFinder. Can free. Reads x_berth. Calls Log."
    )


def test_what_was_written_stays_as_it_is() -> None:
    script = Script("f.js", "/** Adds. */\nexport function add(a) { return 1; }", package="p", module="f")
    (api,) = extract(script).apis
    assert (api.doc, api.doc_origin, api.synthesized) == ("Adds.", "written", "")
    (api,) = extract(replace(script, code="export function add(a) { return 1; }")).apis
    assert (api.doc, api.synthesized) == ("", "Add.\n@param a\n@returns {number}")


def test_a_hover_marks_what_nobody_wrote() -> None:
    api = with_example(include("free: function(a) { return true; }"), "new BerthFinder().free(1);")
    shown = api_markdown(api)
    assert "*synthesized* from its code" in shown
    assert "*Berth finder, extends global.AbstractFinder. Can free.*" in shown
    assert "`free(a)` — *Free.*" in shown
    assert "new BerthFinder().free(1);" in shown
    written = api_markdown(replace(api, doc="Finds berths.", doc_origin="written"))
    assert "synthesized" not in written
    assert "\n\nFinds berths.\n\n" in written


def test_the_baseline_and_the_search_keep_apart_what_was_written() -> None:
    api = with_example(include("free: function(a) { var t = new GlideRecord('x_tide'); }"), "example(call);")
    assert "tide" not in text.written_terms(api)
    assert "tide" in text.document_terms(api)
    assert "tide" in text.encoder_document(api)
    assert "call" not in text.document_terms(api)  # of some file, which must not speak for its own question


class Writing:
    """A generator that counts, and dies after some sentences."""

    state = "running"

    def __init__(self, lives: int) -> None:
        self.files = ModelFiles("generator", Path("none"), {"file": "x", "sha256": {"x": "0"}})
        self.lives, self.asked = lives, 0

    def generate(self, prompt: Prompt, max_tokens: int, timeout_ms: float) -> str:
        if self.asked == self.lives:
            raise ModelProblem("it died")
        self.asked += 1
        name = prompt.text.rsplit("// class ", 1)[1].partition(":")[0]
        return f" Writes what {name} is good for. And more.\n// class"

    def start(self) -> None: ...
    def cancel(self) -> None: ...
    def close(self) -> None: ...


def test_summaries_are_written_once_and_go_on_where_they_were_cut_short(tmp_path: Path) -> None:
    apis = [Api(f"g.{name}", name, "class") for name in "ABCD"]
    apis.append(Api("g.E", "E", "class", doc="Written.", doc_origin="written"))
    said: list[str] = []
    for lives, asked, told in ((3, 3, 1), (9, 1, 0), (9, 0, 0)):
        generator = Writing(lives)
        said.clear()
        with Cache(tmp_path) as cache:
            made = summarize(apis, generator, cache, lambda *_: None, said.append)
        assert (generator.asked, len(said)) == (asked, told)
    assert [api.synthesized for api in made] == [*(f"Writes what {n} is good for." for n in "ABCD"), ""]


@pytest.mark.parametrize(
    ("generated", "sentence"),
    [
        (" Finds a free berth for a vessel. Then", "Finds a free berth for a vessel."),
        ("\n// Finds a free berth for a vessel\n// x", "Finds a free berth for a vessel."),
        (" Reads the table, table, table, table, table, table, table", ""),
        (" Calls X.", ""),
        ("", ""),
    ],
)
def test_a_summary_is_one_sentence_or_nothing(generated: str, sentence: str) -> None:
    assert text.summary_sentence(generated) == sentence


def test_documentation_is_stripped_and_nothing_moves() -> None:
    code = "/** A class. */\nvar A = {\n  // of m\n  m: function() { /* kept */ return 1; } // after\n};\r\n"
    stripped = without_documentation(Script("a.js", code, description="Said."))
    assert len(stripped.code) == len(code)
    assert stripped.code.split() == [
        "var",
        "A",
        "=",
        "{",
        "m:",
        "function()",
        "{",
        "/*",
        "kept",
        "*/",
        "return",
        "1;",
        "}",
        "};",
    ]
    assert stripped.description == ""


@pytest.mark.parametrize(
    ("documentation", "origin", "described"),
    [("all", "written", True), ("written", "written", False), ("stripped", "synthesized", True)],
)
def test_an_index_says_where_its_documentation_is_from(
    documentation: Documentation, origin: str, described: bool, encoder: Encoder, tmp_path: Path
) -> None:
    (tmp_path / "w").mkdir()
    code = "/** Adds. */\nexport function add(a) {}\nexport class Sums {\n  total() { new Log(); }\n}\n"
    (tmp_path / "w/a.js").write_text(code)
    build_index(
        tmp_path / "w", tmp_path / "i", encoder, lambda *_: None, options=Options(documentation=documentation)
    )
    index = open_index(tmp_path / "i", encoder.files.sha256)
    add, sums = (index.api(index.find(name)[0]) for name in ("add", "Sums"))
    assert (add.doc_origin, bool(add.doc)) == (origin, origin == "written")
    assert sums.methods[0].synthesized == ("Total. Calls Log." if described else "")
    index.close()
