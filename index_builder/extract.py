"""A script -> the APIs it defines and the calls it makes. Pure: the same script gives the same values."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from tree_sitter import Node

from deepcodeseek.server.types import Api, ApiKind, Method

from .ajax import read_parameters
from .calls import MAX_STATEMENT, Calls, CallSite, FoundCall, find_calls
from .definitions import DEFAULT, Definition, Definitions, with_nested_classes
from .facts import read_facts
from .imports import Import
from .parse import TooSlow, parse
from .scripts import LANGUAGES, SCRIPT_INCLUDE, Problem, Script
from .statements import find_definitions
from .synthesize import document
from .tables import with_own
from .tags import is_hidden, says_api, stated_base, typed, with_tags

__all__ = ("CallSite", "Extracted", "extract")


@dataclass(frozen=True, slots=True)
class Extracted:
    """All that one script says."""

    script: Script
    apis: tuple[Api, ...] = ()
    calls: tuple[CallSite, ...] = ()
    tables: tuple[str, ...] = ()  # that it reads or writes through GlideRecord and its like
    names: tuple[str, ...] = ()  # that it defines at the top level
    imports: tuple[tuple[str, str, str], ...] = ()  # local name, module, exported name
    exports: tuple[tuple[str, str], ...] = ()  # exported name, api_name
    problems: tuple[Problem, ...] = ()
    writes: tuple[str, ...] = ()  # those of the tables that it writes


def extract(script: Script, synthesize: bool = True) -> Extracted:
    """Read one script. Broken code gives what can be read of it, hostile code a problem.

    With `synthesize`, what nobody documented is described by what its code does.
    """
    code = script.code.encode("utf-8", "replace")
    try:
        return _extract(script, code, parse(code, script.language), synthesize)
    except TooSlow as error:
        return Extracted(script, problems=(Problem(script.path, str(error)),))


def _extract(script: Script, code: bytes, root: Node, synthesize: bool) -> Extracted:
    found = find_definitions(root)
    apis = _script_include(script, root, found) if script.record_type else _module(script, code, root, found)
    names = tuple(definition.name for definition in found.every if _is_name(definition))
    defined = frozenset(d.name for d in found.every if d.is_declared and d.kind != "value")
    own = frozenset(api.name for api in apis if script.record_type)
    calls = find_calls(root, script.language, defined, own)
    if synthesize and apis:
        facts = read_facts(root, script.language, calls.every)
        apis = tuple(document(api, facts, script.line_offset) for api in apis)
    return Extracted(
        script,
        apis,
        tuple(_call_sites(script, code, calls.every)),
        with_own(calls.tables, script.table),
        names,
        tuple(_imports(script, calls)),
        _exports(script, found, apis),
        writes=with_own(calls.writes, script.table),
    )


def _is_name(definition: Definition) -> bool:
    return definition.is_declared and bool(definition.name) and "." not in definition.name


# APIs


def _script_include(script: Script, root: Node, found: Definitions) -> tuple[Api, ...]:
    if script.record_type != SCRIPT_INCLUDE:
        return ()
    defined = _with_sysparms(_named(script.record_name, found.every), root, script)
    doc = "\n".join(dict.fromkeys(filter(None, (script.description.strip(), defined.doc))))
    api_name = script.api_name or script.record_name
    api = _api(script, defined, "script_include", doc)
    return (replace(api, api_name=api_name, name=script.record_name, code=script.code),)


def _with_sysparms(defined: Definition, root: Node, script: Script) -> Definition:
    """Only with an ancestor: it takes one to be an Ajax processor, which may stand in another file."""
    if not defined.extends or "sysparm_" not in script.code:
        return defined
    read = read_parameters(root, script.language)
    methods = (
        replace(method, sysparms=read.get((method.name.rpartition(".")[2], method.line), ()))
        for method in defined.methods
    )
    return replace(defined, methods=tuple(methods))


def _named(name: str, every: tuple[Definition, ...]) -> Definition:
    """What the record is named for; or else all the functions it brings, or its only class."""
    fits = [definition for definition in every if definition.name.rpartition(".")[2] == name]
    if fits:
        return max(fits, key=lambda definition: (definition.name == name, len(definition.methods)))
    functions = tuple(
        Method(d.name, d.params, d.doc, d.line, is_static=True) for d in every if d.kind == "function"
    )
    classes = [definition for definition in every if definition.methods]
    if not functions and len(classes) == 1:
        return classes[0]
    return Definition(name, methods=functions, line=1)


def _module(script: Script, code: bytes, root: Node, found: Definitions) -> tuple[Api, ...]:
    found = with_nested_classes(with_tags(found, code, root))
    exported = {export.local for export in found.exports}
    return tuple(
        _module_api(script, code, definition)
        for definition in found.every
        if definition.kind != "value" or definition.methods
        if not exported.isdisjoint((definition.name, definition.name.partition(".")[0]))
        or _is_public(definition, is_module=bool(exported))
    )


def _is_public(definition: Definition, is_module: bool) -> bool:
    """Not exported: public where it is documented, or where nothing is exported and it has methods."""
    has_doc = definition.has_jsdoc and says_api(definition)
    is_known = has_doc or bool(definition.methods and not is_module)
    is_named = definition.is_declared and definition.name != DEFAULT and not is_hidden(definition.doc)
    return definition.is_public or (is_known and is_named)


def _module_api(script: Script, code: bytes, definition: Definition) -> Api:
    name = _public_name(script, definition.name)
    text = "\n\n".join(code[start:end].decode("utf-8", "replace") for start, end in definition.spans)
    kind: ApiKind = "object" if definition.kind == "value" else definition.kind
    api = _api(script, definition, kind, definition.doc)
    base = api.extends or stated_base(definition.doc)
    return replace(api, api_name=_api_name(script, name), name=name, code=text, extends=base)


def _api_name(script: Script, name: str) -> str:
    """The platform's own go by the name that a script writes."""
    if script.platform:
        return name if script.platform == "global" else f"{script.platform}.{name}"
    return f"{script.package}/{script.module}.{name}"


