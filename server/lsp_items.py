"""What a completion shows: items, their edits, their documentation."""

from __future__ import annotations

import re

from lsprotocol import types as lsp
from pygls.workspace import TextDocument

from .documentation import api_markdown, is_deprecated, why_markdown
from .documents import line_starts, position_at
from .lsp_life import Server, run_on
from .types import Api, Context


def asks_for_api(text: str, offset: int, context: lsp.CompletionContext | None) -> bool:
    """Whether a trigger character stands where an API can: after `new `, or inside of GlideAjax('."""
    if not context or context.trigger_kind != lsp.CompletionTriggerKind.TriggerCharacter:
        return True
    line = text[:offset].rsplit("\n", 1)[-1]
    in_comment = re.search(r"//|^\s*/?\*", line)
    return not in_comment and bool(re.search(r"(\bnew |\bGlideAjax\(\s*['\"])\Z", line))


def replaced_range(document: TextDocument, text: str, offset: int, context: Context) -> lsp.Range:
    starts = line_starts(text)
    encoding = str(document.position_codec.encoding)
    start = position_at(text, starts, offset - len(context.prefix), encoding)
    return lsp.Range(lsp.Position(*start), lsp.Position(*position_at(text, starts, offset, encoding)))


def item_of(place: int, api: Api, context: Context, edit: lsp.Range, index_id: str) -> lsp.CompletionItem:
    return lsp.CompletionItem(
        label=api.name,
        label_details=lsp.CompletionItemLabelDetails(description=api.scope or api.package),
        kind=lsp.CompletionItemKind.Function if api.kind == "function" else lsp.CompletionItemKind.Class,
        filter_text=api.name,
        sort_text=f"{place:04}",
        preselect=place == 0,
        tags=[lsp.CompletionItemTag.Deprecated] if is_deprecated(api) else None,
        text_edit=lsp.TextEdit(edit, _inserted(api, context)),
        data={"api": api.id, "index": index_id},
    )


def _inserted(api: Api, context: Context) -> str:
    """The name as it must be written here: with its scope where that is another one and not there yet."""
    if context.qualifier or api.kind != "script_include" or not context.scope or api.scope == context.scope:
        return api.name
    return api.api_name


async def resolve(ls: Server, item: lsp.CompletionItem) -> lsp.CompletionItem:
    engine = ls.session.engine
    data = item.data if isinstance(item.data, dict) else {}
    if engine is None or data.get("index") != engine.index.id:
        return item
    api = await run_on(ls.lookups, engine.index.api, int(data["api"]))
    markdown = api_markdown(api)
    ranked = next((ranked for ranked in ls.answer.ranked if ranked.api.id == api.id), None)
    if ranked:
        markdown += "\n\n" + why_markdown(ranked, ls.answer.trace.stages)
    item.documentation = lsp.MarkupContent(lsp.MarkupKind.Markdown, markdown)
    return item
