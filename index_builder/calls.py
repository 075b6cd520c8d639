"""Syntax tree -> where it calls what: constructors, static methods, functions, GlideAjax, imports, tables.

One query finds the nodes of interest, one pass over them in source order, outer before inner, keeps the
statement and the function each stands in. Names are given as written; whether a name means an API is for
those to say who know all APIs.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Literal

from tree_sitter import Node, Query

from deepcodeseek.server.places import is_scope

from .imports import Import, amd_imports, common_js_imports, es_imports
from .parse import captures, grammar
from .scripts import Language
from .syntax import arguments, dotted, string_value, text, unwrap
from .tables import CURRENT, WRITING, Opened, tables_of

CallKind = Literal["new", "static", "ajax", "func"]

MAX_STATEMENT = 300  # characters of a statement that are kept
_MAX_CHAIN = 32  # calls on one another that are followed to where they begin


@dataclass(frozen=True, slots=True)
class CallSite:
    """One place where a name is called."""

    name: str  # as written: "JSON", "global.ArrayUtil"
    method: str  # called on it, "" where that is not known
    kind: CallKind
    line: int  # 1-based, in the file
    start: int  # where the statement begins, in characters of the code
    statement: str  # its text, cut to what matters
    end: int = 0  # where the statement ends


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A call before its place is turned into lines and characters."""

    name: str
    method: str
    kind: CallKind
    node: Node
    span: tuple[int, int]  # bytes of the statement


@dataclass(frozen=True, slots=True)
class Calls:
    """All of a file."""

    every: tuple[FoundCall, ...]
    imports: tuple[Import, ...]
    tables: tuple[str, ...]  # that it reads or writes
    writes: tuple[str, ...]  # those that it writes


def find_calls(root: Node, language: Language, defined: frozenset[str], own: frozenset[str]) -> Calls:
    """Calls of what is not `defined` in the file itself, unless it is the file's `own` API."""
    seen = _look_around(root, language)
    foreign = own | {item.local for item in seen.imports}
    local = (defined | seen.declared) - foreign
    # `var JSON = new JSON()` calls another file's JSON: a variable is no obstacle to a `new` of its name.
    made_here = (defined | seen.functions) - foreign
    found = (call for node in seen.calls for call in _call(seen, node, made_here, local))
    tables = tables_of(_opened(seen))
    return Calls(tuple(found), tuple(seen.imports), tables.every, tables.written)


# One pass over the tree

# fmt: off
_STATEMENTS = (
    "expression_statement", "variable_declaration", "lexical_declaration", "return_statement",
    "throw_statement", "if_statement", "for_statement", "for_in_statement", "while_statement",
    "do_statement", "switch_statement", "switch_case", "pair", "export_statement",
)
# fmt: on
_QUERY = f"""
[{" ".join(f"({name})" for name in _STATEMENTS)}] @statement
[(function_declaration) (function_expression) (arrow_function) (method_definition)
 (generator_function) (generator_function_declaration)] @function
[(call_expression) (new_expression)] @call
[(variable_declarator) (assignment_expression)] @binding
(import_statement) @import
(function_declaration name: (identifier) @function_name)
(generator_function_declaration name: (identifier) @function_name)
(class_declaration name: (_) @function_name)
(arrow_function parameter: (identifier) @function_name)
(variable_declarator name: (identifier) @variable_name)
(for_in_statement left: (identifier) @variable_name)
(catch_clause parameter: (identifier) @variable_name)
(assignment_pattern left: (identifier) @variable_name)
(rest_pattern (identifier) @variable_name)
(array_pattern (identifier) @variable_name)
(pair_pattern value: (identifier) @variable_name)
(shorthand_property_identifier_pattern) @variable_name
"""
_PARAMETERS: Mapping[Language, str] = MappingProxyType(
    {
        "javascript": "(formal_parameters (identifier) @function_name)",
        "typescript": "(formal_parameters (_ pattern: (identifier) @function_name))",
        "tsx": "(formal_parameters (_ pattern: (identifier) @function_name))",
    }
)
_ORDER = ("statement", "function", "binding", "import", "call")  # of nodes with the same text


@cache
def _query(language: Language) -> Query:
    return Query(grammar(language), _QUERY + _PARAMETERS[language])


@dataclass(slots=True)
class _Seen:
    """What the pass gathers before any call can be told."""

    calls: list[Node] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    functions: frozenset[str] = frozenset()  # names of inner functions and of parameters
    declared: frozenset[str] = frozenset()  # those, and names of variables
    statement: dict[int, tuple[int, int]] = field(default_factory=dict)  # call -> bytes of its statement
    function_end: dict[int, int] = field(default_factory=dict)  # call -> end of the function around it
    method: dict[int, str] = field(default_factory=dict)  # `new` -> method called on it
    chained: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))  # and on those
    bound: dict[int, str] = field(default_factory=dict)  # `new` -> variable it is assigned to
    bindings: defaultdict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    uses: defaultdict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    ajax: defaultdict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))


