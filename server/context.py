"""From the text around a cursor, and what is known of its file, to a Context."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from html import unescape

from .enclosing import function_around
from .lexer import code_of
from .places import is_code_field, module_name, side_of
from .text import WINDOW_LINES, whole_characters, window_after, window_before
from .types import Context, Unresolved
from .unresolved import unresolved

MAX_CHARS = 500_000  # on each side of the cursor; what lies further away does not matter there
MAX_CODE = 20_000  # characters before the cursor that are read as code
MAX_NAMES = 3000  # names read from a file; more would not make its evidence better

# \Z, not $: that also matches before a last line end.
_PREFIX = re.compile(r"[A-Za-z_$][\w$]*\Z")
_QUALIFIER = re.compile(r"([A-Za-z_$][\w$.]*|[)\]])\s*\.\Z")
_NEW = re.compile(r"\bnew\s+(?:[A-Za-z_$][\w$]*\.)*\Z")
_AJAX = re.compile(r"\bGlideAjax\(\s*['\"][\w.]*\Z")
_NAME = re.compile(r"[A-Za-z_$][\w$]*")


def make_context(
    before: str, after: str, facts: Mapping[str, str] | None = None, lines: int = WINDOW_LINES
) -> Context:
    """Context at the cursor between `before` and `after`.

    `facts` may state file, scope, package, record_type, record_name, field and table; what is missing stays
    empty. A file that is no record goes by its own name.
    """
    known = {key: str((facts or {}).get(key) or "") for key in _FACTS}
    known["field"] = known["field"] or _field_around(before)
    known["record_name"] = known["record_name"] or module_name(known["file"])
    before, after = _script_only(before, after)
    before, after = whole_characters(before[-MAX_CHARS:]), whole_characters(after[:MAX_CHARS])
    prefix = _prefix(before)
    head = before[: len(before) - len(prefix)]
    used, function, names = _read(head, after)
    return Context(
        before=before,
        after=after,
        window=window_before(head, lines),
        window_after=window_after(after),
        prefix=prefix,
        qualifier=_qualifier(head),
        trigger="ajax" if _AJAX.search(before[-200:]) else "new" if _NEW.search(head[-200:]) else "",
        used=used,
        function=function,
        unresolved=names,
        side=side_of(known["record_type"], known["field"]),
        **known,
    )


@lru_cache(maxsize=2)
def _read(head: str, after: str) -> tuple[tuple[str, ...], str, Unresolved]:
    """The names used, the function around, and what is unresolved: the same for each letter of a name."""
    code = code_of(head[-MAX_CODE:]).text
    return _names(head, after), function_around(code), unresolved(head, code, after)


def script_before(before: str) -> str | None:
    """All of a script before the cursor; None in a record's XML outside of its scripts."""
    field = _field_around(before)
    if _is_xml(before) and not is_code_field("sp_widget", field):
        return None
    return _script_only(before, "")[0]


_FACTS = ("file", "scope", "package", "record_type", "record_name", "field", "table")
_CDATA = "<![CDATA["
_MARKUP = re.compile(r"\ufeff?\s*<")
_FIELD = re.compile(r"<(\w+)(?:\s[^<>]*)?>\s*\Z")
_ELEMENT = re.compile(r"<(\w+)(?:\s[^<>]*)?>")


def _script_only(before: str, after: str) -> tuple[str, str]:
    """In a record's XML the script is what stands in CDATA around the cursor, or escaped in an element."""
    start = _cdata(before)
    if start >= 0:
        return before[start + len(_CDATA) :], after.split("]]>", 1)[0]
    if element := _element(before):
        return unescape(before[element.end() :]), unescape(after.split("</", 1)[0])
    return before, after


def _field_around(before: str) -> str:
    """The element that the cursor stands in, of a record's XML."""
    start = _cdata(before)
    element = _FIELD.search(before[max(0, start - 200) : start]) if start >= 0 else _element(before)
    return element[1] if element else ""


def _element(before: str) -> re.Match[str] | None:
    """The element whose text, without CDATA, the cursor stands in."""
    return _ELEMENT.match(before, max(0, before.rfind("<"))) if _is_xml(before) else None


def _is_xml(before: str) -> bool:
    return before.startswith(("<?xml", "\ufeff<?xml"))


def _cdata(before: str) -> int:
    """Where the CDATA around the cursor begins, or -1; a script may name one in a string."""
    start = before.rfind(_CDATA) if _MARKUP.match(before) else -1
    return -1 if start >= 0 and "]]>" in before[start:] else start


def _prefix(before: str) -> str:
    found = _PREFIX.search(before[-200:])
    return found.group() if found else ""


def _qualifier(head: str) -> str:
    found = _QUALIFIER.search(head[-200:])
    name = found.group(1) if found else ""
    return "" if name and _is_namespace(name, head) else name


def _is_namespace(name: str, head: str) -> bool:
    """Whether the file imports a whole module under this name: its members are APIs."""
    quoted = re.escape(name)
    return re.search(rf"\*\s+as\s+{quoted}\b|\b{quoted}\s*=\s*require\(", head) is not None


def _names(before: str, after: str) -> tuple[str, ...]:
    """Names used in the file, the nearest before the cursor first."""
    behind = _NAME.findall(before[-200_000:])[::-1][:MAX_NAMES]
    ahead = _NAME.findall(after[:200_000])[:MAX_NAMES]
    return tuple(dict.fromkeys(behind + ahead))
