"""Functions, object literals and class bodies -> methods: name, parameters, comment, line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tree_sitter import Node

from deepcodeseek.server.types import Method

from .syntax import (
    FUNCTION_DECLARATIONS,
    FUNCTIONS,
    MAX_NESTING,
    VARIABLES,
    Around,
    Commented,
    commented,
    dotted,
    first,
    string_value,
    text,
    unwrap,
)

CONSTRUCTORS = ("initialize", "constructor")
_MAX_PATTERN = 60  # characters of a destructured parameter that a signature can show


def object_members(value: Node, around: Around) -> Iterator[Method]:
    """Of an object literal; its values may name functions around it."""
    for member in commented(value, around):
        node = member.node
        made = node if node.type == "method_definition" else unwrap(node.child_by_field_name("value"))
        key = text(node) if node.type == "shorthand_property_identifier" else member_key(node)
        named = text(made) if made is not None and made.type == "identifier" else key
        if made is not None and key in CONSTRUCTORS:
            yield from _made_by(member.of(made))
        if made is not None and made is not node and made.type != "identifier":
            yield from methods_named(key, member.of(made))
        elif made is node and not _is_accessor(node):
            yield from methods_named(key, member)
        elif made is not node and key and named in around.functions:
            function = around.functions[named]
            doc = member.doc or function.doc
            yield replace(function, name=key, doc=doc, is_private=_is_private(key, doc))


def functions_in(statements: Iterable[Commented]) -> Iterator[Method]:
    """That the other statements can name."""
    for statement in statements:
        node = statement.node
        declared = node.named_children if node.type in VARIABLES else [node]
        for made in declared:
            function = made if node is made else unwrap(made.child_by_field_name("value"))
            if function is not None:
                yield from methods_named(text(made.child_by_field_name("name")), statement.of(function))


def class_members(declared: Node) -> Iterator[Method]:
    """Of a class, with its constructor."""
    body = declared.child_by_field_name("body")
    for member in commented(body) if body is not None else ():
        is_static = any(child.type == "static" for child in member.node.children)
        value = member.node.child_by_field_name("value")  # m = () => ...
        if member_key(member.node) in CONSTRUCTORS:
            yield from _made_by(member)
        if not _is_accessor(member.node):
            yield from methods_named(member_key(member.node), member.of(value or member.node), is_static)


def this_member(statement: Commented) -> Iterator[Method]:
    """`this.m = function` as a statement, `self.m = function` too."""
    node = first(statement.node) if statement.node.type == "expression_statement" else None
    if node is not None and node.type == "assignment_expression":
        target = dotted(node.child_by_field_name("left"))
        value = unwrap(node.child_by_field_name("right"))
        if len(target) == 2 and target[0] in ("this", "self", "that", "_this") and value is not None:
            yield from methods_named(target[1], statement.of(value))


def _made_by(constructor: Commented) -> Iterator[Method]:
    """What a constructor gives to each new object."""
    body = constructor.node.child_by_field_name("body")
    if body is not None and body.type == "statement_block" and constructor.around.nesting < MAX_NESTING:
        for statement in commented(body, constructor.around.deeper()):
            yield from this_member(statement)


def methods_named(name: str, made: Commented, is_static: bool = False) -> Iterator[Method]:
    """A function is a method; the functions in an object are methods with a dotted name."""
    if name and made.node.type in (*FUNCTIONS, *FUNCTION_DECLARATIONS):
        doc, line = made.doc, made.node.start_point.row + 1
        yield Method(name, params(made.node), doc, line, is_static, _is_private(name, doc))
    elif name and made.node.type == "object" and made.around.nesting < MAX_NESTING:
        for method in object_members(made.node, made.around.deeper()):
            yield replace(method, name=f"{name}.{method.name}", is_static=is_static)


def member_key(node: Node) -> str:
    """Name of a member that code outside can call."""
    key = next(filter(None, map(node.child_by_field_name, ("key", "name", "property"))), None)
    if key is None or key.type not in ("property_identifier", "string", "identifier"):
        return ""
    return string_value(key) or text(key)


def params(function: Node) -> tuple[str, ...]:
    """Names of a function's parameters."""
    single = function.child_by_field_name("parameter")  # x => ...
    if single is not None:
        return (text(single),)
    listed = function.child_by_field_name("parameters")
    return tuple(filter(None, map(_param, listed.named_children))) if listed is not None else ()


def _param(node: Node) -> str:
    node = node.child_by_field_name("pattern") or node  # TypeScript
    node = node.child_by_field_name("left") or node  # with a default
    if node.type in ("comment", "this", "decorator", "ERROR"):
        return ""
    named = text(node)
    return " ".join(named.split()) if len(named) <= _MAX_PATTERN else "{...}"


def _is_private(name: str, doc: str) -> bool:
    return name.rpartition(".")[2].startswith("_") or "@private" in doc


def _is_accessor(node: Node) -> bool:
    return node.type == "method_definition" and any(child.type in ("get", "set") for child in node.children)
