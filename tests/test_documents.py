"""Positions and edits: compared with a reference that works on lists of lines."""

from __future__ import annotations

import re

import pytest
from fuzz_edits import fuzz
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types as lsp
from pygls.workspace import PositionCodec

from deepcodeseek.server.documents import line_starts, offset_at, position_at
from deepcodeseek.server.lsp_documents import Document

ENCODINGS = ("utf-8", "utf-16", "utf-32")
SIZES = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}
ODD = "ab \n\r\u2028\u2029\u0085\f\v\x1c\U0001f600e\u0301é\u4e2d"
TEXTS = st.text(alphabet=st.sampled_from(ODD), max_size=40)


def units(text: str, encoding: str) -> int:
    codec, width = SIZES[encoding]
    return len(text.encode(codec)) // width


def reference_positions(text: str, encoding: str) -> list[tuple[int, int]]:
    """For each offset (not between \\r and \\n) its line and character, counted the slow way."""
    positions = []
    for offset in range(len(text) + 1):
        lines = re.split(r"\r\n|\n|\r", text[:offset])
        positions.append((len(lines) - 1, units(lines[-1], encoding)))
    return positions


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("", [0]),
        ("a\nb", [0, 2]),
        ("a\r\nb\rc\n", [0, 3, 5, 7]),
        ("a\u2028b\u0085c\fd\ve", [0]),
    ],
)
def test_line_starts(text: str, starts: list[int]) -> None:
    assert line_starts(text) == starts


@pytest.mark.parametrize(
    ("line", "character", "offset"),
    [(0, 0, 0), (0, 2, 2), (0, 99, 2), (1, 0, 4), (1, 99, 5), (9, 0, 5)],
)
def test_positions_beyond_the_end_are_moved_back(line: int, character: int, offset: int) -> None:
    assert offset_at("ab\r\nc", [0, 4], line, character, "utf-16") == offset


@given(TEXTS, st.sampled_from(ENCODINGS))
def test_every_offset_has_a_position_and_comes_back(text: str, encoding: str) -> None:
    starts = line_starts(text)
    for offset, expected in enumerate(reference_positions(text, encoding)):
        if text[offset - 1 : offset + 1] == "\r\n":
            continue  # inside of a line end there is no position
        assert position_at(text, starts, offset, encoding) == expected
        assert offset_at(text, starts, *expected, encoding) == offset


@settings(max_examples=300)
@given(
    TEXTS,
    st.lists(st.tuples(TEXTS, st.integers(0, 60), st.integers(0, 60)), max_size=8),
    st.sampled_from(ENCODINGS),
)
def test_edits_give_the_text_that_the_editor_has(
    text: str, edits: list[tuple[str, int, int]], encoding: str
) -> None:
    document = Document("file:///a.js", text, 1, "javascript", position_codec=PositionCodec(encoding))
    for inserted, first, last in edits:
        places = [i for i in range(len(text) + 1) if text[i - 1 : i + 1] != "\r\n"]
        start, end = sorted((places[first % len(places)], places[last % len(places)]))
        positions = reference_positions(text, encoding)
        span = lsp.Range(lsp.Position(*positions[start]), lsp.Position(*positions[end]))
        document.apply_change(lsp.TextDocumentContentChangePartial(span, inserted))
        text = text[:start] + inserted + text[end:]
        assert document.source == text
        assert "".join(document.lines) == text
        assert document.starts(text).tolist() == line_starts(text)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_servers_text_is_the_editors(encoding: str) -> None:
    """Over a real pipe; `make fuzz` makes 20,000 edits."""
    assert fuzz(150, encoding, seed=1) == 150
