"""What the index says of a name in a document: hover, signature, definition, references, symbols."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from lsprotocol import types as lsp
from pygls.workspace import TextDocument

from .bindings import Meaning, Script, api_named, is_assigned, meaning_of, with_constructor
from .context import script_before
from .cursor import call_at, end_of_name, mention_at
from .documentation import api_markdown, example_markdown, method_markdown, why_markdown
from .engine import Engine
from .explain import graph_path
from .jsdoc import parse_doc
from .lsp_files import Place, caller_of, find_call, locations, read_source
from .lsp_life import Server, run_on
from .modules import Caller
from .signatures import api_parameters, api_signature, is_namespace, method_signature, typed_parameters
from .types import Answer, Api, Usage

MAX_SYMBOLS = 100
MAX_REFERENCES = 1000
MAX_EXAMPLE = 300  # characters
SIGNATURE_TRIGGERS = ("(", ",")


@dataclass(frozen=True, slots=True)
class Here:
    """A place in a document, and what questions about it are answered with."""

    engine: Engine
    workspace: Path | None
    document: TextDocument
    text: str
    offset: int

    @property
    def caller(self) -> Caller:
        return caller_of(self.engine, self.workspace, self.document.path)

    def source(self, path: str) -> Path:
        """A file that the index names."""
        return (self.workspace or Path.cwd()) / path


async def hover(ls: Server, params: lsp.HoverParams) -> lsp.Hover | None:
    """The documentation of what is named there, an example, and why it was predicted where it was."""
    ls.count("hover")
    here = _here(ls, params.text_document.uri, params.position)
    markdown = await run_on(ls.lookups, _hover_markdown, here, ls.answer) if here else ""
    return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, markdown)) if markdown else None


async def signature_help(ls: Server, params: lsp.SignatureHelpParams) -> lsp.SignatureHelp | None:
    """The parameters of the call that is being written."""
    here = _here(ls, params.text_document.uri, params.position)
    return await run_on(ls.lookups, _signature_help, here) if here else None


async def definition(ls: Server, params: lsp.DefinitionParams) -> lsp.Location | None:
    """Where an API or a method is defined."""
    here = _here(ls, params.text_document.uri, params.position)
    found = await run_on(ls.lookups, meaning_at, here) if here else None
    if here is None or found is None:
        return None
    located = await asyncio.to_thread(locations, [_definition(here, found)], here.document)
    return located[0] if located else None


async def references(ls: Server, params: lsp.ReferenceParams) -> list[lsp.Location] | None:
    """The known calls of an API or a method."""
    here = _here(ls, params.text_document.uri, params.position)
    found = await run_on(ls.lookups, meaning_at, here) if here else None
    if here is None or found is None:
        return None
    method, name = (found.method.name if found.method else ""), found.api.name
    usages = await run_on(ls.lookups, here.engine.index.usage_lines, found.api.id, method, MAX_REFERENCES)
    places = [Place(here.source(file), line, method or name, bool(method)) for file, line in usages]
    declared = [_definition(here, found)] if params.context.include_declaration else []
    return await asyncio.to_thread(locations, declared + places, here.document)


async def workspace_symbols(ls: Server, params: lsp.WorkspaceSymbolParams) -> list[lsp.WorkspaceSymbol]:
    """APIs whose name a query stands for, of all folders."""
    found: list[lsp.WorkspaceSymbol] = []
    for session in (root.session for root in ls.roots):
        if session.engine and session.workspace:
            found += await run_on(ls.lookups, _symbols, session.engine, session.workspace, params.query)
    return found


def _here(ls: Server, uri: str, position: lsp.Position) -> Here | None:
    """None where no index is loaded."""
    document = ls.workspace.get_text_document(uri)
    session = ls.root_of(document.path).session
    if session.engine is None:
        return None
    offset = document.offset_at_position(position)
    return Here(session.engine, session.workspace, document, document.source, offset)


def meaning_at(here: Here) -> Meaning | None:
    """What the name at a place means."""
    before = here.text[: end_of_name(here.text, here.offset)]
    script = script_before(before)
    mention = mention_at(before if script is None else script)
    if not mention.name:
        return None
    expression = f"{mention.receiver}.{mention.name}" if mention.receiver else mention.name
    index, caller = here.engine.index, here.caller
    if mention.is_code:
        here_script = Script(caller, mention.before, script or before)
        if found := meaning_of(index, here_script, expression):
            return found
        if mention.receiver or is_assigned(here_script, mention.name):
            return None
    api = api_named(index, Script(caller, "", ""), expression)  # alone, or in a string or comment
    if api is None and (ids := index.find(expression)):
        api = index.api(ids[0])  # wherever it is defined
    return Meaning(api) if api else None


def _definition(here: Here, found: Meaning) -> Place:
    name = found.method.name if found.method else found.api.name
    line = (found.method.line if found.method else 0) or found.api.line
    return Place(here.source(found.api.source), line, name)


def _hover_markdown(here: Here, answer: Answer) -> str:
    """What is told of the name at a place; "" where it means nothing."""
    found = meaning_at(here)
    if found is None:
        return ""
    index, api, method = here.engine.index, found.api, found.method
    parts = [method_markdown(api, method) if method else api_markdown(api)]
    shown = method or api
    if not parse_doc(shown.doc or shown.synthesized).examples:
        usage = index.example_of(api.id, method.name if method else "", here.caller.file)
        usage = _at_the_call(here, usage) if usage and method else usage
        parts.append(example_markdown(usage) if usage else "")
    ranked = next((ranked for ranked in answer.ranked if ranked.api.id == api.id), None)
    if ranked and answer.trace.index_id == index.id and not method:
        there = graph_path(index, here.caller, here.text, api)
        parts.append(why_markdown(ranked, answer.trace.stages, there))
    return "\n\n".join(part for part in parts if part)


def _at_the_call(here: Here, usage: Usage) -> Usage:
    """The line on which the method is called, where that is a later one."""
    read = read_source(here.source(usage.file))
    if read is None or usage.line > len(read[1]):
        return usage
    text, starts = read
    found = find_call(text, starts[usage.line - 1], usage.method)
    if found is None:
        return usage
    line = bisect_right(starts, found.start())
    end = starts[line] if line < len(starts) else len(text)
    return replace(usage, line=line, statement=text[starts[line - 1] : end].strip()[:MAX_EXAMPLE])


# Signatures


def _signature_help(here: Here) -> lsp.SignatureHelp | None:
    script = script_before(here.text[: here.offset])
    call = call_at(script) if script is not None else None
    if call is None or script is None:
        return None
    found = meaning_of(here.engine.index, Script(here.caller, call.before, script), call.callee)
    if found and not found.method:
        found = replace(found, api=with_constructor(here.engine.index, found.api))
    return _signatures(found, call.argument) if found else None


def _signatures(found: Meaning, argument: int) -> lsp.SignatureHelp | None:
    """Of a method, a function or a constructor; None of what is not called."""
    api, method = found.api, found.method
    if method is None and (is_namespace(api) or (api.kind != "function" and not found.is_object)):
        return None
    label = method_signature(method) if method else api_signature(api)
    params = typed_parameters(method.params, method.types) if method else _api_typed(api)
    said = {param.name: param.description for param in parse_doc((method or api).doc).params}
    names = method.params if method else api_parameters(api)
    shown = [
        lsp.ParameterInformation(place, _text(said.get(name, "")))
        for place, name in zip(_spans(label, params), names, strict=True)
    ]
    summary = parse_doc((method or api).doc or (method or api).synthesized).summary
    signature = lsp.SignatureInformation(label, _text(summary), shown)
    return lsp.SignatureHelp([signature], 0, _active(names, argument))


def _api_typed(api: Api) -> tuple[str, ...]:
    return typed_parameters(api_parameters(api), api.types)


def _active(names: tuple[str, ...], argument: int) -> int:
    """Of more arguments than parameters, the last one where it takes the rest."""
    is_rest = bool(names) and names[-1].startswith("...")
    return min(argument, len(names) - 1) if is_rest else argument


def _text(markdown: str) -> lsp.MarkupContent | None:
    return lsp.MarkupContent(lsp.MarkupKind.PlainText, markdown) if markdown else None


def _spans(label: str, parameters: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Where each of the parameters stands in the label, in UTF-16 units."""
    at = label.index("(") + 1
    for parameter in parameters:
        start = label.index(parameter, at)
        at = start + len(parameter)
        yield _utf16(label[:start]), _utf16(label[:at])


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


