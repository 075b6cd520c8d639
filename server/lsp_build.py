"""Builds an index in a child process, and shows how far that is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lsprotocol import types as lsp

if TYPE_CHECKING:
    from .lsp_life import Root, Server

PROGRESS_SECONDS = 2.0  # for a client to answer that it wants to see progress


async def build(ls: Server, root: Root, workspace: Path, directory: Path, models: Path | None) -> bool:
    """Run `deepcodeseek index` as a child process and show its progress; whether it did not fail."""
    command = [sys.executable, "-I", "-m", "deepcodeseek.index_builder.cli", "index", str(workspace)]
    command += ["--out", str(directory), "--progress", "jsonl", "--background"]
    command += ["--models", str(models)] if models else []
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    # It ends when its stdin does, so also when this process is killed.
    child = root.builder = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=null, stderr=pipe
    )
    assert child.stderr
    async with progress(ls, "DeepCodeSeek", f"indexing {workspace.name}") as report:
        async for line in child.stderr:
            _show_build_line(ls, line.decode("utf-8", "replace").strip(), report)
        return await child.wait() == 0 or root.builder is not child


def _show_build_line(ls: Server, line: str, report: Callable[[str, int], None]) -> None:
    try:
        step = json.loads(line)
        done, total = int(step["done"]), int(step["total"])
        report(f"{step['task']} {done} of {total}", 100 * done // max(1, total))
    except (ValueError, KeyError, TypeError):
        ls.say(line)


@contextlib.asynccontextmanager
async def progress(ls: Server, title: str, message: str) -> AsyncIterator[Callable[[str, int], None]]:
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
