"""The statement that belongs at the cursor, written by a local model that is told the predicted APIs.

What a small model writes is not to be believed: every name in it is looked up, and one that neither the index
nor the file knows makes it nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from .bindings import Meaning, Script, api_named, meaning_of, members_of
from .cursor import MAX_CHARS, receiver_before
from .endings import statement_end
from .index import Index
from .lexer import BEFORE_OPERAND, code_of
from .models import Generator, ModelProblem
from .signatures import api_parameters, is_namespace, written_name
from .stop import Stop
from .text import last_line, statement_prompt
from .types import Api, Context, RankedApi, Usage

TOLD = 3
"""How many of the predicted APIs the model is told: each takes about 40 tokens to read."""

_CHAIN = re.compile(r"(?<![\w$.])(new\s+)?([A-Za-z_$][\w$]*(?:\s*\.\s*[A-Za-z_$][\w$]*)*)(?![\w$])")
_KEY = re.compile(r"[{,]\s*[\w$]+\s*:")
_METHOD = re.compile(r"\.\s*([A-Za-z_$][\w$]*)\s*\(")
_DECLARED = re.compile(r"\b(?:var|let|const|function|class)\s+([A-Za-z_$][\w$]*)")
_AJAX = re.compile(r"\bGlideAjax\(\s*['\"]([\w$.]*)['\"]")
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_LANGUAGE = BEFORE_OPERAND | frozenset(
    ("var", "let", "const", "if", "while", "for", "function", "class", "this", "super", "true", "false",
     "null", "undefined", "try", "catch", "finally", "break", "continue", "switch", "Array", "Boolean",
     "Date", "Error", "JSON", "Map", "Math", "Number", "Object", "Promise", "RegExp", "Set", "String",
     "isNaN", "parseFloat", "parseInt", "console", "arguments", "NaN", "Infinity")
)  # fmt: skip

_USUAL_METHODS = frozenset(
    ("apply", "bind", "call", "concat", "filter", "forEach", "hasOwnProperty", "indexOf", "join", "keys",
     "log", "map", "parse", "pop", "push", "replace", "slice", "split", "stringify", "substring", "then",
     "toLowerCase", "toString", "toUpperCase", "trim")
)  # fmt: skip


def write_statement(
    index: Index,
    generator: Generator,
    script: Script,
    context: Context,
    predicted: Sequence[RankedApi],
    max_tokens: int,
    timeout_ms: float,
    stop: Stop | None = None,
) -> str:
    """What stands in place of the typed prefix, to the end of a statement; "" where nothing holds.

    It begins with a call of the first API: which one is retrieval's to say, its arguments are the model's.
    Raises Stopped by `stop`.
    """
    head = opening(index, script, context, predicted[0]) if predicted else ""
    written = head
    if head.endswith("("):
        limits = (max_tokens, timeout_ms, stop)
        written = continue_statement(generator, script, context, predicted, head, *limits)
    return written if written and apis_named(index, script, written) else ""


def continue_statement(
    generator: Generator,
    script: Script,
    context: Context,
    told: Sequence[RankedApi],
    head: str,
    max_tokens: int,
    timeout_ms: float,
    stop: Stop | None = None,
) -> str:
    """`head` and what the model writes behind it, whatever it names; "" where it comes to no end."""
    try:
        prompt = statement_prompt(context, told[:TOLD], head)
        generated = generator.generate(prompt, max_tokens, timeout_ms, stop)
    except ModelProblem:
        return ""
    return first_statement(script.text, head, generated if head else generated.lstrip())


def opening(index: Index, script: Script, context: Context, predicted: RankedApi) -> str:
    """A call of an API as it is written here, up to its arguments; whole where it takes none.

    The method is the one of its nearest known usage; "" where there is none to call.
    """
    api, name = predicted.api, written_name(predicted.api, context)
    if api.kind == "function":
        return f"{name}("
    is_named = is_namespace(api) or bool(index.is_named[api.id])
    methods = {m.method.name for m in members_of(index, Meaning(api, not is_named)) if m.method}
    if is_named:
        counts = index.methods_called(api.id)
        best = max(sorted(methods), key=lambda method: counts.get(method, 0), default="")
        method = _called(predicted.usage, api, methods) or best
        return f"{name}.{method}(" if method and context.trigger != "new" else ""
    is_first = not last_line(script.text).strip()
    made = f"{name}(" if context.trigger == "new" else f"{_variable(script, predicted) * is_first}new {name}("
    if method := _called(predicted.usage, api, methods):
        return f"{made}).{method}("
    takes_some = bool(api_parameters(api) or api.extends)
    return made if takes_some else f"{made});" if is_first else f"{made})"


def _called(usage: Usage | None, api: Api, methods: AbstractSet[str]) -> str:
    """The method that a known usage calls on the name or on the new object, in the same statement."""
    called = rf"\b{re.escape(api.name)}\s*(?:\(\s*\))?\s*\.\s*([A-Za-z_$][\w$]*)\s*\("
    found = re.search(called, usage.statement) if usage else None
    return found[1] if found and found[1] in methods else ""


def _variable(script: Script, predicted: RankedApi) -> str:
    """`var name = `, called as in its nearest usage or as the API itself; "" where that name is taken."""
    usage, name = predicted.usage, predicted.api.name
    named = re.match(r"\s*(?:var|let|const)\s+([A-Za-z_$][\w$]*)\s*=", usage.statement if usage else "")
    own = re.sub(r"\A[A-Z]+(?![a-z])|\A[A-Z]", lambda capitals: capitals.group().lower(), name)
    variable = named[1] if named else own
    keyword = "const" if re.search(r"\bconst\s", script.code) else "var"
    return "" if variable in (name, *_NAME.findall(script.code)) else f"{keyword} {variable} = "


def first_statement(before: str, head: str, generated: str) -> str:
    """`head` and what was generated behind it, up to the end of a statement; "" where that is not reached."""
    statement = head + generated
    end = statement_end(before[-MAX_CHARS:], statement)
    return statement[:end].rstrip() if end >= 0 else ""


def apis_named(index: Index, script: Script, statement: str) -> tuple[str, ...]:
    """The APIs that a statement names; () where it names none, or anything that does not exist."""
    text = script.text + statement
    code = code_of(text[-MAX_CHARS:]).text
    start = len(code) - len(statement)
    defined = {*_NAME.findall(code[:start]), *_DECLARED.findall(code[start:])}
    named: list[str] = []
    for asked in _AJAX.findall(statement):
        api = api_named(index, script, asked)
        if api is None:
            return ()
        named.append(api.api_name)
    for found in _CHAIN.finditer(code, start):
        if _KEY.match(code, len(code[: found.start()].rstrip()) - 1):
            continue
        names = re.sub(r"\s", "", found[2])
        if names.split(".")[0] in _LANGUAGE and not found[1]:
            continue
        api_name = _api_of(index, script, names)
        if api_name:
            named.append(api_name)
        elif names.split(".")[0] not in defined | _LANGUAGE:
            return ()
    return tuple(named) if _methods_exist(index, script, code, start) else ()


def _api_of(index: Index, script: Script, names: str) -> str:
    """api_name of the API that a chain of names begins with, "" where it is none."""
    parts = names.split(".")
    for count in range(min(3, len(parts)), 0, -1):
        if api := api_named(index, script, ".".join(parts[:count])):
            return api.api_name
    return ""


def _methods_exist(index: Index, script: Script, code: str, start: int) -> bool:
    """Whether each method that is called is one of what it is called on, or, where nobody knows that, of
    anything in the index or the text before."""
    written = {*_NAME.findall(code[:start]), *_USUAL_METHODS}
    for found in _METHOD.finditer(code, start):
        receiver = receiver_before(code, found.start())
        text = Script(script.caller, code[: found.start()], script.text)
        meaning = meaning_of(index, text, receiver) if receiver else None
        known = members_of(index, meaning) if meaning else ()
        if known and all(each.method and each.method.name != found[1] for each in known):
            return False
        is_somewhere = (
            found[1] in written or index.find(found[1]) or len(index.with_members([found[1]])[found[1]])
        )
        if not known and not is_somewhere:
            return False
    return True
