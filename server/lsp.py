"""The language server: its handlers. Only the modules named lsp know that an editor exists.

A handler is a call into the pipeline and a mapping. Native work runs on executors of our own, one worker
each, so that a slow completion delays neither the reader of stdin nor a hover. State is replaced whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import sys
import uuid
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

from lsprotocol import types as lsp
from pygls.uris import to_fs_path

from . import __version__
from .context import make_context
from .generation import IndexProblem, read_manifest
from .lsp_documents import DocumentWorkspace
from .lsp_files import facts_of
from .lsp_inline import inline_completion
from .lsp_items import TRIGGERS, api_items, asked_at, look_of, member_items, resolve
from .lsp_life import Server, Session, chosen_index, close, log, renew, run_on, start, update
from .lsp_navigation import (
    SIGNATURE_TRIGGERS,
    definition,
    hover,
    references,
    signature_help,
    workspace_symbols,
)
from .pipeline import EXPAND_MS, Engine, expand_context, predict
from .settings import parse_settings
from .types import Context

STATUS_COMMAND = "deepcodeseek.status"
DEBOUNCE_SECONDS = 0.03  # requests that follow one another faster cost one computation
EXPANSIONS_KEPT = 64
PAUSE_SECONDS = 0.25  # in typing, before the generator is set to work
WATCHED = ("**/*.{js,mjs,cjs,jsx,ts,mts,cts,tsx,xml}", "**/{package,now.config,sinc.manifest,scopes}.json")


def make_server() -> Server:
    """A server with all its handlers."""
    server = Server()
    completion = lsp.CompletionOptions(trigger_characters=list(TRIGGERS), resolve_provider=True)
    server.feature(lsp.INITIALIZE)(_initialize)
    server.feature(lsp.INITIALIZED)(_initialized)
    server.feature(lsp.SHUTDOWN)(_shutdown)
    server.feature(lsp.TEXT_DOCUMENT_COMPLETION, completion)(_completion)
    server.feature(lsp.COMPLETION_ITEM_RESOLVE)(resolve)
    server.feature(lsp.TEXT_DOCUMENT_HOVER)(hover)
    signatures = lsp.SignatureHelpOptions(trigger_characters=list(SIGNATURE_TRIGGERS))
    server.feature(lsp.TEXT_DOCUMENT_SIGNATURE_HELP, signatures)(signature_help)
    server.feature(lsp.TEXT_DOCUMENT_DEFINITION)(definition)
    server.feature(lsp.TEXT_DOCUMENT_REFERENCES)(references)
    server.feature(lsp.TEXT_DOCUMENT_INLINE_COMPLETION)(inline_completion)
    server.feature(lsp.WORKSPACE_SYMBOL)(workspace_symbols)
    server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)(_changed)
    server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)(_changed)
    server.command(STATUS_COMMAND)(_status)
    return server


def run(log_file: Path | None = None, log_level: str = "info") -> None:
    """Serve over stdin and stdout until the client says exit or closes stdin."""
    handlers, problem = _log_handlers(log_file)
    logging.basicConfig(
        level=log_level.upper(), handlers=handlers, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("pygls").setLevel(logging.ERROR)
    if problem:
        log.warning("%s", problem)
    server = make_server()
    stdout = _claim_stdout()
    try:
        server.start_io(sys.stdin.buffer, stdout)
    finally:
        close(server)
        # Native work may still be under way; nobody is left to wait for it.
        logging.shutdown()
        os._exit(0 if server.protocol._shutdown else 1)


def _log_handlers(log_file: Path | None) -> tuple[list[logging.Handler] | None, str]:
    """A handler for the log file, or what is wrong with it: the log then goes to stderr."""
    if log_file is None:
        return None, ""
    try:
        return [logging.FileHandler(log_file, encoding="utf-8")], ""
    except OSError as error:
        return None, f"the log file {log_file} cannot be written: {error.strerror}"


def _claim_stdout() -> BinaryIO:
    """Keep stdout for the protocol: whatever a library prints goes to stderr."""
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return stream


# Life


def _initialize(ls: Server, params: lsp.InitializeParams) -> None:
    settings, ls.problems = parse_settings(params.initialization_options)
    folders = params.workspace_folders or []
    ls.protocol._workspace = DocumentWorkspace(
        ls.workspace.root_uri, lsp.TextDocumentSyncKind.Incremental, folders, ls.workspace.position_encoding
    )
    root = to_fs_path(folders[0].uri) if folders else ls.workspace.root_path
    ls.session = Session(settings, Path(root) if root else None)


async def _initialized(ls: Server, _params: lsp.InitializedParams) -> None:
    for problem in ls.problems:
        ls.say(problem)
    ls.background(start(ls))
    ls.background(_watch(ls))


async def _watch(ls: Server) -> None:
    """Ask the client to say when files change, where it can."""
    workspace = ls.client_capabilities.workspace
    files = workspace.did_change_watched_files if workspace else None
    if not (files and files.dynamic_registration and ls.session.workspace):
        return
    watchers = [lsp.FileSystemWatcher(glob_pattern=pattern) for pattern in WATCHED]
    options = lsp.DidChangeWatchedFilesRegistrationOptions(watchers)
    registration = lsp.Registration(str(uuid.uuid4()), lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
    try:
        await ls.client_register_capability_async(lsp.RegistrationParams([registration]))
    except Exception as error:  # it may say that it can and refuse
        log.info("the client does not watch files: %s", error)


def _changed(ls: Server, _params: object) -> None:
    ls.background(update(ls))


def _shutdown(ls: Server, _params: None) -> None:
    for task in ls.tasks:
        task.cancel()
    close(ls)


# Questions


async def _completion(ls: Server, params: lsp.CompletionParams) -> lsp.CompletionList:
    ls.count("completion")
    ls.ticket = ticket = ls.ticket + 1
    ls.background(renew(ls))
    engine = ls.session.engine
    document = ls.workspace.get_text_document(params.text_document.uri)
    offset = document.offset_at_position(params.position)
    text = document.source
    asked = asked_at(document, text, offset, params.context, look_of(ls.client_capabilities))
    if engine is None or asked is None:
        return lsp.CompletionList(is_incomplete=engine is None, items=[])
    members = await run_on(ls.lookups, member_items, engine, ls.session.workspace, document.path, asked)
    if members is not None:
        return lsp.CompletionList(is_incomplete=False, items=members)
    context = await run_on(ls.lookups, _context, ls.session, text, offset, document.path)
    await asyncio.sleep(DEBOUNCE_SECONDS)
    if ticket != ls.ticket:
        return lsp.CompletionList(is_incomplete=True, items=[])
    expanded = ls.expanded.get(_expansion_key(context))
    options = {"expanded": expanded} if expanded else {"first_only": True}
    settings = ls.session.settings
    answer = await run_on(
        ls.predictions,
        predict,
        engine,
        context,
        deadline_ms=settings.deadline_ms,
        rerank_depth=settings.rerank_depth,
        **options,
    )
    ls.answer = answer
    if expanded is None and settings.expand and engine.generator:
        ls.background(_expand_ahead(ls, engine, context, ticket))
    items = await run_on(ls.lookups, api_items, engine.index, asked, context, answer, settings.max_items)
    return lsp.CompletionList(is_incomplete=True, items=items)


def _context(session: Session, text: str, offset: int, path: str) -> Context:
    assert session.engine
    facts = facts_of(session.engine, session.workspace, path)
    return make_context(text[:offset], text[offset:], facts)


def _expansion_key(context: Context) -> tuple[str, str]:
    return context.record_name, context.window


async def _expand_ahead(ls: Server, engine: Engine, context: Context, ticket: int) -> None:
    """Expand while the developer reads the first list: the next request for this context finds it.

    Begins in a pause, and gives way to a newer context.
    """
    await asyncio.sleep(PAUSE_SECONDS)
    key = _expansion_key(context)
    if ticket != ls.ticket or key == ls.expanding:
        return
    if ls.expanding and engine.generator:
        engine.generator.cancel()
    ls.expanding = key
    try:
        expanded, note = await run_on(
            ls.expansions, expand_context, engine, context, ls.session.settings.expand_tokens, EXPAND_MS
        )
        if ls.expanding != key:
            return  # cut short by a newer one
    finally:
        if ls.expanding == key:
            ls.expanding = None
    ls.count("expansion")
    if not expanded.code:
        log.info("expansion: %s", note)
        return
    ls.expanded[key] = replace(expanded, source="cache")
    while len(ls.expanded) > EXPANSIONS_KEPT:
        ls.expanded.popitem(last=False)


async def _status(ls: Server) -> dict[str, Any]:
    """What a bug report needs."""
    session = ls.session
    engine = session.engine
    return {
        "versions": {"deepcodeseek": __version__, "python": sys.version.split()[0], "platform": sys.platform},
        "state": session.state,
        "settings": asdict(session.settings),
        "index": await run_on(ls.lookups, _manifest, session),
        "models": _models(engine),
        "documents": [
            {
                "uri": d.uri,
                "version": d.version,
                "sha256": hashlib.sha256(d.source.encode("utf-8", "surrogatepass")).hexdigest(),
            }
            for d in ls.workspace.text_documents.values()
        ],
        "counters": dict(ls.counters),
    }


def _manifest(session: Session) -> dict[str, Any]:
    directory = chosen_index(session)
    try:
        generation, manifest = read_manifest(directory)
    except IndexProblem as problem:
        return {"directory": str(directory), "problem": str(problem)}
    return {"directory": str(directory), "generation": generation.name, **manifest}


def _models(engine: Engine | None) -> list[dict[str, str]]:
    loaded = [m for m in (engine.encoder, engine.query_encoder, engine.generator) if m] if engine else []
    fusion = {"kind": "fusion", "name": "fusion", "state": "loaded"}
    fused = [fusion | {"sha256": engine.mark.rpartition(" ")[2]}] if engine and engine.fusion else []
    return fused + [
        {"kind": m.files.kind, "name": m.files.name, "sha256": m.files.sha256, "state": m.state}
        for m in loaded
    ]
