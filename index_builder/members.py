"""Functions, object literals and class bodies -> methods: name, parameters, comment, line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tree_sitter import Node

from deepcodeseek.server.types import Method

from .declarations import SIGNATURE, SIGNATURES, declared_member, declared_node, overloaded
from .signatures import (
    CONSTRUCTORS,
    is_accessor,
    is_declared_private,
    is_private,
    member_key,
    method_of,
)
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
    text,
    unwrap,
)


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
        elif made is node and not is_accessor(node):
            yield from methods_named(key, member)
        elif made is not node and key and named in around.functions:
            function = around.functions[named]
            doc = member.doc or function.doc
            yield replace(function, name=key, doc=doc, is_private=is_private(key, doc))


def functions_in(statements: Iterable[Commented]) -> Iterator[Method]:
    """That the other statements can name."""
    for statement in statements:
        node = declared_node(statement.node)
        declared = node.named_children if node.type in VARIABLES else [node]
        for made in declared:
            function = made if node is made else unwrap(made.child_by_field_name("value"))
            if function is not None:
                yield from methods_named(text(made.child_by_field_name("name")), statement.of(function))


def class_members(declared: Node) -> tuple[Method, ...]:
    """Of a class, with its constructor. Signatures without a body are one method with those of their name."""
    body = declared.child_by_field_name("body")
    every: list[Method] = []
    signatures: dict[tuple[str, bool], int] = {}
    for member in commented(body) if body is not None else ():
        for method in _class_member(member):
            key = (method.name, method.is_static)
            if key in signatures:
                every[signatures[key]] = overloaded(every[signatures[key]], method)
                continue
            if member.node.type in SIGNATURES:
                signatures[key] = len(every)
            every.append(method)
    return tuple(every)


def _class_member(member: Commented) -> Iterator[Method]:
    node = member.node
    is_static = any(child.type == "static" for child in node.children)
    value = node.child_by_field_name("value")  # m = () => ...
    if node.type in SIGNATURES or (value is None and node.type == "public_field_definition"):
        yield from declared_member(member, is_static)
        return
    if member_key(node) in CONSTRUCTORS:
        yield from _made_by(member)
    if not is_accessor(node):
        hidden = is_declared_private(node)
        for method in methods_named(member_key(node), member.of(value or node), is_static):
            yield replace(method, is_private=method.is_private or hidden)


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
    if name and made.node.type in (*FUNCTIONS, *FUNCTION_DECLARATIONS, SIGNATURE):
        yield method_of(name, made, is_static)
    elif name and made.node.type == "object" and made.around.nesting < MAX_NESTING:
        for method in object_members(made.node, made.around.deeper()):
            yield replace(method, name=f"{name}.{method.name}", is_static=is_static)