def _public_name(script: Script, name: str) -> str:
    """What is exported without a name goes by its file's name, an index file by its folder's."""
    path = PurePosixPath(script.package, script.module)
    return name if name != DEFAULT else path.name if path.name != "index" else path.parent.name


def _api(script: Script, definition: Definition, kind: ApiKind, doc: str) -> Api:
    methods = tuple(replace(typed(m), line=m.line + script.line_offset) for m in definition.methods)
    made = typed(Method("", definition.params, doc, types=definition.types, returns=definition.returns))
    return Api(
        api_name="",
        name="",
        kind=kind,
        scope=script.scope,
        package=script.package,
        access=script.access,
        caller_access=script.caller_access,
        client_callable=script.client_callable,
        extends=definition.extends,
        params=definition.params,
        types=made.types,
        returns=made.returns,
        methods=methods,
        doc=doc,
        doc_origin="written" if doc or any(method.doc for method in methods) else "none",
        inferred=tuple(sorted(script.inferred)),
        source=script.path,
        line=definition.line + script.line_offset,
    )


# Calls


def _call_sites(script: Script, code: bytes, calls: Iterable[FoundCall]) -> Iterator[CallSite]:
    text = _Text(code)
    for call in calls:
        start, end = _bounds(code, call)
        statement = code[start:end].decode("utf-8", "replace")[:MAX_STATEMENT].rstrip()
        line = script.line_offset + call.node.start_point.row + 1
        first, last = text.characters(start), text.characters(end)
        yield CallSite(call.name, call.method, call.kind, line, first, statement, last)


def _bounds(code: bytes, call: FoundCall) -> tuple[int, int]:
    """Of the statement; in a long one, from the line on which the call stands."""
    start, end = call.span
    if call.node.end_byte - start > MAX_STATEMENT:
        line_start = code.rfind(b"\n", start, call.node.start_byte) + 1
        if line_start:
            blank = code[line_start : call.node.start_byte]
            start = line_start + len(blank) - len(blank.lstrip())
    return start, end


class _Text:
    """Turns byte offsets into character offsets, fast where they come in order."""

    def __init__(self, code: bytes) -> None:
        self._code = code
        self._is_ascii = code.isascii()
        self._bytes = self._characters = 0

    def characters(self, offset: int) -> int:
        if self._is_ascii:
            return offset
        if offset < self._bytes:
            self._characters -= len(self._code[offset : self._bytes].decode("utf-8", "ignore"))
        else:
            self._characters += len(self._code[self._bytes : offset].decode("utf-8", "ignore"))
        self._bytes = offset
        return self._characters


# Imports and exports


def _imports(script: Script, calls: Calls) -> Iterator[tuple[str, str, str]]:
    for item in calls.imports:
        yield item.local, _module_name(script, item), item.exported


def _module_name(script: Script, item: Import) -> str:
    """The same `package/module` that the imported file's APIs begin with."""
    stem, suffix = posixpath.splitext(item.module)
    is_package = stem.count("/") == stem.startswith("@")  # "chart.js" is one, "chart/lib.js" is a file of one
    target = stem if suffix in LANGUAGES and not is_package else item.module
    if script.record_type or not item.module.startswith("."):
        return target
    folder = posixpath.dirname(script.module)
    return f"{script.package}/{posixpath.normpath(posixpath.join(folder, target))}"


def _exports(script: Script, found: Definitions, apis: tuple[Api, ...]) -> tuple[tuple[str, str], ...]:
    known = {api.name: api.api_name for api in apis}
    named = ((export.name, known.get(_public_name(script, export.local))) for export in found.exports)
    return tuple((name, api_name) for name, api_name in named if api_name)
