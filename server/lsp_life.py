"""The server's life: what it holds between requests, how models and index are loaded, built and renewed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.protocol import default_converter

from . import __version__
from .engine import Engine, load_engine, mark_of, with_newer_index
from .generation import CURRENT, IndexProblem, index_directory, source_of
from .lsp_anytime import Anytime, Question
from .lsp_anytime import run_on as run_on
from .lsp_build import build, progress
from .models import ModelProblem, Remembering
from .settings import Settings
from .types import Answer

NAME = "deepcodeseek"
RENEW_SECONDS = 1.0  # between two looks for a newer index
INLINE_CHARS = 50_000  # read in ten milliseconds, once a name; busy cores would keep another thread waiting
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 15.0, 600.0  # before a start that failed is tried again
SETTLE_SECONDS = 0.3  # after a change, for those that come with it

log = logging.getLogger(NAME)
T = TypeVar("T")
ABOUT: ContextVar[str] = ContextVar("path of the document that the message under way names", default="")


@dataclass(frozen=True, slots=True)
class Session:
    """What a question is answered with; replaced whole."""

    settings: Settings = field(default_factory=Settings)
    workspace: Path | None = None
    engine: Engine | None = None
    state: str = "starting"
    is_apart: bool = False  # its index lies in a folder of the place that the client names


class Root:
    """A workspace folder: what its questions are answered with, and what keeps that up to date."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.renewed = 0.0
        self.changes = 0  # of files, since the start
        self.updating = False
        self.tried = ""  # what was loaded last, or could not be
        self.starting: asyncio.Task[None] | None = None
        self.builder: asyncio.subprocess.Process | None = None
        self.is_closed = False
        self.failures = 0  # of starts, in a row
        self.retry_at = 0.0  # not before then for what is saved

    @property
    def is_starting(self) -> bool:
        return self.starting is not None and not self.starting.done()

    def close(self) -> None:
        """End its work and its child processes."""
        self.is_closed = True
        self.stop()
        if self.session.engine and self.session.engine.generator:
            self.session.engine.generator.close()

    def stop(self) -> None:
        """End the start that is under way, and what builds."""
        if self.starting:
            self.starting.cancel()
        builder, self.builder = self.builder, None
        if builder and builder.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                builder.kill()


@dataclass(frozen=True, slots=True)
class Listed:
    """The list of the last completion. Editors ask again where nothing has changed."""

    place: tuple[object, ...]
    session: Session
    question: Question
    answer: Answer
    items: lsp.CompletionList

    def is_at(self, place: tuple[object, ...], session: Session) -> bool:
        """Whether it was made for the same text and cursor, by what is loaded still."""
        return self.session is session and self.place == place


def _converter() -> Any:
    """What reads messages."""
    converter: Any = default_converter()  # type: ignore[no-untyped-call]  # pygls states no type
    # Nothing of it is used, and vscode-languageclient 9 hands it on as VS Code has it: with kinds from 0,
    # which the protocol counts from 1, and a range as an array.
    context = lsp.InlineCompletionContext(lsp.InlineCompletionTriggerKind.Automatic)
    converter.register_structure_hook(lsp.InlineCompletionContext, lambda _given, _type: context)
    return converter


