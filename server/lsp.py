"""The language server: its handlers. Only the modules named lsp know that an editor exists.

A handler is a call into the pipeline and a mapping. Native work runs on executors of our own, one worker
each, so that a slow completion delays neither the reader of stdin nor a hover. State is replaced whole.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import uuid
from functools import partial
from pathlib import Path
from typing import BinaryIO

from lsprotocol import types as lsp
from pygls.uris import to_fs_path

from .context import make_context
from .engine import Engine
from .lifeline import watch
from .lsp_anytime import Question
from .lsp_config import configure, register, watch_configuration
from .lsp_documents import DocumentWorkspace
from .lsp_files import facts_of
from .lsp_inline import inline_completion
from .lsp_items import TRIGGERS, Look, api_items, asked_at, look_of, member_items, resolve
from .lsp_life import Listed, Root, Server, Session, close, leave, log, read, renew, start, update
from .lsp_navigation import (
    SIGNATURE_TRIGGERS,
    definition,
    hover,
    references,
    signature_help,
    workspace_symbols,
)
from .lsp_status import status
from .lsp_wire import serve
from .settings import parse_settings
from .types import Context

STATUS_COMMAND = "deepcodeseek.status"
SWITCH_SECONDS = 0.001  # between threads: a hover waits so long for a completion, or a few times
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
    server.feature(lsp.TEXT_DOCUMENT_INLINE_COMPLETION, lsp.InlineCompletionOptions())(inline_completion)
    server.feature(lsp.WORKSPACE_SYMBOL)(workspace_symbols)
    server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)(_typed)
    server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)(_saved)
    server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)(_files_changed)
    server.feature(lsp.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)(_folders_changed)
    server.feature(lsp.WORKSPACE_DID_CHANGE_CONFIGURATION)(_configured)
    server.command(STATUS_COMMAND)(status)
    return server


def run(log_file: Path | None = None, log_level: str = "info") -> None:
    """Serve over stdin and stdout until the client says exit or closes stdin."""
    handlers, problem = _log_handlers(log_file)
    logging.basicConfig(
        level=log_level.upper(), handlers=handlers, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # it would write the user's code into the log
    sys.setswitchinterval(SWITCH_SECONDS)
    if problem:
        log.warning("%s", problem)
    server = make_server()
    stdout = _claim_stdout()
    try:
        serve(server, sys.stdin.buffer, stdout)
    finally:
        leave(server)


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
    ls.options = params.initialization_options
    folders = params.workspace_folders or []
    ls.protocol._workspace = DocumentWorkspace(
        ls.workspace.root_uri, lsp.TextDocumentSyncKind.Incremental, folders, ls.workspace.position_encoding
    )
    if params.process_id and not watch(params.process_id, partial(leave, ls)):
        log.info("the editor's process %s is not on this machine and not watched", params.process_id)
    paths = [path for folder in folders if (path := to_fs_path(folder.uri))]
    settings, _ = parse_settings(ls.options)
    first = ls.workspace.root_path
    ls.roots = [Root(Session(settings, Path(path))) for path in paths] or [
        Root(Session(settings, Path(first) if first else None))
    ]


async def _initialized(ls: Server, _params: lsp.InitializedParams) -> None:
    if ls.is_started:
        return
    ls.is_started = True
    await configure(ls)
    for root in ls.roots:
        start(ls, root)
    ls.background(_watch(ls))
    ls.background(watch_configuration(ls))


async def _configured(ls: Server, params: lsp.DidChangeConfigurationParams) -> None:
    for root in await configure(ls, params.settings):
        start(ls, root)


def _folders_changed(ls: Server, params: lsp.DidChangeWorkspaceFoldersParams) -> None:
    gone = {to_fs_path(folder.uri) for folder in params.event.removed}
    settings = ls.session.settings
    left = [root for root in ls.roots if root.session.workspace and str(root.session.workspace) not in gone]
    for root in ls.roots:
        if root not in left:
            root.close()
    opened = [path for folder in params.event.added if (path := to_fs_path(folder.uri))]
    new = [Root(Session(settings, Path(path))) for path in opened]
    ls.roots = [*left, *new] or [Root(Session(settings))]
    for root in ls.roots if not left else new:
        start(ls, root)


async def _watch(ls: Server) -> None:
    """Ask the client to say when files change, where it can."""
    workspace = ls.client_capabilities.workspace
    files = workspace.did_change_watched_files if workspace else None
    if not (files and files.dynamic_registration and ls.session.workspace):
        return
    watchers = [lsp.FileSystemWatcher(glob_pattern=pattern) for pattern in WATCHED]
    options = lsp.DidChangeWatchedFilesRegistrationOptions(watchers)
    registration = lsp.Registration(str(uuid.uuid4()), lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
    await register(ls, registration)


def _saved(ls: Server, params: lsp.DidSaveTextDocumentParams) -> None:
    ls.background(update(ls, ls.root_of(ls.workspace.get_text_document(params.text_document.uri).path)))


def _files_changed(ls: Server, params: lsp.DidChangeWatchedFilesParams) -> None:
    for root in {ls.root_of(to_fs_path(change.uri) or "") for change in params.changes}:
        ls.background(update(ls, root))


def _shutdown(ls: Server, _params: None) -> None:
    for task in ls.tasks:
        task.cancel()
    # pygls would do it over the dict itself, from which the first that ends takes its entry.
    for number, future in list(ls.protocol._request_futures.items()):
        if number != ls.protocol.msg_id:
            future.cancel()
    close(ls)


# Questions


async def _completion(ls: Server, params: lsp.CompletionParams) -> lsp.CompletionList:
    ls.count("completion")
    document = ls.workspace.get_text_document(params.text_document.uri)
    root = ls.latest = ls.root_of(document.path)
    engine = root.session.engine
    _supersede(ls, (document.uri, document.version, params.position))
    offset = document.offset_at_position(params.position)
    text = document.source
    place = (document.uri, offset, text, params.context and params.context.trigger_character)
    if ls.listed and ls.listed.is_at(place, root.session) and _still_holds(ls, ls.listed):
        ls.background(renew(ls, root))
        return ls.listed.items
    if engine is None:
        ls.background(renew(ls, root))
        return lsp.CompletionList(is_incomplete=True, items=[])
    look = look_of(ls.client_capabilities)
    asked = await read(ls, text, asked_at, document, text, offset, params.context, look)
    if asked is None:
        return lsp.CompletionList(is_incomplete=False, items=[])
    if asked.cursor.receiver:
        workspace = root.session.workspace
        members = await read(ls, text, member_items, engine, workspace, document.path, asked)
        if members is not None:
            return lsp.CompletionList(is_incomplete=False, items=members)
    question = await _question(ls, root.session, engine, text, offset, document.path)
    ls.answer = answer = await ls.anytime.answer(question)
    ls.anytime.look_ahead(lambda: _as_it_is(question))
    ls.background(renew(ls, root))
    most = question.settings.max_items
    found = await read(ls, text, api_items, engine.index, asked, question.context, answer, most)
    items = lsp.CompletionList(is_incomplete=True, items=found)
    ls.listed = Listed(place, root.session, question, answer, items)
    return items


def _still_holds(ls: Server, listed: Listed) -> bool:
    """Whether nothing better is known meanwhile."""
    return ls.anytime.known(listed.question) is listed.answer


def _supersede(ls: Server, asked: object) -> None:
    """End the completion under way, unless it asks the same: the editor has moved on.

    It ends as if the editor had cancelled it: VS Code and Neovim pass over that error in silence. Neovim
    shows ContentModified, and an empty list would close what is open.
    """
    task = asyncio.current_task()
    assert task
    if ls.asking and ls.asking[0] != asked:
        ls.asking[1].cancel()
    ls.asking = asked, task


def _typed(ls: Server, params: lsp.DidChangeTextDocumentParams) -> None:
    """Look ahead from the end of what was typed: that is where the cursor stands."""
    change = params.content_changes[-1] if params.content_changes else None
    if isinstance(change, lsp.TextDocumentContentChangePartial):
        uri, place, typed = params.text_document.uri, change.range.start, change.text
        ls.anytime.look_ahead(lambda: _question_behind(ls, uri, place, typed))


async def _question_behind(ls: Server, uri: str, place: lsp.Position, typed: str) -> Question | None:
    document = ls.workspace.get_text_document(uri)
    session = ls.root_of(document.path).session
    if session.engine is None or document.version is None:  # closed meanwhile
        return None
    offset, text = document.offset_at_position(place) + len(typed), document.source
    if await read(ls, text, asked_at, document, text, offset, None, Look()) is None:
        return None
    return await _question(ls, session, session.engine, text, offset, document.path)


async def _question(
    ls: Server, session: Session, engine: Engine, text: str, offset: int, path: str
) -> Question:
    context = await read(ls, text, _context, engine, session.workspace, text, offset, path)
    return Question(engine, session.settings, context)


async def _as_it_is(question: Question) -> Question:
    return question


def _context(engine: Engine, workspace: Path | None, text: str, offset: int, path: str) -> Context:
    facts = facts_of(engine, workspace, path)
    return make_context(text[:offset], text[offset:], facts)