def _look_around(root: Node, language: Language) -> _Seen:
    found = captures(_query(language), root)
    functions = frozenset(map(text, found.get("function_name", ())))
    variables = frozenset(map(text, found.get("variable_name", ())))
    seen = _Seen(functions=functions, declared=functions | variables)
    statements: list[Node] = []
    function_ends: list[int] = []
    for node, tag in _in_order(found):
        start = node.start_byte
        while statements and statements[-1].end_byte <= start:
            statements.pop()
        while function_ends and function_ends[-1] <= start:
            function_ends.pop()
        if tag == "statement" and _begins_line(node, statements):
            statements.append(node)
        elif tag == "function":
            function_ends.append(node.end_byte)
        elif tag == "binding":
            _note_binding(seen, node)
        elif tag == "import":
            seen.imports.extend(es_imports(node))
        elif tag == "call":
            seen.statement[node.id] = _span(statements[-1] if statements else node, node)
            seen.function_end[node.id] = function_ends[-1] if function_ends else root.end_byte
            seen.calls.append(node)
            seen.imports.extend(amd_imports(node))
            _note_use(seen, node)
    return seen


def _in_order(found: dict[str, list[Node]]) -> Iterator[tuple[Node, str]]:
    nodes = (
        (node.start_byte, -node.end_byte, rank, i, node)
        for rank, tag in enumerate(_ORDER)
        for i, node in enumerate(found.get(tag, ()))
    )
    for _, _, rank, _, node in sorted(nodes):
        yield node, _ORDER[rank]


def _begins_line(node: Node, around: list[Node]) -> bool:
    """A property is its own statement where it begins its own line: what precedes it is its context."""
    return node.type != "pair" or not around or node.start_point.row > around[-1].start_point.row


def _span(statement: Node, call: Node) -> tuple[int, int]:
    """Bytes of a statement, of a compound one only the head that holds the call."""
    body = statement.child_by_field_name("consequence") or statement.child_by_field_name("body")
    end = statement.end_byte
    if body is not None and body.start_byte >= call.end_byte:
        end = body.start_byte
    return statement.start_byte, end


def _note_binding(seen: _Seen, node: Node) -> None:
    is_declaration = node.type == "variable_declarator"
    target = node.child_by_field_name("name" if is_declaration else "left")
    value = unwrap(node.child_by_field_name("value" if is_declaration else "right"))
    name = ".".join(dotted(target))
    if name and value is not None:
        seen.bindings[name].append((node.start_byte, node.end_byte))
        if value.type == "new_expression":
            seen.bound[value.id] = name
    if target is not None and value is not None:
        seen.imports.extend(common_js_imports(target, value))


def _note_use(seen: _Seen, node: Node) -> None:
    function = node.child_by_field_name("function")
    if function is None or function.type != "member_expression":
        return
    target, method = unwrap(function.child_by_field_name("object")), _property(function)
    if made := _begins_chain(target):
        seen.chained[made.id].append(method)
    if target is not None and target.type == "new_expression":
        seen.method[target.id] = method
    elif name := ".".join(dotted(target)):
        seen.uses[name].append((node.start_byte, method))
        given = arguments(node)
        if method == "addParam" and len(given) > 1 and string_value(given[0]) == "sysparm_name":
            seen.ajax[name].append((node.start_byte, string_value(given[1])))


def _begins_chain(node: Node | None) -> Node | None:
    """The `new A()` in `new A().b().c()`."""
    for _ in range(_MAX_CHAIN):
        function = node.child_by_field_name("function") if node is not None else None
        if function is None or function.type != "member_expression":
            break
        node = unwrap(function.child_by_field_name("object"))
    return node if node is not None and node.type == "new_expression" else None


def _property(member: Node) -> str:
    return text(member.child_by_field_name("property"))


# Calls

