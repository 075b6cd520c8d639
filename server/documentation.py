"""Markdown for hovers and completion items."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .text import method_heading
from .types import Api, Method, RankedApi, Stage

MAX_METHODS = 12  # a hover is read, not scrolled

_TAG = re.compile(r"^@(\w+)\s*(.*)$")


def api_markdown(api: Api) -> str:
    """What an API is: how it is called, its documentation, its methods, where it comes from."""
    parts = [
        f"```javascript\n{_signature(api)}\n```",
        _facts(api),
        _prose(api.doc),
        _methods(api),
        _origin(api),
    ]
    return "\n\n".join(part for part in parts if part)


def why_markdown(item: RankedApi, stages: Sequence[Stage]) -> str:
    """Why an API was predicted: its ranks, the nearest known usage, what the stages took."""
    ranks = ", ".join(f"{e.signal} #{e.rank}" for e in sorted(item.evidence, key=lambda e: e.rank))
    lines = ["---", f"**Why:** {ranks}"]
    if item.usage:
        caller = f"in *{_escaped(item.usage.caller)}*, " if item.usage.caller else ""
        lines.append(f"Nearest known usage, {caller}`{item.usage.file}:{item.usage.line}`:")
        lines.append(f"```javascript\n{item.usage.statement}\n```")
    lines.append(" · ".join(f"{stage.stage} {stage.ms:.0f} ms" for stage in stages))
    return "\n\n".join(lines)


def _signature(api: Api) -> str:
    params = ", ".join(api.params)
    if api.kind == "function":
        return f"{api.name}({params})"
    if api.kind == "object" or (api.methods and all(method.is_static for method in api.methods)):
        return api.name
    return f"new {api.name}({params})"


def _facts(api: Api) -> str:
    facts = [f"`{api.api_name}`"]
    if api.extends:
        facts.append(f"extends `{api.extends}`")
    if api.access:
        facts.append(api.access.replace("_", " "))
    if api.caller_access:
        facts.append(f"callers {api.caller_access}")
    if api.client_callable:
        facts.append("client callable")
    return " · ".join(facts)


def _methods(api: Api) -> str:
    shown = [method for method in api.methods if not method.is_private]
    lines = [_method_line(method) for method in shown[:MAX_METHODS]]
    if len(shown) > MAX_METHODS:
        lines.append(f"- … {len(shown) - MAX_METHODS} more")
    return "\n".join(lines)


def _method_line(method: Method) -> str:
    heading = method_heading(method)
    reads = f", reads {', '.join(map(_escaped, method.sysparms))}" if method.sysparms else ""
    return f"- `{method.signature}`{reads}" + (f" — {_escaped(heading)}" if heading else "")


def _origin(api: Api) -> str:
    documented = "" if api.doc_origin == "written" else "No documentation was written for it. "
    return f"{documented}From `{api.source}:{api.line}`"


def _prose(doc: str) -> str:
    """Comment text as Markdown: tags as a list, the rest as it stands."""
    lines = []
    for line in doc.splitlines():
        tag = _TAG.match(line.strip())
        lines.append(f"- *@{tag[1]}* {_escaped(tag[2])}" if tag else _escaped(line))
    return "\n".join(lines).strip()


def _escaped(text: str) -> str:
    """Markup of untrusted comments stays text: no HTML, no links or images."""
    return re.sub(r"([<\[\]!`*_#|\\])", r"\\\1", text)
