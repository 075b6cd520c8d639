"""How an API and its methods are written where they are called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .places import PLATFORM
from .types import Api, Context, Method

_OF_JAVA = ("cx", "args", "ctorObj", "inNewExpr")
"""What a constructor of the platform's own is declared with: nothing that a script passes."""


def api_parameters(api: Api) -> tuple[str, ...]:
    """Of the constructor, or of the function itself."""
    return () if api.params == _OF_JAVA else api.params


def api_signature(api: Api) -> str:
    """`new Name(a: string)`, `name(a): number`, or `Name` where it is never constructed."""
    if is_namespace(api):
        return api.name
    call = written_call(api.name, api_parameters(api), api.types, api.returns)
    return call if api.kind == "function" else f"new {call}"


def method_signature(method: Method) -> str:
    """`name(a: string, b): number`"""
    return written_call(method.name, method.params, method.types, method.returns)


def written_call(name: str, params: Sequence[str], types: Sequence[str], returns: str) -> str:
    """`name(a: string, b): number`"""
    return f"{name}({', '.join(typed_parameters(params, types))})" + (f": {returns}" if returns else "")


def typed_parameters(params: Sequence[str], types: Sequence[str]) -> tuple[str, ...]:
    """`a: string` for each whose type is known."""
    typed = [*types, *[""] * (len(params) - len(types))]
    return tuple(f"{p}: {t}" if t else p for p, t in zip(params, typed, strict=False))


def is_namespace(api: Api) -> bool:
    """Whether its methods are called on the name itself: an object, or a class with nothing but statics."""
    name = re.escape(api.name)  # first in the patterns: a search for a literal is quick
    if api.kind == "object":
        return True
    if api.extends or "Class.create(" in api.code or f"{api.name}.prototype" in api.code:
        return False
    if api.methods and all(method.is_static for method in api.methods):
        return True
    literal = rf"{name}(?<![\w$.]{name})\s*=\s*(?:{name}\s*\|\|\s*)?\{{"
    return api.kind == "script_include" and re.search(literal, api.code) is not None


def written_name(api: Api, context: Context) -> str:
    """The name as it must be written there: with its scope where that is another one and not there yet."""
    near = ("", context.scope, "global" if api.package == PLATFORM else "")
    return api.name if context.qualifier or not context.scope or api.scope in near else api.api_name


def snippet_call(params: Sequence[str]) -> str:
    """`(${1:a}, ${2:b})`: the arguments as places to fill in; `()` where there are none."""
    escaped = (snippet_text(param).replace("}", r"\}") for param in params)
    return f"({', '.join(f'${{{n}:{param}}}' for n, param in enumerate(escaped, 1))})"


def snippet_text(text: str) -> str:
    """Text that a client which reads snippets inserts as it is."""
    return re.sub(r"([\\$])", r"\\\1", text)
