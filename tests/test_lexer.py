"""What is code and what only looks so, against tree-sitter and against texts whose parts are known."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import tree_sitter_javascript
from conftest import EXAMPLE
from hypothesis import given
from hypothesis import strategies as st
from tree_sitter import Language, Node, Parser

from deepcodeseek.server.lexer import closing_of, code_of, opening_of

TABLE = [
    # text, what is left of it, state at its end
    ("a / b; 'x'", 'a / b; " "', "code"),
    ("x = /'/.test(y)", 'x = " ".test(y)', "code"),
    ("if (a) /'/.test(b); c", 'if (a) " ".test(b); c', "code"),
    ("(a) / b; '", '(a) / b; "', "string"),
    ("return /a[/']b/g.test(x)", 'return "       ".test(x)', "code"),
    ("x++ / 2; // '", "x++ / 2;     ", "comment"),
    ("`a${b + `c${d}`}e` + f", '"  {b + "  {d}"} " + f', "code"),
    ("`abc ${x", '"     {x', "code"),
    ("`abc ${{a: 1}} d", '"     {{a: 1}}  ', "template"),
    ("// hi\nx", "     \nx", "code"),
    ("/*/ x", "     ", "comment"),
    ("/**/ x", "     x", "code"),
    ("'abc\nx", '"   \nx', "code"),
    ("'a\\\nb", '"  \n ', "string"),
    ("x = 'a\\", 'x = "  ', "string"),
    ("y = /ab", 'y = "  ', "regex"),
    ("y = a /ab", "y = a /ab", "code"),
    ("<div>don't</div>\n x", '<div>don"       \n x', "code"),
    ("#!/usr/bin/env node\nx", "                   \nx", "code"),
]


@pytest.mark.parametrize(("text", "left", "state"), TABLE)
def test_code_of(text: str, left: str, state: str) -> None:
    code = code_of(text)
    assert (code.text, code.state) == (left, state)


PARTS = st.sampled_from(
    [
        ("code", "x = "),
        ("code", "f(a, b[0] / c);\n"),
        ("code", "if (y) { z }\n"),
        ("string", "'it\\'s /* no */ `'"),
        ("string", '"// no"'),
        ("comment", "/* ' \" ` ${ */"),
        ("comment", "// ' `"),
        ("template", "`' // \\` $ {`"),
        ("regex", "/['\"`\\/]/g"),
    ]
)


@given(st.lists(PARTS, max_size=12), st.data())
def test_a_text_cut_anywhere_ends_in_the_part_that_was_cut(
    parts: list[tuple[str, str]], data: st.DataObject
) -> None:
    before = "".join(f";{text}\n" for _, text in parts)
    kind, text = data.draw(PARTS)
    cut = data.draw(st.integers(1, len(text) - 1))
    if text == "/* ' \" ` ${ */" or text == "// ' `":
        cut = max(2, cut)  # a single slash is not a comment yet
    code = code_of(f"{before};{text[:cut]}")
    is_flag = kind == "regex" and cut == len(text) - 1
    assert code.state == ("code" if is_flag else kind)
    assert len(code.text) == len(before) + 1 + cut


@given(st.text(alphabet="ab '\"`/\\${}()[]\n*#!"))
def test_any_text_keeps_its_length_and_its_line_ends(text: str) -> None:
    code = code_of(text)
    assert len(code.text) == len(text)
    assert [i for i, c in enumerate(code.text) if c == "\n"] == [i for i, c in enumerate(text) if c == "\n"]


SCRIPTS = [
    script
    for path in sorted(EXAMPLE.rglob("*"))
    if path.suffix in (".js", ".xml")
    for script in (
        re.findall(r"<!\[CDATA\[(.*?)\]\]>", path.read_text(encoding="utf-8"), re.DOTALL)
        if path.suffix == ".xml"
        else [path.read_text(encoding="utf-8")]
    )
    if script.isascii()  # offsets of tree-sitter are bytes
]


def test_agrees_with_a_parser_on_every_script_of_the_example() -> None:
    parser = Parser(Language(tree_sitter_javascript.language()))
    compared = 0
    for script in SCRIPTS:
        tree = parser.parse(script.encode())
        if tree.root_node.has_error:  # a widget's HTML
            continue
        code = code_of(script).text
        for leaf in _leaves(tree.root_node):
            got, source = (text[leaf.start_byte : leaf.end_byte] for text in (code, script))
            if leaf.type in ("string", "regex"):
                assert got[0] == got[-1] == '"'
                assert not got[1:-1].strip()
            else:
                assert got == (re.sub(r"[^\n\r]", " ", source) if leaf.type in _BLANK else source)
            compared += 1
    assert compared > 10_000


_BLANK = ("comment", "string_fragment", "escape_sequence")


def _leaves(node: Node) -> Iterator[Node]:
    if node.type in ("comment", "string", "regex"):
        yield node
        return
    for child in node.children:
        if child.type == "template_substitution":
            for inner in child.named_children:
                yield from _leaves(inner)
        elif child.type != "`":
            yield from _leaves(child)
    if not node.children:
        yield node


@given(st.text(alphabet="ab()[]{}"))
def test_brackets_that_match_find_each_other(code: str) -> None:
    for start, character in enumerate(code):
        end = closing_of(code, start) if character in "([{" else -1
        assert end < 0 or opening_of(code, end) == start