class Server(LanguageServer):
    """The pygls server and what it holds between requests."""

    def __init__(self) -> None:
        super().__init__(
            NAME,
            __version__,
            text_document_sync_kind=lsp.TextDocumentSyncKind.Incremental,
            converter_factory=_converter,
        )
        self.roots = [Root(Session())]  # the folders that are open, or none
        self.latest: Root | None = None  # that of the last completion
        self.options: object = None  # of initialize
        self.lookups = ThreadPoolExecutor(1, "lookup")
        self.loading = ThreadPoolExecutor(1, "load")  # the old index answers meanwhile
        self.counters: dict[str, int] = {}
        self.anytime = Anytime(self.count)
        self.asking: tuple[object, asyncio.Task[Any]] | None = None  # where the last completion is asked
        self.listed: Listed | None = None
        self.is_started = False
        self.answer = Answer()
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def session(self) -> Session:
        """That of the folder which the message under way is about, or else the last completion."""
        path = ABOUT.get()
        if path:
            return self.root_of(path).session
        return (self.latest if self.latest and self.latest in self.roots else self.roots[0]).session

    def root_of(self, path: str) -> Root:
        """The innermost folder that holds a file, or else the first."""
        folders = [root for root in self.roots if root.session.workspace]
        holding = [root for root in folders if Path(path).is_relative_to(root.session.workspace or "")]
        return max(holding, key=lambda root: len(str(root.session.workspace)), default=self.roots[0])

    def count(self, what: str) -> None:
        self.counters[what] = self.counters.get(what, 0) + 1

    def background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine beside the requests; the reference keeps it from being collected."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Into the log alone: told to the client, a failed write would report itself for ever."""
        log.error("%s: %s", getattr(source, "__name__", source), error)

    def say(self, message: str, kind: lsp.MessageType = lsp.MessageType.Warning) -> None:
        """One line in the log and to the client's log."""
        log.log(logging.WARNING if kind == lsp.MessageType.Warning else logging.INFO, "%s", message)
        self.window_log_message(lsp.LogMessageParams(kind, f"deepcodeseek: {message}"))


async def read(ls: Server, text: str, work: Callable[..., T], *given: Any) -> T:
    """The result of work on a document: at once where that is short, else beside the event loop."""
    return work(*given) if len(text) <= INLINE_CHARS else await run_on(ls.lookups, work, *given)


def start(ls: Server, root: Root) -> None:
    """Load index and models, after building the index where there is none; a start under way ends."""
    root.stop()
    root.starting = ls.background(_start(ls, root))


async def _start(ls: Server, root: Root) -> None:
    if root.session.workspace is None and not root.session.settings.index_directory:
        root.session = replace(root.session, state="no workspace")
        ls.say("no workspace folder is open: nothing can be predicted")
        return
    try:
        owner = _other_owner(ls, root)
        session = root.session = replace(root.session, is_apart=owner is not None)
        if owner:
            apart = chosen_index(session)
            ls.say(
                f"{apart.parent} holds the index of {owner}: that of {session.workspace} lies in {apart}, "
                "and until it is built the other one is used"
            )
        if await _load(ls, root):
            await update(ls, root)  # files may have changed since
        elif session.workspace and session.settings.auto_index:
            await _build(ls, root, session.workspace)
            if await _load(ls, root) and root.changes:
                await update(ls, root)  # what was saved meanwhile
    except Exception as error:  # the server stays up and says why it has no answers
        log.exception("start")
        _fail(ls, root, f"{type(error).__name__}: {error}")
    root.failures = 0 if root.session.engine else root.failures + 1
    root.retry_at = time.monotonic() + min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**root.failures)


def chosen_index(session: Session) -> Path:
    """Where the index lies: where the client says, or else where the builder puts it."""
    own = index_directory(session.workspace or Path.cwd())
    if not session.settings.index_directory:
        return own
    chosen = _at(session.settings.index_directory)
    return chosen / own.name if session.is_apart else chosen


def _at(place: str) -> Path:
    """A place that the client names; `~` of nobody is a name like any other."""
    return Path(os.path.expanduser(place))  # noqa: PTH111, which raises there


def _readable_index(session: Session) -> Path:
    """The same; that of the other folder in its place, which may be a copy of this one, until it is built."""
    own = chosen_index(session)
    is_there = not session.is_apart or (own / CURRENT).is_file()
    return own if is_there else chosen_index(replace(session, is_apart=False))


def _other_owner(ls: Server, root: Root) -> Path | None:
    """Another folder whose index lies, or will lie, in the place that the client names: neither is built over
    the other."""
    session = replace(root.session, is_apart=False)
    if not (session.workspace and session.settings.index_directory):
        return None
    chosen = chosen_index(session)
    before = takewhile(lambda other: other is not root, ls.roots)
    owners = {chosen_index(other.session): other.session.workspace for other in before}
    owner = owners.get(chosen) or source_of(chosen)
    if owner is None or owner.resolve() == session.workspace.resolve():
        return None
    return owner if os.path.isdir(owner) else None  # noqa: PTH112, where nobody may look: no, not an error


def _models_directory(ls: Server, settings: Settings) -> Path | None:
    directory = _chosen_models(settings)
    if settings.models_directory and directory is None:
        ls.say(f"there is no models directory {settings.models_directory}: the installed are used")
    return directory


