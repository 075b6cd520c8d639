"""Syntax tree -> definitions: classes, functions, objects, with their methods and comments.

Only top-level code defines anything, so this looks at statements one by one and never walks the whole tree.
JavaScript has no one way to write a class; `_shape` knows the ways to write one in an expression, `_assign`
the ways to write one in several statements, and `merge` puts the pieces together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from tree_sitter import Node

from deepcodeseek.server.types import Method

from .declarations import INTERFACES, SIGNATURE, interface_shape, type_shape
from .definitions import (
    DEFAULT,
    WHOLE,
    Definition,
    Definitions,
    Export,
    Item,
    bounded,
    merge,
    more,
    renamed,
)
from .members import class_members, methods_named, object_members, this_member
from .namespaces import NAMESPACES, declared
from .scopes import in_one_scope, returns_module, top_statements
from .shapes import Kind, Shape, richer
from .signatures import member_key, param_types, params, returned
from .syntax import (
    CLASSES,
    FUNCTION_DECLARATIONS,
    FUNCTIONS,
    MAX_NESTING,
    VARIABLES,
    Around,
    Commented,
    arguments,
    called_on_the_spot,
    commented,
    dotted,
    first,
    string_value,
    text,
    unwrap,
)

_EXPORTS = (("exports",), ("module", "exports"))
_GLOBAL_OBJECTS = ("this", "window", "global", "globalThis", "self", "root")
_INHERITING = ("extendsObject", "extend", "extends", "create", "subclass")
_COPYING = ("assign", "extend", "freeze", "seal", "create", "extendsObject")
_REGISTERING = (("extend",), ("define",), ("declare",), ("widget",))
_LIBRARIES = ("Object", "_", "$", "jQuery", "angular", "lodash")


def find_definitions(root: Node) -> Definitions:
    """All that the top-level statements define and export."""
    found = bounded(item for statement in top_statements(root) for item in _define(statement))
    exports = dict.fromkeys(item for item in found if isinstance(item, Export))
    definitions = [item for item in found if isinstance(item, Definition)]
    full_names = {d.name: d.full_name for d in definitions if d.full_name}
    return renamed(Definitions(tuple(definitions), tuple(exports)), full_names)


# Statements


def _define(statement: Commented) -> Iterator[Item]:
    node = statement.node
    if node.type == "export_statement":
        yield from _export(statement)
    elif node.type in (*FUNCTION_DECLARATIONS, *CLASSES, *INTERFACES, SIGNATURE):
        yield _whole(text(node.child_by_field_name("name")) or DEFAULT, statement, node)
    elif node.type == "ambient_declaration" or node.type in NAMESPACES:
        yield from declared(statement, _define)
    elif node.type == "return_statement" and returns_module(node):
        yield from _common_js((), statement, first(node))
    elif node.type in VARIABLES:
        for declarator in node.named_children:
            yield from _declare(statement, declarator)
    elif node.type == "expression_statement" and node.named_child_count:
        inside = node.named_children[0]  # TypeScript's grammar takes a bare namespace for an expression
        if inside.type in NAMESPACES:
            yield from declared(statement.of(inside), _define)
        else:
            yield from _expression(statement, inside)


def _declare(statement: Commented, declarator: Node) -> Iterator[Item]:
    name = declarator.child_by_field_name("name")
    value = declarator.child_by_field_name("value")
    if name is None or name.type != "identifier":
        return
    if value is not None and value.type == "assignment_expression":  # var X = exports.X = ...
        yield from _expression(statement, value)
    while value is not None and value.type == "assignment_expression":
        value = value.child_by_field_name("right")
    if dotted(value) in _EXPORTS:  # var X = exports: what X gets is exported
        yield Export(WHOLE, text(name))
    made, annotation = _whole(text(name), statement, value), declarator.child_by_field_name("type")
    yield made if annotation is None else _annotated(made, type_shape(annotation, statement.around, True))


def _annotated(made: Definition, declared: Shape) -> Definition:
    """With what its type says beyond its value."""
    if made.kind == "value":
        made = replace(made, params=declared.params, types=declared.types, returns=declared.returns)
        made = replace(made, is_syntax=declared.is_syntax)
    known = {method.name for method in made.methods}
    methods = (method for method in declared.methods if method.name not in known)
    return replace(made, kind=richer(made.kind, declared.kind), methods=(*made.methods, *methods))


def _expression(statement: Commented, node: Node) -> Iterator[Item]:
    if node.type == "sequence_expression":  # a = b, c = d; a stray brace makes one of what follows it
        for at, part in enumerate(node.named_children):
            yield from _expression(
                replace(statement, node=part, comments=() if at else statement.comments), part
            )
        return
    if node.type == "call_expression":  # Object.assign(X.prototype, {...})
        function, given = dotted(node.child_by_field_name("function")), arguments(node)
        if len(function) > 1 and function[-1] in _COPYING and given:
            for mixed in given[1:]:
                yield from _assign(dotted(given[0]), statement, mixed, is_mixin=True)
        if function[-1:] in _REGISTERING and (name := _stated_name(node)):
            yield _whole(name, statement, node)
            return
    targets = []
    value: Node | None = node
    while value is not None and value.type == "assignment_expression":  # a = b = value
        targets.append(dotted(value.child_by_field_name("left")))
        value = unwrap(value.child_by_field_name("right"))
    for target in targets:
        yield from _assign(target, statement, value)


def _assign(
    target: tuple[str, ...], statement: Commented, value: Node | None, is_mixin: bool = False
) -> Iterator[Item]:
    if target[:2] == ("module", "exports"):
        target = target[1:]
    if target[:1] == ("exports",):
        yield from _common_js(target[1:], statement, value)
        return
    if target[:1] and target[0] in _GLOBAL_OBJECTS:
        target = target[1:]
    if not target or value is None:
        return
    if "prototype" in target[1:]:
        at = target.index("prototype", 1)
        yield _prototype(".".join(target[:at]), target[at + 1 :], statement, value)
    elif is_mixin:
        yield more(".".join(target), statement, _shape(value, statement.around).methods)
    elif len(target) > 1 and value.type in (*FUNCTIONS, "object"):
        yield more(".".join(target[:-1]), statement, methods_named(target[-1], statement.of(value), True))
    elif len(target) == 1 or _shape(value, statement.around).kind != "value":
        yield _whole(".".join(target), statement, value)
    elif dotted(value)[-1:] == target[-1:] and _may_copy(target[-1], statement, value):  # X.m = Base.m
        copied = Method(target[-1], (), statement.doc, value.start_point.row + 1, is_static=True)
        yield more(".".join(target[:-1]), statement, (copied,))


def _may_copy(name: str, statement: Commented, value: Node) -> bool:
    """Inside a function `x.value = value` copies data."""
    is_method = (
        statement.around.nesting == 0 or value.type != "identifier" or name in statement.around.functions
    )
    return is_method and not name[:1].isupper()


def _prototype(owner: str, member: tuple[str, ...], statement: Commented, value: Node) -> Definition:
    if member:  # X.prototype.m = function
        return replace(more(owner, statement, methods_named(member[-1], statement.of(value))), kind="class")
    shape = _shape(value, statement.around)
    extends = shape.extends
    if value.type == "new_expression":  # X.prototype = new Base()
        extends = ".".join(dotted(value.child_by_field_name("constructor")))
    return replace(more(owner, statement, shape.methods), kind="class", extends=extends, doc=statement.doc)


def _whole(name: str, statement: Commented, value: Node | None) -> Definition:
    shape, node = _shape(value, statement.around), statement.node
    is_registered = value is not None and value.type == "call_expression" and shape.kind == "class"
    stated = _stated_name(value) if is_registered and value is not None else ""
    full_name = stated if name in (DEFAULT, stated.rpartition(".")[2]) else ""
    return Definition(
        name=name,
        kind=shape.kind,
        params=shape.params,
        types=shape.types,
        returns=shape.returns,
        extends=shape.extends,
        methods=shape.methods,
        is_syntax=shape.is_syntax,
        doc=statement.doc,
        has_jsdoc=statement.has_jsdoc,
        full_name=full_name,
        line=node.start_point.row + 1,
        spans=((node.start_byte, node.end_byte),),
    )


def _stated_name(call: Node) -> str:
    """`Base.extend("a.b.Name", {...})`"""
    given = arguments(call)
    stated = string_value(given[0]) if len(given) > 1 else ""
    return stated if re.fullmatch(r"[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*)+", stated) else ""


# Exports


def _export(statement: Commented) -> Iterator[Item]:
    node = statement.node
    is_default = any(child.type == "default" for child in node.children)
    declaration = node.child_by_field_name("declaration")
    if declaration is not None:
        for item in _define(statement.of(declaration)):
            yield item
            if isinstance(item, Definition):
                yield Export(DEFAULT if is_default else item.name, item.name)
    value = node.child_by_field_name("value")
    if value is not None:
        yield from _exported_value(DEFAULT, statement, value)
    elif any(child.type == "=" for child in node.children) and (value := first(node)) is not None:
        yield from _exported_value(WHOLE, statement, value)  # TypeScript's export = X
    if node.child_by_field_name("source") is None:
        clauses = (child for child in node.named_children if child.type == "export_clause")
        for specifier in (specifier for clause in clauses for specifier in clause.named_children):
            local = text(specifier.child_by_field_name("name"))
            yield Export(text(specifier.child_by_field_name("alias")) or local, local)


def _common_js(target: tuple[str, ...], statement: Commented, value: Node | None) -> Iterator[Item]:
    value = unwrap(value)
    if value is None:
        return
    if len(target) > 1:  # exports.X.prototype.m = function
        yield from _assign(target, statement, value)
    elif target:
        yield from _exported_value(target[0], statement, value)
    elif value.type == "object":
        for member in commented(value, statement.around.deeper()):
            yield from _exported_member(member)
    else:
        yield from _exported_value(WHOLE, statement, value)


def _exported_member(member: Commented) -> Iterator[Item]:
    node = member.node
    if node.type == "shorthand_property_identifier":
        yield Export(text(node), text(node))
    elif key := member_key(node):
        value = node if node.type == "method_definition" else node.child_by_field_name("value")
        if value is not None:
            yield from _exported_value(key, member, value)


def _exported_value(name: str, statement: Commented, value: Node) -> Iterator[Item]:
    if value.type == "new_expression" and called_on_the_spot(value) is None:
        value = value.child_by_field_name("constructor") or value
    if value.type == "identifier":
        yield Export(name, text(value))
        return
    is_named = name not in (DEFAULT, WHOLE)
    own = "" if is_named else text(value.child_by_field_name("name"))
    local = name if is_named else own or DEFAULT
    yield _whole(local, statement, value)
    yield Export(name, local)


# Expressions


def _shape(value: Node | None, around: Around) -> Shape:
    value = unwrap(value)
    if value is None or around.nesting > MAX_NESTING:
        return Shape()
    if value.type in INTERFACES:
        return interface_shape(value, around)
    if value.type in (*FUNCTIONS, *FUNCTION_DECLARATIONS, SIGNATURE):
        body = value.child_by_field_name("body")
        made = _body_shape(body, around) if body is not None else Shape()
        kind: Kind = "class" if made.methods else "function"
        result = returned(value) if kind == "function" else ""
        return Shape(kind, params(value), methods=made.methods, types=param_types(value), returns=result)
    if value.type in CLASSES:
        return Shape("class", extends=_heritage(value), methods=class_members(value), is_syntax=True)
    if value.type == "object":
        return Shape("object", methods=tuple(object_members(value, around)))
    if value.type in ("call_expression", "new_expression"):
        body = called_on_the_spot(value)
        return _call_shape(value, around) if body is None else _body_shape(body, around)
    return Shape()


def _body_shape(body: Node, around: Around) -> Shape:
    """What a function makes: members it gives to `this`, and what it returns."""
    if body.type != "statement_block":  # an arrow function's expression
        return Shape()
    statements = in_one_scope(commented(body), around.deeper())
    own = tuple(method for statement in statements for method in this_member(statement))
    returned = next((s for s in reversed(statements) if s.node.type == "return_statement"), None)
    value = unwrap(first(returned.node)) if returned is not None else None
    if returned is None or value is None:
        return Shape("object" if own else "value", methods=own)
    made = Shape()
    if value.type == "identifier":
        made = _named_shape(text(value), statements)
    elif value.type in ("object", "call_expression", *CLASSES):
        made = _shape(value, returned.around)
    return replace(made, methods=own + made.methods)


def _named_shape(name: str, statements: Iterable[Commented]) -> Shape:
    if all(statement.around.nesting > MAX_NESTING for statement in statements):
        return Shape()
    items = (item for s in statements if s.node.type != "return_statement" for item in _define(s))
    definitions = merge(item for item in items if isinstance(item, Definition))
    named = next((d for d in definitions if d.name == name), Definition(name))
    return Shape(named.kind, named.params, named.extends, named.methods)


def _call_shape(call: Node, around: Around) -> Shape:
    """Class.create(...), Object.extendsObject(Base, {...}), Object.freeze({...}), Base.extend({...})"""
    function, given = dotted(call.child_by_field_name("function")), arguments(call)
    is_registered = function[-1:] in _REGISTERING[1:] and _stated_name(call) != ""
    if len(function) < 2 or not (is_registered or function[-1] in (*_INHERITING, *_COPYING)):
        return Shape()
    if function == ("Object", "create"):  # the second argument describes properties
        given = given[:1]
    shapes = [_shape(argument, around.deeper()) for argument in given]
    bases = [_base(argument) for argument in given]
    if function[0] not in (*_LIBRARIES, "Class") and not is_registered:
        bases.insert(0, ".".join(function[:-1]))
    extends = next(filter(None, (*bases, *(shape.extends for shape in shapes))), "")
    inherits = (function[-1] in _INHERITING and (extends != "" or function[0] == "Class")) or is_registered
    methods = tuple(method for shape in shapes for method in shape.methods)
    if not inherits and not methods:
        return Shape()
    return Shape("class" if inherits else "object", extends=extends, methods=methods)


def _base(argument: Node) -> str:
    if argument.type == "new_expression":
        return ".".join(dotted(argument.child_by_field_name("constructor")))
    return ".".join(dotted(argument)).removesuffix(".prototype")


def _heritage(declared: Node) -> str:
    heritage = next((child for child in declared.named_children if child.type == "class_heritage"), None)
    clause = first(heritage)  # TypeScript has one more level
    base = clause.child_by_field_name("value") if clause is not None else None
    return ".".join(dotted(base or clause))
