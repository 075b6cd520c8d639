"""What a name in a script means: an API, an object made of one, or one of its methods.

Read from the text before the cursor, the nearest assignment first: no scopes, no control flow. What cannot
be told is None, and nothing is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType

from .index import Index
from .lexer import closing_of
from .modules import Caller, imports_of, module_apis
from .places import PLATFORM
from .signatures import is_namespace
from .types import Api, Method

_DEPTH = 5  # variables and calls followed, one from the other
_THIS = ("this", "self", "that")
_RECORDS = MappingProxyType({"current": "GlideRecord", "previous": "GlideRecord"})
"""What the platform hands to a script, by name."""

_DEFINED_CLASS = re.compile(
    r"\bclass\s+([A-Za-z_$][\w$]*)|([A-Za-z_$][\w$]*)\.prototype(?:\.[\w$]+)?\s*=(?!=)"
)
_BASE = re.compile(r"\bclass\s+[\w$]+\s+extends\s+([\w$.]+)|\bextendsObject\(\s*([\w$.]+)")
_CONSTRUCTOR = re.compile(r"\binitialize\s*[:=(]|\bconstructor\s*\(")
_TYPE_NAME = re.compile(r"[?!]?([A-Za-z_$][\w$.]*)(?:<.*>)?(?:\s*\|\s*(?:null|undefined))*\Z")


@dataclass(frozen=True, slots=True)
class Meaning:
    """An API, an object made of it, or one of its methods."""

    api: Api
    is_object: bool = False
    method: Method | None = None
    is_self: bool = False  # said by the class itself: its private methods are in reach


@dataclass(frozen=True, slots=True)
class Script:
    """Where a name stands."""

    caller: Caller
    code: str  # all before it, without comments and what strings hold
    text: str  # the same as it is written


def members_of(index: Index, meaning: Meaning) -> tuple[Meaning, ...]:
    """The methods within reach of what an expression means, its own first."""
    if meaning.method:
        return ()
    own = [Meaning(meaning.api, meaning.is_object, method) for method in meaning.api.methods]
    every = [*own, *_inherited(index, meaning)] if meaning.is_object else own
    is_shared = is_namespace(meaning.api)
    return tuple(
        each
        for each in every
        if each.method
        and (meaning.is_self or not each.method.is_private)
        and (is_shared or each.method.is_static is not meaning.is_object or each.api is not meaning.api)
    )


def _inherited(index: Index, meaning: Meaning) -> Iterator[Meaning]:
    for name, origin in index.inherited(meaning.api.id):
        base = index.named(origin)
        method = next((m for m in base.methods if m.name == name), None) if base else None
        if base and method:
            yield Meaning(base, meaning.is_object, method)


def with_constructor(index: Index, api: Api) -> Api:
    """An API with the constructor's parameters that it inherits, where it has no constructor of its own."""
    base: Api | None = api
    for _ in range(_DEPTH):
        if base is None or base.params or not base.extends or _CONSTRUCTOR.search(base.code):
            break
        base = _reachable(index, Caller(base.source, base.scope, base.package), base.extends)
    return replace(api, params=base.params, types=base.types) if base and base is not api else api


def meaning_of(index: Index, script: Script, expression: str, depth: int = _DEPTH) -> Meaning | None:
    """What an expression means: names, dots and calls, with `new` before them or not."""
    steps = _steps(expression)
    if not steps or not depth:
        return None
    found, rest = _first(index, script, steps, depth)
    for name, is_called in rest:
        found = _member(index, found, name, is_called) if found else None
    return found


Step = tuple[str, bool]
"""A name, and whether it is called."""


def _first(index: Index, script: Script, steps: list[Step], depth: int) -> tuple[Meaning | None, list[Step]]:
    """The meaning of the longest beginning that has one, and what is left."""
    names = [name for name, _ in steps]
    if names[0].startswith("new "):
        return _made(index, script, steps)
    if names[0] in _THIS and (len(steps) == 1 or not _assigned(script, ".".join(names[:2]))):
        around = _class_around(index, script)
        if around or names[0] == "this":
            return around, steps[1:]
    for count in range(min(2, len(steps)), 0, -1):
        is_plain = not any(called for _, called in steps[:count])
        if is_plain and (found := _variable(index, script, ".".join(names[:count]), depth)):
            return found, steps[count:]
    if (record := _RECORDS.get(names[0])) and not _assigned(script, names[0]):
        api = api_named(index, script, record)
        return (Meaning(api, is_object=True) if api else None), steps[1:]
    return _named(index, script, steps)


