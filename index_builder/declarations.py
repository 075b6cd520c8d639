"""TypeScript's declarations -> members and shapes: interfaces, object types, types of variables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from tree_sitter import Node

from deepcodeseek.server.types import Method

from .shapes import Kind, Shape, richer
from .signatures import is_accessor, member_key, method_of, param_types, params, returned
from .syntax import MAX_NESTING, Around, Commented, commented, first, text

INTERFACES = ("interface_declaration", "type_alias_declaration")
SIGNATURE = "function_signature"
SIGNATURES = ("method_signature", "abstract_method_signature")
_BODIES = ("interface_body", "object_type")
_JOINED = ("intersection_type", "union_type", "parenthesized_type", "readonly_type", "type_annotation")
_CALLED = ("call_signature", "function_type")
_CONSTRUCTED = ("construct_signature", "constructor_type")
_NAMED = ("type_identifier", "generic_type")
_MAX_TYPES = 50  # types behind one name that are looked into


def types_in(statements: Iterable[Commented]) -> Mapping[str, tuple[Node, ...]]:
    """Bodies of the interfaces and aliases that the other statements can name."""
    found: dict[str, list[Node]] = {}
    for statement in statements:
        node = declared_node(statement.node)
        if node.type in INTERFACES and (body := _body(node)) is not None:
            found.setdefault(text(node.child_by_field_name("name")), []).append(body)
    return {name: tuple(bodies) for name, bodies in found.items()}


def declared_node(statement: Node) -> Node:
    """What stands behind `export` and `declare`."""
    if statement.type == "export_statement":
        statement = statement.child_by_field_name("declaration") or statement
    inside = first(statement) if statement.type == "ambient_declaration" else None
    return inside or statement


def type_name(node: Node | None) -> str:
    """Of a named type, without its arguments."""
    if node is not None and node.type == "generic_type":
        node = node.child_by_field_name("name")
    is_name = node is not None and node.type in ("type_identifier", "nested_type_identifier")
    return "".join(text(node).split()) if is_name else ""


def interface_shape(declared: Node, around: Around) -> Shape:
    """Of an interface or an alias: what can be called on such an object."""
    heritage = next((child for child in declared.named_children if child.type == "extends_type_clause"), None)
    methods = type_shape(_body(declared), around).methods
    kind: Kind = "object" if methods or declared.type == "interface_declaration" else "value"
    return Shape(kind, extends=type_name(first(heritage)), methods=methods, is_syntax=True)


def _body(declared: Node) -> Node | None:
    return declared.child_by_field_name("body") or declared.child_by_field_name("value")


def type_shape(annotation: Node | None, around: Around, is_static: bool = False) -> Shape:
    """What a value of a type is: a function, a class (what can be constructed), an object."""
    shape = Shape()
    kind: Kind
    if annotation is None or around.nesting > MAX_NESTING:
        return shape
    for node in _parts(annotation, around.types):
        if node.type in _BODIES:
            methods = without_overloads(type_members(node, around, is_static))
            kind = richer(shape.kind, "object" if methods else "value")
            shape = replace(shape, kind=kind, methods=shape.methods + methods)
            continue
        kind = "class" if node.type in _CONSTRUCTED else "function"
        if richer(kind, shape.kind) != shape.kind:  # the first of several says it
            result = returned(node) if kind == "function" else ""
            shape = replace(shape, kind=kind, params=params(node), types=param_types(node), returns=result)
            shape = replace(shape, is_syntax=True)
    return shape


def _parts(annotation: Node, types: Mapping[str, tuple[Node, ...]]) -> Iterator[Node]:
    """The object bodies and signatures that a type is made of, through names of the same file."""
    waiting, seen = [annotation], set[str]()
    for _ in range(_MAX_TYPES):
        if not waiting:
            return
        node = waiting.pop(0)
        name = type_name(node)
        if node.type in _JOINED:
            waiting += filter(None, map(node.named_child, range(min(node.named_child_count, _MAX_TYPES))))
        elif name and name not in seen:
            seen.add(name)
            waiting += types.get(name, ())[:_MAX_TYPES]
        elif node.type in (*_BODIES, *_CALLED, *_CONSTRUCTED):
            yield node
            yield from (child for child in node.named_children if child.type in (*_CALLED, *_CONSTRUCTED))


def type_members(body: Node, around: Around, is_static: bool = False) -> Iterator[Method]:
    """Of an interface or an object type."""
    for member in commented(body, around.deeper()):
        if member.node.type in (*SIGNATURES, "property_signature"):
            yield from declared_member(member, is_static)


def declared_member(member: Commented, is_static: bool = False) -> Iterator[Method]:
    """A signature is a method, so is a property of a function's type; those in an object type are dotted."""
    node, name = member.node, member_key(member.node)
    if not name or is_accessor(node):
        return
    if node.type in SIGNATURES:
        yield method_of(name, member, is_static)
        return
    annotation = node.child_by_field_name("type")
    if (called := _called(annotation, member.around)) is not None:
        made = replace(method_of(name, member, is_static), params=params(called))
        yield replace(made, types=param_types(called), returns=returned(called))
    elif (function := _function_named(annotation, member.around)) is not None:
        line = node.start_point.row + 1
        yield replace(function, name=name, doc=member.doc or function.doc, line=line, is_static=is_static)
    written = type_shape(annotation, replace(member.around, types={}))
    for method in written.methods:  # those of a named type are found under its own name
        yield replace(method, name=f"{name}.{method.name}", is_static=is_static)


def _called(annotation: Node | None, around: Around) -> Node | None:
    """The signature by which a value of the type can be called."""
    parts = _parts(annotation, around.types) if annotation is not None else ()
    return next((part for part in parts if part.type in _CALLED), None)


def _function_named(annotation: Node | None, around: Around) -> Method | None:
    """`typeof f`, `typeof A.prototype.b`"""
    query = first(annotation)
    if query is None or query.type != "type_query":
        return None
    name = "".join(text(query).removeprefix("typeof").split())
    return Method(name) if ".prototype." in name else around.functions.get(name)


def without_overloads(methods: Iterable[Method]) -> tuple[Method, ...]:
    """One method a name: the documentation of the first that has any, the longest list of parameters."""
    merged: dict[tuple[str, bool], Method] = {}
    for method in methods:
        known = merged.get((method.name, method.is_static))
        merged[method.name, method.is_static] = overloaded(known, method) if known else method
    return tuple(merged.values())


def overloaded(a: Method, b: Method) -> Method:
    """Two signatures of one method."""
    longer = b if len(b.params) > len(a.params) else a
    return replace(
        a, params=longer.params, types=longer.types, doc=a.doc or b.doc, returns=a.returns or b.returns
    )
