"""What a completion shows and what it inserts: tables at the pure functions, and the real process."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from conftest import EXAMPLE
from lsprotocol import types as lsp
from pygls.workspace import PositionCodec
from test_lsp import complete, connect, open_document, ready

from deepcodeseek.server.context import make_context, script_before
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.lsp_documents import Document
from deepcodeseek.server.lsp_files import facts_of
from deepcodeseek.server.lsp_items import (
    MOST_USED,
    USED_AT,
    Asked,
    Look,
    api_items,
    asked_at,
    member_items,
    merged,
)
from deepcodeseek.server.pipeline import predict
from deepcodeseek.server.signatures import snippet_call
from deepcodeseek.server.types import Api

BERTH = "apps/berth-planning/update/new.js"
MODULE = "packages/harbour-tools/src/new.js"
OTHER = "scripts/new.js"
FULL = Look(snippets=True, label_details=True, tags=True)
ENCODINGS = tuple(kind.value for kind in lsp.PositionEncodingKind)


def ask(text: str, path: str, look: Look = FULL, encoding: str = "utf-16") -> tuple[Asked, str]:
    """The question at `|`, and the text without it."""
    offset, whole = text.index("|"), text.replace("|", "", 1)
    codec = PositionCodec(encoding)
    document = Document((EXAMPLE / path).as_uri(), whole, 1, "javascript", position_codec=codec)
    asked = asked_at(document, whole, offset, None, look)
    assert asked, text
    return asked, whole


def items_at(
    engine: Engine, text: str, path: str, look: Look = FULL, encoding: str = "utf-16"
) -> tuple[list[lsp.CompletionItem], str]:
    asked, whole = ask(text, path, look, encoding)
    members = member_items(engine, EXAMPLE, str(EXAMPLE / path), asked)
    if members is not None:
        return members, whole
    context = make_context(
        whole[: asked.offset], whole[asked.offset :], facts_of(engine, EXAMPLE, str(EXAMPLE / path))
    )
    answer = predict(engine, context, first_only=True)
    return api_items(engine.index, asked, context, answer, 20), whole


def accepted(item: lsp.CompletionItem, whole: str, encoding: str = "utf-16") -> str:
    """The text after an editor has taken the item: the edits applied in its own units."""
    assert isinstance(item.text_edit, lsp.TextEdit)
    return apply([item.text_edit, *(item.additional_text_edits or ())], whole, encoding)


def apply(edits: Sequence[lsp.TextEdit], text: str, encoding: str) -> str:
    codec, width = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}[encoding]
    lines = [line.encode(codec) for line in text.split("\n")]

    def at(position: lsp.Position) -> tuple[int, int]:
        return position.line, position.character * width

    for edit in sorted(edits, key=lambda edit: at(edit.range.start), reverse=True):
        (first, start), (last, end) = at(edit.range.start), at(edit.range.end)
        assert first == last
        lines[first] = lines[first][:start] + edit.new_text.encode(codec) + lines[first][end:]
    return "\n".join(line.decode(codec) for line in lines)


INSERTED = [
    # file, text with the cursor at |, label, the text once it is accepted
    (BERTH, "var a = new BerthAl|", "BerthAllocator", "var a = new BerthAllocator()"),
    (BERTH, "var a = BerthAl|;", "BerthAllocator", "var a = new BerthAllocator();"),
    (BERTH, "BerthAl|", "BerthAllocator", "new BerthAllocator()"),
    (BERTH, "var a = new BerthAl|(x)", "BerthAllocator", "var a = new BerthAllocator(x)"),
    (BERTH, "var l = new Harb|", "HarbourLog", "var l = new global.HarbourLog(${1:source})"),
    (BERTH, "var l = new global.Harb|", "HarbourLog", "var l = new global.HarbourLog(${1:source})"),
    (BERTH, "var l = global.Harb|", "HarbourLog", "var l = new global.HarbourLog(${1:source})"),
    (
        "apps/cargo/x_hbr_cargo/new.js",
        "new HazardousY|",
        "HazardousYardPlanner",
        "new HazardousYardPlanner(${1:yardId})",
    ),
    (BERTH, "var t = TideM|", "TideMath", "var t = TideMath"),
    (BERTH, "var c = TideC|", "TideCalculator", None),
    (
        BERTH,
        "A.prototype = Object.extendsObject(BerthA|",
        "BerthAllocator",
        "A.prototype = Object.extendsObject(BerthAllocator",
    ),
    (BERTH, "gs.include('VesselA|'", "VesselAjax", "gs.include('VesselAjax'"),
    (BERTH, "new GlideAjax('VesselA|'", "VesselAjax", "new GlideAjax('VesselAjax'"),
    (BERTH, "var u = new BerthAllocator(); u.|", "findFree", None),
    (
        BERTH,
        "var ga = new GlideAjax('x_hbr_berth.BerthAjax');\nga.addParam('sysparm_name', '|');",
        "getDraughtLimit",
        "var ga = new GlideAjax('x_hbr_berth.BerthAjax');\nga.addParam('sysparm_name', 'getDraughtLimit');",
    ),
    (BERTH, "TideMath.range|", "rangeOf", "TideMath.rangeOf(${1:high}, ${2:low})"),
    (BERTH, "TideMath.range|(1, 2)", "rangeOf", "TideMath.rangeOf(1, 2)"),
    (BERTH, "var s = '🚢é'; TideMath.range|", "rangeOf", None),
    (
        MODULE,
        "// units\n\nlet a = TideC|",
        "TideCurve",
        "// units\n\nimport { TideCurve } from './tides.js';\nlet a = new TideCurve(${1:points})",
    ),
    (
        MODULE,
        "TideC|",
        "TideCurve",
        "import { TideCurve } from './tides.js';\nnew TideCurve(${1:points})",
    ),
    (
        MODULE,
        "import { roundTo } from './units.js';\nmiles|",
        "milesToMetres",
        "import { roundTo, milesToMetres } from './units.js';\nmilesToMetres(${1:miles})",
    ),
    (
        MODULE,
        "import { roundTo } from './units';\nlet a = new TideC|",
        "TideCurve",
        "import { roundTo } from './units';\n"
        "import { TideCurve } from './tides';\nlet a = new TideCurve(${1:points})",
    ),
    (
        MODULE,
        "'use strict';\nconst fs = require('fs');\ngreat|",
        "greatCircle",
        "'use strict';\nconst fs = require('fs');\nconst { greatCircle } = require('./legacy');\n"
        "greatCircle(${1:from}, ${2:to})",
    ),
    (
        MODULE,
        "export const a = 1;\nfirst|",
        "firstPassage",
        "import firstPassage from './planner.js';\nexport const a = 1;\n"
        "firstPassage(${1:curve}, ${2:within}, ${3:missingMetres})",
    ),
    (
        OTHER,
        'import a from "a";\nlet b = new TideC|',
        "TideCurve",
        'import a from "a";\nimport { TideCurve } from "harbour-tools";\nlet b = new TideCurve(${1:points})',
    ),
    (
        MODULE,
        "import { TideCurve } from './tides.js';\nnew TideC|",
        "TideCurve",
        "import { TideCurve } from './tides.js';\nnew TideCurve(${1:points})",
    ),
    (
        MODULE,
        "import { TideC| } from './tides.js';",
        "TideCurve",
        "import { TideCurve } from './tides.js';",
    ),
    (
        MODULE,
        "import * as tides from './tides.js';\nnew tides.|",
        "TideCurve",
        "import * as tides from './tides.js';\nnew tides.TideCurve(${1:points})",
    ),
    (
        MODULE,
        "import * as tides from './tides.js';\nlet t = tides . T|",
        "TideCurve",
        "import * as tides from './tides.js';\nlet t = new tides . TideCurve(${1:points})",
    ),
]


@pytest.mark.parametrize(("path", "text", "label", "expected"), INSERTED)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_inserted(
    engine: Engine, path: str, text: str, label: str, expected: str | None, encoding: str
) -> None:
    items, whole = items_at(engine, text, path, encoding=encoding)
    item = next(item for item in items if item.label == label)
    got = accepted(item, whole, encoding)
    if expected is None:  # the same in all encodings, whatever else it is
        expected = accepted(
            next(i for i in items_at(engine, text, path)[0] if i.label == label), whole, "utf-16"
        )
        assert label in expected
    assert got == expected


def test_a_client_without_snippets_gets_names(engine: Engine) -> None:
    items, whole = items_at(engine, "var l = new Harb|", BERTH, Look())
    assert accepted(items[0], whole) == "var l = new global.HarbourLog"
    assert items[0].insert_text_format is None
    assert items[0].detail == "(source) global"
    assert items[0].label_details is None


def test_an_item_says_what_it_is(engine: Engine) -> None:
    items, _ = items_at(engine, "var u = new BerthAllocator(); u.|", BERTH)
    first = items[0]
    assert first.label == "findFree"  # called most
    assert first.kind == lsp.CompletionItemKind.Method
    assert first.label_details == lsp.CompletionItemLabelDetails(
        "(arrival, length, draught)", "BerthAllocator"
    )
    assert [item.preselect for item in items] == [True, *[False] * (len(items) - 1)]
    assert [item.sort_text for item in items] == [f"{place:04}" for place in range(len(items))]
    assert all(item.filter_text == item.label for item in items)


@pytest.mark.parametrize(("look", "characters"), [(Look(commit_characters=True), ["."]), (Look(), None)])
def test_a_dot_accepts_what_a_method_follows(
    look: Look, characters: list[str] | None, engine: Engine
) -> None:
    items, _ = items_at(engine, "var t = Tide|", BERTH, look)
    by_label = {item.label: item.commit_characters for item in items}
    assert by_label["TideMath"] == characters
    assert by_label["TideCalculator"] is None


USED = "var call = new PilotRoster().next();\nvar f = new PortDues();\nvar berth = new BerthAllocator();\n"


def test_what_the_file_uses_already_follows_the_first_predictions(engine: Engine) -> None:
    names = ["BerthAllocator", "PortDues", "PilotRoster"]  # the nearest first
    items, _ = items_at(engine, f"{USED}var x = |\nx.go();\n", BERTH)
    first, again = (
        [item.label for item in items[:USED_AT]],
        [item.label for item in items[USED_AT:][:MOST_USED]],
    )
    assert [name for name in names if name not in first] == [label for label in again if label in names]
    assert len({item.label for item in items}) == len(items)
    assert [item.sort_text for item in items] == sorted(str(item.sort_text) for item in items)


PREDICTED, USES = "abcdefg", "gxyzw"


@pytest.mark.parametrize(
    ("predicted", "used", "listed"),
    [
        (PREDICTED, USES, "abcdegxyf"),
        (PREDICTED, "ab", PREDICTED),
        ("ab", "xb", "abx"),
        ("", "xyzw", "xyz"),
        (PREDICTED, "", PREDICTED),
    ],
)
def test_both_in_one_list(predicted: str, used: str, listed: str) -> None:
    def apis(names: str) -> list[Api]:
        return [Api(name, name, "class", id=ord(name)) for name in names]

    assert "".join(api.name for api in merged(apis(predicted), apis(used))) == listed


NOTHING_ELSE = [
    # text, labels that must not be among the items
    ("var a = new |", {"TideMath"}),
    ("class A extends |", {"TideMath"}),
    ("u.|", {"BerthAllocator", "findFree"}),
    ("new GlideAjax('|", {"BerthAllocator", "TideMath"}),
]


@pytest.mark.parametrize(("text", "absent"), NOTHING_ELSE)
def test_what_cannot_stand_there_is_not_offered(engine: Engine, text: str, absent: set[str]) -> None:
    items, _ = items_at(engine, text, BERTH)
    assert absent.isdisjoint(item.label for item in items)


def test_names_are_escaped_in_snippets() -> None:
    assert snippet_call(("$a", "{ b, c }", "d\\e")) == "(${1:\\$a}, ${2:{ b, c \\}}, ${3:d\\\\e})"


XML = '<?xml version="1.0"?><unload><sys_script><name>Rule</name><script>{}'
RECORDS = [
    # text before the cursor, the script before it, None where there is none
    ("var a = 1;", "var a = 1;"),
    (XML.format("if (a &lt; b) { new "), "if (a < b) { new "),
    (XML.format("<![CDATA[if (a < b) "), "if (a < b) "),
    (XML.format("a</script><description>a new "), None),
    (XML.format("<![CDATA[a]]></script><description><![CDATA[a new "), None),
    (XML.format("a</script><"), None),
]


@pytest.mark.parametrize(("before", "script"), RECORDS)
def test_only_the_scripts_of_a_record_are_code(before: str, script: str | None) -> None:
    assert script_before(before) == script


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
async def test_methods_behind_a_dot_as_an_editor_gets_them() -> None:
    async with connect(EXAMPLE, options={"expand": False}) as editor:
        await ready(editor)
        text = "var u = new BerthAllocator();\nu."
        uri = open_document(editor, EXAMPLE / BERTH, text)
        answer = await complete(editor, uri, 1, 2)
        assert not answer.is_incomplete
        assert [item.label for item in answer.items][:1] == ["findFree"]
        resolved = await editor.completion_item_resolve_async(answer.items[0])
        assert isinstance(resolved.documentation, lsp.MarkupContent)
        assert "findFree(arrival: GlideDateTime" in resolved.documentation.value
        for before in ("// var a = new ", "var a = 12", "'new ", "other."):
            quiet = open_document(editor, EXAMPLE / "apps/berth-planning/update/quiet.js", before)
            assert not (await complete(editor, quiet, 0, len(before))).items
