"""A hub on loopback, laid out as Hugging Face is, that behaves as badly as it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef" * 2 + "01234567"
NAME = "owner/Tiny"
ETAG = '"one"'


@dataclass
class Asked:
    """A request that came."""

    path: str
    headers: Mapping[str, str]


@dataclass
class Behaviour:
    """What a hub holds, and how it answers; changed by the tests."""

    files: dict[str, bytes] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)  # besides the commit
    answers: list[Answer] = field(default_factory=list)  # to the next requests for a file; then it is honest
    listing: Any = None  # instead of the true one
    asked: list[Asked] = field(default_factory=list)

    @property
    def fetched(self) -> list[Asked]:
        return [asked for asked in self.asked if "/resolve/" in asked.path]


class Request(BaseHTTPRequestHandler):
    """One request to a hub."""

    hub: Behaviour

    def do_GET(self) -> None:
        self.hub.asked.append(Asked(self.path, dict(self.headers)))
        path = unquote(urlsplit(self.path).path)
        with suppress(BrokenPipeError, ConnectionResetError):
            if path.startswith("/api/"):
                self._say(path)
            elif self.hub.answers:
                self.hub.answers.pop(0)(self, self.content)
            else:
                honest(self, self.content)

    @property
    def content(self) -> bytes:
        return self.hub.files[unquote(urlsplit(self.path).path).split(f"/resolve/{COMMIT}/")[-1]]

    @property
    def begin(self) -> int:
        """Of the range that is asked for."""
        return int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])

    def _say(self, path: str) -> None:
        if "/tree/" in path:
            said = listing(self.hub.files) if self.hub.listing is None else self.hub.listing
        else:
            said = {"sha": COMMIT, "cardData": {"license": "apache-2.0"}} | self.hub.about
        send(self, 200, said if isinstance(said, bytes) else json.dumps(said).encode())

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (the name is given)
        """Nothing: the tests look at `asked`."""


Answer = Callable[[Request, bytes], None]


def listing(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Weights by their SHA-256, small files by the SHA-1 of their git blob."""
    entries: list[dict[str, Any]] = [{"type": "directory", "path": "folder", "oid": "0" * 40, "size": 0}]
    for path, content in files.items():
        oid = sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry = {"type": "file", "path": path, "size": len(content), "oid": oid}
        if path.endswith((".safetensors", ".gguf")):
            entry["lfs"] = {"oid": sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        entries.append(entry)
    return entries


def send(
    request: Request, status: int, content: bytes, headers: Mapping[str, str] | None = None, **more: str
) -> None:
    """An answer; the length is stated unless `headers` says otherwise (an empty value leaves one out)."""
    request.send_response(status)
    stated = {"Content-Length": str(len(content)), "ETag": ETAG} | dict(headers or {})
    for name, value in (stated | {key.replace("_", "-"): value for key, value in more.items()}).items():
        if value:
            request.send_header(name, value)
    request.end_headers()
    request.wfile.write(content)


# Answers to a request for a file


def honest(request: Request, content: bytes) -> None:
    """Ranges are served, unless the file is said to be another one by now."""
    begin = request.begin if request.headers.get("If-Range", ETAG) == ETAG else 0
    if not begin:
        return send(request, 200, content)
    stated = f"bytes {begin}-{len(content) - 1}/{len(content)}"
    return send(request, 206, content[begin:], Content_Range=stated)


def breaks_off(after: int) -> Answer:
    """So many bytes further on, where all were promised."""

    def answer(request: Request, content: bytes) -> None:
        begin = request.begin
        stated = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if begin else {}
        length = {"Content-Length": str(len(content) - begin)}
        send(request, 206 if begin else 200, content[begin : begin + after], stated | length)

    return answer


def hangs(after: int) -> Answer:
    """The same, and the connection stays open."""

    def answer(request: Request, content: bytes) -> None:
        breaks_off(after)(request, content)
        request.wfile.flush()
        time.sleep(4)

    return answer


def says(
    status: int,
    change: Callable[[bytes], bytes] = lambda content: content,
    headers: Mapping[str, str] | None = None,
    **more: str,
) -> Answer:
    """This status and these headers, with the whole content or what `change` makes of it."""
    return lambda request, content: send(request, status, change(content), headers, **more)


def no_ranges(request: Request, content: bytes) -> None:
    """The whole or nothing."""
    send(request, 416 if request.begin else 200, b"" if request.begin else content)


def a_range(stated: str, change: Callable[[bytes], bytes] = lambda content: content) -> Answer:
    """A range of this name, whatever was asked for."""
    return lambda request, content: send(request, 206, change(content), Content_Range=stated)


def chunked(*pieces: int, ends: bool = True) -> Answer:
    """The content in pieces of these lengths, with or without the last one that ends it."""

    def answer(request: Request, content: bytes) -> None:
        send(request, 200, b"", {"Content-Length": "", "Transfer-Encoding": "chunked"})
        at = 0
        for length in pieces:
            request.wfile.write(b"%x\r\n%s\r\n" % (length, content[at : at + length]))
            at += length
        request.wfile.write(b"0\r\n\r\n" if ends else b"")

    return answer


def raw(text: bytes) -> Answer:
    """These bytes and nothing else."""
    return lambda request, content: (request.wfile.write(text), None)[1]


@contextmanager
def serving(wrap: Callable[[Any], Any] = lambda socket: socket) -> Iterator[tuple[Behaviour, str]]:
    """A hub, and its host and port; `wrap` puts its socket into another, such as one of TLS."""
    hub = Behaviour()
    handler = type("HubRequest", (Request,), {"hub": hub, "protocol_version": "HTTP/1.1"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.socket = wrap(server.socket)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub, f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
