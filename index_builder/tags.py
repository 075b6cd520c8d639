"""What JSDoc comments define by themselves: @class, @namespace, @function, @typedef, @memberof, @lends, ...

The code below such a comment may be out of reach of `statements` (inside a function, made by a call) or not
be there at all. A comment that says it is private, or part of a function, defines nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest

from tree_sitter import Node

from deepcodeseek.server.jsdoc import parse_doc, split_type
from deepcodeseek.server.types import Method

from .definitions import Definition, Definitions, renamed
from .members import object_members
from .shapes import Kind
from .signatures import HIDDEN, is_private, member_key, params, shortened
from .syntax import (
    CLASSES,
    FUNCTION_DECLARATIONS,
    FUNCTIONS,
    TOP,
    VARIABLES,
    clean_comment,
    dotted,
    first,
    text,
    unwrap,
)

_NAMING = re.compile(
    rb"@(?:class|constructor|namespace|interface|mixin|typedef|func(?:tion)?|method|name|alias|member[oO]f|lends)\b"
)
_CLASSES = ("class", "constructor", "interface")
_OBJECTS = ("namespace", "mixin", "typedef")
_METHODS = ("function", "func", "method")
# fmt: off
_NO_API = frozenset((
    "private", "ignore", "inner", "callback", "event", "member", "var", "enum", "constant", "module",
    "package",
))
# fmt: on
_NAME = re.compile(r"([\w$.#~:/-]*[\w$])[.#]?(?:\s+-.*)?")
_IS_OBJECT = re.compile(r"^@(?:namespace|mixin|typedef)\b", re.M)
_IS_MEMBER = re.compile(r"^@member[oO]f\b", re.M)
_INSTANCE = re.compile(r"#|\.prototype\b")
_TYPED = re.compile(r"^@(?:param|arg|argument|returns?)\b", re.M)
_EXTENDS = re.compile(r"^@(?:extends|augments)\s+\{?([\w$.:/#~-]*[\w$])", re.M)
_MODULE = re.compile(r"^module:[^.#~]*[.#~]?")


@dataclass(frozen=True, slots=True)
class _Comment:
    """One comment that names something, with the code below it."""

    text: str
    tags: Mapping[str, str]  # the first of each
    given: tuple[str, ...]  # parameters, by their tags
    returns: str
    line: int
    span: tuple[int, int]
    below: tuple[str, ...] = ()  # the name that the code below defines
    code: Node | None = None  # its value
    is_member: bool = False  # of an object or a class around it

    def named(self, *tags: str) -> str:
        """The name that one of these tags gives; words are no name."""
        bodies = (split_type(self.tags[tag])[1].lstrip("! ") for tag in tags if tag in self.tags)
        found = (_NAME.fullmatch(body.partition("\n")[0].strip()) for body in bodies)
        return next((_MODULE.sub("", name[1]) for name in found if name), "")

    def has(self, *tags: str) -> bool:
        return any(tag in self.tags for tag in tags)


def with_tags(found: Definitions, code: bytes, root: Node) -> Definitions:
    """What the statements define, and what the comments add to it."""
    starts = [start for start, end in _blocks(code) if _NAMING.search(code, start, end)]
    if not starts:
        return found
    nodes = sorted(_comments(root, starts), key=_start)
    comments = [_comment(node, following) for node, following in nodes]
    found = renamed(found, {comment.below[0]: full for comment in comments if (full := _full_name(comment))})
    known = {(d.name, method.name) for d in found.every for method in d.methods}
    added = []
    for definition in (definition for comment in comments for definition in _define(comment)):
        new = tuple(m for m in definition.methods if (definition.name, m.name) not in known)
        added.append(replace(definition, methods=new))
    return renamed(replace(found, every=(*found.every, *added)), {})


def typed(method: Method) -> Method:
    """With the types that its tags state where none are declared."""
    if method.types or method.returns or not _TYPED.search(method.doc):
        return method
    doc = parse_doc(method.doc)
    stated = {param.name: shortened(param.type) for param in doc.params}
    types = tuple(stated.get(name.removeprefix("..."), "") for name in method.params)
    returns = shortened(doc.returns.type) if doc.returns else ""
    return replace(method, types=types if any(types) else (), returns=returns)


def stated_base(doc: str) -> str:
    """`@extends Base`"""
    found = _EXTENDS.search(doc)
    return _MODULE.sub("", found[1]) if found else ""


def says_api(definition: Definition) -> bool:
    """Whether a comment makes it one: not a member of something else, and no plain data."""
    if definition.kind == "object":
        return bool(definition.methods) or _IS_OBJECT.search(definition.doc) is not None
    return definition.kind != "function" or _IS_MEMBER.search(definition.doc) is None


def is_hidden(doc: str) -> bool:
    """`@private` or `@ignore`"""
    return HIDDEN.search(doc) is not None


# Comments


def _blocks(code: bytes) -> Iterator[tuple[int, int]]:
    """Where something like a JSDoc comment begins and ends."""
    end = 0
    while (start := code.find(b"/**", end)) >= 0:
        if (end := code.find(b"*/", start + 2) + 2) < 2:
            return
        yield start, end


def _comments(root: Node, starts: list[int]) -> Iterator[tuple[Node, Node | None]]:
    """Those that begin there, each with what follows it; "/**" in a string is none."""
    waiting, wanted = [root], set(starts)
    while waiting:
        children = waiting.pop().named_children
        for node, following in zip_longest(children, children[1:]):
            if node.type == "comment":
                if node.start_byte in wanted:
                    yield node, following
            elif bisect_left(starts, node.start_byte) < bisect_left(starts, node.end_byte):
                waiting.append(node)


def _start(found: tuple[Node, Node | None]) -> int:
    return found[0].start_byte


def _comment(node: Node, code: Node | None) -> _Comment:
    cleaned = clean_comment([text(node)])
    doc = parse_doc(cleaned)
    comment = _Comment(
        cleaned,
        tags=dict(reversed(doc.tags)),
        given=tuple(param.name for param in doc.params if "." not in param.name),
        returns=doc.returns.type if doc.returns else "",
        line=(code or node).start_point.row + 1,
        span=(node.start_byte, (code or node).end_byte),
    )
    return _with_code(comment, code) if code is not None else comment


def _with_code(comment: _Comment, code: Node) -> _Comment:
    """With the name and the value of the statement or the member below it."""
    if code.type == "export_statement":
        code = code.child_by_field_name("declaration") or code
    if code.type in VARIABLES:
        code = first(code) or code
    inside = first(code) if code.type in ("expression_statement", "return_statement") else code
    if inside is not None and inside.type == "assignment_expression":
        value = unwrap(inside.child_by_field_name("right"))
        return replace(comment, below=dotted(inside.child_by_field_name("left")), code=value)
    if inside is None or inside is not code or code.type == "object":
        return replace(comment, code=inside)
    name = text(code.child_by_field_name("name")) or member_key(code)
    is_function = code.type in (*FUNCTIONS, *FUNCTION_DECLARATIONS, *CLASSES)
    value = code if is_function else unwrap(code.child_by_field_name("value"))
    is_member = code.type in ("pair", "method_definition", "public_field_definition", "field_definition")
    return replace(comment, below=(name,) if name else (), code=value, is_member=is_member)


def _full_name(comment: _Comment) -> str:
    """What a local name is known by, where the comment says it."""
    stated = comment.named("alias", "name", "exports", *_CLASSES)
    owner = comment.named("memberof") if comment.has(*_CLASSES) else ""
    full = f"{owner}.{(stated or ''.join(comment.below)).rpartition('.')[2]}" if owner else stated
    is_local = len(comment.below) == 1 and not comment.is_member and "#" not in full and "~" not in full
    return full if is_local and "." in full and full.rpartition(".")[2] == comment.below[0] else ""


# Definitions


def _define(comment: _Comment) -> Iterator[Definition]:
    if not _NO_API.isdisjoint(comment.tags):
        return
    if comment.has("lends"):
        yield from _lent(comment)
        return
    if comment.has(*_CLASSES, *_OBJECTS) or (comment.has("memberof") and _is_class(comment.code)):
        yield from _whole(comment)
    elif comment.has(*_METHODS) or _is_function(comment):
        yield from _function(comment)


def _is_class(code: Node | None) -> bool:
    return code is not None and code.type in CLASSES


def _is_function(comment: _Comment) -> bool:
    """By its code, or by tags that only functions have."""
    return comment.has("memberof") and (_is_code(comment) or bool(comment.given or comment.returns))


def _is_code(comment: _Comment) -> bool:
    return comment.code is not None and comment.code.type in (*FUNCTIONS, *FUNCTION_DECLARATIONS)


def _whole(comment: _Comment) -> Iterator[Definition]:
    """A class or an object."""
    stated = comment.named("alias", "name", *_CLASSES, *_OBJECTS)
    name = stated or ("" if comment.is_member else ".".join(comment.below))
    if (owner := _owner(comment)) and name:
        name = f"{owner}.{_last(name)}"
    is_callback = split_type(comment.tags.get("typedef", ""))[0].lower().startswith("function")
    if not name or "#" in name or "~" in name or is_callback:
        return
    kind: Kind = "class" if comment.has(*_CLASSES) or _is_class(comment.code) else "object"
    yield replace(_piece(comment, name), kind=kind, params=_params(comment) if kind == "class" else ())


def _function(comment: _Comment) -> Iterator[Definition]:
    """A method of what it is a member of, or a function of its own."""
    stated = comment.named("alias", "name", *_METHODS)
    prefix, separator, _ = stated.rpartition("#" if "#" in stated else ".")
    owner = _owner(comment) or (prefix.removesuffix(".prototype") if separator else "")
    name = _last(stated) or "".join(comment.below[-1:])
    if comment.below[-1:] == (name,) and not owner:
        if comment.is_member or _is_code(comment):  # it is known, and whose it is
            return
        owner = ".".join(part for part in comment.below[:-1] if part != "prototype")
    if not name or "~" in stated or "~" in owner:
        return
    made = _method(comment, name)
    if owner:
        yield _added(comment, owner, (made,))
    else:
        yield replace(_piece(comment, name), kind="function", params=made.params, returns=made.returns)


def _method(comment: _Comment, name: str) -> Method:
    said = " ".join(comment.tags.get(tag, "") for tag in ("memberof", "name", "alias", *_METHODS))
    is_instance = comment.has("instance") or "prototype" in comment.below or bool(_INSTANCE.search(said))
    hidden = is_private(name, comment.text)
    made = Method(name, _params(comment), comment.text, comment.line, not is_instance, hidden)
    return replace(made, returns=comment.returns)


def _params(comment: _Comment) -> tuple[str, ...]:
    return params(comment.code) if _is_code(comment) and comment.code is not None else comment.given


def _lent(comment: _Comment) -> Iterator[Definition]:
    """The members of an object literal that are another's: `@lends X.prototype`"""
    stated = comment.named("lends")
    owner = stated.removesuffix(".prototype")
    if comment.code is not None and comment.code.type == "object" and owner:
        is_static = owner == stated and "#" not in comment.tags["lends"]
        methods = (replace(method, is_static=is_static) for method in object_members(comment.code, TOP))
        yield _added(comment, owner, tuple(methods))


def _owner(comment: _Comment) -> str:
    return comment.named("memberof").removesuffix(".prototype")


def _last(name: str) -> str:
    return re.split("[.#]", name)[-1]


def _piece(comment: _Comment, name: str) -> Definition:
    return Definition(name, doc=comment.text, has_jsdoc=True, line=comment.line, spans=(comment.span,))


def _added(comment: _Comment, owner: str, methods: tuple[Method, ...]) -> Definition:
    return replace(_piece(comment, owner), methods=methods, doc="", has_jsdoc=False, is_declared=False)
