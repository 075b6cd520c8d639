"""From the text around a cursor, and what is known of its file, to a Context."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .text import WINDOW_LINES, whole_characters, window_after, window_before
from .types import Context

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

    `facts` may state file, scope, package, record_type, record_name and table; what is missing stays empty.
    """
    before, after = map(whole_characters, _script_only(before, after))
    prefix = _prefix(before)
    head = before[: len(before) - len(prefix)]
    known = {key: str((facts or {}).get(key) or "") for key in _FACTS}
    return Context(
        before=before,
        after=after,
        window=window_before(head, lines),
        window_after=window_after(after),
        prefix=prefix,
        qualifier=_qualifier(head),
        trigger="ajax" if _AJAX.search(before[-200:]) else "new" if _NEW.search(head[-200:]) else "",
        used=_names(head, after),
        **known,
    )


def facts_from_path(path: str) -> dict[str, str]:
    """What the folders of a sync tool say of a script: `<scope>/<table>/<name>.script.js`."""
    parts = path.split("/")
    if len(parts) < 3 or not _RECORD_TABLE.fullmatch(parts[-2]) or not _SCOPE.fullmatch(parts[-3]):
        return {}
    name = re.sub(r"(\.script)?\.[jt]s$", "", parts[-1])
    return {"scope": parts[-3], "record_type": parts[-2], "record_name": name}


_RECORD_TABLE = re.compile(r"(sys|sp|sc|catalog|scan|ecc)(_\w+)|sysauto_script|sysevent_\w+")
_SCOPE = re.compile(r"global|(x|sn)_\w+")
_FACTS = ("file", "scope", "package", "record_type", "record_name", "table")


def is_scope(name: str) -> bool:
    """Whether a name has the shape of an application scope's: global, x_..., sn_..."""
    return _SCOPE.fullmatch(name) is not None


def _script_only(before: str, after: str) -> tuple[str, str]:
    """In a record's XML the script is what stands in CDATA around the cursor."""
    start = before.rfind("<![CDATA[")
    if start < 0 or "]]>" in before[start:]:
        return before, after
    return before[start + len("<![CDATA[") :], after.split("]]>", 1)[0]


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
