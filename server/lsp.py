"""The language server: the only module that knows an editor exists.

A handler is a call into the pipeline and a mapping. Native work runs on executors of our own, one worker
each, so that a slow completion delays neither the reader of stdin nor a hover. State is replaced whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import re
import sys
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path
from pygls.workspace import TextDocument, Workspace

from . import __version__
from .context import make_context
from .documentation import api_markdown, why_markdown
from .documents import line_starts, offset_at, position_at
from .generation import IndexProblem, index_directory, read_manifest
from .models import ModelProblem
from .pipeline import EXPAND_MS, Engine, expand_context, known_facts, load_engine, predict
from .settings import Settings, parse_settings
from .types import Answer, Api, Context, ExpandedQuery

NAME = "deepcodeseek"
STATUS_COMMAND = "deepcodeseek.status"
DEBOUNCE_SECONDS = 0.03  # requests that follow one another faster cost one computation
EXPANSIONS_KEPT = 64
PROGRESS_SECONDS = 2.0  # for a client to answer that it wants to see progress
RENEW_SECONDS = 1.0  # between two looks for a newer index
PAUSE_SECONDS = 0.25  # in typing, before the generator is set to work
TRIGGERS = (" ", "'", '"')  # after `new ` and inside of GlideAjax('

log = logging.getLogger(NAME)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """What a question is answered with; replaced whole."""

    settings: Settings = field(default_factory=Settings)
    workspace: Path | None = None
    engine: Engine | None = None
    state: str = "starting"


class Document(TextDocument):
    """A text document that counts lines as LSP does."""

    @property
    def lines(self) -> tuple[str, ...]:
        starts = [*line_starts(self.source), len(self.source)]
        return tuple(self.source[a:b] for a, b in pairwise(starts))

    @property
    def encoding(self) -> str:
        return str(self.position_codec.encoding)

    def offset_at_position(self, client_position: lsp.Position) -> int:
        text, position = self.source, client_position
        return offset_at(text, line_starts(text), position.line, position.character, self.encoding)

    def _apply_incremental_change(self, change: lsp.TextDocumentContentChangePartial) -> None:
        start = self.offset_at_position(change.range.start)
        end = max(start, self.offset_at_position(change.range.end))
        self._source = self.source[:start] + change.text + self.source[end:]


class DocumentWorkspace(Workspace):
    """A workspace of such documents."""

    def _create_text_document(
        self,
        doc_uri: str,
        source: str | None = None,
        version: int | None = None,
        language_id: str | None = None,
    ) -> Document:
        return Document(
            doc_uri,
            source,
            version,
            language_id,
            sync_kind=self._sync_kind,
            position_codec=self._position_codec,
        )


class Server(LanguageServer):
    """The pygls server and what it holds between requests."""

    def __init__(self) -> None:
        super().__init__(NAME, __version__, text_document_sync_kind=lsp.TextDocumentSyncKind.Incremental)
        self.session = Session()
        self.problems: tuple[str, ...] = ()  # with the client's options
        self.predictions = ThreadPoolExecutor(1, "predict")
        self.lookups = ThreadPoolExecutor(1, "lookup")
        self.expansions = ThreadPoolExecutor(1, "expand")
        self.expanded: OrderedDict[tuple[str, str], ExpandedQuery] = OrderedDict()
        self.expanding: tuple[str, str] | None = None
        self.counters: dict[str, int] = {}
        self.ticket = 0
        self.renewed = 0.0
        self.tried = ""  # the newer generation that was loaded last, or could not be
        self.answer = Answer()
        self.builder: asyncio.subprocess.Process | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    def count(self, what: str) -> None:
        self.counters[what] = self.counters.get(what, 0) + 1

    def background(self, work: Any) -> None:
        """Run a coroutine beside the requests; the reference keeps it from being collected."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Into the log alone: told to the client, a failed write would report itself for ever."""
        log.error("%s: %s", getattr(source, "__name__", source), error)

    def say(self, message: str, kind: lsp.MessageType = lsp.MessageType.Warning) -> None:
        """One line in the log and to the client's log."""
        log.log(logging.WARNING if kind == lsp.MessageType.Warning else logging.INFO, "%s", message)
        self.window_log_message(lsp.LogMessageParams(kind, f"deepcodeseek: {message}"))


async def _run(executor: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any, **options: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, partial(work, *arguments, **options))


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
        _close(server)
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


