"""The text of a JSDoc comment -> what it says of parameters, results and the rest.

The text is that which `Method.doc` holds: without comment marks, each tag at the beginning of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent
from types import MappingProxyType

_TAG = re.compile(r"^[ \t]*@([A-Za-z][\w-]*)[ \t]*(.*)$")
_NAME = re.compile(r"^(?:\[\s*([^\]=\s]+)(?:[=\s][^\]]*)?\]|([^\s,:{}\[\]]+))[\s,:]*")
_LINK = re.compile(r"\{@(?:link|linkcode|linkplain|tutorial)\s([^{}]{1,300})\}")
_SYNONYMS = MappingProxyType(
    {
        "arg": "param", "argument": "param", "parameter": "param", "return": "returns",
        "exception": "throws", "desc": "description", "classdesc": "description", "summary": "description",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter, or a property of one: `options.name`."""

    name: str
    type: str = ""
    description: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Typed:
    """What is returned or thrown."""

    type: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Doc:
    """All that one comment says."""

    summary: str = ""
    params: tuple[Param, ...] = ()
    returns: Typed | None = None
    throws: tuple[Typed, ...] = ()
    deprecated: str | None = None  # why, or what to use; "" where it only says that it is
    examples: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()  # the others, in order
    type: str = ""  # of @type


def parse_doc(text: str) -> Doc:
    """Never fails: what is malformed stays text."""
    blocks = list(_blocks(text))
    said = {name: [body for tag, body in blocks if tag == name] for name in dict(blocks)}
    prose = (body for tag, body in blocks if tag in ("", "description") and body)
    returns = [_typed(body) for body in said.get("returns", ())]
    deprecated = said.get("deprecated")
    return Doc(
        summary=_plain("\n".join(prose)),
        params=tuple(param for body in said.get("param", ()) if (param := _param(body))),
        returns=returns[0] if returns else None,
        throws=tuple(_typed(body) for body in said.get("throws", ())),
        deprecated=_plain(deprecated[0]) if deprecated else None,
        examples=tuple(dedent(body) for body in said.get("example", ()) if body),
        tags=tuple((tag, _plain(body)) for tag, body in blocks if tag not in _PARTS),
        type=next((split_type(body)[0] for body in said.get("type", ())), ""),
    )


_PARTS = ("", "description", "param", "returns", "throws", "deprecated", "example", "type")


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Each tag with all its lines; before the first tag, the prose."""
    tag, lines = "", list[str]()
    for line in text.splitlines():
        if found := _TAG.match(line):
            yield tag, _joined(lines)
            tag, lines = _SYNONYMS.get(found[1].lower(), found[1].lower()), [found[2]]
        else:
            lines.append(line)
    yield tag, _joined(lines)


def _joined(lines: list[str]) -> str:
    return "\n".join(line.rstrip() for line in lines).strip("\n").rstrip()


def _param(body: str) -> Param | None:
    type_, rest = split_type(body)
    found = _NAME.match(rest)
    if found is None:
        return None
    if not type_ and rest[found.end() :].startswith("{"):  # name {type}, as some write it
        type_, after = split_type(rest[found.end() :])
    else:
        after = rest[found.end() :]
    is_optional = found[1] is not None or type_.endswith("=")
    name = (found[1] or found[2]).removeprefix("...")
    return Param(name, type_.removesuffix("="), _plain(_description(after)), is_optional)


def _typed(body: str) -> Typed:
    type_, rest = split_type(body)
    return Typed(type_, _plain(_description(rest)))


def split_type(body: str) -> tuple[str, str]:
    """The type in braces, which may hold braces itself, and what stands after it."""
    body = body.lstrip()
    depth = 0
    for at, character in enumerate(body if body.startswith("{") else ""):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return " ".join(body[1:at].split()), body[at + 1 :].lstrip()
    return "", body


def _description(text: str) -> str:
    return re.sub(r"^[-–—:]\s+", "", text.lstrip())


def _plain(text: str) -> str:
    """`{@link X|words}` as its words."""
    return _LINK.sub(lambda link: _words(link[1].strip()), text).strip()


def _words(link: str) -> str:
    target, _, words = link.partition("|" if "|" in link else " ")
    return words.strip() or target.strip()
