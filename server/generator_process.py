"""The generator's parent side: a GGUF model in a child process, which may die without anybody's harm.

The child (generator.py) is probed before its first answer. Where it crashes, hangs or runs out of memory, the
request ends with a ModelProblem of one line, and it is started again, each time after a longer pause.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from queue import Empty, SimpleQueue
from typing import Any

from .models import ModelFiles, ModelProblem, verify
from .stop import Stop
from .types import Prompt

START_SECONDS = 60.0  # to load and probe the model
TURN_SECONDS = 0.02  # between two looks whether a request is still wanted
HANG_SECONDS = 5.0  # without an answer after its deadline, which the child keeps itself
ENDS_SECONDS = 2.0  # after its output has ended; else it lives on behind what is no answer
CANCEL_SECONDS = 2.0  # the same after it was told to stop
FIRST_PAUSE_SECONDS = 1.0  # before a dead child is started again; doubled with each death in a row
LONGEST_PAUSE_SECONDS = 300.0

Lines = SimpleQueue[dict[str, Any] | None]


class GeneratorProcess:
    """A GGUF model in a child process, started when it is first needed."""

    def __init__(self, model: ModelFiles, form: str = "auto", adapter: ModelFiles | None = None) -> None:
        """`form` of its prompts: what the model is made for, or one of PromptForm."""
        for files in (model, adapter):
            if files:
                verify(files)
        self.files, self.adapter = model, adapter
        self._path = model.path(model.file)
        self.options = ["--form", form]
        if adapter:
            self.options += ["--adapter", str(adapter.path(adapter.file))]
        self._lock = threading.Lock()  # one request at a time
        self._starter = ThreadPoolExecutor(1, "start generator")  # who is stopped does not wait for it
        self._writing = threading.Lock()  # a cancel may come while a request is written
        self._flags: list[str] = []
        self._closed = False
        self._deaths = 0  # in a row, without an answer between them
        self._problem = ""  # what the last one was
        self._next_start = 0.0
        self._number = 0
        self._child: subprocess.Popen[str] | None = None
        self._lines: Lines = SimpleQueue()

    def generate(self, prompt: Prompt, max_tokens: int, timeout_ms: float, stop: Stop | None = None) -> str:
        stop, end = stop or Stop(), time.monotonic() + timeout_ms / 1000
        if self.state != "running" and not self._is_started(stop, end):
            return ""
        with self._turn(stop, end) as is_ours:
            if not is_ours:
                return ""
            self._ensure_started()
            self._number += 1
            number, lines, left = self._number, self._lines, max(0.0, end - time.monotonic())
            with stop.ending(lambda: self._cancel(number, lines)):
                request = {"id": number, "max_tokens": max_tokens, "timeout_ms": 1000 * left}
                self._send({**request, "prompt": asdict(prompt)})
                answer = self._receive(left + HANG_SECONDS, number)
            stop.check()
            self._deaths = 0
            return str(answer["text"])

    @property
    def state(self) -> str:
        """'running', 'not started', or what ended it and when it is started again."""
        if self._child and self._child.poll() is None:
            return "running"
        return self._problem or "not started"

    def start(self) -> None:
        """Start and probe the child now instead of at the first request; raises ModelProblem."""
        with self._lock:
            self._ensure_started()

    def rest(self) -> None:
        """End the child until it is needed again; nothing while a request is under way."""
        if self._lock.acquire(blocking=False):
            try:
                self._kill()
            finally:
                self._lock.release()

    def close(self) -> None:
        self._closed = True
        self._kill()

    def _is_started(self, stop: Stop, end: float) -> bool:
        """Whether the child is there in time; else it goes on starting, for who asks next."""
        ready, start = threading.Event(), self._starter.submit(self.start)
        start.add_done_callback(lambda _: ready.set())
        with stop.ending(ready.set):
            ready.wait(min(threading.TIMEOUT_MAX, max(0.0, end - time.monotonic())))
        stop.check()
        if not start.done():
            return False
        start.result()
        return True

    @contextlib.contextmanager
    def _turn(self, stop: Stop, end: float) -> Iterator[bool]:
        """Nobody else's request is under way meanwhile; False where it is not one's turn in time."""
        while not self._lock.acquire(timeout=TURN_SECONDS):
            stop.check()
            if time.monotonic() >= end:
                yield False
                return
        try:
            stop.check()
            yield True
        finally:
            self._lock.release()

    def _kill(self) -> None:
        child, self._child = self._child, None
        if child:
            child.kill()
            child.wait()

    def _ensure_started(self) -> None:
        if self._closed:
            raise ModelProblem("the generator was closed")
        if self._child and self._child.poll() is None:
            return
        if self._child:  # it died between two requests
            self._died(_cause(self._child))
        left = self._next_start - time.monotonic()
        if left > 0:
            raise ModelProblem(f"{self._problem}; it is started again in {left:.0f} s")
        self._start()
        self._problem = ""

    def _start(self) -> None:
        try:
            self._spawn()
            self._receive(START_SECONDS)
        except ModelProblem:
            if self._flags or self._closed:
                raise
            # Repacked weights crash on some processors: once more without.
            self._flags = ["--no-repack"]
            self._start()

    def _spawn(self) -> None:
        command = [sys.executable, "-I", "-m", "deepcodeseek.server.generator", str(self._path)]
        command += [*self.options, *self._flags]
        self._lines = SimpleQueue()
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
        except OSError as error:  # such as no memory for one more process
            raise self._died(f"cannot be started ({error.strerror})") from None
        threading.Thread(target=_forward, args=(self._child, self._lines), daemon=True).start()

    def _send(self, message: dict[str, Any]) -> None:
        child = self._child
        if child and child.stdin:
            # A dead child is noticed where its answer is missed.
            with self._writing, contextlib.suppress(OSError, ValueError):
                child.stdin.write(json.dumps(message) + "\n")
                child.stdin.flush()

    def _cancel(self, number: int, lines: Lines) -> None:
        self._send({"cancel": number})
        lines.put({"cancelled": number})

    def _receive(self, seconds: float, number: int | None = None) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while True:
            try:
                message = self._lines.get(timeout=max(0.01, end - time.monotonic()))
            except Empty:
                raise self._died("did not answer in time") from None
            if message is None:
                raise self._died(_cause(self._child))
            if "error" in message:
                raise self._died(str(message["error"]))
            if "cancelled" in message:
                is_this = message["cancelled"] == number
                end = min(end, time.monotonic() + CANCEL_SECONDS) if is_this else end
            elif number is None or message.get("id") == number:
                return message

    def _died(self, cause: str) -> ModelProblem:
        self._kill()
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._deaths)
        self._deaths += 1
        self._next_start = time.monotonic() + pause
        self._problem = f"the generator {cause}: {self._path}"
        return ModelProblem(self._problem)


def _forward(child: subprocess.Popen[str], lines: Lines) -> None:
    assert child.stdout
    with contextlib.suppress(ValueError):  # half a line of a child that was killed
        for line in child.stdout:
            lines.put(json.loads(line))
    lines.put(None)


def _cause(child: subprocess.Popen[str] | None) -> str:
    if child is None:
        return "ended"
    try:
        status = child.wait(ENDS_SECONDS)
    except subprocess.TimeoutExpired:
        return "said what is no answer"
    if status < 0:
        return f"died ({signal.Signals(-status).name})"
    return f"ended (status {status})"
