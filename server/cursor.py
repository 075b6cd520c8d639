"""Where a cursor stands in code: whether an API can be named there, and what the name belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from .lexer import BEFORE_OPERAND, CONDITION, REACH, Code, at_end, code_of, opening_of

Kind = Literal["none", "start", "new", "class", "import", "member", "ajax", "include", "sysparm"]
"""Where no API can stand; where a statement or expression begins; after `new`; where a class is named that is
not called (`extends`); in the braces of an import; after a dot; in GlideAjax(', in gs.include(', and where a
GlideAjax is told which method to call."""

MAX_CHARS = 200_000
"""Before the cursor, that are read. Of a longer text what a literal cut in two leaves open may be misread."""

_WORD = re.compile(r"[\w$]*\Z")
_DOT = re.compile(r"(?<!\.)\??\.\Z")
_STRINGS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("ajax", re.compile(r"\bGlideAjax\(\s*\Z")),
    ("include", re.compile(r"\bgs\.include\(\s*\Z")),
)
_SYSPARM = re.compile(r"([\w$.]+)\.addParam\(\s*['\"]sysparm_name['\"]\s*,\s*\Z")
_LAST = re.compile(r"([\w$]+|=>|[^\s\w$])\Z")
_DECLARED = re.compile(r"\b(?:var|let|const)\s[^;{}()\[\]\n]*,\s*\Z")
_IMPORTED = re.compile(r"\b(?:import\s[^;'\"()]*|export\s*(?:type\s*)?)\{[^}]*\Z")
_RENAMED = re.compile(r"(?:\*\s*|\b(?:import|export)\s*(?:type\s*)?\{[^}]*)\bas\Z")
_EXTENDED = re.compile(r"\bextendsObject\(\s*\Z")
_PARAMETERS = re.compile(r"\b(?:function\b\s*\*?\s*[\w$]*|catch)\s*\Z")
_CLASS_HEAD = re.compile(r"\bclass\b[^{}();]*\Z")
_BEFORE_LITERAL = frozenset(
    ("(", ",", ":", "=", "[", "?", "|", "&", "var", "let", "const", "return", "default", "throw", "yield",
     "await", "typeof")
)  # fmt: skip
_CASE = re.compile(r"\b(?:case\b[^;{}]*|default)\s*:\Z")
_CONDITIONAL = re.compile(r"(?<!\?)\?(?!\.(?!\d)|[?:,)=])|\bcase\b")
_BALANCED = re.compile(r"\([^()\[\]{}]*\)|\[[^()\[\]{}]*\]|\{[^()\[\]{}]*\}")
_TYPED = re.compile(r"[\w$?!)}\]]\s*:\Z")
_ANNOTATED = re.compile(r"\b(?:var|let|const)\s+[^=;]*:\Z")
_GENERIC = re.compile(
    r"(?:\b(?:new|extends|implements|as|satisfies)\s|([:<]))\s*(?:[\w$]+\.){0,9}[A-Z][\w$]*<[\w$ ,.\[\]]*\Z"
)
_BEFORE_ELEMENT = re.compile(rf"(?:\A|[(,=\[?:&|>;{{]|(?<![\w$.])(?:{'|'.join(sorted(BEFORE_OPERAND))}))\Z")
_BRACKET = re.compile(r"[()\[\]{}]")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a script."""

    kind: Kind
    code: Code  # all before the cursor
    prefix: str = ""  # of the name that is being typed
    receiver: str = ""  # what stands before its dot, without comments and what strings hold
    receiver_start: int = 0  # where that begins in the code
    is_named: bool = False  # behind a dot: where a class is named and not made


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is being written."""

    callee: str  # with its receiver, and `new` where it has that
    argument: int  # which one the cursor is in, from 0
    before: str  # the code before the bracket


@dataclass(frozen=True, slots=True)
class Mention:
    """A name somewhere in a script."""

    name: str
    receiver: str
    before: str  # the code before the name
    is_code: bool = True  # and no comment or string


def cursor_at(before: str) -> Cursor:
    """Where the end of `before` stands."""
    text = before[-MAX_CHARS:]
    code = code_of(text)
    if code.state == "string":
        return _in_string(text, code)
    prefix = _word(code.text)
    if code.state != "code" or prefix[:1].isdigit():
        return Cursor("none", code, prefix)
    head = code.text[: len(code.text) - len(prefix)]
    if found := at_end(_DOT, head):
        receiver = receiver_before(head, found.start())
        start = head.rindex(receiver, 0, found.start())
        is_named = found.group() == "?." or _kind(head[:start]) == "class"
        return Cursor("member" if _has_members(receiver) else "none", code, prefix, receiver, start, is_named)
    return Cursor(_kind(head), code, prefix)


def call_at(before: str) -> Call | None:
    """The innermost call whose arguments the end of `before` stands in."""
    code = code_of(before[-MAX_CHARS:])
    if code.state == "comment":
        return None
    text, end, argument = code.text, len(code.text), 0
    while (opening := _enclosing(text, end)) >= 0:
        callee = receiver_before(text, opening) if text[opening] == "(" else ""
        if callee and callee not in _NO_CALLS:
            is_defined = at_end(_PARAMETERS, text, opening)
            argument = _commas(text[opening + 1 : end])
            return None if is_defined else Call(callee, argument, text[:opening])
        if text[opening] == "{" and not _is_literal(text, opening):
            return None
        end = opening
    return None


_NO_CALLS = frozenset(("if", "while", "for", "switch", "with", "catch", "function", "return", "typeof"))


def mention_at(before: str) -> Mention:
    """The name that `before` ends with."""
    text = before[-MAX_CHARS:]
    code = code_of(text)
    if code.state != "code":  # GlideAjax('scope.Name'
        written = re.search(r"[\w$.]*\Z", text[-200:])
        receiver, _, name = (written.group() if written else "").rpartition(".")
        return Mention(name, receiver, code.text, is_code=False)
    name = _word(code.text)
    head = code.text[: len(code.text) - len(name)]
    dot = at_end(_DOT, head)
    return Mention(name, receiver_before(head, dot.start()) if dot else "", head)


def end_of_name(text: str, offset: int) -> int:
    """Where the name around an offset ends."""
    found = re.compile(r"[\w$]*").match(text, offset)
    return found.end() if found else offset


def receiver_before(code: str, end: int) -> str:
    """The chain of names and calls that ends at `end`, with `new` where it begins so."""
    start = end
    while True:
        at = len(code[:start].rstrip())
        is_joined = start == end or code[start] in "([.?"
        if at and code[at - 1] in ")]" and is_joined:
            start = opening_of(code, at - 1)
            if start < 0:
                return ""
        elif at and code[at - 1] == '"' and start == end:
            start = code.rfind('"', 0, at - 1)
            break
        elif name := _word(code[max(0, at - 200) : at]):
            if not is_joined:
                break
            start = at - len(name)
        elif start < end and (dot := _DOT.search(code[max(0, at - 200) : at])) and code[start] not in ".":
            start = max(0, at - 200) + dot.start()
        else:
            break
    if found := re.search(r"\bnew\s+\Z", code[max(0, start - 50) : start]):
        start -= len(found.group())
    return code[start:end].strip()


def _word(code: str) -> str:
    found = _WORD.search(code, max(0, len(code) - 200))
    return found.group() if found else ""


def _in_string(text: str, code: Code) -> Cursor:
    before, written = code.text[: code.opened], text[code.opened + 1 :]
    receiver, _, prefix = written.rpartition(".")
    if (found := _SYSPARM.search(text[: code.opened][-200:])) and re.fullmatch(r"\w*", written):
        return Cursor("sysparm", code, prefix, found[1])
    for kind, opening in _STRINGS if re.fullmatch(r"[\w$.]*", written) else ():
        if at_end(opening, before):
            return Cursor(kind, code, prefix, receiver)
    return Cursor("none", code)


def _has_members(receiver: str) -> bool:
    return bool(receiver) and not receiver[0].isdigit() and not receiver.startswith('"')


def _kind(head: str) -> Kind:
    """Of a cursor in code that no dot stands before."""
    found = at_end(_LAST, head)
    if found is None:
        return "start"
    last, on_same_line = found[1], not re.search(r"[\n\r]", head[found.end() :])
    if last in ("new", "extends", "instanceof") or at_end(_EXTENDED, head):
        return "new" if last == "new" else "class"
    if last in _BEFORE_TYPES and on_same_line:
        return "none" if at_end(_RENAMED, head) else "class"
    if at_end(_IMPORTED, head):
        return "import"
    if _is_type(head, found.start(), last):
        return "class"
    if last[-1].isalnum() or last[-1] in '_$"]':
        return "start" if last in BEFORE_OPERAND or (not on_same_line and last not in _NAMING) else "none"
    if last == ")":
        return "none" if on_same_line and not _is_condition(head, found.start()) else "start"
    if last in "#@" or (last == "," and at_end(_DECLARED, head)):
        return "none"
    return "none" if _names_something_new(head, last) else "start"


_BEFORE_TYPES = frozenset(("as", "implements", "satisfies"))
"""What TypeScript names a class after that is not called."""
_NAMING = frozenset(
    ("var", "let", "const", "function", "class", "import", "interface", "enum", "type", "namespace")
)


def _is_condition(head: str, closing: int) -> bool:
    opening = opening_of(head, closing)
    return opening >= 0 and at_end(CONDITION, head, opening) is not None


def _is_type(head: str, place: int, last: str) -> bool:
    """Whether a type of TypeScript or an element of JSX is named here, behind the token `last` at `place`."""
    if found := at_end(_GENERIC, head):
        return found[1] != ":" or _is_annotation(head, found.start())
    if last == "<":
        return at_end(_BEFORE_ELEMENT, head, place) is not None
    return last == ":" and _is_annotation(head, place)


def _is_annotation(head: str, colon: int) -> bool:
    """Whether a type follows a colon, and no value."""
    opening = _enclosing(head, colon)
    bracket = head[opening] if opening >= 0 else ""
    if bracket == "[" or (bracket == "{" and _is_literal(head, opening)):
        return False
    start = max(opening + 1, colon - REACH)
    flat = head[start : colon + 1]
    while (shorter := _BALANCED.sub("_", flat)) != flat:
        flat = shorter
    if start > opening + 1 and (";" not in flat or re.search(r"[)\]}]", flat)):
        return False  # where what it belongs to begins is too far away
    statement = re.split("[,;]" if bracket == "(" else ";", flat)[-1]
    if not at_end(_TYPED, head, colon + 1) or _CONDITIONAL.search(statement):
        return False
    is_in_class = bracket == "{" and at_end(_CLASS_HEAD, head, opening) is not None
    return bracket == "(" or is_in_class or head[:colon].endswith(")") or bool(at_end(_ANNOTATED, statement))


def _names_something_new(head: str, last: str) -> bool:
    """Whether a parameter, a key of an object or a member of a class is what is typed here."""
    opening = _enclosing(head, len(head))
    if opening < 0:
        return False
    if head[opening] == "(":
        return last in "(," and at_end(_PARAMETERS, head, opening) is not None
    if head[opening] != "{":
        return False
    if last in "{," and _is_literal(head, opening):
        return True
    return last in "{};" and at_end(_CLASS_HEAD, head, opening) is not None


def _enclosing(code: str, end: int) -> int:
    """Where the innermost bracket stands that is still open at `end`, or -1."""
    depth = 0
    for found in _BRACKET.finditer(code[:end][::-1]):
        depth += 1 if found.group() in ")]}" else -1
        if depth < 0:
            return end - 1 - found.start()
    return -1


def _is_literal(code: str, brace: int) -> bool:
    """Whether a brace begins an object, and no block."""
    found = at_end(_LAST, code, brace)
    if found is None or (found[1] == ":" and _is_case(code, brace)):
        return False
    return found[1] in _BEFORE_LITERAL


def _is_case(code: str, end: int) -> bool:
    """Whether a case of a `switch (...) {` ends there."""
    around = _enclosing(code, end) if at_end(_CASE, code, end) else -1
    return around >= 0 and code[:around].rstrip().endswith(")")


def _commas(arguments: str) -> int:
    """Commas outside of all brackets; of brackets that are still open, before them."""
    commas = depth = 0
    for found in re.finditer(r"[()\[\]{},]", arguments[::-1]):
        bracket = found.group()
        if bracket == ",":
            commas += depth == 0
        elif bracket in ")]}":
            depth += 1
        elif depth:
            depth -= 1
        else:  # still open: what was counted belongs to it
            commas = 0
    return commas
