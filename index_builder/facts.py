"""Syntax tree -> what each named function does: tables, fields, calls, messages, results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from tree_sitter import Node, Query

from .ajax import MAX_AROUND, NAMED_FUNCTIONS, function_key
from .calls import FoundCall
from .parse import grammar, matches
from .scripts import Language
from .syntax import arguments, dotted, first, string_value, text
from .tables import MAKERS, WRITING

Key = tuple[str, int]
"""Name of a function and the line on which it begins."""

_QUERY = f"""
{NAMED_FUNCTIONS}
[(function_expression) (arrow_function) (generator_function)] @unnamed
(new_expression) @made
(call_expression function: (member_expression property: (property_identifier))) @called
(return_statement (_)) @returned
(throw_statement (_)) @thrown
(string) @said
"""
# fmt: off
_OF_A_FIELD = frozenset((
    "addQuery", "addNotNullQuery", "addNullQuery", "addOrCondition", "getValue", "setValue",
    "getDisplayValue", "orderBy", "orderByDesc", "groupBy", "addAggregate", "getElement",
))
_GIVES_TEXT = frozenset((
    "getValue", "getDisplayValue", "toString", "join", "getUniqueValue", "stringify", "trim", "toLowerCase",
    "toUpperCase", "substring", "replace", "getMessage", "getProperty", "insert",
))
_GIVES_TRUTH = frozenset((
    "hasNext", "next", "isValidRecord", "nil", "hasRole", "test", "isValid", "get", "equals",
))
_COMPARING = frozenset(("==", "===", "!=", "!==", "<", ">", "<=", ">=", "instanceof", "in"))
# fmt: on
_MESSAGE = re.compile(r"[^\W\d_][^<>{}\\]{5,118}[\w.!?:]")
_FIELD = re.compile(r"[a-z][\w.]{1,60}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What one function does, each thing once, in order of appearance."""

    tables: tuple[str, ...] = ()
    writes: bool = False
    fields: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()  # types, as far as they show; "" for one that does not
    throws: tuple[str, ...] = ()


@dataclass(slots=True)
class _Body:
    """A function while its nodes are gathered."""

    end: int
    said: dict[str, dict[str, None]] = field(default_factory=dict)

    def note(self, what: str, value: str) -> None:
        self.said.setdefault(what, {})[value] = None

    @property
    def facts(self) -> Facts:
        lists = {name: tuple(values) for name, values in self.said.items() if name != "writes"}
        return Facts(**lists, writes="writes" in self.said)


def read_facts(root: Node, language: Language, calls: Iterable[FoundCall]) -> Mapping[Key, Facts]:
    """For each named function what stands in it and in functions inside it; but what those return."""
    named = {call.node.id: call for call in calls}
    bodies: dict[Key, _Body] = {}
    around: list[_Body] = []
    for node, tag, key in sorted(_nodes(root, language), key=lambda item: item[0].start_byte):
        while around and around[-1].end <= node.start_byte:
            around.pop()
        if tag == "function":
            # Two functions of one name on one line are told as one.
            around.append(bodies.setdefault(key, _Body(node.end_byte)) if key else _Body(node.end_byte))
            continue
        inner = around[-1:] if tag == "returned" else around[:MAX_AROUND]
        for what, value in _said(node, tag, named):
            for body in inner:
                body.note(what, value)
    return {key: body.facts for key, body in bodies.items()}


@cache
def _query(language: Language) -> Query:
    return Query(grammar(language), _QUERY)


def _nodes(root: Node, language: Language) -> Iterator[tuple[Node, str, Key | None]]:
    found = matches(_query(language), root)
    keys = {c["function"][0].id: function_key(c) for c in found if "function" in c}
    for captured in found:
        if "function" in captured:
            node = captured["function"][0]
            yield node, "function", keys[node.id]
            continue
        ((tag, (node, *_)),) = captured.items()
        if tag != "unnamed":
            yield node, tag, None
        elif node.id not in keys:
            yield node, "function", None


def _said(node: Node, tag: str, calls: Mapping[int, FoundCall]) -> Iterator[tuple[str, str]]:
    """What a node says: a list of Facts, and a value for it."""
    call = calls.get(node.id)
    if call is not None and call.name not in MAKERS and _is_class(call.name):
        yield "calls", f"{call.name}.{call.method}" if call.method else call.name
    if tag == "made":
        yield from _made(node)
    elif tag == "called":
        yield from _called(node)
    elif tag == "returned":
        yield "returns", _type(first(node))
    elif tag == "thrown":
        yield "throws", _thrown(first(node))
    elif tag == "said" and " " in (value := string_value(node)) and _MESSAGE.fullmatch(value):
        yield "messages", value


def _is_class(name: str) -> bool:
    """By its capital: of the other names most are variables."""
    return name.rpartition(".")[2][:1].isupper()


def _made(node: Node) -> Iterator[tuple[str, str]]:
    path, given = dotted(node.child_by_field_name("constructor")), arguments(node)
    table = string_value(given[0]) if given else ""
    if path and path[-1] in MAKERS and _FIELD.fullmatch(table):
        yield "tables", table


def _called(node: Node) -> Iterator[tuple[str, str]]:
    function, given = node.child_by_field_name("function"), arguments(node)
    name = text(function.child_by_field_name("property")) if function is not None else ""
    if name in WRITING:
        yield "writes", name
    argument = string_value(given[0]) if given else ""
    if name in _OF_A_FIELD and _FIELD.fullmatch(argument):
        yield "fields", argument


def _thrown(node: Node | None) -> str:
    if node is not None and node.type == "new_expression":
        return ".".join(dotted(node.child_by_field_name("constructor")))
    return "string" if node is not None and node.type in ("string", "template_string") else ""


_TYPES = (
    ("boolean", ("true", "false")),
    ("string", ("string", "template_string")),
    ("number", ("number",)),
    ("Array", ("array",)),
    ("Object", ("object",)),
)


def _type(node: Node | None) -> str:
    """The type of an expression, where it shows."""
    if node is None:
        return ""
    plain = next((name for name, types in _TYPES if node.type in types), "")
    if plain:
        return plain
    if node.type == "new_expression":
        return ".".join(dotted(node.child_by_field_name("constructor")))
    if node.type in ("binary_expression", "unary_expression"):
        operator = text(node.child_by_field_name("operator"))
        return "boolean" if operator in _COMPARING or operator == "!" else ""
    if node.type == "call_expression":
        function = node.child_by_field_name("function")
        name = text(function.child_by_field_name("property")) if function is not None else ""
        return "string" if name in _GIVES_TEXT else "boolean" if name in _GIVES_TRUTH else ""
    return ""
