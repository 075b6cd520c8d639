"""The statement that is written at the cursor: nothing in it that does not exist."""

from __future__ import annotations

import pytest
from conftest import DRAFT, DRAFT_COLUMN, DRAFT_LINE, EXAMPLE, environment
from lsprotocol import types as lsp
from test_lsp import connect, open_document, ready

from deepcodeseek.index_builder.lsp_client import Client
from deepcodeseek.server.bindings import Script
from deepcodeseek.server.context import make_context
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.lexer import code_of
from deepcodeseek.server.modules import Caller
from deepcodeseek.server.statement import apis_named, first_statement, opening
from deepcodeseek.server.types import RankedApi, Usage

BERTH = Caller("apps/berth-planning/update/new.js", "x_hbr_berth", "x_hbr_berth")
FACTS = {"file": BERTH.file, "scope": BERTH.scope, "package": BERTH.package}


def script(before: str) -> Script:
    return Script(BERTH, code_of(before).text, before)


STATEMENTS = [
    # head, what was generated, the statement
    ("new A(", "b);\nmore", "new A(b);"),
    ("new A(", "b).c(d)\nmore", "new A(b).c(d)"),
    ("new A(", "function() { x; });\n", "new A(function() { x; });"),
    ("new A(", "';', {a: 1});", "new A(';', {a: 1});"),
    ("new A(", "b, c", ""),
    ("new A(", "b", ""),
    ("new A(", "b)) {\n", "new A(b)"),
]


@pytest.mark.parametrize(("head", "generated", "statement"), STATEMENTS)
def test_a_statement_ends_where_it_is_whole(head: str, generated: str, statement: str) -> None:
    assert first_statement("if (x)\n    ", head, generated) == statement


NAMED = [
    # text before, statement, APIs that it names; () where anything in it does not exist
    ("", "new BerthAllocator();", ("x_hbr_berth.BerthAllocator",)),
    ("var a = 1;\n", "new BerthAllocator().findFree(a, 2);", ("x_hbr_berth.BerthAllocator",)),
    ("", "new BerthAllocator().fly();", ()),
    ("", "new BerthAllocator(berth);", ()),
    ("var berth;\n", "new BerthAllocator(berth);", ("x_hbr_berth.BerthAllocator",)),
    ("", "new BerthInventor();", ()),
    ("", "TideMath.rangeOf(1, 2);", ("x_hbr_berth.TideMath",)),
    ("", "TideMath.invent(1);", ()),
    ("", "TideMath.rangeOf({high: 1}, 'x.y()');", ("x_hbr_berth.TideMath",)),
    ("", "new YardPlanner();", ()),
    ("", "var ga = new GlideAjax('Nothing');", ()),
    ("var x = 1;\n", "x = x + 1;", ()),
    ("var u = new BerthAllocator();\n", "TideMath.rangeOf(u.fly(), 1);", ()),
    ("var u = {};\n", "u ? BerthInventor : TideMath.rangeOf(1, 2);", ()),
    ("var gr = next();\n", "TideMath.rangeOf(gr.getInvented(), 1);", ()),
    ("var gr = next();\n", "TideMath.rangeOf(gr.toString(), 1);", ("x_hbr_berth.TideMath",)),
    ("var gr = next();\ngr.own();\n", "TideMath.rangeOf(gr.own(), 1);", ("x_hbr_berth.TideMath",)),
    ("var gr = next();\n", "TideMath.rangeOf(gr.findFree(), 1);", ("x_hbr_berth.TideMath",)),
]


@pytest.mark.parametrize(("before", "statement", "named"), NAMED)
def test_every_name_exists(engine: Engine, before: str, statement: str, named: tuple[str, ...]) -> None:
    assert apis_named(engine.index, script(before), statement) == named


CHAINED = "return new BerthAllocator().findFree(a);"
MADE = "var allocator = new BerthAllocator();"
OPENINGS = [
    # text before the cursor, API, its nearest usage, how a call of it begins
    ("", "BerthAllocator", "", "var berthAllocator = new BerthAllocator();"),
    ("", "BerthAllocator", MADE, "var allocator = new BerthAllocator();"),
    ("var allocator;\n", "BerthAllocator", MADE, "new BerthAllocator();"),
    ("", "BerthAllocator", CHAINED, "var berthAllocator = new BerthAllocator().findFree("),
    ("", "BerthAllocator", "new BerthAllocator().fly();", "var berthAllocator = new BerthAllocator();"),
    ("var a = ", "BerthAllocator", "", "new BerthAllocator()"),
    ("var a = new ", "BerthAllocator", CHAINED, "BerthAllocator().findFree("),
    ("", "HarbourLog", "", "var harbourLog = new global.HarbourLog("),
    ("", "TideMath", "x = TideMath.rangeOf(1, 2);", "TideMath.rangeOf("),
    ("var a = new ", "TideMath", "", ""),
    ("const a = 1;\n", "BerthAllocator", "", "const berthAllocator = new BerthAllocator();"),
]


@pytest.mark.parametrize(("before", "name", "used", "head"), OPENINGS)
def test_how_a_call_begins(engine: Engine, before: str, name: str, used: str, head: str) -> None:
    api = engine.index.api(engine.index.find(name)[0])
    predicted = RankedApi(api, 1.0, usage=Usage(api.id, "", 1, "", "", used) if used else None)
    assert opening(engine.index, script(before), make_context(before, "", FACTS), predicted) == head


def test_editors_are_told_that_there_is_grey_text_and_may_ask_as_vs_code_does() -> None:
    """Its client counts kinds from 0 and sends a range as an array; what is refused it shows as an error."""
    start, end = {"line": 0, "character": 0}, {"line": 0, "character": 3}
    with Client(environment()) as client:
        assert "inlineCompletionProvider" in client.initialize(EXAMPLE)["capabilities"]
        for kind, place in ((0, [start, end]), (1, {"start": start, "end": end})):
            context = {"triggerKind": kind, "selectedCompletionInfo": {"range": place, "text": "Berth"}}
            asked = {"textDocument": {"uri": EXAMPLE.as_uri()}, "position": end, "context": context}
            assert client.request("textDocument/inlineCompletion", asked).result() is None


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
@pytest.mark.parametrize("is_on", [True, False])
async def test_grey_text_calls_what_is_predicted_and_is_off_by_default(is_on: bool, engine: Engine) -> None:
    options = {"expand": False, "inlineCompletion": True} if is_on else {"expand": False}
    async with connect(EXAMPLE, options=options) as editor:
        await ready(editor)
        uri = open_document(editor, EXAMPLE / DRAFT)
        for _ in range(5):  # the model is loaded on first need, and a busy machine is slow
            answer = await editor.text_document_inline_completion_async(
                lsp.InlineCompletionParams(
                    lsp.InlineCompletionContext(lsp.InlineCompletionTriggerKind.Automatic),
                    lsp.TextDocumentIdentifier(uri),
                    lsp.Position(DRAFT_LINE - 1, DRAFT_COLUMN - 1),
                )
            )
            if isinstance(answer, lsp.InlineCompletionList) and answer.items:
                break
        if not is_on:
            assert answer is None
            return
        assert isinstance(answer, lsp.InlineCompletionList)
        (item,) = answer.items
        before = (EXAMPLE / DRAFT).read_text(encoding="utf-8")
        assert isinstance(item.insert_text, str)
        assert "x_hbr_berth.BerthAllocator" in apis_named(engine.index, script(before), item.insert_text)
