"""The statements that run when a file is loaded, and what each of them can name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tree_sitter import Node

from .declarations import types_in
from .members import functions_in
from .syntax import MAX_NESTING, TOP, Around, Commented, called_on_the_spot, commented, first, unwrap


def top_statements(root: Node) -> list[Commented]:
    """Of a whole file."""
    return in_one_scope(_statements(root), TOP)


def in_one_scope(statements: Iterable[Commented], around: Around) -> list[Commented]:
    """The same statements, able to name the functions and types among them."""
    every = list(statements)
    functions = {function.name: function for function in functions_in(every)}
    around = replace(
        around, functions={**around.functions, **functions}, types={**around.types, **types_in(every)}
    )
    return [replace(statement, around=around) for statement in every]


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
    return called_on_the_spot(inside) if inside is not None and inside.type == "call_expression" else None
