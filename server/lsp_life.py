"""The server's life: what it holds between requests, how models and index are loaded, built and renewed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

from . import __version__
from .generation import IndexProblem, index_directory
from .lsp_anytime import Anytime
from .lsp_anytime import run_on as run_on
from .models import ModelProblem, Remembering
from .pipeline import Engine, load_engine, mark_of
from .settings import Settings
from .types import Answer

NAME = "deepcodeseek"
PROGRESS_SECONDS = 2.0  # for a client to answer that it wants to see progress
RENEW_SECONDS = 1.0  # between two looks for a newer index
SETTLE_SECONDS = 0.3  # after a change, for those that come with it

log = logging.getLogger(NAME)


@dataclass(frozen=True, slots=True)
class Session:
    """What a question is answered with; replaced whole."""

    settings: Settings = field(default_factory=Settings)
    workspace: Path | None = None
    engine: Engine | None = None
    state: str = "starting"


class Server(LanguageServer):
    """The pygls server and what it holds between requests."""

    def __init__(self) -> None:
        super().__init__(NAME, __version__, text_document_sync_kind=lsp.TextDocumentSyncKind.Incremental)
        self.session = Session()
        self.problems: tuple[str, ...] = ()  # with the client's options
        self.lookups = ThreadPoolExecutor(1, "lookup")
        self.counters: dict[str, int] = {}
        self.anytime = Anytime(self.count)
        self.asking: tuple[object, asyncio.Task[Any]] | None = None  # where the last completion is asked
        self.is_started = False
        self.renewed = 0.0
        self.changes = 0  # of files, since the start
        self.updating = False
        self.tried = ""  # what was loaded last, or could not be
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


async def start(ls: Server) -> None:
    """Load index and models; build the index first where there is none."""
    workspace = ls.session.workspace
    if workspace is None and not ls.session.settings.index_directory:
        ls.session = replace(ls.session, state="no workspace")
        ls.say("no workspace folder is open: nothing can be predicted")
        return
    directory = chosen_index(ls.session)
    try:
        if await _load(ls, directory):
            await update(ls)  # files may have changed since
        elif workspace and ls.session.settings.auto_index:
            await _build(ls, workspace, directory)
            await _load(ls, directory)
    except Exception as error:  # the server stays up and says why it has no answers
        log.exception("start")
        _fail(ls, f"{type(error).__name__}: {error}")


def chosen_index(session: Session) -> Path:
    """Where the index lies: where the client says, or else where the builder puts it."""
    chosen = session.settings.index_directory
    return Path(chosen).expanduser() if chosen else index_directory(session.workspace or Path.cwd())


def _models_directory(ls: Server) -> Path | None:
    directory = _chosen_models(ls.session)
    if ls.session.settings.models_directory and directory is None:
        ls.say(f"there is no models directory {ls.session.settings.models_directory}: the installed are used")
    return directory


def _chosen_models(session: Session) -> Path | None:
    """Where the client says that models lie, if anything is there."""
    chosen = Path(session.settings.models_directory).expanduser()
    return chosen if session.settings.models_directory and chosen.is_dir() else None


async def _load(ls: Server, directory: Path) -> bool:
    """Load the engine; False where there is no usable index."""
    models = _models_directory(ls)
    async with _progress(ls, "DeepCodeSeek", "loading models and index"):
        try:
            engine = await ls.anytime.load(load_engine, directory, models)
        except (IndexProblem, ModelProblem) as problem:
            _fail(ls, str(problem))
            return False
    engine = _remembering(engine)
    for note in engine.notes:
        ls.say(note)
    ls.session = replace(ls.session, engine=engine, state="ready")
    ls.say(f"ready: {engine.index.count} APIs", lsp.MessageType.Info)
    return True


def _remembering(engine: Engine) -> Engine:
    query, encoder = engine.query_encoder, engine.encoder
    return replace(
        engine, encoder=encoder and Remembering(encoder), query_encoder=query and Remembering(query)
    )


async def renew(ls: Server) -> None:
    """Load what is newer: a generation of the index, or weights that `deepcodeseek train adapt` has made."""
    now = time.monotonic()
    engine = ls.session.engine
    if engine is None or now < ls.renewed + RENEW_SECONDS:
        return
    ls.renewed = now
    directory = chosen_index(ls.session)
    with contextlib.suppress(IndexProblem, ModelProblem):
        mark = await run_on(ls.lookups, mark_of, directory, _chosen_models(ls.session))
        if mark not in (engine.mark, ls.tried):
            ls.tried = mark
            await _load(ls, directory)
            if engine.generator and ls.session.engine is not engine:
                engine.generator.close()


def _fail(ls: Server, message: str) -> None:
    ls.session = replace(ls.session, state=message)
    ls.say(message)


async def update(ls: Server) -> None:
    """Bring the index up to date; one build at a time, and one more for what changed meanwhile."""
    ls.changes += 1
    workspace = ls.session.workspace
    if ls.updating or ls.session.engine is None or workspace is None or not ls.session.settings.auto_index:
        return
    ls.updating = True
    try:
        seen = 0
        while seen < ls.changes:
            await asyncio.sleep(SETTLE_SECONDS)
            seen = ls.changes
            await _build(ls, workspace, chosen_index(ls.session))
            ls.renewed = 0.0
            await renew(ls)
            ls.count("update")
    finally:
        ls.updating = False


async def _build(ls: Server, workspace: Path, directory: Path) -> None:
    """Run `deepcodeseek index` as a child process and show its progress."""
    if ls.session.engine is None:
        ls.session = replace(ls.session, state="indexing")
    command = [sys.executable, "-I", "-m", "deepcodeseek.index_builder.cli", "index", str(workspace)]
    command += ["--out", str(directory), "--progress", "jsonl", "--background"]
    models = _models_directory(ls)
    command += ["--models", str(models)] if models else []
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    # It ends when its stdin does, so also when this process is killed.
    ls.builder = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=null, stderr=pipe)
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


def close(server: Server) -> None:
    """End the child processes."""
    engine = server.session.engine
    if engine and engine.generator:
        engine.generator.close()
    if server.builder and server.builder.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            server.builder.kill()


def leave(server: Server) -> None:
    """End this process and its children at once, from any thread."""
    close(server)
    # Native work may still be under way; nobody is left to wait for it.
    logging.shutdown()
    os._exit(0 if server.protocol._shutdown else 1)