def _chosen_models(settings: Settings) -> Path | None:
    """Where the client says that models lie, if anything is there."""
    chosen = _at(settings.models_directory)
    return chosen if settings.models_directory and chosen.is_dir() else None


async def _load(ls: Server, root: Root, known: Engine | None = None) -> bool:
    """Load the engine, or the index alone where `known` has its models; False where no index is usable."""
    settings = root.session.settings
    models = _models_directory(ls, settings)
    async with progress(ls, "DeepCodeSeek", "loading models and index"):
        try:
            directory = _readable_index(root.session)
            engine = await run_on(ls.loading, _engine, directory, models, settings, known)
        except (IndexProblem, ModelProblem) as problem:
            _fail(ls, root, str(problem))
            return False
    if known and root.session.engine is not known:  # other settings have loaded another one meanwhile
        root.tried, root.renewed = "", 0.0
        return False
    for note in engine.notes:
        ls.say(note)
    before = root.session.engine
    root.session = replace(root.session, engine=engine, state="ready")
    if before and before.generator and before.generator is not engine.generator:
        before.generator.close()
    ls.say(f"ready: {engine.index.count} APIs", lsp.MessageType.Info)
    return True


def _engine(directory: Path, models: Path | None, settings: Settings, known: Engine | None) -> Engine:
    newer = known and with_newer_index(known, directory, models)
    return newer or _remembering(
        load_engine(directory, models, lite=settings.lite, prompt_form=settings.expand_prompt)
    )


def _remembering(engine: Engine) -> Engine:
    query, encoder = engine.query_encoder, engine.encoder
    return replace(
        engine, encoder=encoder and Remembering(encoder), query_encoder=query and Remembering(query)
    )


async def renew(ls: Server, root: Root) -> None:
    """Load what is newer: a generation of the index, or weights that `deepcodeseek train adapt` has made.

    Where nothing could be loaded at the start, it begins again with what is there by now.
    """
    now = time.monotonic()
    engine = root.session.engine
    if (engine is None and root.is_starting) or now < root.renewed + RENEW_SECONDS:
        return
    root.renewed = now
    with contextlib.suppress(IndexProblem, ModelProblem):
        settings = root.session.settings
        mark = await run_on(ls.lookups, mark_of, _readable_index(root.session), _chosen_models(settings))
        if mark in (engine and engine.mark, root.tried) or root.is_closed:
            return
        root.tried = mark
        if engine:
            await _load(ls, root, engine)
        else:
            start(ls, root)


def _fail(ls: Server, root: Root, message: str) -> None:
    """Say what is wrong; what was loaded before goes on to answer."""
    if root.is_closed:
        return
    if root.session.engine is None:
        root.session = replace(root.session, state=message)
    ls.say(message)


async def update(ls: Server, root: Root) -> None:
    """Bring the index up to date; one build at a time, and one more for what changed meanwhile."""
    root.changes += 1
    session, workspace = root.session, root.session.workspace
    if root.updating or workspace is None or not session.settings.auto_index:
        return
    if session.engine is None:
        if not root.is_starting and time.monotonic() >= root.retry_at:  # what was in the way may be gone
            start(ls, root)
        return
    root.updating = True
    try:
        seen = 0
        while seen < root.changes and not root.is_closed:
            await asyncio.sleep(SETTLE_SECONDS)
            seen = root.changes
            await _build(ls, root, workspace)
            root.renewed = 0.0
            await renew(ls, root)
            ls.count("update")
    finally:
        root.updating = False


async def _build(ls: Server, root: Root, workspace: Path) -> None:
    settings = root.session.settings
    if root.session.engine is None:
        root.session = replace(root.session, state="indexing")
    directory, models = chosen_index(root.session), _models_directory(ls, settings)
    if not await build(ls, root, workspace, directory, models):
        _fail(ls, root, "indexing failed; see the messages before")


def close(server: Server) -> None:
    """End the child processes."""
    for root in server.roots:
        root.close()


def leave(server: Server) -> None:
    """End this process and its children at once, from any thread."""
    close(server)
    # Native work may still be under way; nobody is left to wait for it.
    logging.shutdown()
    os._exit(0 if server.protocol._shutdown else 1)
