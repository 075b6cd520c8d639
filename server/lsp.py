"""The language server: its handlers. Only the modules named lsp know that an editor exists.

A handler is a call into the pipeline and a mapping. Native work runs on executors of our own, one worker
each, so that a slow completion delays neither the reader of stdin nor a hover. State is replaced whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import sys
import uuid
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from lsprotocol import types as lsp
from pygls.uris import to_fs_path
from pygls.workspace import TextDocument

from . import __version__
from .context import make_context
from .documentation import api_markdown, is_deprecated, why_markdown
from .documents import line_starts, position_at
from .generation import IndexProblem, read_manifest
from .lifeline import watch
from .lsp_anytime import Question
from .lsp_config import configure, watch_configuration
from .lsp_documents import DocumentWorkspace
from .lsp_life import Root, Server, Session, chosen_index, close, leave, log, renew, run_on, start, update
from .lsp_wire import serve
from .pipeline import Engine, known_facts
from .settings import parse_settings
from .types import Api, Context

STATUS_COMMAND = "deepcodeseek.status"
CONTEXT_CHARS = 500_000  # on each side of the cursor; what lies further away does not matter there
SWITCH_SECONDS = 0.001  # between threads: a hover waits so long for a completion, or a few times
WATCHED = ("**/*.{js,mjs,cjs,jsx,ts,mts,cts,tsx,xml}", "**/{package,now.config,sinc.manifest,scopes}.json")
TRIGGERS = (" ", "'", '"')  # after `new ` and inside of GlideAjax('


def make_server() -> Server:
    """A server with all its handlers."""
    server = Server()
    completion = lsp.CompletionOptions(trigger_characters=list(TRIGGERS), resolve_provider=True)
    server.feature(lsp.INITIALIZE)(_initialize)
    server.feature(lsp.INITIALIZED)(_initialized)
    server.feature(lsp.SHUTDOWN)(_shutdown)
    server.feature(lsp.TEXT_DOCUMENT_COMPLETION, completion)(_completion)
    server.feature(lsp.COMPLETION_ITEM_RESOLVE)(_resolve)
    server.feature(lsp.TEXT_DOCUMENT_HOVER)(_hover)
    server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)(_typed)
    server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)(_saved)
    server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)(_files_changed)
    server.feature(lsp.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)(_folders_changed)
    server.feature(lsp.WORKSPACE_DID_CHANGE_CONFIGURATION)(_configured)
    server.command(STATUS_COMMAND)(_status)
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
        ls.background(start(ls, root))
    ls.background(_watch(ls))
    ls.background(watch_configuration(ls))


async def _configured(ls: Server, params: lsp.DidChangeConfigurationParams) -> None:
    for root in await configure(ls, params.settings):
        ls.background(start(ls, root))


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
        ls.background(start(ls, root))


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


def _saved(ls: Server, params: lsp.DidSaveTextDocumentParams) -> None:
    ls.background(update(ls, ls.root_of(ls.workspace.get_text_document(params.text_document.uri).path)))


def _files_changed(ls: Server, params: lsp.DidChangeWatchedFilesParams) -> None:
    for root in {ls.root_of(to_fs_path(change.uri) or "") for change in params.changes}:
        ls.background(update(ls, root))


def _shutdown(ls: Server, _params: None) -> None:
    for task in ls.tasks:
        task.cancel()
    close(ls)


# Questions


async def _completion(ls: Server, params: lsp.CompletionParams) -> lsp.CompletionList:
    ls.count("completion")
    document = ls.workspace.get_text_document(params.text_document.uri)
    root = ls.root_of(document.path)
    engine = root.session.engine
    _supersede(ls, (document.uri, document.version, params.position))
    offset = document.offset_at_position(params.position)
    text = document.source
    if engine is None or not _asks_for_api(text, offset, params.context):
        return lsp.CompletionList(is_incomplete=engine is None, items=[])
    question = await _question(ls, root.session, engine, text, offset, document.path)
    ls.answer = answer = await ls.anytime.answer(question)
    ls.anytime.look_ahead(lambda: _as_it_is(question))
    ls.background(renew(ls, root))
    edit = _replaced_range(document, text, offset, question.context)
    items = [
        _item(place, ranked.api, question.context, edit, answer.trace.index_id)
        for place, ranked in enumerate(answer.ranked[: question.settings.max_items])
    ]
    return lsp.CompletionList(is_incomplete=True, items=items)


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
    offset = document.offset_at_position(place) + len(typed)
    return await _question(ls, session, session.engine, document.source, offset, document.path)


async def _question(
    ls: Server, session: Session, engine: Engine, text: str, offset: int, path: str
) -> Question:
    context = await run_on(ls.lookups, _context, engine, session.workspace, text, offset, path)
    return Question(engine, session.settings, context)


async def _as_it_is(question: Question) -> Question:
    return question


def _asks_for_api(text: str, offset: int, context: lsp.CompletionContext | None) -> bool:
    """Whether a trigger character stands where an API can: after `new `, or inside of GlideAjax('."""
    if not context or context.trigger_kind != lsp.CompletionTriggerKind.TriggerCharacter:
        return True
    line = text[:offset].rsplit("\n", 1)[-1]
    in_comment = re.search(r"//|^\s*/?\*", line)
    return not in_comment and bool(re.search(r"(\bnew |\bGlideAjax\(\s*['\"])\Z", line))


def _context(engine: Engine, workspace: Path | None, text: str, offset: int, path: str) -> Context:
    facts = _facts(engine, workspace, path)
    before, after = text[max(0, offset - CONTEXT_CHARS) : offset], text[offset : offset + CONTEXT_CHARS]
    return make_context(before, after, facts)


def _facts(engine: Engine, workspace: Path | None, path: str) -> dict[str, str]:
    home = workspace.resolve().name if workspace else ""
    return known_facts(engine.index, {"file": _relative(workspace, path)}, home)


def _relative(workspace: Path | None, path: str) -> str:
    try:
        return Path(path).resolve().relative_to((workspace or Path.cwd()).resolve()).as_posix()
    except ValueError:
        return ""


def _replaced_range(document: TextDocument, text: str, offset: int, context: Context) -> lsp.Range:
    starts = line_starts(text)
    encoding = str(document.position_codec.encoding)
    start = position_at(text, starts, offset - len(context.prefix), encoding)
    return lsp.Range(lsp.Position(*start), lsp.Position(*position_at(text, starts, offset, encoding)))


def _item(place: int, api: Api, context: Context, edit: lsp.Range, index_id: str) -> lsp.CompletionItem:
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


async def _resolve(ls: Server, item: lsp.CompletionItem) -> lsp.CompletionItem:
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


async def _hover(ls: Server, params: lsp.HoverParams) -> lsp.Hover | None:
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
    scope = _facts(engine, workspace, path).get("scope", "")
    for candidate in (f"{scope}.{name}", f"global.{name}", name):
        found = engine.index.find(candidate)
        if found:
            return engine.index.api(found[0])
    return None


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
