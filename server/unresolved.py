"""What the code below the cursor uses and nothing in the file defines.

The statement to come may define it, where code is mended, not written: what it is called, and which methods
it must have, tell of the API that is wanted.
"""

from __future__ import annotations

import re

from .lexer import code_of
from .text import last_line
from .types import Unresolved

MAX_BEFORE, MAX_AFTER = 100_000, 20_000  # characters that are searched

_CALL = re.compile(r"(?<![\w$.])((?:this\.)?[A-Za-z_$][\w$]*)\.([A-Za-z_$][\w$]*)\s*\(")
# Neither a key of an object, nor a method of one's own.
_NAMED = re.compile(r"(?<![\w$.])(?:this\.[A-Za-z_$][\w$]*+(?!\s*\()|[A-Za-z_$][\w$]*+(?!\s*:))")
_DEFINED = re.compile(
    r"\b(?:var|let|const|class|function|import|catch\s*\()\s*([A-Za-z_$][\w$]*)"
    r"|(?<![\w$.])((?:this\.)?[A-Za-z_$][\w$]*)\s*=(?!=)"
)
_LISTED = re.compile(
    r"\bfunction\s*[\w$]*\s*\(([^()]{0,300})\)|\(([^()]{0,300})\)\s*=>|\{([^{}]{0,300})\}\s*(?:=(?!=)|from\b)"
)
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_KEYWORDS = frozenset(
    ("arguments", "async", "await", "break", "case", "catch", "class", "const", "continue", "default",
     "delete", "do", "else", "export", "extends", "false", "finally", "for", "function", "if", "import",
     "in", "instanceof", "let", "new", "null", "of", "return", "static", "super", "switch", "this",
     "throw", "true", "try", "typeof", "undefined", "var", "void", "while", "with", "yield")
)  # fmt: skip


def unresolved(before: str, after: str) -> Unresolved:
    """Of the script around the cursor.

    The cursor's own line defines nothing for the rest: what it would define is what is asked for.
    """
    line = last_line(before)
    above = before[: len(before) - len(line)][-MAX_BEFORE:]
    after = code_of(after[:MAX_AFTER]).text
    here = tuple(filter(None, (name for names in _DEFINED.findall(line) for name in names)))
    names = dict.fromkeys((*here, *_NAMED.findall(after)))
    if not names:
        return Unresolved()
    known = _KEYWORDS | _defined(above) | (_defined(after) - {*here})
    calls = [call for call in _CALL.findall(after) if call[0] not in known]
    return Unresolved(
        tuple(name for name in names if name in here or name not in known),
        frozenset((*here, *(name for name, _ in calls))),
        tuple(dict.fromkeys(member for _, member in calls)),
    )


def _defined(code: str) -> frozenset[str]:
    single = (name for names in _DEFINED.findall(code) for name in names)
    listed = (name for lists in _LISTED.findall(code) for name in _NAME.findall("".join(lists)))
    return frozenset((*single, *listed))
