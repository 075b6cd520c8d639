"""`declare ...`, `namespace N {...}`, `declare module "m" {...}`, `declare global {...}`"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from deepcodeseek.server.types import Method

from .declarations import without_overloads
from .definitions import Definition, Item, bounded, more
from .scopes import in_one_scope
from .syntax import MAX_NESTING, Commented, commented, first, text

NAMESPACES = ("internal_module", "module")

_Define = Callable[[Commented], Iterator[Item]]  # what one statement defines


def declared(statement: Commented, define: _Define) -> Iterator[Item]:
    """What stands inside, by the names that code outside uses."""
    node = statement.node
    if node.type == "ambient_declaration" and (inside := first(node)) is not None:
        if inside.type == "statement_block":
            yield from map(_public, _block(statement.of(inside), define))
        elif inside.type != "ambient_declaration":  # nobody writes `declare declare`, however often
            yield from define(statement.of(inside))
        return
    name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
    if body is None or statement.around.nesting >= MAX_NESTING:
        return
    items = _block(statement.of(body), define)
    if name is None or name.type == "string":
        yield from map(_public, items)
    else:
        yield from _namespace("".join(text(name).split()), statement, items)


def _block(body: Commented, define: _Define) -> list[Item]:
    statements = in_one_scope(commented(body.node, body.around), body.around.deeper())
    return bounded(item for statement in statements for item in define(statement))


def _public(item: Item) -> Item:
    return replace(item, is_public=True) if isinstance(item, Definition) else item


def _namespace(name: str, statement: Commented, items: Iterable[Item]) -> Iterator[Item]:
    """Its functions are its methods, the rest goes by dotted names."""
    definitions = [item for item in items if isinstance(item, Definition)]
    functions = [d for d in definitions if d.kind == "function" and "." not in d.name]
    methods = without_overloads(
        Method(d.name, d.params, d.doc, d.line, True, types=d.types, returns=d.returns) for d in functions
    )
    if methods:
        yield replace(more(name, statement, methods), kind="object", doc=statement.doc, is_declared=True)
    for definition in definitions:
        if definition.kind != "function" or definition.methods:
            yield replace(definition, name=f"{name}.{definition.name}")
