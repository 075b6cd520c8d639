"""What a file defines: names, each with all that several statements say of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from deepcodeseek.server.types import Method

from .parse import PARSE_SECONDS, TooSlow
from .shapes import Kind, richer
from .signatures import CONSTRUCTORS
from .syntax import Commented

DEFAULT = "default"  # stands for the name of what is exported without one
_MAX_METHODS = 200_000  # of one file; all files of @servicenow/glide together have 9,000
WHOLE = "*"  # stands for the exported name in `module.exports = X`


@dataclass(frozen=True, slots=True)
class Definition:
    """One top-level name and what is known of it, from every statement that adds to it."""

    name: str  # dotted where a namespace stands before it
    full_name: str = ""  # by which the code registers it, where the name is local
    kind: Kind = "value"
    params: tuple[str, ...] = ()  # of the function, or of the constructor
    extends: str = ""
    methods: tuple[Method, ...] = ()  # without the constructor
    types: tuple[str, ...] = ()  # of the parameters
    returns: str = ""
    doc: str = ""
    has_jsdoc: bool = False
    is_declared: bool = True  # False where the file only adds to what another one defines
    is_syntax: bool = False  # as in Shape
    is_public: bool = False  # whatever the file exports
    line: int = 0  # 1-based
    spans: tuple[tuple[int, int], ...] = ()  # bytes of the statements


@dataclass(frozen=True, slots=True)
class Export:
    """What other files can import, and by which name."""

    name: str
    local: str


@dataclass(frozen=True, slots=True)
class Definitions:
    """All of a file."""

    every: tuple[Definition, ...]
    exports: tuple[Export, ...]


Item = Definition | Export


def more(name: str, statement: Commented, methods: Iterable[Method]) -> Definition:
    """Methods for what is defined elsewhere; a comment above them is theirs."""
    node = statement.node
    span = (node.start_byte, node.end_byte)
    line = node.start_point.row + 1
    return Definition(name, methods=tuple(methods), is_declared=False, line=line, spans=(span,))


def bounded(items: Iterable[Item]) -> list[Item]:
    """All of them, or TooSlow: thousands of variables of large types define millions of methods."""
    every: list[Item] = []
    end, methods = time.thread_time() + PARSE_SECONDS, 0
    for item in items:
        methods += len(item.methods) if isinstance(item, Definition) else 0
        if methods > _MAX_METHODS or time.thread_time() > end:
            raise TooSlow
        every.append(item)
    return every


def renamed(found: Definitions, names: Mapping[str, str]) -> Definitions:
    """By their full names: local name -> full name. What has the same name is one."""

    def full(name: str) -> str:
        head, dot, rest = name.partition(".")
        return names.get(name) or (f"{names[head]}{dot}{rest}" if head in names else name)

    every = (replace(definition, name=full(definition.name)) for definition in found.every)
    exports = (Export(export.name, full(export.local)) for export in found.exports)
    return Definitions(merge(every), tuple(dict.fromkeys(exports)))


def with_nested_classes(found: Definitions) -> Definitions:
    """`a.B = function () {}` is a method of `a`, unless `a.B.prototype.c = ...` makes it a class."""
    every = {definition.name: definition for definition in found.every}
    methods = {name: {m.name: m for m in definition.methods} for name, definition in every.items()}
    for name, nested in list(every.items()):
        owner, _, last = name.rpartition(".")
        if owner in every and nested.kind == "class" and last in methods[owner]:
            made = methods[owner].pop(last)
            doc = "\n".join(dict.fromkeys(filter(None, (made.doc, nested.doc))))
            nested = replace(nested, params=nested.params or made.params, doc=doc, line=made.line)
            every[name] = replace(nested, is_declared=True)
    return replace(
        found, every=tuple(replace(d, methods=(*methods[d.name].values(),)) for d in every.values())
    )


def merge(pieces: Iterable[Definition]) -> tuple[Definition, ...]:
    """One definition a name, in order of appearance."""
    groups: dict[str, list[Definition]] = {}
    for piece in pieces:
        groups.setdefault(piece.name, []).append(piece)
    return tuple(_without_constructor(_whole(group)) for group in groups.values())


def _whole(group: Sequence[Definition]) -> Definition:
    """What grows with each piece is put together once: a file may name the same thing very often."""
    if len(group) == 1:
        return group[0]
    made, docs = group[0], [group[0].doc] if group[0].doc else []
    for piece in group[1:]:
        is_overloaded = made.kind == piece.kind == "function"
        if piece.doc and not (docs and is_overloaded) and docs != [piece.doc]:
            docs.append(piece.doc)
        made = _join(made, piece)
    return replace(
        made,
        methods=tuple(method for piece in group for method in piece.methods),
        spans=tuple(span for piece in group for span in piece.spans),
        doc="\n".join(docs),
    )


def _join(a: Definition, b: Definition) -> Definition:
    """All but methods, comments and places."""
    return Definition(
        name=a.name,
        full_name=a.full_name or b.full_name,
        kind=richer(a.kind, b.kind),
        params=a.params or b.params,
        types=a.types if a.params else b.types,
        returns=a.returns or b.returns,
        extends=a.extends or b.extends,
        has_jsdoc=a.has_jsdoc or b.has_jsdoc,
        is_declared=a.is_declared or b.is_declared,
        is_syntax=a.is_syntax or b.is_syntax,
        is_public=a.is_public or b.is_public,
        line=a.line if a.is_declared or not b.is_declared else b.line,
    )


def _without_constructor(definition: Definition) -> Definition:
    methods: dict[str, Method] = {}
    for method in definition.methods:  # of two with one name the later holds, as when the script runs
        earlier = methods.get(method.name)
        methods[method.name] = _later(earlier, method) if earlier else method
    made_by = None
    if definition.kind == "class":
        names = ("constructor",) if definition.is_syntax else CONSTRUCTORS
        made_by = next((methods.pop(name) for name in names if name in methods), None)
    if made_by is None:
        return replace(definition, methods=tuple(methods.values()))
    return replace(
        definition,
        methods=tuple(methods.values()),
        params=made_by.params or definition.params,
        types=made_by.types if made_by.params else definition.types,
        doc="\n".join(filter(None, (definition.doc, made_by.doc))),
    )


def _later(earlier: Method, method: Method) -> Method:
    return replace(method, doc=method.doc or earlier.doc, is_static=method.is_static and earlier.is_static)