def _close(server: Server) -> None:
    engine = server.session.engine
    if engine and engine.generator:
        engine.generator.close()
    if server.builder and server.builder.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            server.builder.kill()


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
    ls.background(_start(ls))


def _shutdown(ls: Server, _params: None) -> None:
    for task in ls.tasks:
        task.cancel()
    _close(ls)


async def _start(ls: Server) -> None:
    """Load index and models; build the index first where there is none."""
    workspace = ls.session.workspace
    if workspace is None and not ls.session.settings.index_directory:
        ls.session = replace(ls.session, state="no workspace")
        ls.say("no workspace folder is open: nothing can be predicted")
        return
    directory = _index_directory(ls.session)
    try:
        if not await _load(ls, directory) and workspace and ls.session.settings.auto_index:
            await _build(ls, workspace, directory)
            await _load(ls, directory)
    except Exception as error:  # the server stays up and says why it has no answers
        log.exception("start")
        _fail(ls, f"{type(error).__name__}: {error}")


def _index_directory(session: Session) -> Path:
    chosen = session.settings.index_directory
    return Path(chosen).expanduser() if chosen else index_directory(session.workspace or Path.cwd())


def _models_directory(ls: Server) -> Path | None:
    chosen = ls.session.settings.models_directory
    if not chosen:
        return None
    directory = Path(chosen).expanduser()
    if not directory.is_dir():
        ls.say(f"there is no models directory {directory}: the installed models are used")
        return None
    return directory


async def _load(ls: Server, directory: Path) -> bool:
    """Load the engine; False where there is no usable index."""
    models = _models_directory(ls)
    async with _progress(ls, "DeepCodeSeek", "loading models and index"):
        try:
            engine = await _run(ls.predictions, load_engine, directory, models)
        except (IndexProblem, ModelProblem) as problem:
            _fail(ls, str(problem))
            return False
    for note in engine.notes:
        ls.say(note)
    ls.session = replace(ls.session, engine=engine, state="ready")
    ls.say(f"ready: {engine.index.count} APIs", lsp.MessageType.Info)
    return True


async def _renew(ls: Server) -> None:
    """Load a newer generation of the index, where `deepcodeseek index` has made one."""
    now = time.monotonic()
    engine = ls.session.engine
    if engine is None or now < ls.renewed + RENEW_SECONDS:
        return
    ls.renewed = now
    directory = _index_directory(ls.session)
    with contextlib.suppress(IndexProblem):
        generation, _ = await _run(ls.lookups, read_manifest, directory)
        if generation.name not in (engine.index.id, ls.tried):
            ls.tried = generation.name
            await _load(ls, directory)
            if engine.generator and ls.session.engine is not engine:
                engine.generator.close()


def _fail(ls: Server, message: str) -> None:
    ls.session = replace(ls.session, state=message)
    ls.say(message)


async def _build(ls: Server, workspace: Path, directory: Path) -> None:
    """Run `deepcodeseek index` as a child process and show its progress."""
    ls.session = replace(ls.session, state="indexing")
    command = [sys.executable, "-I", "-m", "deepcodeseek.index_builder.cli", "index", str(workspace)]
    command += ["--out", str(directory), "--progress", "jsonl"]
    models = _models_directory(ls)
    command += ["--models", str(models)] if models else []
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    ls.builder = await asyncio.create_subprocess_exec(*command, stdin=null, stdout=null, stderr=pipe)
    assert ls.builder.stderr
    async with _progress(ls, "DeepCodeSeek", f"indexing {workspace.name}") as report:
        async for line in ls.builder.stderr:
            _show_build_line(ls, line.decode("utf-8", "replace").strip(), report)
        status = await ls.builder.wait()
    if status:
        _fail(ls, f"indexing failed (status {status}); see the messages before")


