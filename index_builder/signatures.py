"""A function, or the declaration of one -> its name, parameters, types, comment, line."""

from __future__ import annotations

import re

from tree_sitter import Node

from deepcodeseek.server.types import Method

from .syntax import Commented, string_value, text

CONSTRUCTORS = ("initialize", "constructor")
_MAX_PATTERN = 60  # characters of a destructured parameter, or of a type, that a signature can show
HIDDEN = re.compile(r"^@(?:private|ignore)\b", re.M)


def method_of(name: str, made: Commented, is_static: bool = False) -> Method:
    """The function with the comment above it."""
    node, doc = made.node, made.doc
    return Method(
        name,
        params(node),
        doc,
        node.start_point.row + 1,
        is_static,
        is_private(name, doc) or is_declared_private(node),
        param_types(node),
        returned(node),
    )


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


def param_types(function: Node) -> tuple[str, ...]:
    """Their declared types, nothing where none is declared."""
    listed = function.child_by_field_name("parameters")
    named = [node for node in listed.named_children if _param(node)] if listed is not None else []
    types = tuple(type_text(node.child_by_field_name("type")) for node in named)
    return types if any(types) else ()


def returned(function: Node) -> str:
    """Declared type of what a function returns."""
    return type_text(function.child_by_field_name("return_type"))


def type_text(annotation: Node | None) -> str:
    """As it is written."""
    return shortened(text(annotation).removeprefix(":"))


def shortened(type_: str) -> str:
    """In one line, cut where it is long."""
    shown = " ".join(type_.split())
    if len(shown) <= _MAX_PATTERN:
        return shown
    return "{...}" if shown.startswith("{") else f"{shown[: _MAX_PATTERN - 1].rstrip()}…"


def _param(node: Node) -> str:
    node = node.child_by_field_name("pattern") or node  # TypeScript
    node = node.child_by_field_name("left") or node  # with a default
    if node.type in ("comment", "this", "decorator", "ERROR"):
        return ""
    named = text(node)
    return " ".join(named.split()) if len(named) <= _MAX_PATTERN else "{...}"


def is_private(name: str, doc: str) -> bool:
    """By its name or its comment."""
    return name.rpartition(".")[2].startswith("_") or "@private" in doc or HIDDEN.search(doc) is not None


def is_declared_private(node: Node) -> bool:
    """TypeScript's `private m()`"""
    return any(child.type == "accessibility_modifier" and text(child) == "private" for child in node.children)


def is_accessor(node: Node) -> bool:
    """A getter or a setter is no method."""
    return node.type.endswith(("method_definition", "method_signature")) and any(
        child.type in ("get", "set") for child in node.children
    )
