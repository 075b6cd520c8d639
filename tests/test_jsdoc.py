"""What a comment's tags say, and how a hover shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcodeseek.index_builder.syntax import clean_comment
from deepcodeseek.server.documentation import api_markdown, is_deprecated
from deepcodeseek.server.jsdoc import Doc, Param, Typed, parse_doc
from deepcodeseek.server.types import Api, Method

DOCS: dict[str, tuple[str, Doc]] = {
    "nothing": ("", Doc()),
    "prose": ("One.\n\nTwo.", Doc("One.\n\nTwo.")),
    "description": ("@class\n@description One.", Doc("One.", tags=(("class", ""),))),
    "param": ("@param {String} a - the a\nof it", Doc(params=(Param("a", "String", "the a\nof it"),))),
    "param without type": ("@param a the a", Doc(params=(Param("a", "", "the a"),))),
    "param type behind": ("@param a {String} b", Doc(params=(Param("a", "String", "b"),))),
    "optional": (
        "@param {number} [a=1] b\n@arg {X=} c\n@argument [d]",
        Doc(params=(Param("a", "number", "b", True), Param("c", "X", "", True), Param("d", optional=True))),
    ),
    "braces": (
        "@param {{a: {b: string}}} c.d e\n@param {...*} ...f",
        Doc(params=(Param("c.d", "{a: {b: string}}", "e"), Param("f", "...*"))),
    ),
    "broken": ("@param\n@param {a b c\n@param {} ", Doc()),
    "returns": ("@return {Promise<Map<string, X>>} it", Doc(returns=Typed("Promise<Map<string, X>>", "it"))),
    "returns without type": ("@returns It is.", Doc(returns=Typed("", "It is."))),
    "throws": ("@throws {A} b\n@exception c", Doc(throws=(Typed("A", "b"), Typed("", "c")))),
    "deprecated": ("A.\n@deprecated use {@link b}", Doc("A.", deprecated="use b")),
    "deprecated alone": ("@deprecated", Doc(deprecated="")),
    "example": (
        "@example\n  if (a) {\n    b();\n  }\n@since 1",
        Doc(examples=("if (a) {\n  b();\n}",), tags=(("since", "1"),)),
    ),
    "links": ("See {@link A#b|the b} and {@link C}.", Doc("See the b and C.")),
    "an address": ("Mail a@b.c\n@see d", Doc("Mail a@b.c", tags=(("see", "d"),))),
    "type": ("@type {Object<string>}", Doc(type="Object<string>")),
}  # fmt: skip


@pytest.mark.parametrize("case", DOCS)
def test_docs(case: str) -> None:
    text, expected = DOCS[case]
    assert parse_doc(text) == expected


@settings(max_examples=300, deadline=None)
@given(st.text("@param{}[]= \n`-.|~<ü", max_size=200) | st.text())
def test_any_doc(text: str) -> None:
    parse_doc(text)
    api_markdown(Api("a", "a", "function", doc=text, methods=(Method("m", doc=text),)))


@pytest.mark.parametrize("piece", ["@param [a", "{@link ", "{@link a|", "{", "@param {", "[a=", "@x\n", "`"])
def test_endless_docs(piece: str) -> None:
    text = piece + piece[-1] * 50_000 + piece * 20_000
    parse_doc(text)
    parse_doc(f"@param {text}\n@returns {text}")


def test_an_example_keeps_its_indentation() -> None:
    comment = "/**\n * A   b.\n * @example\n *   if (a) {\n *     b();\n *   }\n * @param  c   d\n */"
    assert clean_comment([comment]) == "A b.\n@example\n  if (a) {\n    b();\n  }\n@param c d"


def check_markdown(api: Api, *lines: str) -> None:
    assert api_markdown(api).split("\n") == list(lines)


def test_a_function() -> None:
    doc = (
        "Finds *one*.\n@param {string} id - of it\n@param [b]\n@returns {Item} the `item`\n"
        "@throws {E} if <b>\n@since 2\n@memberof X"
    )
    api = Api("p/m.f", "f", "function", params=("id", "b"), types=("string", ""), returns="Item", doc=doc)
    api = replace(api, source="m.js", line=3)
    check_markdown(
        api,
        "```javascript", "f(id: string, b): Item", "```", "",
        "`p/m.f`", "",
        "Finds \\*one\\*.", "",
        "**Parameters**", "", "- `id` (`string`) — of it", "- `b` (optional)", "",
        "**Returns** `Item` — the \\`item\\`", "",
        "**Throws** `E` — if \\<b>", "",
        "- *@since* 2", "",
        "No documentation was written for it. From `m.js:3`",
    )  # fmt: skip


def test_deprecated_and_fences() -> None:
    old = Method("b", ("c",), "Old.\n@deprecated use d", returns="void")
    doc = "@deprecated\n@example\n```\na\n```"
    api = Api("A", "A", "object", methods=(old, Method("d")), doc=doc, doc_origin="written", source="m.js")
    check_markdown(
        api,
        "```javascript", "A", "```", "",
        "**Deprecated.**", "",
        "`A`", "",
        "````javascript", "```", "a", "```", "````", "",
        "- ~~`b(c): void`~~ — **Deprecated:** use d", "- `d()`", "",
        "From `m.js:0`",
    )  # fmt: skip


def test_what_was_inferred_is_said() -> None:
    api = Api("x_a.F", "F", "script_include", scope="x_a", inferred=("field", "package", "scope"))
    assert "scope and package inferred from its place" in api_markdown(api)
    assert "inferred" not in api_markdown(Api("F", "F", "function", inferred=("record_name",)))


@pytest.mark.parametrize(("doc", "expected"), [("Old.\n@deprecated", True), ("Not deprecated.", False)])
def test_what_should_not_be_used_any_more(doc: str, expected: bool) -> None:
    assert is_deprecated(Api("F", "F", "function", doc=doc)) is expected
