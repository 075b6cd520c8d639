"""What a completion shows: items, their edits, their documentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls.workspace import TextDocument

from .bindings import Meaning, Script, ajax_methods, meaning_of, members_of, with_constructor
from .context import script_before
from .cursor import Cursor, cursor_at
from .documentation import api_markdown, is_deprecated, method_markdown, why_markdown
from .documents import line_starts, position_at
from .engine import Engine
from .imports import Insertion, import_of, module_of
from .index import Index
from .lsp_documents import Document
from .lsp_files import caller_of
from .lsp_life import Server, run_on
from .modules import Caller, imports_of, module_apis
from .signals import named_in
from .signatures import api_parameters, is_namespace, snippet_call, snippet_text, written_name
from .types import Answer, Api, Context, Method

TRIGGERS = (" ", ".", "'", '"')  # after `new `, after a dot, in GlideAjax('
USED_AT, MOST_USED = 5, 3  # where in a list what the file uses already stands, and how many
_CHOSEN = ("ajax", "include")  # in a string


@dataclass(frozen=True, slots=True)
class Look:
    """What a client can show."""

    snippets: bool = False
    label_details: bool = False
    tags: bool = False
    commit_characters: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A place in a document that names are completed at."""

    cursor: Cursor
    script: str  # before the cursor
    text: str
    offset: int
    position: Callable[[int], lsp.Position]  # of an offset in the text
    look: Look

    @property
    def edit(self) -> lsp.Range:
        """What an item takes the place of: the name as far as it is typed."""
        return lsp.Range(self.position(self.start), self.position(self.offset))

    @property
    def start(self) -> int:
        """Where the typed part of the name begins."""
        return self.offset - len(self.cursor.prefix)

    @property
    def is_new(self) -> bool:
        """Whether `new` stands before it."""
        return self.cursor.kind == "new" or self.cursor.receiver.startswith("new ")

    @property
    def receiver_start(self) -> int:
        """Where what stands before the dot begins."""
        return self.offset - len(self.cursor.code.text) + self.cursor.receiver_start

    @property
    def is_called(self) -> bool:
        """Whether arguments follow already."""
        return self.text[self.offset : self.offset + 20].lstrip(" \t").startswith("(")


def look_of(capabilities: lsp.ClientCapabilities) -> Look:
    """What the client says that it can show."""
    document = capabilities.text_document
    item = document.completion.completion_item if document and document.completion else None
    if item is None:
        return Look()
    return Look(
        bool(item.snippet_support),
        bool(item.label_details_support),
        bool(item.tag_support or item.deprecated_support),
        bool(item.commit_characters_support),
    )


def asked_at(
    document: TextDocument, text: str, offset: int, context: lsp.CompletionContext | None, look: Look
) -> Asked | None:
    """What is asked for; None where no API can stand, or where a character was typed that says nothing."""
    script = script_before(text[:offset])
    if script is None:
        return None
    cursor = cursor_at(script)
    is_typed = context and context.trigger_kind == lsp.CompletionTriggerKind.TriggerCharacter
    if cursor.kind == "none" or (is_typed and cursor.kind not in _FIRST_KINDS):
        return None
    return Asked(cursor, script, text, offset, positions(document, text), look)


_FIRST_KINDS = ("new", "member", "sysparm", *_CHOSEN)
"""What a trigger character asks for: lists that open by themselves at every blank would be in the way."""


def positions(document: TextDocument, text: str) -> Callable[[int], lsp.Position]:
    """From an offset in a document's text to the client's position."""
    starts = document.starts(text) if isinstance(document, Document) else line_starts(text)
    encoding = str(document.position_codec.encoding)
    return lambda offset: lsp.Position(*position_at(text, starts, offset, encoding))


def member_items(
    engine: Engine, workspace: Path | None, path: str, asked: Asked
) -> list[lsp.CompletionItem] | None:
    """The methods of what stands before the dot; None where that is no object, but holds APIs."""
    index, receiver = engine.index, asked.cursor.receiver
    if asked.cursor.kind not in ("member", "sysparm"):
        return None
    script = Script(caller_of(engine, workspace, path), asked.cursor.code.text, asked.script)
    if asked.cursor.kind == "sysparm":
        return _method_items(index, asked, ajax_methods(index, script, receiver))
    if index.apis.scope.equal(receiver.removeprefix("new ")).any():
        return None
    module = next((each for each in imports_of(asked.script) if each.local == receiver.split()[-1]), None)
    if module and module.exported == "*" and (ids := module_apis(index, script.caller, module.module)):
        return _module_items(index, asked, ids)
    meaning = meaning_of(index, script, receiver)
    return _method_items(index, asked, members_of(index, meaning), meaning.api) if meaning else []


