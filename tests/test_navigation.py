"""Hover, signatures, definitions, references and symbols, asked of the real process and of pure functions."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from conftest import DRAFT, DRAFT_COLUMN, DRAFT_LINE, EXAMPLE
from lsprotocol import types as lsp
from pytest_lsp import LanguageClient
from test_lsp import complete, connect, open_document, ready

from deepcodeseek.server.engine import Engine
from deepcodeseek.server.explain import graph_path
from deepcodeseek.server.lsp_navigation import matching_names
from deepcodeseek.server.modules import Caller

BERTH = "apps/berth-planning/update/new.js"
MADE = "var u = new BerthAllocator();\n"


@asynccontextmanager
async def editor_on_example() -> AsyncIterator[LanguageClient]:
    async with connect(EXAMPLE, options={"expand": False}) as editor:
        await ready(editor)
        yield editor


class At:
    """A document with the cursor where the mark stands in its text."""

    def __init__(self, editor: LanguageClient, text: str, path: str = BERTH, mark: str = "|") -> None:
        before, _, after = text.partition(mark)
        self.uri = open_document(editor, EXAMPLE / path, before + after)
        self.document = lsp.TextDocumentIdentifier(self.uri)
        self.position = lsp.Position(before.count("\n"), len(before.rpartition("\n")[2]))
        self.editor = editor

    async def close(self) -> None:
        self.editor.text_document_did_close(lsp.DidCloseTextDocumentParams(self.document))


def shown(location: lsp.Location) -> str:
    """The text of a location, read from its file by its position alone."""
    path = next(path for path in EXAMPLE.rglob("*") if path.is_file() and path.as_uri() == location.uri)
    line = path.read_text(encoding="utf-8").split("\n")[location.range.start.line]
    return f"{line.strip()} [{line[location.range.start.character : location.range.end.character]}]"


SIGNATURES = [
    # text with the cursor at |, label, the parameter that is written ("" where it is none of them)
    (MADE + "u.findFree(|", "findFree(arrival: GlideDateTime, length: number, draught: number): string", 0),
    (MADE + "u.findFree(a, g(b, c), |", "findFree(arrival: GlideDateTime, length: number, draught", 2),
    (MADE + "u.findFree('a, b', |)", "findFree(arrival: GlideDateTime, length: number, draught", 1),
    ("new x_hbr_cargo.HazardousYardPlanner(|", "new HazardousYardPlanner(yardId", 0),
    ("new global.HarbourLog(|", "new HarbourLog(source: string)", 0),
    ("TideMath.rangeOf(1, |", "rangeOf(high: number, low: number): number", 1),
    ("new VesselRegistry().find(|", "find(", 0),
    ("nothing.known(|", None, 0),
    ("// u.findFree(|", None, 0),
    ("TideMath(|", None, 0),
]


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
async def test_signatures() -> None:
    async with editor_on_example() as editor:
        for text, label, active in SIGNATURES:
            at = At(editor, text)
            answer = await editor.text_document_signature_help_async(
                lsp.SignatureHelpParams(at.document, at.position)
            )
            await at.close()
            if label is None:
                assert answer is None, text
                continue
            assert answer, text
            (signature,) = answer.signatures
            assert signature.label.startswith(label), text
            assert answer.active_parameter == active, text
            spans = [parameter.label for parameter in signature.parameters or ()]
            named = [signature.label[span[0] : span[1]] for span in spans if not isinstance(span, str)]
            listed = signature.label[signature.label.index("(") + 1 : signature.label.rindex(")")]
            assert named == [part for part in listed.split(", ") if part]


DEFINITIONS = [
    # text with the cursor at |, what is found, the end of its file's name
    ("var a = new Berth|Allocator();", "var BerthAllocator = Class.create(); [BerthAllocator]", ".xml"),
    (MADE + "u.find|Free(x);", "findFree: function(arrival, length, draught) { [findFree]", ".xml"),
    ("new VesselRegistry().retire|(x)", "retire: function", ".xml"),
    ("TideMath.rangeOf|(1, 2)", "rangeOf: function", ".xml"),
    ("new x_hbr_cargo.Yard|Planner()", "YardPlanner", "YardPlanner.script.js"),
    ("new GlideAjax('Vessel|Ajax')", "VesselAjax", ".xml"),
    ("unknown|Name()", None, ""),
]


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
async def test_definitions() -> None:
    async with editor_on_example() as editor:
        for text, found, file in DEFINITIONS:
            at = At(editor, text)
            answer = await editor.text_document_definition_async(
                lsp.DefinitionParams(at.document, at.position)
            )
            await at.close()
            if found is None:
                assert answer is None, text
                continue
            assert isinstance(answer, lsp.Location), text
            assert found in shown(answer)
            assert answer.uri.endswith(file)


REFERENCES = [(MADE + "u.find|Free(x);", "findFree"), ("new Berth|Allocator()", "BerthAllocator")]


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
async def test_references_are_calls_in_other_files(engine: Engine) -> None:
    async with editor_on_example() as editor:
        for text, name in (
            (MADE + "u.find|Free(x);", "findFree"),
            ("new Berth|Allocator()", "BerthAllocator"),
        ):
            at = At(editor, text)
            for declared in (False, True):
                context = lsp.ReferenceContext(include_declaration=declared)
                answer = await editor.text_document_references_async(
                    lsp.ReferenceParams(context, at.document, at.position)
                )
                assert answer
                (api_id,) = engine.index.find("BerthAllocator")
                usages = engine.index.usages_of(api_id)
                called = {(u.file, u.line) for u in usages if name == "BerthAllocator" or u.method == name}
                assert len(answer) == len(called) + declared
                assert all(shown(location).endswith(f"[{name}]") for location in answer)
            await at.close()


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
async def test_hover_explains_a_prediction() -> None:
    async with editor_on_example() as editor:
        text = (EXAMPLE / DRAFT).read_text(encoding="utf-8")
        uri = open_document(editor, EXAMPLE / DRAFT)
        await complete(editor, uri, DRAFT_LINE - 1, DRAFT_COLUMN - 1)
        lines = text.split("\n")
        lines[DRAFT_LINE - 1] = "    var a = new BerthAllocator();"
        at = At(editor, "\n".join(lines).replace("new BerthAll", "new Berth@@All"), f"{DRAFT}.js", "@@")
        answer = await editor.text_document_hover_async(lsp.HoverParams(at.document, at.position))
        assert answer
        assert isinstance(answer.contents, lsp.MarkupContent)
        told = answer.contents.value
        assert re.search(r"\*\*Example\*\*, in \*.+\*, `apps/.+:\d+`", told)
        assert re.search(r"\*\*Why:\*\* .+ #\d", told)
        assert re.search(r"Graph: same scope `x_hbr_berth` → called in \d+ other files", told)
        assert re.search(r"retrieve \d+ ms", told)


HOVERS = [
    # text with the cursor at |, what is told, "" where nothing is
    (MADE + "u.find|Free(x);", "findFree(arrival: GlideDateTime, length: number, draught: number): string"),
    (MADE + "u|.findFree(x);", "new BerthAllocator()"),
    ("new VesselRegistry().re|tire(x)", "`global.BaseRegistry`"),
    ("// see Berth|Allocator", "new BerthAllocator()"),
    ("var BerthAlloc = 1; Berth|Alloc", ""),
    ("const HarbourLog = make();\nHarbour|Log.info(1);", ""),
    ("const HarbourLog = require('app/log');\nHarbour|Log.info(1);", "HarbourLog"),
    ("u.find|Free(x);", ""),
]


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
async def test_hover_knows_methods_and_variables() -> None:
    async with editor_on_example() as editor:
        for text, told in HOVERS:
            at = At(editor, text)
            answer = await editor.text_document_hover_async(lsp.HoverParams(at.document, at.position))
            await at.close()
            if not told:
                assert answer is None, text
                continue
            assert answer, text
            assert isinstance(answer.contents, lsp.MarkupContent)
            assert told in answer.contents.value


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
async def test_workspace_symbols() -> None:
    async with editor_on_example() as editor:
        answer = await editor.workspace_symbol_async(lsp.WorkspaceSymbolParams("BeAl"))
        assert answer
        (symbol,) = answer
        assert (symbol.name, symbol.container_name) == ("BerthAllocator", "x_hbr_berth")
        assert isinstance(symbol.location, lsp.Location)
        assert "BerthAllocator" in shown(symbol.location)


NAMES = ("BerthAllocator", "BerthAjax", "HarbourLog", "alloc", "GlideBerth", "BigBoat")
QUERIES = [
    ("Berth", "BerthAjax BerthAllocator GlideBerth"),
    ("berth", "BerthAjax BerthAllocator GlideBerth"),
    ("BA", "BerthAjax BerthAllocator"),
    ("BerAl", "BerthAllocator"),
    ("alloc", "alloc BerthAllocator"),
    ("BB", "BigBoat"),
    ("(", ""),
    ("", "alloc BigBoat BerthAjax GlideBerth HarbourLog BerthAllocator"),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_names_that_a_query_stands_for(query: str, expected: str) -> None:
    assert list(matching_names(NAMES, query)) == expected.split()


PATHS = [
    # scope of the caller, what its file names, API, its path
    ("x_hbr_berth", "", "BerthAllocator", "same scope `x_hbr_berth` → called in"),
    ("x_hbr_cargo", "", "BerthAllocator", "scope `x_hbr_cargo` → scope `x_hbr_berth`, open to all scopes"),
    (
        "x_hbr_berth",
        "new PilotRoster(); new DraughtCheck()",
        "BerthAllocator",
        "2 of them beside `DraughtCheck`, which",
    ),
    ("", "", "TideCurve", "from `harbour-tools` → called in no other file"),
]


@pytest.mark.parametrize(("scope", "text", "name", "told"), PATHS)
def test_graph_path(engine: Engine, scope: str, text: str, name: str, told: str) -> None:
    api = engine.index.api(engine.index.find(name)[0])
    assert told in graph_path(engine.index, Caller("new.js", scope), text, api)
