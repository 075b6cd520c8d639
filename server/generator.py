"""The child process that runs a GGUF model: requests in, text out, one JSON object a line.

Started by generator_process.py as `python -I -m deepcodeseek.server.generator MODEL`. Native code can
crash, hang or run out of memory here without taking the language server along.

stdin   {"id": 1, "prompt": {"text": "...", ...}, "max_tokens": 32, "timeout_ms": 400} | {"cancel": 1}
stdout  {"ready": true} once, then {"id": 1, "text": "...", "tokens": 12, "aborted": false}
        or {"error": "..."} before the process ends with status 1
The process ends when stdin does, whatever it is doing: the server has ended then, or been killed.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

from .endings import sentence_end, statement_end
from .prompts import Prompts
from .types import Prompt

CONTEXT_TOKENS = 1024
THREADS = max(1, (os.cpu_count() or 1) // 2)
"""Threads wait for each other by spinning: on a busy machine with two cores, two took 2 to 20 times as long
as one (see LOG.md), and the editor wants a core as well."""


CHATML = (b"<|im_start|>", b"<|im_end|>")
NICE = 5
LEAVE_SECONDS = 0.5  # after the end of stdin, for what is under way


def main(arguments: list[str]) -> int:
    """Load the model, probe it, answer until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--no-repack", action="store_true", help="avoid repacked weights (AMX)")
    parser.add_argument("--form", default="auto", help="of prompts: auto, or one of PromptForm")
    parser.add_argument("--adapter", help="a GGUF file of low-rank adapters to add")
    given = parser.parse_args(arguments)
    _give_way()
    answers = _claim_stdout()
    requests: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    cancelled: set[int] = set()
    threading.Thread(target=_read, args=(requests, cancelled), daemon=True).start()
    try:
        model = Model(given.model, not given.no_repack, given.form, given.adapter, cancelled)
        model.generate(Prompt("function", "statement"), 2, time.monotonic() + 60)
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


class Model:
    """A GGUF model that writes what prompts ask for, until it must stop."""

    def __init__(
        self,
        path: str,
        repack: bool = True,
        form: str = "auto",
        adapter: str | None = None,
        cancelled: AbstractSet[int] = frozenset(),
    ) -> None:
        import llama_cpp

        if not repack:
            _disable_repacking(llama_cpp.llama_cpp)
        self.llama = llama_cpp.Llama(
            path,
            lora_path=adapter,
            n_ctx=CONTEXT_TOKENS,
            n_threads=THREADS,
            n_threads_batch=THREADS,
            seed=0,
            verbose=False,
        )
        self.prompts = _prompts_of(self.llama, form)
        self._vocabulary = self.llama._model.vocab
        self._is_last = llama_cpp.llama_vocab_is_eog  # of a text, of a turn, of what fills a gap
        self._set_adapters, self._is_adapted = llama_cpp.llama_set_adapters_lora, True
        self._cancelled = cancelled
        self._request = -1
        self._deadline = float("inf")
        self._callback = llama_cpp.llama_cpp.ggml_abort_callback(self._must_stop)
        llama_cpp.llama_set_abort_callback(self.llama._ctx.ctx, self._callback, ctypes.c_void_p(None))

    def generate(self, prompt: Prompt, max_tokens: int, deadline: float, request: int = 0) -> dict[str, Any]:
        """What is written greedily up to the prompt's end, or so far where the deadline or a cancel comes."""
        self._request, self._deadline = request, deadline
        self._use_adapter(prompt.end == "statement")
        written: list[int] = []
        text, end = "", -1
        try:
            for token in self.llama.generate(self.prompts.tokens(prompt), temp=0.0):
                if self._must_stop(None) or self._is_last(self._vocabulary, token):
                    break
                written.append(token)
                text = self.llama.detokenize(written).decode(errors="ignore")
                end = _end(prompt, text)
                if end >= 0 or len(written) >= max_tokens:
                    break
        except RuntimeError:  # llama_decode says so after an abort
            if not self._must_stop(None):
                raise
        text = text[:end] if end >= 0 else text
        return {"text": text, "tokens": len(written), "aborted": self._must_stop(None)}

    def _use_adapter(self, is_wanted: bool) -> None:
        """It learned statements alone, and what was read with it is not what is read without."""
        if self.llama._lora_adapter is None or is_wanted == self._is_adapted:
            return
        adapters = (type(self.llama._lora_adapter) * 1)(self.llama._lora_adapter)
        self._set_adapters(self.llama._ctx.ctx, adapters, int(is_wanted), (ctypes.c_float * 1)(1.0))
        self._is_adapted = is_wanted
        self.llama.n_tokens = 0

    def _must_stop(self, _data: object) -> bool:
        return self._request in self._cancelled or time.monotonic() > self._deadline


def _prompts_of(llama: Any, wanted: str) -> Prompts:
    """What the metadata of a loaded model say of its prompts."""
    import llama_cpp

    vocabulary = llama._model.vocab
    ask = (llama_cpp.llama_vocab_fim_pre, llama_cpp.llama_vocab_fim_suf, llama_cpp.llama_vocab_fim_mid)
    before, after, gap = (int(token(vocabulary)) for token in ask)
    return Prompts(
        lambda text, special: llama.tokenize(text.encode(), False, special),
        (llama.token_bos(),) if llama_cpp.llama_vocab_get_add_bos(vocabulary) else (),
        (before, after, gap) if min(before, after, gap) >= 0 else None,
        _turn_of(llama),
        wanted,
    )


def _turn_of(llama: Any) -> Callable[[str], str] | None:
    """A chat by the template of the metadata, or as ChatML where the vocabulary has its tokens."""
    from llama_cpp.llama_chat_format import CHATML_CHAT_TEMPLATE, Jinja2ChatFormatter

    has_chatml = all(len(llama.tokenize(token, False, True)) == 1 for token in CHATML)
    template = llama.metadata.get("tokenizer.chat_template") or (CHATML_CHAT_TEMPLATE if has_chatml else "")
    if not template:
        return None
    begin, end = (llama._model.token_get_text(token) for token in (llama.token_bos(), llama.token_eos()))
    chat = Jinja2ChatFormatter(template, eos_token=end, bos_token=begin)
    return lambda task: str(chat(messages=[{"role": "user", "content": task}]).prompt)


def _end(prompt: Prompt, written: str) -> int:
    """Where what is written has come to its end, -1 where it has not; a fence ends the code of a chat."""
    if "```" in written:
        return written.index("```")
    if prompt.end == "sentence":
        return sentence_end(written)
    start = len(prompt.text) - prompt.begun
    end = statement_end(prompt.text[:start], prompt.text[start:] + written)
    return end - prompt.begun if end >= 0 else -1


def _answer(model: Model, request: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + float(request["timeout_ms"]) / 1000
    number = int(request["id"])
    result = model.generate(Prompt(**request["prompt"]), int(request["max_tokens"]), deadline, number)
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
