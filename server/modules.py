"""What a file imports, and which APIs a module holds."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from .index import Index
from .lexer import code_of

_IMPORT = re.compile(
    r"\bimport\s++(?:type\s++)?([\w$*\s{},]{1,2000}?)\bfrom\s*['\"]([^'\"\n]+)['\"]"
    r"|\b(?:var|let|const)\s+([\w$]+|\{[^{}]*\})\s*=\s*require\(\s*['\"]([^'\"\n]+)['\"]\s*\)(?:\.([\w$]+))?"
)
_SPECIFIER = re.compile(r"([\w$]+)(?:\s*(?:\bas\b|:)\s*([\w$]+))?")
_SUFFIX = re.compile(r"\.(?:d\.)?[cm]?[jt]sx?\Z")


@dataclass(frozen=True, slots=True)
class Caller:
    """The script that names something: relative path, scope and package, "" where unknown."""

    file: str = ""
    scope: str = ""
    package: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """`import { exported as local } from 'module'`; "*" is the whole module."""

    local: str
    module: str
    exported: str


@lru_cache(maxsize=4)  # of one text many names are asked
def imports_of(text: str) -> tuple[Imported, ...]:
    """What a text imports, in ES modules and CommonJS."""
    found = tuple(_IMPORT.finditer(text))
    code = code_of(text).text if found else ""
    # What stands in a comment or a string imports nothing.
    return tuple(each for one in found if code[one.start()] == text[one.start()] for each in _imported(one))


def _imported(found: re.Match[str]) -> Iterator[Imported]:
    es_clause, es_module, required, cjs_module, member = found.groups()
    module, clause = es_module or cjs_module, es_clause or required
    listed = re.search(r"\{([^}]*)\}", clause)
    for exported, local in _SPECIFIER.findall(listed[1]) if listed else ():
        yield Imported(local or exported, module, exported)
    rest = re.sub(r"\{[^}]*\}", "", clause)
    if namespace := re.search(r"\*\s*as\s+([\w$]+)", rest):
        yield Imported(namespace[1], module, "*")
        rest = rest[: namespace.start()]
    if name := re.search(r"[\w$]+", rest):
        yield Imported(name.group(), module, "default" if es_clause else member or "*")


def module_apis(index: Index, caller: Caller, module: str) -> tuple[int, ...]:
    """Ids of the APIs that a module defines, or a package."""
    if module.startswith("."):
        wanted = _SUFFIX.sub("", posixpath.normpath(posixpath.join(posixpath.dirname(caller.file), module)))
        sources = index.apis.source
        known = [source for source in sources.values if _module_path(source) == wanted]
        return tuple(i for source in known for i in sources.equal(source).nonzero()[0].tolist())
    return tuple(index.apis.package.equal(module).nonzero()[0].tolist())


def _module_path(source: str) -> str:
    return _SUFFIX.sub("", source).removesuffix("/index")
