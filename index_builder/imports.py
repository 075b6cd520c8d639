"""Nodes of a syntax tree -> what a file imports: ES modules, CommonJS and AMD."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from .syntax import FUNCTIONS, arguments, dotted, first, string_value, text


@dataclass(frozen=True, slots=True)
class Import:
    """`import { exported as local } from 'module'`, in any of its spellings."""

    local: str
    module: str
    exported: str  # "default", or "*" for the whole module


def es_imports(node: Node) -> Iterator[Import]:
    """Of an import statement."""
    module = string_value(node.child_by_field_name("source"))
    clause = next((child for child in node.named_children if child.type == "import_clause"), None)
    for part in clause.named_children if clause is not None else ():
        if part.type == "identifier":
            yield Import(text(part), module, "default")
        elif part.type == "namespace_import":
            yield Import(text(first(part)), module, "*")
        for specifier in part.named_children if part.type == "named_imports" else ():
            exported = text(specifier.child_by_field_name("name"))
            yield Import(text(specifier.child_by_field_name("alias")) or exported, module, exported)


def common_js_imports(target: Node, value: Node) -> Iterator[Import]:
    """Of `target = value`, where the value is a call of `require`."""
    exported = "*"
    if value.type == "member_expression":  # require('m').name
        exported = text(value.child_by_field_name("property"))
        value = value.child_by_field_name("object") or value
    if value.type != "call_expression" or text(value.child_by_field_name("function")) != "require":
        return
    module = string_value(next(iter(arguments(value)), None))
    if module and target.type == "identifier":
        yield Import(text(target), module, exported)
    for name in target.named_children if module and target.type == "object_pattern" else ():
        if name.type == "pair_pattern":
            local = text(name.child_by_field_name("value"))
            yield Import(local, module, text(name.child_by_field_name("key")))
        elif name.type == "shorthand_property_identifier_pattern":
            yield Import(text(name), module, text(name))


def amd_imports(call: Node) -> Iterator[Import]:
    """Of `define(['a/B', ...], function (B, ...) { ... })`, by whatever object's method it is called."""
    if dotted(call.child_by_field_name("function"))[-1:] not in (("define",), ("require",)):
        return
    given = arguments(call)
    listed = next((node for node in given if node.type == "array"), None)
    factory = next((node for node in given if node.type in FUNCTIONS), None)
    if listed is None or factory is None:
        return
    modules = [string_value(node) for node in listed.named_children if node.type != "comment"]
    for name, module in zip(_parameters(factory), modules, strict=False):
        if name and module:
            yield Import(name, module, "*")


def _parameters(function: Node) -> list[str]:
    """Names in order; "" for one that is no plain name."""
    single = function.child_by_field_name("parameter")
    if single is not None:
        return [text(single)]
    every = function.child_by_field_name("parameters")
    nodes = every.named_children if every is not None else ()
    return [text(node) if node.type == "identifier" else "" for node in nodes if node.type != "comment"]