# Symbols


def _symbols(engine: Engine, workspace: Path, query: str) -> list[lsp.WorkspaceSymbol]:
    index = engine.index
    ids = (api_id for name in matching_names(index.apis.name.values, query) for api_id in index.find(name))
    symbols = (_symbol(workspace, index.api(api_id)) for api_id in ids)
    return list(islice((symbol for symbol in symbols if symbol), MAX_SYMBOLS))


def _symbol(workspace: Path, api: Api) -> lsp.WorkspaceSymbol | None:
    """None of what the workspace has no file of."""
    path = workspace / api.source
    if not api.source or not path.is_file():
        return None
    start = lsp.Position(max(api.line - 1, 0), 0)
    kind = lsp.SymbolKind.Function if api.kind == "function" else lsp.SymbolKind.Class
    location = lsp.Location(path.as_uri(), lsp.Range(start, start))
    return lsp.WorkspaceSymbol(location, api.name, kind, container_name=api.scope or api.package)


def matching_names(names: Iterable[str], query: str) -> Iterator[str]:
    """Names that a query stands for: what begins so, what has its humps (`BA`, `BerAl`), what holds it."""
    lower, humps = query.lower(), re.compile(_humps(query))
    groups: dict[int, list[str]] = {}
    for name in names:
        places = (name.startswith(query), humps.match(name), name.lower().startswith(lower))
        if any(places) or lower in name.lower():
            groups.setdefault([*map(bool, places), True].index(True), []).append(name)
    for _, group in sorted(groups.items()):
        yield from sorted(group, key=lambda name: (len(name), name))


def _humps(query: str) -> str:
    """`BerAl`: what begins with Ber and has Al at a later hump."""
    humps = re.findall(r"[A-Z]?[^A-Z]+|[A-Z]", query)
    return r"(?:.*?(?<![A-Z]))?".join(re.escape(hump) for hump in humps)
