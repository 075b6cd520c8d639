"""What a file defines: names, each with all that several statements say of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from deepcodeseek.server.types import Method

from .shapes import Kind, richer
from .signatures import CONSTRUCTORS
from .syntax import Commented

DEFAULT = "default"  # stands for the name of what is exported without one
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
    for name, nested in list(every.items()):
        owner, _, last = name.rpartition(".")
        if owner not in every or nested.kind != "class":
            continue
        made = next((method for method in every[owner].methods if method.name == last), None)
        if made is not None:
            rest = tuple(method for method in every[owner].methods if method is not made)
            every[owner] = replace(every[owner], methods=rest)
            doc = "\n".join(dict.fromkeys(filter(None, (made.doc, nested.doc))))
            nested = replace(nested, params=nested.params or made.params, doc=doc, line=made.line)
            every[name] = replace(nested, is_declared=True)
    return replace(found, every=tuple(every.values()))


def merge(pieces: Iterable[Definition]) -> tuple[Definition, ...]:
    """One definition a name, in order of appearance."""
    merged: dict[str, Definition] = {}
    for piece in pieces:
        known = merged.get(piece.name)
        merged[piece.name] = _join(known, piece) if known else piece
    return tuple(_without_constructor(definition) for definition in merged.values())


def _join(a: Definition, b: Definition) -> Definition:
    docs = dict.fromkeys(doc for doc in (a.doc, b.doc) if doc)
    is_overloaded = a.kind == b.kind == "function"
    return Definition(
        name=a.name,
        full_name=a.full_name or b.full_name,
        kind=richer(a.kind, b.kind),
        params=a.params or b.params,
        types=a.types if a.params else b.types,
        returns=a.returns or b.returns,
        extends=a.extends or b.extends,
        methods=a.methods + b.methods,
        doc=next(iter(docs), "") if is_overloaded else "\n".join(docs),
        has_jsdoc=a.has_jsdoc or b.has_jsdoc,
        is_declared=a.is_declared or b.is_declared,
        is_syntax=a.is_syntax or b.is_syntax,
        is_public=a.is_public or b.is_public,
        line=a.line if a.is_declared or not b.is_declared else b.line,
        spans=a.spans + b.spans,
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