def _method_items(
    index: Index, asked: Asked, members: Sequence[Meaning], called_on: Api | None = None
) -> list[lsp.CompletionItem]:
    """Those that are called most come first, then in the order of their definition, an ancestor's last."""
    counts = Counter[str]()
    owners = [each.api for each in members] + ([called_on] if called_on else [])
    for api_id in {owner.id for owner in owners}:
        counts.update(index.methods_called(api_id))
    ordered = sorted(members, key=lambda each: -counts[each.method.name] if each.method else 0)
    return [
        _method_item(place, each.api, each.method, asked, index.id)
        for place, each in enumerate(ordered)
        if each.method
    ]


def _method_item(place: int, api: Api, method: Method, asked: Asked, index_id: str) -> lsp.CompletionItem:
    is_called = asked.cursor.kind != "sysparm"  # but named in a string
    shown = ", ".join(method.params if is_called else method.sysparms)
    item = _item(place, method.name, asked, api.name, f"({shown})")
    item.kind = lsp.CompletionItemKind.Function if method.is_static else lsp.CompletionItemKind.Method
    _insert(item, asked, method.name, method.params if is_called else None)
    if asked.look.tags and is_deprecated(method):
        item.tags = [lsp.CompletionItemTag.Deprecated]
    item.data = {"api": api.id, "name": api.api_name, "index": index_id, "method": method.name}
    return item


def _module_items(index: Index, asked: Asked, ids: Sequence[int]) -> list[lsp.CompletionItem]:
    apis = [api for api in map(index.api, ids) if _fits(asked, api)]
    return [_api_item(place, api, asked, api.name, index) for place, api in enumerate(apis)]


def api_items(
    index: Index, asked: Asked, context: Context, answer: Answer, limit: int
) -> list[lsp.CompletionItem]:
    """The answer's APIs that can stand there, best first; after a few of them those that the file uses."""
    predicted = [ranked.api for ranked in answer.ranked if _fits(asked, ranked.api)]
    used = (api for api in _used_apis(index, context) if _fits(asked, api))
    apis = merged(predicted, used)[:limit]
    items = [
        _api_item(place, api, asked, written_name(api, context), index) for place, api in enumerate(apis)
    ]
    is_module = asked.cursor.kind in ("start", "new", "class") and not (context.scope or context.record_type)
    caller = Caller(context.file, package=context.package)
    if module := module_of(caller, asked.text, asked.start) if is_module else None:
        exports = index.exported_as([api.api_name for api in apis])
        for item, api in zip(items, apis, strict=True):
            if exported := exports.get(api.api_name):
                _import(item, asked, import_of(module, api, exported))
    return items


def _used_apis(index: Index, context: Context) -> Iterator[Api]:
    """The APIs that the file names, the nearest before the cursor first; each is read when it is needed.

    What is predicted is what a file does not name yet; people also write what they have just written.
    """
    begins = index.beginning_with(context.prefix) if context.prefix else None
    for api_id in named_in(index, context):
        if begins is None or begins[api_id]:
            api = index.api(api_id)
            if api.source != context.file and context.qualifier in ("", api.scope):
                yield api


def merged(predicted: Sequence[Api], used: Iterable[Api]) -> list[Api]:
    """What is predicted, with at most MOST_USED of the others behind the first USED_AT; nothing twice."""
    first, rest = predicted[:USED_AT], predicted[USED_AT:]
    shown = {api.id for api in first}
    again = list(islice((api for api in used if api.id not in shown), MOST_USED))
    shown |= {api.id for api in again}
    return [*first, *again, *(api for api in rest if api.id not in shown)]


def _fits(asked: Asked, api: Api) -> bool:
    """Whether an API of its kind can stand there."""
    if asked.cursor.kind in _CHOSEN:
        return api.kind == "script_include"
    return not (asked.is_new or asked.cursor.kind == "class") or _is_constructed(api)


def _is_constructed(api: Api) -> bool:
    return not is_namespace(api) and (api.kind != "function" or api.name[:1].isupper())


