"""What the code below the cursor uses and nothing in reach defines.

The statement to come may define it, where code is mended, not written: what it is called, and which methods
it must have, tell of the API that is wanted. A variable reaches as far as the function around the cursor, a
property of `this` as far as the file. Names are taken loosely, as they tell of an API's neighbours too;
methods only of what the statement could define: not of what begins with a capital, nor of what the file uses
above without defining it, which both come from elsewhere.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from .lexer import at_end, code_of
from .text import last_line
from .types import Unresolved

MAX_AFTER = 20_000  # characters that are searched

_CALL = re.compile(r"(?<![\w$.])((?:this\.)?[A-Za-z_$][\w$]*)\.([A-Za-z_$][\w$]*)\s*\(")
# Neither a key of an object, nor a method of one's own.
_NAMED = re.compile(r"(?<![\w$.])(?:this\.[A-Za-z_$][\w$]*+(?!\s*\()|[A-Za-z_$][\w$]*+(?!\s*:))")
_DEFINED = re.compile(
    r"\b(?:var|let|const|class|function|import|catch\s*\()\s*([A-Za-z_$][\w$]*+)"
    r"|(?<![\w$.])((?:this\.)?[A-Za-z_$][\w$]*+)\s*+=(?!=)"
)
_LISTED = re.compile(
    r"(?<![\w$])(?!(?:if|while|for|with|switch|catch)\b)[\w$]++\s*+\(([^()]{0,300}+)\)\s*+\{"
    r"|\bfunction\s*+\(([^()]{0,300}+)\)|\(([^()]{0,300}+)\)\s*+=>|\{([^{}]{0,300}+)\}\s*+(?:=(?!=)|from\b)"
)
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_BRACKET = re.compile(r"[(){}]")
_AJAX = re.compile(
    r"(?<![\w$])([A-Za-z_$][\w$]*+)\.addParam\(\s*(['\"])sysparm_name\2\s*,\s*(['\"])([\w$]+)\3"
)
_GLOBAL = re.compile(r"[A-Z]|g_|sn_")
_GLOBALS = frozenset(
    ("arguments", "async", "await", "break", "case", "catch", "class", "const", "continue", "default",
     "delete", "do", "else", "export", "extends", "false", "finally", "for", "function", "if", "import",
     "in", "instanceof", "let", "new", "null", "of", "return", "static", "super", "switch", "this",
     "throw", "true", "try", "typeof", "undefined", "var", "void", "while", "with", "yield",
     "clearTimeout", "console", "current", "document", "exports", "global", "globalThis", "gs", "isNaN",
     "jQuery", "module", "parseFloat", "parseInt", "previous", "require", "setTimeout", "window")
)  # fmt: skip
"""Keywords, and what scripts find in a browser, in Node and on the platform."""

Span = tuple[int, int]


def unresolved(before: str, code: str, after: str) -> Unresolved:
    """Of the script around the cursor; `code`: of its end before the cursor, as `code_of` reads it.

    The cursor's own line defines nothing for the rest: what it would define is what is asked for.
    """
    line = last_line(before)
    here = tuple(name for names in _DEFINED.findall(line) for name in names if name)
    below = code_of(after[:MAX_AFTER]).text
    if not here and not below.strip():
        return Unresolved()
    above = code[: max(0, len(code) - len(line))]
    ended, inner = _functions(above)
    end = _end(below, inner)
    known, everywhere = _known(above, ended, below, end)
    known -= {*here}
    elsewhere = {name for name in _NAMED.findall(above) if name not in everywhere} - {*here}

    def is_open(name: str) -> bool:
        return name not in known and name not in _GLOBALS

    def is_receiver(name: str, at: int) -> bool:
        is_near = _is_property(name) or (at < end and not _GLOBAL.match(name))
        return name in here or (is_near and is_open(name) and name not in elsewhere)

    names = dict.fromkeys(here)
    names |= dict.fromkeys(m[0] for m in _NAMED.finditer(below) if is_open(m[0]))
    calls = [(m[1], m[2]) for m in _CALL.finditer(below) if is_receiver(m[1], m.start())]
    calls = _by_ajax(calls, after[:end])
    return Unresolved(
        tuple(names),
        frozenset((*here, *(name for name, _ in calls))),
        tuple(dict.fromkeys(member for _, member in calls)),
    )


def _by_ajax(calls: Iterable[tuple[str, str]], after: str) -> list[tuple[str, str]]:
    """What is asked of the server through GlideAjax is a method of the API, what is called on it is none."""
    asked = {found[1]: found[4] for found in reversed([*_AJAX.finditer(after)])}
    kept = [call for call in calls if call[0] not in asked]
    return [*((name, asked[name]) for name in asked), *kept]


def _known(above: str, ended: Sequence[Span], below: str, end: int) -> tuple[set[str], set[str]]:
    """Names that something in reach defines, and that anything defines."""
    starts = [start for start, _ in ended]
    known, everywhere = set[str](), set[str]()
    for name, at in _defined(above):
        place = bisect_right(starts, at) - 1
        everywhere.add(name)
        if place < 0 or at >= ended[place][1] or _is_property(name):
            known.add(name)
    for name, at in _defined(below):
        everywhere.add(name)
        if at < end or _is_property(name):
            known.add(name)
    return known, everywhere


def _is_property(name: str) -> bool:
    return name.startswith("this.")


def _defined(code: str) -> Iterator[tuple[str, int]]:
    """Names, and where they are defined."""
    for found in _DEFINED.finditer(code):
        yield found[found.lastindex or 0], found.start()
    for found in _LISTED.finditer(code):
        for name in _NAME.findall(found[found.lastindex or 0]):
            yield name, found.start(found.lastindex or 0)


def _functions(above: str) -> tuple[list[Span], int]:
    """Those that have ended, from their parameters on, none inside of another; and how many blocks are open
    within the function at the end, -1 where it is none."""
    ended = list[Span]()
    brackets = list[Span]()  # of those that are open: offset, and where its function begins or -1
    closed = -1, -1  # the last round brackets
    for found in _BRACKET.finditer(above):
        bracket, at = found[0], found.start()
        if bracket == "(":
            brackets.append((at, -1))
        elif bracket == "{":
            brackets.append((at, _function(above, at, closed)))
        elif brackets:
            opened, function = brackets.pop()
            if bracket == ")":
                closed = opened, at
            elif function >= 0:
                while ended and ended[-1][0] >= function:
                    ended.pop()
                ended.append((function, at + 1))
    blocks = [function for at, function in reversed(brackets) if above[at] == "{"]
    return ended, next((depth for depth, function in enumerate(blocks) if function >= 0), -1)


def _function(code: str, brace: int, closed: Span) -> int:
    """Where the parameters of the function begin whose body opens at a brace; -1 where it is none's."""
    head = code[max(0, brace - 40) : brace].rstrip()
    if head.endswith("=>"):
        return brace
    start, end = closed
    is_called = head.endswith(")") and end >= 0 and not code[end + 1 : brace].strip()
    return start if is_called and at_end(_CONTROL, code, start) is None else -1


_CONTROL = re.compile(r"\b(?:if|while|for|with|switch|catch)\s*\Z")


def _end(below: str, inner: int) -> int:
    """Where the function around the cursor ends in what follows: `inner` of its blocks are open."""
    depth = inner
    if inner < 0:
        return len(below)
    for found in re.finditer(r"[{}]", below):
        depth += 1 if found.group() == "{" else -1
        if depth < 0:
            return found.start()
    return len(below)