# fmt: off
_BUILT_IN = frozenset((
    "Object", "Function", "Array", "Boolean", "Number", "String", "Symbol", "BigInt", "Date", "Math",
    "RegExp", "JSON", "Promise", "Proxy", "Reflect", "Map", "Set", "WeakMap", "WeakSet", "WeakRef", "Intl",
    "Atomics", "ArrayBuffer", "SharedArrayBuffer", "DataView", "Int8Array", "Uint8Array",
    "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array", "Float32Array",
    "Float64Array", "Error", "TypeError", "RangeError", "SyntaxError", "ReferenceError", "EvalError",
    "URIError", "AggregateError", "parseInt", "parseFloat", "isNaN", "isFinite", "encodeURIComponent",
    "decodeURIComponent", "encodeURI", "decodeURI", "escape", "unescape", "eval", "require", "setTimeout",
    "setInterval", "setImmediate", "clearTimeout", "clearInterval", "alert", "confirm", "prompt", "fetch",
    "console", "window", "document", "navigator", "location", "history", "localStorage", "sessionStorage",
    "globalThis", "process", "module", "exports", "XMLHttpRequest", "FormData", "URL", "URLSearchParams",
    "Event", "CustomEvent", "Class", "Packages", "java", "jQuery", "angular",
))
_PLATFORM_OBJECTS = frozenset((
    "gs", "gsftSubmit", "current", "previous", "g_form", "g_user", "g_list", "g_scratchpad", "g_request",
    "g_response", "g_processor", "g_service_catalog", "g_modal", "g_menu", "g_item", "g_dialog", "request",
    "response", "parent", "action", "event", "email", "template", "email_action", "workflow", "activity",
    "source", "target", "log", "map", "input", "data", "options", "producer", "cat_item", "vars", "answer",
    "sn_ws", "sn_fd", "this", "self", "spUtil", "spModal", "$sp", "$scope", "$http", "$timeout", "$window",
))
# fmt: on
_NO_CONSTRUCTORS = frozenset({"JSON", "Math", "Class"})  # `new JSON()` is a Script Include's


def _call(seen: _Seen, node: Node, made_here: frozenset[str], local: frozenset[str]) -> Iterator[FoundCall]:
    is_new = node.type == "new_expression"
    callee = unwrap(node.child_by_field_name("constructor" if is_new else "function"))
    path = dotted(callee)
    if not path or not all(path):
        return
    found: tuple[str, str, CallKind] | None
    if is_new:
        found = _constructor(seen, node, path, made_here)
    elif len(path) > 1:
        found = _static(path, local)
    else:
        found = None if path[0] in local or path[0] in _BUILT_IN else (path[0], "", "func")
    if found:
        yield FoundCall(*found, node, seen.statement[node.id])


def _constructor(
    seen: _Seen, node: Node, path: tuple[str, ...], made_here: frozenset[str]
) -> tuple[str, str, CallKind] | None:
    given = arguments(node)
    if path[-1] == "GlideAjax" and given and (name := string_value(given[0])):
        return name, next(_later(seen, node, seen.ajax), ""), "ajax"
    is_built_in = path[0] in _BUILT_IN - _NO_CONSTRUCTORS
    if path[0] == "this" or path[0] in made_here or is_built_in:
        return None
    method = seen.method.get(node.id) or next(_later(seen, node, seen.uses), "")
    return ".".join(path), method, "new"


def _static(path: tuple[str, ...], local: frozenset[str]) -> tuple[str, str, CallKind] | None:
    owner, method = path[:-1], path[-1]
    if len(owner) > 1 and method in ("call", "apply", "bind"):  # X.prototype.m.call(this)
        owner, method = owner[:-1], owner[-1]
    if len(owner) > 1 and owner[-1] == "prototype":
        owner = owner[:-1]
    root = owner[0]
    is_platform = root in _PLATFORM_OBJECTS and not (is_scope(root) and len(owner) > 1)
    if root in local or is_platform or {root, owner[-1]} & _BUILT_IN:
        return None
    return ".".join(owner), method, "static"


def _later(seen: _Seen, node: Node, uses: dict[str, list[tuple[int, str]]]) -> Iterator[str]:
    """Methods called on the variable that a `new` is assigned to, in order."""
    name = seen.bound.get(node.id, "")
    every = uses.get(name, []) if name else []
    first = bisect_right(every, (node.end_byte, ""))
    if name.startswith("this."):  # a method of the object may stand above the one that assigns it
        yield from (every[(first + i) % len(every)][1] for i in range(len(every)))
        return
    bound = seen.bindings.get(name, [])
    again = bisect_right(bound, node.start_byte, key=lambda binding: binding[0])
    end = min([seen.function_end[node.id], *(end for _, end in bound[again : again + 1])])
    for i in range(first, len(every)):
        if every[i][0] >= end:
            break
        yield every[i][1]


# Tables


def _opened(seen: _Seen) -> Iterator[Opened]:
    """Record sets that the file makes, and the one that the platform gives it."""
    kept = {n: {m for _, m in every if m in WRITING} for n, every in seen.uses.items() if "." in n}
    for node in seen.calls:
        if node.type == "new_expression" and (path := dotted(node.child_by_field_name("constructor"))):
            table = string_value(next(iter(arguments(node)), None))
            if table:  # what is kept in an object is used by all that the object has
                name = seen.bound.get(node.id, "")
                on_variable = kept[name] if name in kept else _later(seen, node, seen.uses)
                yield Opened(path[-1], table, frozenset((*on_variable, *seen.chained.get(node.id, ()))))
    given = {method for _, method in seen.uses.get(CURRENT, ())}
    is_set = any(name.rpartition(".")[0] == CURRENT for name in seen.bindings)
    if (given or is_set) and CURRENT not in seen.bindings:
        yield Opened(CURRENT, CURRENT, frozenset(given | ({"setValue"} if is_set else set())))
