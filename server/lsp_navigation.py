"""What the index says of a name in a document."""

from __future__ import annotations

import re
from pathlib import Path

from lsprotocol import types as lsp

from .documentation import api_markdown
from .lsp_files import facts_of
from .lsp_life import Server, run_on
from .pipeline import Engine
from .types import Api


async def hover(ls: Server, params: lsp.HoverParams) -> lsp.Hover | None:
    ls.count("hover")
    engine = ls.session.engine
    if engine is None:
        return None
    document = ls.workspace.get_text_document(params.text_document.uri)
    text = document.source
    name = _name_at(text, document.offset_at_position(params.position))
    api = await run_on(ls.lookups, _look_up, engine, ls.session.workspace, name, document.path)
    return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, api_markdown(api))) if api else None


def _name_at(text: str, offset: int) -> str:
    """The name under the cursor, with what stands before it up to the line's start: `scope.Name`."""
    before = re.search(r"[\w$.]*\Z", text[max(0, offset - 200) : offset])
    after = re.match(r"[\w$]*", text[offset : offset + 200])
    return (before.group() if before else "") + (after.group() if after else "")


def _look_up(engine: Engine, workspace: Path | None, name: str, path: str) -> Api | None:
    """The API a name means in a file: in the file's scope, global, or as it is written."""
    scope = facts_of(engine, workspace, path).get("scope", "")
    for candidate in (f"{scope}.{name}", f"global.{name}", name):
        found = engine.index.find(candidate)
        if found:
            return engine.index.api(found[0])
    return None