def _made(index: Index, script: Script, steps: list[Step]) -> tuple[Meaning | None, list[Step]]:
    """Of `new a.b.C(...)`: the object."""
    count = 1 + next((i for i, (_, called) in enumerate(steps) if called), len(steps) - 1)
    name = ".".join(name for name, _ in steps[:count]).removeprefix("new ")
    api = api_named(index, script, name)
    return (Meaning(api, is_object=True) if api else None), steps[count:]


def _named(index: Index, script: Script, steps: list[Step]) -> tuple[Meaning | None, list[Step]]:
    """Of `a.b.C`: the API, or what calling it gives."""
    for count in range(min(3, len(steps)), 0, -1):
        if any(called for _, called in steps[: count - 1]):
            continue
        api = api_named(index, script, ".".join(name for name, _ in steps[:count]))
        if api and not _is_hidden(script, api, steps[0][0]):
            return _called(index, Meaning(api), steps[count - 1][1]), steps[count:]
    return None, []


def _is_hidden(script: Script, api: Api, name: str) -> bool:
    """Whether a variable of the script has taken the name."""
    if api.source == script.caller.file or not _assigned(script, name):
        return False
    return all(each.local != name for each in imports_of(script.text))


def _called(index: Index, found: Meaning, is_called: bool) -> Meaning | None:
    """What a call of it gives, or it itself."""
    if not is_called:
        return found
    returns = found.method.returns if found.method else found.api.returns
    named = _TYPE_NAME.fullmatch(returns)
    if named is None:
        return None
    api = _reachable(index, Caller(found.api.source, found.api.scope, found.api.package), named[1])
    return Meaning(api, is_object=True) if api else None


def _member(index: Index, of: Meaning, name: str, is_called: bool) -> Meaning | None:
    found = next((each for each in members_of(index, of) if each.method and each.method.name == name), None)
    return _called(index, found, is_called) if found else None


def _variable(index: Index, script: Script, name: str, depth: int) -> Meaning | None:
    """What was assigned to it last, or what its type says."""
    if found := _assigned(script, name):
        expression = _expression(script.code, found.end())
        # Without the name: it may be assigned what is made of itself.
        above = Script(script.caller, script.code[: found.start()], script.text)
        return meaning_of(index, above, expression, depth - 1)
    declared = _declared_type(script, name)
    api = api_named(index, script, declared) if declared else None
    return Meaning(api, is_object=True) if api else None


def is_assigned(script: Script, name: str) -> bool:
    """Whether a variable of the script has taken the name, for something else than what has it elsewhere."""
    found = _assigned(script, name)
    itself = re.compile(rf"require\s*\(|{re.escape(name)}(?![\w$])")
    return found is not None and itself.match(script.code, found.end()) is None


def _assigned(script: Script, name: str) -> re.Match[str] | None:
    """The last assignment to a name, up to where what is assigned begins."""
    pattern = re.compile(rf"(?<![\w$.]){re.escape(name)}\s*(?::[^=;,()]{{1,80}})?=(?![=>])\s*")
    return max(pattern.finditer(script.code), key=re.Match.end, default=None)


def _declared_type(script: Script, name: str) -> str:
    """By an annotation of TypeScript, or by the comment on a parameter."""
    if "." in name:
        return ""
    quoted = re.escape(name)
    annotated = re.findall(rf"(?<![\w$.]){quoted}\??\s*:\s*([A-Z][\w$.]*)", script.code)
    said = re.findall(rf"@param\s+\{{[?!]?([\w$.]+)=?\}}\s+\[?{quoted}\b", script.text)
    return str([*said, *annotated][-1]) if said or annotated else ""


def _class_around(index: Index, script: Script) -> Meaning | None:
    """What `this` is: the class that is written here, or what it extends where the index has only that."""
    found = [each[1] or each[2] for each in _DEFINED_CLASS.finditer(script.code)]
    for api_id in index.find(found[-1]) if found else ():
        if index.apis.source[api_id] == script.caller.file:
            return Meaning(index.api(api_id), is_object=True, is_self=True)
    bases = [each[1] or each[2] for each in _BASE.finditer(script.code)]
    api = api_named(index, script, bases[-1]) if bases else None
    return Meaning(api, is_object=True, is_self=True) if api else None


