"""JavaScript and TypeScript before a cursor, tokenized just far enough to tell code from what only looks so.

Comments and what stands in strings, templates and regular expressions become blanks, offsets stay: what
reads the rest can do with regular expressions what would otherwise take a parser, and an unfinished
statement does no harm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

State = Literal["code", "string", "template", "regex", "comment"]

_LITERALS = (
    r"\A#![^\n\r]*+"
    r"|//[^\n\r]*+"
    r"|/\*(?:[^*]|\*(?!/))*+(?:\*/)?"
    r"|'(?:[^'\\\n\r]|\\(?:\r\n|[\s\S]|\Z))*+(?P<single>')?"
    r'|"(?:[^"\\\n\r]|\\(?:\r\n|[\s\S]|\Z))*+(?P<double>")?'
)
_TOKEN = re.compile(_LITERALS + r"|[`/]")
_TOKEN_IN_TEMPLATE = re.compile(_LITERALS + r"|[`/{}]")
_REGEX = re.compile(r"/(?:[^\\/\[\n\r]|\\[^\n\r]|\[(?:[^\]\\\n\r]|\\[^\n\r])*+\]?)*+(/[A-Za-z]*|\\?\Z)")
_TEMPLATE = re.compile(r"(?:[^`\\$]|\\(?:[\s\S]|\Z)|\$(?!\{))*+(`|\$\{|\Z)")
_VISIBLE = re.compile(r"[^\n\r]")
_LAST = re.compile(r"([\w$]+|\S)\Z")
CONDITION = re.compile(r"\b(?:if|while|for|with)\s*\Z")

REACH = 500
"""Characters that a pattern at the end of a text may take: searching all of the text would take longer than
reading it."""

BEFORE_OPERAND = frozenset(
    ("return", "typeof", "instanceof", "in", "of", "new", "delete", "void", "throw", "case", "do", "else",
     "yield", "await", "extends", "default")
)  # fmt: skip
"""Keywords that a value follows: a slash after them begins a regular expression."""


@dataclass(frozen=True, slots=True)
class Code:
    """A text of the same length in which only code is left; of a literal, its delimiters as `"`."""

    text: str
    state: State = "code"  # what the text ends in
    opened: int = -1  # where the literal or comment begins that it ends in


@lru_cache(maxsize=8)  # what completes at a cursor asks for the same texts more than once
def code_of(text: str) -> Code:
    """Never fails: what is not JavaScript is read as if it were."""
    return _Reader(text).read()


class _Reader:
    """One pass over a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[str] = []
        self._at = 0  # all before it is in the parts
        self._depths: list[int] = []  # of braces, in each `${` around
        self._opened = -1
        self._state: State = "code"

    def read(self) -> Code:
        while self._state == "code":
            token = _TOKEN_IN_TEMPLATE if self._depths else _TOKEN
            found = token.search(self._text, self._at)
            if found is None:
                break
            self._keep(found.start())
            self._token(found)
        if self._state == "code":
            self._keep(len(self._text))
        return Code("".join(self._parts), self._state, self._opened)

    def _token(self, found: re.Match[str]) -> None:
        token = found.group()
        if token == "`":
            self._keep(found.end(), '"')
            self._template(found.start())
        elif token in "{}":
            self._brace(token)
        elif token == "/":
            self._slash()
        elif token[0] in "/#":
            is_closed = token.startswith("/*") and token.endswith("*/") and len(token) > 3
            self._blank(found.end(), "comment", is_open=not is_closed)
        else:
            self._literal(found.end(), "string", is_open=not (found["single"] or found["double"]))

    def _brace(self, brace: str) -> None:
        self._keep(self._at + 1)
        self._depths[-1] += 1 if brace == "{" else -1
        if self._depths[-1] < 0:
            self._depths.pop()
            self._template(self._at)

    def _template(self, opened: int) -> None:
        """Template text from here to its end, or to the code in it."""
        found = _TEMPLATE.match(self._text, self._at)
        assert found
        self._blank(found.start(1), "template", is_open=not found[1], opened=opened)
        if found[1] == "${":
            self._keep(found.end(), " {")
            self._depths.append(0)
        elif found[1]:
            self._keep(found.end(), '"')

    def _slash(self) -> None:
        found = _REGEX.match(self._text, self._at) if self._is_operand_next() else None
        if found is None:
            self._keep(self._at + 1)
        else:
            self._literal(found.end(), "regex", is_open=not found[1].startswith("/"))

    def _is_operand_next(self) -> bool:
        """Whether what stands before leaves a value to come, and no operator."""
        before = "".join(self._parts[-8:])
        found = at_end(_LAST, before)
        last = found[1] if found else ""
        if last == ")":
            opening = opening_of(before, found.start()) if found else -1
            return opening >= 0 and at_end(CONDITION, before, opening) is not None
        if last[:1].isalnum() or last[:1] in ("_", "$"):
            return last in BEFORE_OPERAND
        if before.endswith("<"):  # the end of an element, as in `</li>`
            return False
        return last not in ("]", '"') and not before.rstrip().endswith(("++", "--"))

    def _literal(self, end: int, state: State, is_open: bool) -> None:
        start = self._at
        self._keep(start + 1, '"')
        self._blank(end if is_open else end - 1, state, is_open and end == len(self._text), start)
        if not is_open:
            self._keep(end, '"')

    def _blank(self, end: int, state: State, is_open: bool, opened: int | None = None) -> None:
        opened = self._at if opened is None else opened
        self._keep(end, _VISIBLE.sub(" ", self._text[self._at : end]))
        if is_open and end == len(self._text):
            self._state, self._opened = state, opened

    def _keep(self, end: int, shown: str | None = None) -> None:
        self._parts.append(self._text[self._at : end] if shown is None else shown)
        self._at = end


def at_end(pattern: re.Pattern[str], code: str, end: int | None = None) -> re.Match[str] | None:
    """Where a pattern stands at the end of what is visible before `end`; the pattern itself ends with \\Z."""
    visible = len(code[:end].rstrip())
    return pattern.search(code, max(0, visible - REACH), visible)


def opening_of(code: str, end: int) -> int:
    """Where the bracket opens that `code[end]` closes, or -1."""
    depth = 0
    for found in re.finditer(r"[()\[\]{}]", code[: end + 1][::-1]):
        depth += 1 if found.group() in ")]}" else -1
        if depth == 0:
            return end - found.start()
    return -1


def closing_of(code: str, start: int) -> int:
    """Where the bracket closes that `code[start]` opens, or -1."""
    depth = 0
    for found in re.compile(r"[()\[\]{}]").finditer(code, start):
        depth += 1 if found.group() in "([{" else -1
        if depth == 0:
            return found.start()
    return -1
