"""Documentation where none was written: JSDoc made of names, parameters and what the code does.

It is kept apart from what was written, in the index and in every answer: a reader must know which is which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from deepcodeseek.server.text import lexical_tokens
from deepcodeseek.server.types import Api, Method

from .facts import Facts, Key

MAX_LISTED = 6  # of tables, calls, fields and messages
_NOTHING = Facts()


def document(api: Api, facts: Mapping[Key, Facts], line_offset: int) -> Api:
    """The API with a description of whatever has no written one."""
    known = {m: facts.get((m.name.rpartition(".")[2], m.line - line_offset), _NOTHING) for m in api.methods}
    methods = tuple(m if m.doc else replace(m, synthesized=_of_method(m, known[m])) for m in api.methods)
    origin = api.doc_origin
    if api.doc:
        return replace(api, methods=methods)
    own = facts.get((api.name, api.line - line_offset), _NOTHING) if api.kind == "function" else _NOTHING
    told = _of_function(api, own) if api.kind == "function" else _of_class(api, list(known.values()))
    return replace(
        api, methods=methods, synthesized=told, doc_origin="synthesized" if origin == "none" else origin
    )


def with_example(api: Api, statement: str) -> Api:
    """The API with a real call of it, where nobody wrote an example."""
    if "@example" in api.doc or not statement:
        return api
    return replace(api, synthesized=f"{api.synthesized}\n@example\n{statement}".strip())


def _of_method(method: Method, facts: Facts) -> str:
    return _told(method.name, method.params, method.types, method.returns, facts, method.sysparms)


def _of_function(api: Api, facts: Facts) -> str:
    return _told(api.name, api.params, api.types, api.returns, facts)


def _told(
    name: str,
    params: Sequence[str],
    types: Sequence[str],
    returns: str,
    facts: Facts,
    sysparms: Sequence[str] = (),
) -> str:
    lines = [" ".join((f"{_phrase(name)}.", *_deeds(facts)))]
    if sysparms:
        lines.append(f"Answers GlideAjax; reads {_listed(sysparms)}.")
    lines += [f"@param {_braced(kind)}{param}" for param, kind in zip_longest(params, types, fillvalue="")]
    if returned := returns or _one_of(facts.returns):
        lines.append(f"@returns {_braced(returned)}".rstrip())
    elif facts.returns:
        lines.append("@returns")
    lines += [f"@throws {_braced(thrown)}".rstrip() for thrown in facts.throws[:1]]
    return "\n".join(lines)


def _of_class(api: Api, facts: Sequence[Facts]) -> str:
    every = _all_of(facts)
    made = f"{_phrase(api.name)}, extends {api.extends}." if api.extends else f"{_phrase(api.name)}."
    does = [_phrase(method.name).lower() for method in api.methods if not method.is_private]
    can = [f"Can {_listed(does)}."] if does else []
    return " ".join((made, *can, *_deeds(replace(every, messages=()))))


def _all_of(facts: Sequence[Facts]) -> Facts:
    return Facts(
        tables=_merged(item.tables for item in facts),
        writes=any(item.writes for item in facts),
        fields=_merged(item.fields for item in facts),
        calls=_merged(item.calls for item in facts),
    )


def _deeds(facts: Facts) -> list[str]:
    told = []
    if facts.tables:
        verb = "Reads and writes" if facts.writes else "Reads"
        fields = f" by {_listed(facts.fields)}" if facts.fields else ""
        told.append(f"{verb} {_listed(facts.tables)}{fields}.")
    elif facts.fields:
        told.append(f"Uses the fields {_listed(facts.fields)}.")
    if facts.calls:
        told.append(f"Calls {_listed(facts.calls)}.")
    if facts.messages:
        told.append("Says " + ", ".join(f'"{message}"' for message in facts.messages[:3]) + ".")
    return told


def _phrase(name: str) -> str:
    words = " ".join(lexical_tokens(name)) or name
    return words[:1].upper() + words[1:]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_LISTED])


def _one_of(types: Sequence[str]) -> str:
    known = [name for name in types if name]
    return "|".join(known) if known and len(known) == len(types) <= 3 else ""


def _braced(kind: str) -> str:
    return f"{{{kind}}} " if kind else ""


def _merged(lists: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in lists for name in names))
