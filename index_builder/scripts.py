"""What reading gives: a script with what is known of it, and the problems on the way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

Language = Literal["javascript", "typescript", "tsx"]

_BY_LANGUAGE: tuple[tuple[Language, tuple[str, ...]], ...] = (
    ("javascript", (".js", ".mjs", ".cjs", ".jsx")),
    ("typescript", (".ts", ".mts", ".cts")),
    ("tsx", (".tsx",)),
)
LANGUAGES: Mapping[str, Language] = MappingProxyType(
    {suffix: language for language, suffixes in _BY_LANGUAGE for suffix in suffixes}
)
DECLARATIONS = (".d.ts", ".d.mts", ".d.cts")
SCRIPT_INCLUDE = "sys_script_include"
_CALLER_ACCESS: Mapping[str, str] = MappingProxyType(
    {"1": "restricted", "restriction": "restricted", "2": "tracked", "tracking": "tracked"}
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read, in one line."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Script:
    """One script text with what its record, its path or its neighbours say of it."""

    path: str  # relative to the workspace, with forward slashes
    code: str
    line_offset: int = 0  # lines of the file above the code's first line
    language: Language = "javascript"
    record_type: str = ""  # the record's table; "" for a plain module
    record_name: str = ""
    field: str = ""  # the record's field that holds the code
    api_name: str = ""  # of a Script Include
    scope: str = ""
    package: str = ""
    module: str = ""  # of a plain module: its path inside the package, without extension
    platform: str = ""  # of the platform's own declarations: their namespace, "global" or such as "sn_ws"
    app: str = ""  # the folder of the record's application, relative to the workspace
    access: str = ""
    caller_access: str = ""  # "restricted", "tracked" or ""
    client_callable: bool = False
    table: str = ""  # that the record works on
    description: str = ""
    inferred: frozenset[str] = frozenset()  # which of the above no record and no manifest states


@dataclass(frozen=True, slots=True)
class Draft:
    """The scripts of one record or one file, as long as another file may still change what they are."""

    scripts: tuple[Script, ...] = ()
    table: str = ""
    sys_id: str = ""
    updated: str = ""  # when the record last changed, as it states
    application: str = ""  # sys_id of its application, whose own record states the scope
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What one file gives."""

    drafts: tuple[Draft, ...] = ()
    problems: tuple[Problem, ...] = ()
    skipped: tuple[str, ...] = ()  # a reason for each script left out
    scopes: Mapping[str, str] = field(default_factory=dict)  # sys_id of an application -> its scope
    included: Mapping[str, Script] = field(default_factory=dict)  # path of another file -> its record


def is_declaration(name: str) -> bool:
    """Whether a file of this name holds type declarations."""
    return name.endswith(DECLARATIONS)


def is_sys_id(name: str) -> bool:
    """Whether it has the shape of the key of a row."""
    return re.fullmatch(r"[0-9a-f]{32}", name) is not None


def caller_access(stated: str) -> str:
    """What a record (1, 2) or a Fluent file (restriction, tracking) says of callers from other scopes."""
    return _CALLER_ACCESS.get(stated, "")


def with_scope(script: Script, scope: str, inferred: bool = False) -> Script:
    """The same script in that scope, which also makes the name of a Script Include that states none."""
    doubtful = script.inferred | {"scope"} if inferred and scope else script.inferred
    script = replace(script, scope=scope, inferred=doubtful)
    is_stated = "." in script.api_name and "api_name" not in script.inferred
    if script.record_type != SCRIPT_INCLUDE or is_stated:
        return script
    name = f"{scope}.{script.record_name}" if scope else script.record_name
    return replace(script, api_name=name, inferred=doubtful | {"api_name"})
