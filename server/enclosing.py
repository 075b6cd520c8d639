"""The function that a cursor stands in: what it is called tells what its code is for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from .lexer import at_end

MAX_DEPTH = 30  # of braces that are open

_NAME = r"(?<![\w$])[A-Za-z_$][\w$]*+"
_FUNCTION = re.compile(
    rf"(?:\bfunction\b\s*\*?\s*({_NAME})"
    rf"|({_NAME})\s*[:=]\s*(?:async\b\s*)?(?:function\b\s*\*?\s*[\w$]*+)?"
    rf"|({_NAME}))"
    r"\s*(?:\([^()]*+\)|[\w$]++(?=\s*=>))\s*(?::[^{}()=;]*+)?(?:=>\s*)?\Z"
)
_NO_NAMES = frozenset(
    ("if", "for", "while", "with", "switch", "catch", "function", "return", "await", "async")
)


def function_around(code: str) -> str:
    """The innermost function with a name whose body is open at the end of a script, as `code_of` reads it,
    or ""."""
    for brace in islice(_open_braces(code), MAX_DEPTH):
        header = at_end(_FUNCTION, code, brace)
        name = next(filter(None, header.groups()), "") if header else ""
        if name and name not in _NO_NAMES:
            return name
    return ""


def _open_braces(code: str) -> Iterator[int]:
    """Offsets of those that nothing closes, the innermost first."""
    closed = 0
    for found in re.finditer(r"[{}]", code[::-1]):
        if found.group() == "}":
            closed += 1
        elif closed:
            closed -= 1
        else:
            yield len(code) - 1 - found.start()
