"""The next statement as grey text behind the cursor: inlineCompletion of LSP 3.18, off by default."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lsprotocol import types as lsp

from .bindings import Script
from .context import make_context
from .engine import Engine
from .imports import is_within_reach, module_of
from .lsp_files import caller_of, facts_of
from .lsp_items import Asked, Look, asked_at
from .lsp_life import Server, read
from .pipeline import predict
from .statement import write_statement
from .stop import Stop

PAUSE_SECONDS = 0.3  # in typing, before the model is set to work
STATEMENT_MS = 10_000.0  # on a busy machine; what was typed meanwhile ends it sooner
STATEMENT_TOKENS = 24
_KINDS = ("start", "new")


async def inline_completion(
    ls: Server, params: lsp.InlineCompletionParams
) -> lsp.InlineCompletionList | None:
    """A statement that calls what is predicted first; None where nothing that holds was written."""
    document = ls.workspace.get_text_document(params.text_document.uri)
    session = ls.root_of(document.path).session
    engine = session.engine
    if not session.settings.inline_completion or engine is None:
        return None
    version, text = document.version, document.source
    offset = document.offset_at_position(params.position)
    await asyncio.sleep(PAUSE_SECONDS)
    if document.version != version:
        return None
    asked = await read(ls, text, asked_at, document, text, offset, None, Look())
    if asked is None or asked.cursor.kind not in _KINDS or asked.is_called:
        return None
    stop = Stop()
    try:
        statement = await asyncio.to_thread(_statement, engine, session.workspace, document.path, asked, stop)
    except asyncio.CancelledError:
        stop.set()
        raise
    # VS Code's API: it is shown where what it takes the place of is a prefix of its filter text.
    filter_text = asked.cursor.prefix + statement
    item = lsp.InlineCompletionItem(statement, filter_text=filter_text, range=asked.edit)
    return lsp.InlineCompletionList([item] if statement and document.version == version else [])


def _statement(engine: Engine, workspace: Path | None, path: str, asked: Asked, stop: Stop) -> str:
    """What belongs in place of the typed prefix."""
    if engine.generator is None:
        return ""
    facts = facts_of(engine, workspace, path)
    context = make_context(asked.text[: asked.offset], asked.text[asked.offset :], facts)
    caller = caller_of(engine, workspace, path)
    module = None if context.scope or context.record_type else module_of(caller, asked.text, asked.start)
    predicted = [
        ranked
        for ranked in predict(engine, context, first_only=True, stop=stop).ranked
        if module is None or is_within_reach(module, ranked.api)  # nothing can be added
    ]
    typed = len(asked.cursor.prefix)
    code, script = asked.cursor.code.text, asked.script
    before = Script(
        caller_of(engine, workspace, path), code[: len(code) - typed], script[: len(script) - typed]
    )
    return write_statement(
        engine.index, engine.generator, before, context, predicted, STATEMENT_TOKENS, STATEMENT_MS, stop
    )
