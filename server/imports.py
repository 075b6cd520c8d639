"""What has to be added to a module so that it may name an API."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from .lexer import code_of
from .modules import Caller, Imported, imports_of
from .places import PLATFORM
from .types import Api

Style = Literal["es", "commonjs", "amd"]
"""Of modules. Into one of AMD nothing is put: its names are parameters, each at the place of its path."""

_ES = re.compile(r"^[ \t]*(?:import\b(?!\s*\()|export\b)", re.MULTILINE)
_COMMON_JS = re.compile(r"\brequire\(|\bmodule\.exports\b|(?:^|\n)\s*exports\.")
# These read what `code_of` leaves: of a string its quotes, as `"`, and blanks.
_STATEMENTS: Mapping[Style, re.Pattern[str]] = MappingProxyType(
    {
        "es": re.compile(
            r'^import\b(?!\s*[(.])[^;"=()]{0,2000}+" *+"(?:\s*+\b(?:with|assert)\s*+\{[^{}]*+\})?[ \t]*+;?',
            re.MULTILINE,
        ),
        "commonjs": re.compile(
            r'^(?:var|let|const)\s[^;="]{0,2000}+=\s*+require\(" *+"\)[^;\n]*+;?', re.MULTILINE
        ),
    }
)
_BRACES = r'\b([^;"=]{0,2000}[{,]\s*+[\w$]++)\s*+,?\s*+\}\s*+'
_JOINED: Mapping[Style, re.Pattern[str]] = MappingProxyType(
    {
        "es": re.compile(rf'^[ \t]*+import(?!\s+type\b){_BRACES}from\s*+"( *+)"', re.MULTILINE),
        "commonjs": re.compile(rf'^[ \t]*+(?:var|let|const){_BRACES}=\s*+require\(\s*+"( *+)"', re.MULTILINE),
    }
)
_DEFINED = re.compile(r"\b(?:class|function\*?|var|let|const)\s+([\w$]+)|\bimport\s+([\w$]+)\s*=")
_TAKEN_APART = re.compile(
    r"\b(?:var|let|const)\s*(?:\{([^{}\[\];]{0,1000})\}|\[([^{}\[\];]{0,1000})\])"
    r"\s*(?::[^=;(){}]{0,100})?=(?!=)"
)
_DECLARED_TOO = re.compile(r",\s*([\w$]+)\s*=(?![=>])")
_AMD = re.compile(
    r"(?<![\w$.])(?:sap\.ui\.)?define\s*\(\s*(?:\" *\"\s*,\s*)?(?:\[[^\[\]]{0,5000}\]\s*,\s*)?"
    r"(?:async\s+)?(?:function\b[^()]{0,100})?\(([^()]{0,5000})\)\s*(?:\{|=>)"
)
_GOES_ON = re.compile(r"[ \t]*+(?:[^\s]|\s++[.,(\[`])")
_SHEBANG = re.compile(r"#![^\r\n]*(?:\r\n?|\n|\Z)")
_DIRECTIVE = re.compile(r"\s*\"[^\"\n]*\"[ \t]*;?")
_DOC = re.compile(r"/\*\*(?:[^*]|\*(?!/))*+\*/[ \t]*+(?:\r\n?|\n)\Z")
_OF_THE_FILE = re.compile(r"@(?:license|preserve|file|fileoverview|overview|module|copyright)\b")
_SOURCE = re.compile(r"(\.d)?\.([cm]?)([jt])sx?\Z")
_COMMON_JS_FILE = (".cjs", ".cts")
_ES_FILE = (".mjs", ".mts")


@dataclass(frozen=True, slots=True)
class Module:
    """A file that imports what it uses, read once for all that may be imported."""

    caller: Caller
    style: Style
    imported: tuple[Imported, ...]
    defined: frozenset[str]  # names
    braces: Mapping[str, int] = field(default_factory=dict)  # where one more name goes, by what it is from
    at: int = 0  # where one more import goes
    is_below: bool = False  # the line that ends there, and not above the one that begins there
    quote: str = "'"
    line_end: str = "\n"


@dataclass(frozen=True, slots=True)
class Insertion:
    """A text, and the offset that it belongs at."""

    at: int
    text: str


def module_of(caller: Caller, text: str, cursor: int) -> Module | None:
    """How a file imports, for what is named at an offset; None where it is no source file."""
    if not _SOURCE.search(caller.file):
        return None
    code = code_of(text).text
    is_es = caller.file.endswith(_ES_FILE) or _ES.search(code)
    if (factory := _AMD.search(code)) and not is_es:
        return Module(caller, "amd", imports_of(text), frozenset((*_defined(code), *_names_in(factory[1]))))
    is_common_js = caller.file.endswith(_COMMON_JS_FILE) or (not is_es and _COMMON_JS.search(code))
    style: Style = "commonjs" if is_common_js else "es"
    # `require` is run where it stands, so that it must not stand below what needs it.
    end = code.rfind("\n", 0, cursor) + 1 if style == "commonjs" else len(code)
    at, is_below = _place(text, code, style, end)
    joined = (found for found in _JOINED[style].finditer(code) if found.end() <= end)
    return Module(
        caller,
        style,
        imports_of(text),
        frozenset(_defined(code)),
        {text[slice(*found.span(2))]: found.end(1) for found in joined},
        at,
        is_below,
        quote='"' if 'from "' in text or 'require("' in text else "'",
        line_end="\r\n" if "\r\n" in text else "\n",
    )


def _defined(code: str) -> Iterator[str]:
    """Names that a file gives something itself, and a few more where that cannot be told apart."""
    for found in _DEFINED.finditer(code):
        yield found[1] or found[2]
    for found in _TAKEN_APART.finditer(code):
        yield from _names_in(found[1] or found[2] or "")
    yield from _DECLARED_TOO.findall(code)


def _names_in(pattern: str) -> Iterator[str]:
    """The names that a list of parameters gives, or what takes an object apart: of `a: b = c` the `b`."""
    for part in pattern.split(","):
        if names := re.findall(r"[\w$]+", part.partition("=")[0]):
            yield names[-1]


def import_of(module: Module, api: Api, exported: str) -> Insertion | None:
    """What imports an API by the name it is exported under; None where that is not needed."""
    if module.style == "amd" or is_within_reach(module, api):
        return None
    specifier = _specifier(module, api)
    is_named = exported not in ("default", "*")
    if is_named and specifier in module.braces:
        return Insertion(module.braces[specifier], f", {api.name}")
    return _line(module, f"{{ {api.name} }}" if is_named else api.name, specifier)


def is_within_reach(module: Module, api: Api) -> bool:
    """Whether a file may name an API as it is."""
    if api.kind == "script_include" or api.package == PLATFORM or api.source == module.caller.file:
        return True
    return api.name in module.defined or any(each.local == api.name for each in module.imported)


def _specifier(module: Module, api: Api) -> str:
    """A relative path within a package, the package's name from outside."""
    if api.package and api.package != module.caller.package:
        return api.package
    path = posixpath.relpath(api.source, posixpath.dirname(module.caller.file) or ".")
    path = path if path.startswith(".") else f"./{path}"
    source = _SOURCE.search(path)
    if source is None:
        return path
    is_script = source[3] == "j"
    if module.style == "commonjs" or not _has_suffix(module, is_script):
        return path[: source.start()]
    return path if is_script else f"{path[: source.start()]}.{source[2]}js"


