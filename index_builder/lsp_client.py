"""A language client of a few lines: drives the server as an editor does, and stamps what comes back."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

COMMAND = (sys.executable, "-I", "-m", "deepcodeseek.server", "--stdio")
STATUS = "deepcodeseek.status"


class Pending:
    """A request that was sent, and what came back."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._sent = self.answered = time.perf_counter()
        self._message: dict[str, Any] = {}
        self._done = threading.Event()

    def arrive(self, message: dict[str, Any]) -> None:
        self.answered = time.perf_counter()
        self._message = message
        self._done.set()

    def wait(self, seconds: float = 60.0) -> dict[str, Any]:
        """The whole answer, with its `result` or its `error`; raises TimeoutError."""
        if not self._done.wait(seconds):
            raise TimeoutError(f"no answer to request {self.number} in {seconds:.0f} s")
        return self._message

    def result(self, seconds: float = 60.0) -> Any:
        """What was answered; raises RuntimeError where that is an error."""
        message = self.wait(seconds)
        if "error" in message:
            raise RuntimeError(message["error"])
        return message["result"]

    @property
    def ms(self) -> float:
        """From sending to the answer."""
        self.wait()
        return 1000 * (self.answered - self._sent)


class Client:
    """A server process and the wire to it."""

    def __init__(self, environment: Mapping[str, str] | None = None, command: Any = COMMAND) -> None:
        self.process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environment) if environment is not None else None,
        )
        assert self.process.stdin
        assert self.process.stdout
        self._stdin: BinaryIO = self.process.stdin  # type: ignore[assignment]  # IO[bytes], which it is
        self._pending: dict[int | None, Pending] = {}
        self._writing = threading.Lock()
        self._count = 0
        self.settings: dict[str, Any] = {}  # what workspace/configuration is answered with
        self.said: list[dict[str, Any]] = []  # notifications of the server
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def initialize(self, *folders: Path, **params: Any) -> dict[str, Any]:
        """Begin a session; `params` are added to those of initialize."""
        named = [{"uri": folder.as_uri(), "name": folder.name} for folder in folders]
        root = {"rootUri": named[0]["uri"] if named else None, "workspaceFolders": named}
        given = {"processId": None, "capabilities": {}, **root, **params}
        answer: dict[str, Any] = self.request("initialize", given).result()
        self.notify("initialized", {})
        return answer

    def ready(self, seconds: float = 120.0) -> dict[str, Any]:
        """The status as soon as index and models are loaded; raises TimeoutError."""
        end = time.monotonic() + seconds
        while (now := self.status())["state"] != "ready":
            if time.monotonic() > end:
                raise TimeoutError(f"not ready: {now['state']}")
            time.sleep(0.05)
        return now

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.request("workspace/executeCommand", {"command": STATUS}).result()
        return answer

    def open(self, uri: str, text: str) -> None:
        document = {"uri": uri, "languageId": "javascript", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def change(self, uri: str, version: int, *changes: dict[str, Any]) -> None:
        where = {"uri": uri, "version": version}
        self.notify("textDocument/didChange", {"textDocument": where, "contentChanges": list(changes)})

    def at(self, method: str, uri: str, line: int, character: int) -> Pending:
        """A request at a position, such as textDocument/completion."""
        position = {"line": line, "character": character}
        return self.request(method, {"textDocument": {"uri": uri}, "position": position})

    def complete(self, uri: str, line: int, character: int) -> Pending:
        return self.at("textDocument/completion", uri, line, character)

    def cancel(self, pending: Pending) -> None:
        self.notify("$/cancelRequest", {"id": pending.number})

    def request(self, method: str, params: Any) -> Pending:
        self._count += 1
        pending = self._pending[self._count] = Pending(self._count)
        self._send({"id": self._count, "method": method, "params": params})
        return pending

    def notify(self, method: str, params: Any) -> None:
        self._send({"method": method, "params": params})

    def write(self, data: bytes) -> None:
        """Bytes as they are, whether or not they are a message."""
        with self._writing:
            self._stdin.write(data)
            self._stdin.flush()

    def close(self) -> None:
        """Close the server's stdin."""
        self._stdin.close()

    def _send(self, message: dict[str, Any]) -> None:
        self.write(framed({"jsonrpc": "2.0", **message}))

    def _read(self, stdout: BinaryIO) -> None:
        while length := _content_length(stdout):
            message = json.loads(stdout.read(length))
            if "method" not in message:
                waiting = self._pending.pop(message.get("id"), None)
                if waiting:
                    waiting.arrive(message)
            elif "id" in message:
                self._send({"id": message["id"], "result": self._answer(message)})
            else:
                self.said.append(message)

    def _answer(self, message: dict[str, Any]) -> Any:
        if message["method"] == "workspace/configuration":
            return [self.settings for _ in message["params"]["items"]]
        return None


def framed(message: Any) -> bytes:
    """A message as it goes over the wire."""
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def _content_length(stdout: BinaryIO) -> int:
    """Of the next message; 0 at the end."""
    length = 0
    while line := stdout.readline():
        if not line.strip():
            return length
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    return 0