def _api_item(place: int, api: Api, asked: Asked, name: str, index: Index) -> lsp.CompletionItem:
    is_function, is_constructed = api.kind == "function", _is_constructed(api)
    is_callable = is_function or is_constructed
    params = api_parameters(with_constructor(index, api))
    shown = f"({', '.join(params)})" if is_callable else None
    item = _item(place, api.name, asked, api.scope or api.package, shown)
    kinds = lsp.CompletionItemKind
    item.kind = kinds.Function if is_function else kinds.Class if is_constructed else kinds.Module
    if asked.cursor.kind in ("class", "import", *_CHOSEN) or asked.cursor.is_named:
        _insert(item, asked, name, None)
    elif is_callable and (asked.is_new or is_function or not index.is_named[api.id]):
        needs_new = not is_function and not asked.is_new
        is_behind_dot = asked.cursor.kind == "member"
        _insert(item, asked, f"new {name}" if needs_new and not is_behind_dot else name, params)
        if needs_new and is_behind_dot:
            at = asked.position(asked.receiver_start)
            item.additional_text_edits = [lsp.TextEdit(lsp.Range(at, at), "new ")]
    else:  # a method of it comes next
        _insert(item, asked, name, None)
        item.commit_characters = ["."] if asked.look.commit_characters else None
    if asked.look.tags and is_deprecated(api):
        item.tags = [lsp.CompletionItemTag.Deprecated]
    item.data = {"api": api.id, "name": api.api_name, "index": index.id}
    return item


def _item(place: int, name: str, asked: Asked, belongs: str, parameters: str | None) -> lsp.CompletionItem:
    item = lsp.CompletionItem(label=name, filter_text=name, sort_text=f"{place:04}", preselect=place == 0)
    if asked.look.label_details:
        item.label_details = lsp.CompletionItemLabelDetails(parameters, belongs)
    else:
        item.detail = " ".join(part for part in (parameters, belongs) if part)
    return item


def _insert(item: lsp.CompletionItem, asked: Asked, name: str, params: Sequence[str] | None) -> None:
    """A call with places for its arguments where the client can fill them in, else the name alone."""
    if asked.look.snippets and params is not None and not asked.is_called:
        item.insert_text_format = lsp.InsertTextFormat.Snippet
        item.text_edit = lsp.TextEdit(asked.edit, snippet_text(name) + snippet_call(params))
    else:
        item.text_edit = lsp.TextEdit(asked.edit, name)


def _import(item: lsp.CompletionItem, asked: Asked, insertion: Insertion | None) -> None:
    """Beside the edit, or part of it where both begin at one place: edits must not touch each other."""
    assert isinstance(item.text_edit, lsp.TextEdit)
    if insertion is None:
        return
    if insertion.at == asked.start:
        is_snippet = item.insert_text_format == lsp.InsertTextFormat.Snippet
        above = snippet_text(insertion.text) if is_snippet else insertion.text
        item.text_edit = lsp.TextEdit(asked.edit, above + item.text_edit.new_text)
    else:
        at = asked.position(insertion.at)
        item.additional_text_edits = [lsp.TextEdit(lsp.Range(at, at), insertion.text)]


async def resolve(ls: Server, item: lsp.CompletionItem) -> lsp.CompletionItem:
    """Add the documentation; what the last answer holds is not looked up again.

    Of an item whose index a newer one has replaced meanwhile, what the newer one says.
    """
    data, answer = item.data if isinstance(item.data, dict) else {}, ls.answer
    indexes = [root.session.engine.index for root in ls.roots if root.session.engine]
    listed = answer.ranked if answer.trace.index_id == data.get("index") else ()
    ranked = next((ranked for ranked in listed if ranked.api.id == data["api"]), None)
    api = ranked.api if ranked else await run_on(ls.lookups, _api_of, indexes, data)
    if api is None:
        return item
    method = next((method for method in api.methods if method.name == data.get("method")), None)
    markdown = method_markdown(api, method) if method else api_markdown(api)
    if ranked and not method:
        markdown += "\n\n" + why_markdown(ranked, answer.trace.stages)
    item.documentation = lsp.MarkupContent(lsp.MarkupKind.Markdown, markdown)
    return item


def _api_of(indexes: Sequence[Index], data: Mapping[str, Any]) -> Api | None:
    """By its id in the index that the item is of, or by its name in those that took its place."""
    index = next((each for each in indexes if each.id == data.get("index")), None)
    if index:
        return index.api(int(data["api"]))
    named = (each.named(str(data.get("name"))) for each in indexes)
    return next(filter(None, named), None)