def api_named(index: Index, script: Script, name: str) -> Api | None:
    """The API that a name, with its scope or module before it or not, means here."""
    first, _, rest = name.partition(".")
    for each in imports_of(script.text):
        if each.local == first:
            wanted = rest if each.exported == "*" and rest else each.exported
            return _in_module(index, script.caller, each.module, wanted, first)
    return _reachable(index, script.caller, name)


def _in_module(index: Index, caller: Caller, module: str, exported: str, local: str) -> Api | None:
    """What a module exports under a name; of its default export or the whole, what is called as here."""
    name = local if exported in ("default", "*") else exported
    ids = module_apis(index, caller, module)
    named = [api_id for api_id in ids if index.apis.name[api_id] == name]
    return index.api(named[0]) if named else None


def _reachable(index: Index, caller: Caller, name: str) -> Api | None:
    """In the caller's scope, global, or as it is written; of several, one of the same file or package."""
    for candidate in (f"{caller.scope}.{name}", f"global.{name}"):
        if api := index.named(candidate):
            return api
    found = [i for i in index.find(name) if _may_name(index, caller, i, name)]
    columns = index.apis
    found.sort(key=lambda i: (columns.source[i] != caller.file, columns.package[i] != caller.package))
    return index.api(found[0]) if found else None


def _may_name(index: Index, caller: Caller, api_id: int, name: str) -> bool:
    """A scoped script names what is in other scopes with its scope."""
    scope = index.apis.scope[api_id]
    is_platform = index.apis.package[api_id] == PLATFORM
    return "." in name or is_platform or not caller.scope or scope in ("", "global", caller.scope)


def ajax_methods(index: Index, script: Script, name: str) -> tuple[Meaning, ...]:
    """The methods of the processor that a variable asks: `var name = new GlideAjax('scope.Processor')`."""
    made = rf"(?<![\w$.]){re.escape(name)}\s*=\s*new\s+GlideAjax\(\s*['\"]([\w$.]+)['\"]"
    asked = re.findall(made, script.text)
    api = api_named(index, script, asked[-1]) if asked else None
    own = tuple(Meaning(api, True, method) for method in api.methods) if api else ()
    return tuple(each for each in own if each.method and not each.method.is_private)


def _steps(expression: str) -> list[Step]:
    """`new a.b(c).d` -> [("new a", False), ("b", True), ("d", False)]; [] for anything else."""
    steps: list[Step] = []
    at = 0
    while at < len(expression):
        dot = r"\s*\??\.\s*" if steps else r"\s*(?:await\s+)?"
        found = re.compile(rf"{dot}((?:new\s+)?[A-Za-z_$][\w$]*)\s*").match(expression, at)
        if found is None:
            return _unwrapped(expression) if not steps else []
        at = found.end()
        is_called = expression.startswith("(", at)
        if is_called:
            at = closing_of(expression, at) + 1
            if not at:
                return []
        steps.append((" ".join(found[1].split()), is_called))
    return steps


def _unwrapped(expression: str) -> list[Step]:
    """Of an expression in brackets."""
    inner = expression.strip()
    if inner.startswith("(") and closing_of(inner, 0) == len(inner) - 1:
        return _steps(inner[1:-1])
    return []


def _expression(code: str, start: int) -> str:
    """The chain of names and calls that begins at `start`; "" where it is part of something else."""
    link = re.compile(r"\s*(?:(?:\??\.)?\s*[A-Za-z_$][\w$]*|(?P<open>\())")
    at = start
    if found := re.compile(r"(?:await\s+)?(?:new\s+)?").match(code, at):
        at = found.end()
    while found := link.match(code, at):
        if re.search(r"[\n\r]", found.group()) and not found.group().lstrip().startswith((".", "?", "(")):
            break
        at = found.end()
        if found["open"]:
            at = closing_of(code, at - 1) + 1
            if not at:
                return ""
    after = code[at : at + 80].lstrip(" \t")
    return code[start:at] if not after or after[0] in ";,\n\r)}" else ""
