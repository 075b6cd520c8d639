"""The statements that run when a file is loaded, and what each of them can name."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from tree_sitter import Node

from .declarations import types_in
from .members import functions_in
from .syntax import (
    FUNCTIONS,
    MAX_NESTING,
    TOP,
    Around,
    Commented,
    arguments,
    called_on_the_spot,
    commented,
    dotted,
    first,
    unwrap,
)

T = TypeVar("T")

_MODULE_CALLS = (("sap", "ui", "define"), ("sap", "ui", "require"), ("goog", "scope"))


def top_statements(root: Node) -> list[Commented]:
    """Of a whole file."""
    return in_one_scope(_statements(root), TOP)


def in_one_scope(statements: Iterable[Commented], around: Around) -> list[Commented]:
    """The same statements, able to name the functions and types among them."""
    every = list(statements)
    functions = {function.name: function for function in functions_in(every)}
    types = types_in(every)
    around = replace(around, functions=_over(functions, around.functions), types=_over(types, around.types))
    return [replace(statement, around=around) for statement in every]


def _over(inner: Mapping[str, T], outer: Mapping[str, T]) -> Mapping[str, T]:
    """Not copied: a file may have a hundred thousand functions, all of which can name one another."""
    return ChainMap(inner, outer) if inner and outer else inner or outer  # type: ignore[arg-type]  # never set


def _statements(block: Node, nesting: int = 0) -> Iterator[Commented]:
    """Statements, and those inside a top-level `if` or a function that is called on the spot."""
    for statement in commented(block):
        body = _inner_block(statement.node) if nesting < MAX_NESTING else None
        if body is None:
            yield statement
        else:
            yield from _statements(body, nesting + 1)


def _inner_block(statement: Node) -> Node | None:
    if statement.type == "if_statement":
        return statement.child_by_field_name("consequence")
    if statement.type == "try_statement":
        return statement.child_by_field_name("body")
    inside = unwrap(first(statement)) if statement.type == "expression_statement" else None
    if inside is not None and inside.type == "unary_expression":  # !function () { ... }()
        inside = inside.child_by_field_name("argument")
    if inside is None or inside.type != "call_expression":
        return None
    body, given = called_on_the_spot(inside), arguments(inside)
    factory = unwrap(given[-1]) if given else None
    if factory is None or factory.type not in FUNCTIONS or not (body is not None or is_module_call(inside)):
        return body
    block = factory.child_by_field_name("body")
    return block if block is not None and block.type == "statement_block" else body


def is_module_call(call: Node) -> bool:
    """`define([...], function (a) { ... })` and its like: the function is the module."""
    function = dotted(call.child_by_field_name("function"))
    return function in (("define",), ("require",), ("requirejs",), *_MODULE_CALLS)


def returns_module(statement: Node) -> bool:
    """Whether a `return` stands in a function that is an argument, and so says what a module is."""
    function = statement.parent.parent if statement.parent is not None else None
    return function is not None and function.parent is not None and function.parent.type == "arguments"