def _show_build_line(ls: Server, line: str, report: Callable[[str, int], None]) -> None:
    try:
        step = json.loads(line)
        report(str(step["task"]), 100 * int(step["done"]) // max(1, int(step["total"])))
    except (ValueError, KeyError, TypeError):
        ls.say(line)


@contextlib.asynccontextmanager
async def _progress(ls: Server, title: str, message: str) -> AsyncIterator[Callable[[str, int], None]]:
    """$/progress from begin to end; the value reports a message and a percentage."""
    window = ls.client_capabilities.window
    if not (window and window.work_done_progress):
        yield lambda _message, _percent: None
        return
    token = str(uuid.uuid4())
    created = asyncio.ensure_future(ls.work_done_progress.create_async(token))
    done, _ = await asyncio.wait({created}, timeout=PROGRESS_SECONDS)
    if not done or created.exception():  # a client that refuses the token still gets its answers
        created.add_done_callback(lambda future: future.cancelled() or future.exception())
        yield lambda _message, _percent: None
        return
    ls.work_done_progress.begin(token, lsp.WorkDoneProgressBegin(title, message=message, percentage=0))
    try:
        yield lambda text, percent: ls.work_done_progress.report(
            token, lsp.WorkDoneProgressReport(message=text, percentage=percent)
        )
    finally:
        ls.work_done_progress.end(token, lsp.WorkDoneProgressEnd())


# Questions


async def _completion(ls: Server, params: lsp.CompletionParams) -> lsp.CompletionList:
    ls.count("completion")
    ls.ticket = ticket = ls.ticket + 1
    ls.background(_renew(ls))
    engine = ls.session.engine
    document = ls.workspace.get_text_document(params.text_document.uri)
    offset = document.offset_at_position(params.position)
    text = document.source
    if engine is None or not _asks_for_api(text, offset, params.context):
        return lsp.CompletionList(is_incomplete=engine is None, items=[])
    context = await _run(ls.lookups, _context, ls.session, text, offset, document.path)
    await asyncio.sleep(DEBOUNCE_SECONDS)
    if ticket != ls.ticket:
        return lsp.CompletionList(is_incomplete=True, items=[])
    expanded = ls.expanded.get(_expansion_key(context))
    options = {"expanded": expanded} if expanded else {"first_only": True}
    settings = ls.session.settings
    answer = await _run(
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
    edit = _replaced_range(document, text, offset, context)
    items = [
        _item(place, ranked.api, context, edit, answer.trace.index_id)
        for place, ranked in enumerate(answer.ranked[: settings.max_items])
    ]
    return lsp.CompletionList(is_incomplete=True, items=items)


def _asks_for_api(text: str, offset: int, context: lsp.CompletionContext | None) -> bool:
    """Whether a trigger character stands where an API can: after `new `, or inside of GlideAjax('."""
    if not context or context.trigger_kind != lsp.CompletionTriggerKind.TriggerCharacter:
        return True
    line = text[:offset].rsplit("\n", 1)[-1]
    in_comment = re.search(r"//|^\s*/?\*", line)
    return not in_comment and bool(re.search(r"(\bnew |\bGlideAjax\(\s*['\"])\Z", line))


def _context(session: Session, text: str, offset: int, path: str) -> Context:
    assert session.engine
    facts = known_facts(session.engine.index, {"file": _relative(session.workspace, path)})
    return make_context(text[:offset], text[offset:], facts)


def _relative(workspace: Path | None, path: str) -> str:
    try:
        return Path(path).resolve().relative_to((workspace or Path.cwd()).resolve()).as_posix()
    except ValueError:
        return ""


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
        expanded, note = await _run(
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
    api = await _run(ls.lookups, engine.index.api, int(data["api"]))
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
    path = _relative(ls.session.workspace, document.path)
    api = await _run(ls.lookups, _look_up, engine, name, path)
    return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, api_markdown(api))) if api else None


def _name_at(text: str, offset: int) -> str:
    """The name under the cursor, with what stands before it up to the line's start: `scope.Name`."""
    before = re.search(r"[\w$.]*\Z", text[max(0, offset - 200) : offset])
    after = re.match(r"[\w$]*", text[offset : offset + 200])
    return (before.group() if before else "") + (after.group() if after else "")


def _look_up(engine: Engine, name: str, path: str) -> Api | None:
    """The API a name means in a file: in the file's scope, global, or as it is written."""
    scope = known_facts(engine.index, {"file": path}).get("scope", "")
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
        "index": await _run(ls.lookups, _manifest, session),
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
    directory = _index_directory(session)
    try:
        generation, manifest = read_manifest(directory)
    except IndexProblem as problem:
        return {"directory": str(directory), "problem": str(problem)}
    return {"directory": str(directory), "generation": generation.name, **manifest}


def _models(engine: Engine | None) -> list[dict[str, str]]:
    loaded = [model for model in (engine.encoder, engine.generator) if model] if engine else []
    return [
        {"kind": m.files.kind, "name": m.files.name, "sha256": m.files.sha256, "state": m.state}
        for m in loaded
    ]
