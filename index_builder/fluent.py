"""ServiceNow SDK: `*.now.ts` files, in which records are calls such as `ScriptInclude({name: ...})`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from tree_sitter import Node

from deepcodeseek.server.places import is_code_field

from .layouts import package_of
from .manifests import Manifests, nearest
from .parse import TooSlow, parse
from .scripts import SCRIPT_INCLUDE, Draft, Found, Problem, Script, caller_access, with_scope
from .syntax import arguments, dotted, text, unwrap

_TABLES = MappingProxyType(
    {
        "ScriptInclude": SCRIPT_INCLUDE,
        "BusinessRule": "sys_script",
        "ClientScript": "sys_script_client",
        "UiAction": "sys_ui_action",
        "ScheduledScript": "sysauto_script",
        "ScriptAction": "sysevent_script_action",
        "CatalogClientScript": "catalog_script_client",
    }
)
_ESCAPED = MappingProxyType({"n": "\n", "r": "\r", "t": "\t", "\n": ""})


def read_fluent(code: str, path: str, workspace: str, manifests: Manifests) -> Found:
    """The records of one file: scripts that stand in it, and those it includes from other files."""
    try:
        root = parse(code.encode("utf-8", "replace"), "typescript")
    except TooSlow as error:
        return Found(problems=(Problem(path, str(error)),))
    drafts: list[Draft] = []
    included: dict[str, Script] = {}
    package, folder = package_of(path, workspace, manifests)
    home = nearest(manifests.scopes, path)
    scope = "" if home is None else manifests.scopes[home]
    inferred = frozenset() if folder in manifests.packages else frozenset({"package"})
    base = Script(path, "", package=package, app=(home or ".").removeprefix("."), inferred=inferred)
    for table, values in _records(root):
        for name, value in values.items():
            if is_code_field(table, name):
                record = with_scope(_described(replace(base, record_type=table, field=name), values), scope)
                if target := _included(value):
                    file = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
                    included.setdefault(file, record)
                elif value.type in ("string", "template_string"):
                    row = value.start_point.row
                    drafts.append(Draft((replace(record, code=_literal(value), line_offset=row),)))
    return Found(tuple(drafts), included=included)


def _records(root: Node) -> Iterator[tuple[str, dict[str, Node]]]:
    """Table and properties of each record; `Record({table, data})` is one of any table."""
    nodes = [root]
    while nodes:
        node = nodes.pop()
        nodes += reversed(node.named_children)
        if node.type != "call_expression":
            continue
        called = node.child_by_field_name("function")
        if called is None or called.type != "identifier":  # each link of a chain has all before it as text
            continue
        name = text(called)
        values = _properties(next(iter(arguments(node)), None))
        if name == "Record" and "data" in values:
            yield _literal(values.get("table")), _properties(values["data"])
        elif name in _TABLES:
            yield _TABLES[name], values


def _properties(node: Node | None) -> dict[str, Node]:
    """Of an object literal; a template with a tag is its template."""
    node = unwrap(node)
    found: dict[str, Node] = {}
    for pair in node.named_children if node is not None and node.type == "object" else ():
        key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
        if key is not None and value is not None:
            template = value.child_by_field_name("arguments")
            is_tagged = template is not None and template.type == "template_string"
            found[text(key).strip("'\"")] = template if is_tagged and template is not None else value
    return found


def _described(script: Script, values: Mapping[str, Node]) -> Script:
    def said(*names: str) -> str:
        return next((_literal(values[name]) for name in names if name in values), "")

    name = said("name", "short_description")
    is_callable = values.get("clientCallable", values.get("client_callable"))
    return replace(
        script,
        record_name=name or posixpath.basename(script.path).partition(".")[0],
        api_name=said("apiName", "api_name") if script.record_type == SCRIPT_INCLUDE else "",
        access=said("accessibleFrom", "access"),
        caller_access=caller_access(said("callerAccess", "caller_access")),
        client_callable=text(is_callable) == "true",
        table=said("table", "collection"),
        description=said("description"),
        inferred=script.inferred if name else script.inferred | {"record_name"},
    )


def _included(value: Node) -> str:
    """The path in `Now.include('...')`."""
    if value.type != "call_expression" or dotted(value.child_by_field_name("function")) != ("Now", "include"):
        return ""
    return _literal(next(iter(arguments(value)), None))


def _literal(node: Node | None) -> str:
    """What a string or a template says."""
    if node is None or node.type not in ("string", "template_string"):
        return ""
    return re.sub(r"\\(.)", lambda m: _ESCAPED.get(m[1], m[1]), text(node)[1:-1], flags=re.S)
