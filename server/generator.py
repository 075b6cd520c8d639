"""The child process that runs a GGUF model: requests in, text out, one JSON object a line.

Started by generator_process.py as `python -I -m deepcodeseek.server.generator MODEL`. Native code can
crash, hang or run out of memory here without taking the language server along.

stdin   {"id": 1, "prompt": "...", "max_tokens": 32, "timeout_ms": 400} | {"cancel": 1}
stdout  {"ready": true} once, then {"id": 1, "text": "...", "tokens": 12, "aborted": false}
        or {"error": "..."} before the process ends with status 1
The process ends when stdin does, whatever it is doing: the server has ended then, or been killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

CONTEXT_TOKENS = 1024
PROMPT_TOKENS = 512  # the last ones are kept: they stand next to the cursor
THREADS = max(1, (os.cpu_count() or 1) // 2)
"""Threads wait for each other by spinning: on a busy machine with two cores, two took 2 to 20 times as long
as one (see LOG.md), and the editor wants a core as well."""


NICE = 5
LEAVE_SECONDS = 0.5  # after the end of stdin, for what is under way


def main(arguments: list[str]) -> int:
    """Load the model, probe it, answer until stdin ends. `--no-repack` avoids repacked weights (AMX)."""
    _give_way()
    answers = _claim_stdout()
    requests: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    cancelled: set[int] = set()
    threading.Thread(target=_read, args=(requests, cancelled), daemon=True).start()
    try:
        model = _Model(arguments[0], "--no-repack" not in arguments, cancelled)
        model.generate("function", 2, time.monotonic() + 60)
    except Exception as error:
        _say(answers, {"error": f"{type(error).__name__}: {error}"})
        return 1
    _say(answers, {"ready": True})
    while (request := requests.get()) is not None:
        _say(answers, _answer(model, request))
    return 0


def _give_way() -> None:
    """To the editor and the encoder where cores are few, and to everything where memory runs out."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


class _Model:
    def __init__(self, path: str, repack: bool, cancelled: set[int]) -> None:
        import llama_cpp

        if not repack:
            _disable_repacking(llama_cpp.llama_cpp)
        self._llama = llama_cpp.Llama(
            path,
            n_ctx=CONTEXT_TOKENS,
            n_threads=THREADS,
            n_threads_batch=THREADS,
            seed=0,
            verbose=False,
        )
        self._cancelled = cancelled
        self._request = -1
        self._deadline = float("inf")
        self._callback = llama_cpp.llama_cpp.ggml_abort_callback(self._must_stop)
        llama_cpp.llama_set_abort_callback(self._llama._ctx.ctx, self._callback, ctypes.c_void_p(None))

    def generate(self, prompt: str, max_tokens: int, deadline: float, request: int = 0) -> dict[str, Any]:
        """Greedy continuation, up to a blank line: the text so far where the deadline or a cancel ends it."""
        self._request, self._deadline = request, deadline
        tokens = self._llama.tokenize(prompt.encode(), special=False)[-PROMPT_TOKENS:]
        pieces: list[str] = []
        try:
            chunks: Any = self._llama.create_completion(
                tokens, max_tokens=max_tokens, temperature=0.0, stream=True
            )
            for chunk in chunks:
                pieces.append(chunk["choices"][0]["text"])
                if self._must_stop(None) or _is_finished("".join(pieces)):
                    break
        except RuntimeError:  # llama_decode says so after an abort
            if not self._must_stop(None):
                raise
        return {"text": "".join(pieces), "tokens": len(pieces), "aborted": self._must_stop(None)}

    def _must_stop(self, _data: object) -> bool:
        return self._request in self._cancelled or time.monotonic() > self._deadline


def _is_finished(text: str) -> bool:
    """A blank line or a fence ends what belongs to the cursor, but for blank lines before the first word."""
    written = text.lstrip()
    return "\n\n" in written or "```" in written


def _answer(model: _Model, request: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + float(request["timeout_ms"]) / 1000
    number = int(request["id"])
    result = model.generate(str(request["prompt"]), int(request["max_tokens"]), deadline, number)
    return {"id": number, **result}


def _read(requests: SimpleQueue[dict[str, Any] | None], cancelled: set[int]) -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if "cancel" in message:
            cancelled.add(int(message["cancel"]))
        else:
            requests.put(message)
    requests.put(None)
    # A native call may not come back soon; nobody is left to wait for it.
    threading.Timer(LEAVE_SECONDS, os._exit, (0,)).start()


def _claim_stdout() -> TextIO:
    """Keep stdout for answers: whatever a native library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return answers


def _say(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _disable_repacking(native: Any) -> None:
    defaults = native.llama_model_default_params

    def without_extra_buffers() -> Any:
        params = defaults()
        params.use_extra_bufts = False
        return params

    native.llama_model_default_params = without_extra_buffers


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
