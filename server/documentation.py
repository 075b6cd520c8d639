"""Markdown for hovers and completion items."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import MappingProxyType

from .jsdoc import Doc, Param, Typed, parse_doc
from .signatures import api_signature, method_signature
from .text import method_heading
from .types import Api, Method, RankedApi, Stage, Usage

MAX_METHODS = 12  # a hover is read, not scrolled
_MAX_TYPE = 60  # characters

_NAMING = frozenset(
    ("class", "constructor", "function", "func", "method", "memberof", "name", "namespace", "lends", "alias",
     "exports", "module", "static", "instance", "inner", "public", "kind", "typedef", "interface", "type")
)  # fmt: skip
"""Tags that say what the signature already shows."""


def api_markdown(api: Api) -> str:
    """What an API is: how it is called, its documentation, its methods, where it comes from."""
    doc = parse_doc(api.doc or api.synthesized)
    parts = [
        _fenced(api_signature(api)),
        _deprecation(doc),
        _facts(api),
        _marked(_escaped(doc.summary), api.doc),
        *_details(doc),
        _methods(api),
        _origin(api),
    ]
    return "\n\n".join(part for part in parts if part)


def method_markdown(api: Api, method: Method) -> str:
    """What a method is: how it is called, its documentation, whose it is."""
    doc = parse_doc(method.doc or method.synthesized)
    parts = [
        _fenced(method_signature(method)),
        _deprecation(doc),
        f"`{api.api_name}`" + (" · static" if method.is_static else ""),
        _marked(_escaped(doc.summary), method.doc),
        *_details(doc),
        f"From `{api.source}:{method.line or api.line}`",
    ]
    return "\n\n".join(part for part in parts if part)


def is_deprecated(named: Api | Method) -> bool:
    """Whether its documentation says that it should not be used any more."""
    return parse_doc(named.doc).deprecated is not None


def example_markdown(usage: Usage) -> str:
    """A known usage as an example."""
    return f"**Example**, {_where(usage)}:\n\n{_fenced(usage.statement)}"


def why_markdown(item: RankedApi, stages: Sequence[Stage], path: str = "") -> str:
    """Why an API was predicted: its ranks, the hypothetical code, the nearest known usage, its path in the
    graph, what the stages took."""
    ranks = " · ".join(f"{e.signal} #{e.rank}" for e in sorted(item.evidence, key=lambda e: e.rank))
    lines = ["---", f"**Why:** {ranks}"]
    if expansion := next((stage.note for stage in stages if stage.stage == "expand"), ""):
        lines.append(f"Expansion: {_code(expansion)}")
    if item.usage:
        lines.append(f"Nearest known usage, {_where(item.usage)}:")
        lines.append(_fenced(item.usage.statement))
    if path:
        lines.append(f"Graph: {path}")
    lines.append(" · ".join(f"{stage.stage} {stage.ms:.0f} ms" for stage in stages))
    return "\n\n".join(lines)


def _where(usage: Usage) -> str:
    caller = f"in *{_escaped(usage.caller)}*, " if usage.caller else ""
    return f"{caller}`{usage.file}:{usage.line}`"


_SHOWN_INFERRED = ("scope", "package")


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
    if inferred := [name for name in _SHOWN_INFERRED if name in api.inferred]:
        facts.append(f"{' and '.join(inferred)} inferred from its place")
    return " · ".join(facts)


def _methods(api: Api) -> str:
    shown = [method for method in api.methods if not method.is_private]
    lines = [_method_line(method) for method in shown[:MAX_METHODS]]
    if len(shown) > MAX_METHODS:
        lines.append(f"- … {len(shown) - MAX_METHODS} more")
    return "\n".join(lines)


def _method_line(method: Method) -> str:
    call = _code(method_signature(method))
    call += f", reads {', '.join(map(_escaped, method.sysparms))}" if method.sysparms else ""
    heading, doc = _marked(_escaped(method_heading(method)), method.doc), parse_doc(method.doc)
    if doc.deprecated is None:
        return f"- {call}" + (f" — {heading}" if heading else "")
    return f"- ~~{call}~~ — {_deprecation(doc)}"


_ORIGINS = MappingProxyType(
    {
        "written": "",
        "synthesized": "Nobody documented it: what is said here is *synthesized* from its code. ",
        "none": "No documentation was written for it. ",
    }
)


def _marked(text: str, written: str) -> str:
    """In italics what nobody wrote."""
    return text if written or not text else f"*{text}*"


def _origin(api: Api) -> str:
    return f"{_ORIGINS[api.doc_origin]}From `{api.source}:{api.line}`"


def _deprecation(doc: Doc) -> str:
    if doc.deprecated is None:
        return ""
    return f"**Deprecated:** {_line(doc.deprecated)}" if doc.deprecated else "**Deprecated.**"


def _details(doc: Doc) -> list[str]:
    """What the tags say."""
    parts = []
    if doc.params:
        parts.append("\n".join(("**Parameters**", "", *map(_param_line, doc.params))))
    if doc.returns and (doc.returns.type or doc.returns.description):
        parts.append(f"**Returns**{_typed(doc.returns)}")
    parts += [f"**Throws**{_typed(thrown)}" for thrown in doc.throws]
    parts += [_fenced(example) for example in doc.examples]
    others = [f"- *@{tag}* {_line(body)}".rstrip() for tag, body in doc.tags if tag not in _NAMING]
    return [*parts, "\n".join(others)]


def _param_line(param: Param) -> str:
    about = ", ".join(part for part in (_type(param.type), "optional" if param.optional else "") if part)
    described = f" — {_line(param.description)}" if param.description else ""
    return f"- {_code(param.name)}" + (f" ({about})" if about else "") + described


def _typed(typed: Typed) -> str:
    shown = (_type(typed.type), _line(typed.description))
    return "".join((f" {shown[0]}" if shown[0] else "", f" — {shown[1]}" if shown[1] else ""))


def _type(name: str) -> str:
    cut = name if len(name) <= _MAX_TYPE else f"{name[: _MAX_TYPE - 1]}…"
    return _code(cut) if cut else ""


def _code(text: str) -> str:
    """In one line that no backtick can leave."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"


def _fenced(code: str) -> str:
    """A block that no fence in the code can end."""
    runs = [len(run) for run in re.findall("`+", code)]
    fence = "`" * max(3, *(run + 1 for run in runs)) if runs else "```"
    return f"{fence}javascript\n{code}\n{fence}"


def _line(text: str) -> str:
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    """Markup of untrusted comments stays text: no HTML, no links or images."""
    return re.sub(r"([<\[\]!`*_#|~\\])", r"\\\1", text)