def _has_suffix(module: Module, by_default: bool) -> bool:
    """Whether the file's other imports name what is run, with its suffix."""
    if module.caller.file.endswith(".mts"):
        return True
    modules = [each.module for each in module.imported if not each.module.endswith(".json")]
    relative = [each for each in modules if each.startswith(".")]
    return any(_SOURCE.search(each) for each in relative) if relative else by_default


def _line(module: Module, clause: str, specifier: str) -> Insertion:
    named = f"{module.quote}{specifier}{module.quote}"
    is_es = module.style == "es"
    written = f"import {clause} from {named};" if is_es else f"const {clause} = require({named});"
    return Insertion(
        module.at, f"{module.line_end}{written}" if module.is_below else f"{written}{module.line_end}"
    )


def _place(text: str, code: str, style: Style, limit: int) -> tuple[int, bool]:
    """Where another import goes, and whether below what ends there: below the last one before the limit where
    that ends there for certain, else above it; above the first statement where there is none."""
    above = [found for found in _STATEMENTS[style].finditer(code) if found.end() <= limit]
    if not above:
        return min(limit, _top(text, code)), False
    last, end = above[-1], above[-1].end()
    statement = last.group().rstrip()
    is_whole = statement.endswith(";") or not (statement.endswith(",") or _GOES_ON.match(code, end))
    return (end, True) if is_whole else (last.start(), False)


def _top(text: str, code: str) -> int:
    """Where the line of the first statement begins, or its documentation; below what is said of the file."""
    found = _SHEBANG.match(text)
    at = found.end() if found else 0
    while found := _DIRECTIVE.match(code, at):
        at = found.end()
    first = at + len(code[at:]) - len(code[at:].lstrip())
    if first == len(code):
        return at
    line = max(at, code.rfind("\n", 0, first) + 1, code.rfind("\r", 0, first) + 1)
    doc = text.rfind("/**", at, line)
    is_its_own = doc >= 0 and _DOC.match(text, doc, line) and not _OF_THE_FILE.search(text, doc, line)
    return doc if is_its_own else line
