"""What has to be added to a module so that it may name an API."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Literal

from .lexer import code_of
from .modules import Caller, Imported, imports_of
from .places import PLATFORM
from .types import Api

Style = Literal["es", "commonjs"]

_ES = re.compile(r"^[ \t]*(?:import\b(?!\s*\()|export\b)", re.MULTILINE)
_COMMON_JS = re.compile(r"\brequire\(|\bmodule\.exports\b|(?:^|\n)\s*exports\.")
_LAST_ES = re.compile(r"^import\b[^;]*?['\"][^'\"\n]*['\"][ \t]*;?", re.MULTILINE)
_LAST_COMMON_JS = re.compile(r"^(?:var|let|const)\s[^;=]*=\s*require\([^()\n]*\)[^;\n]*;?", re.MULTILINE)
_DIRECTIVE = re.compile(r"\s*\"[^\"\n]*\"[ \t]*;?")
_SOURCE = re.compile(r"(\.d)?\.([cm]?)([jt])sx?\Z")
_COMMON_JS_FILE = (".cjs", ".cts")
_ES_FILE = (".mjs", ".mts")


@dataclass(frozen=True, slots=True)
class Module:
    """A file that imports what it uses."""

    caller: Caller
    text: str
    style: Style
    imported: tuple[Imported, ...]


@dataclass(frozen=True, slots=True)
class Insertion:
    """A text, and the offset that it belongs at."""

    at: int
    text: str


def module_of(caller: Caller, text: str) -> Module | None:
    """How a file imports; None where it is no source file."""
    if not _SOURCE.search(caller.file):
        return None
    is_common_js = caller.file.endswith(_COMMON_JS_FILE) or (
        not caller.file.endswith(_ES_FILE) and _COMMON_JS.search(text) and not _ES.search(text)
    )
    return Module(caller, text, "commonjs" if is_common_js else "es", imports_of(text))


def import_of(module: Module, api: Api, exported: str) -> Insertion | None:
    """What imports an API by the name it is exported under; None where that is not needed."""
    caller = module.caller
    if api.kind == "script_include" or api.package == PLATFORM or api.source == caller.file:
        return None
    if _is_known(module, api.name):
        return None
    specifier = _specifier(module, api)
    is_named = exported not in ("default", "*")
    return (_joined(module, api.name, specifier) if is_named else None) or _line(
        module, f"{{ {api.name} }}" if is_named else api.name, specifier
    )


def _is_known(module: Module, name: str) -> bool:
    defined = rf"\b(?:class|function\*?|var|let|const)\s+{re.escape(name)}(?![\w$])"
    return any(each.local == name for each in module.imported) or bool(re.search(defined, module.text))


def _specifier(module: Module, api: Api) -> str:
    """A relative path within a package, the package's name from outside."""
    if api.package and api.package != module.caller.package:
        return api.package
    path = posixpath.relpath(api.source, posixpath.dirname(module.caller.file) or ".")
    path = path if path.startswith(".") else f"./{path}"
    source = _SOURCE.search(path)
    if source is None or (module.style == "es" and source[3] == "j" and not _leaves_out_suffix(module)):
        return path
    return path[: source.start()]


def _leaves_out_suffix(module: Module) -> bool:
    """Whether the file's other imports do."""
    relative = [each.module for each in module.imported if each.module.startswith(".")]
    return bool(relative) and not any(_SOURCE.search(each) for each in relative)


def _joined(module: Module, name: str, specifier: str) -> Insertion | None:
    """One more name in the braces of an import from the same module."""
    quoted = re.escape(specifier)
    from_ = rf"from\s*['\"]{quoted}['\"]" if module.style == "es" else rf"=\s*require\(\s*['\"]{quoted}['\"]"
    found = re.search(rf"[{{,]\s*[\w$]+\s*(,?)\s*\}}\s*{from_}", module.text)
    if found is None:
        return None
    braces = module.text.index("}", found.start())
    at = len(module.text[:braces].rstrip().removesuffix(","))
    return Insertion(at, f", {name}")


def _line(module: Module, clause: str, specifier: str) -> Insertion:
    """A line of its own below the other imports, or on top."""
    quote = '"' if module.text.count('from "') + module.text.count('require("') else "'"
    named = f"{quote}{specifier}{quote}"
    line_end = "\r\n" if "\r\n" in module.text else "\n"
    is_es = module.style == "es"
    written = f"import {clause} from {named};" if is_es else f"const {clause} = require({named});"
    above = [*(_LAST_ES if is_es else _LAST_COMMON_JS).finditer(module.text)]
    if above:
        return Insertion(above[-1].end(), f"{line_end}{written}")
    return Insertion(_top(module.text), f"{written}{line_end}")


def _top(text: str) -> int:
    """Where the line of the first statement begins, below comments and directives."""
    code = code_of(text).text
    at = 0
    while found := _DIRECTIVE.match(code, at):
        at = found.end()
    rest = len(code[at:]) - len(code[at:].lstrip())
    first = at + rest
    return max(code.rfind("\n", 0, first), code.rfind("\r", 0, first)) + 1 if first < len(code) else at
