"""The wire: messages over stdin and stdout.

A thread does nothing but read, so that a message is never waited for behind work, and the end of stdin is
noticed in the midst of it. What is no message, or comes out of turn, is answered with the error that LSP has
for it; pygls would say nothing, and the editor wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.uris import to_fs_path

from .lsp_life import ABOUT, Server, leave, log

LEAVE_SECONDS = 0.7  # after the end of stdin, for what was asked before
LONGEST_BODY = 1 << 28  # bytes; a header that says more is none
LONGEST_HEADER = 1 << 16
FUTURES_KEPT = 100

_LENGTH = re.compile(rb"Content-Length:\s*(\d{1,12})\s*\Z", re.IGNORECASE)
_EXIT, _INITIALIZE = "exit", "initialize"


def serve(server: Server, stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Handle messages until the client says exit, closes stdin, or reads no more."""
    server.protocol.set_writer(_Writer(stdout))
    with contextlib.suppress(SystemExit, KeyboardInterrupt):
        asyncio.run(_handle_all(server, stdin))


class _Writer:
    def __init__(self, stdout: BinaryIO) -> None:
        self._stdout = stdout

    def write(self, data: bytes) -> None:
        try:
            self._stdout.write(data)
            self._stdout.flush()
        except (OSError, ValueError):
            raise SystemExit from None  # nobody reads any more

    def close(self) -> None:
        self._stdout.close()


async def _handle_all(server: Server, stdin: BinaryIO) -> None:
    bodies: asyncio.Queue[bytes | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def put(body: bytes | None) -> None:
        loop.call_soon_threadsafe(bodies.put_nowait, body)

    threading.Thread(target=_read, args=(server, stdin, put), name="reader", daemon=True).start()
    while (body := await bodies.get()) is not None:
        _handle(server, body)


def _read(server: Server, stdin: BinaryIO, put: Callable[[bytes | None], None]) -> None:
    while (body := next_body(stdin)) is not None:
        put(body)
    # The loop may be busy, and native work may not come back soon; nobody is left to wait for it.
    timer = threading.Timer(LEAVE_SECONDS, leave, (server,))
    timer.daemon = True
    timer.start()
    put(None)


def next_body(stdin: BinaryIO) -> bytes | None:
    """The next message's content; None at the end. What stands between messages is passed over."""
    length = 0
    while line := stdin.readline(LONGEST_HEADER):
        found = _LENGTH.search(line)
        if found and 0 < int(found[1]) <= LONGEST_BODY:
            length = int(found[1])
        elif length and not line.strip():
            body = stdin.read(length)
            return body if len(body) == length else None
    return None


def _handle(server: Server, body: bytes) -> None:
    number: Any = None
    try:
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            raise JsonRpcException("the message is not JSON", lsp.ErrorCodes.ParseError) from None
        number = _checked(message)
        if (refusal := _out_of_turn(server, message.get("method"))) is None:
            structured = server.protocol.structure_message(message)
            if number is not None and not hasattr(structured, "id"):
                raise JsonRpcException("a notification has no id", lsp.ErrorCodes.InvalidRequest)
            ABOUT.set(_path(message))
            server.protocol.handle_message(structured)
            _forget_done(server)
        elif number is not None:
            raise refusal
    except JsonRpcException as error:
        log.warning("a message was refused: %s", error.message)
        if number is not None or error.code == lsp.ErrorCodes.ParseError:
            problem = {"code": error.code, "message": error.message}
            server.protocol._send_data({"jsonrpc": "2.0", "id": number, "error": problem})
    except Exception as error:  # the next message may be a good one
        server.report_server_error(error, "message")


def _forget_done(server: Server) -> None:
    """pygls keeps a future for each notification for ever: two kilobytes a key."""
    futures = server.protocol._request_futures
    if len(futures) > FUTURES_KEPT:
        for number in [number for number, future in futures.items() if future.done()]:
            del futures[number]


def _path(message: dict[str, Any]) -> str:
    """Of the document that a message names; pygls hands the context in which this is set to the handler."""
    params = message.get("params")
    document = params.get("textDocument") if isinstance(params, dict) else None
    uri = document.get("uri") if isinstance(document, dict) else None
    return (to_fs_path(uri) if isinstance(uri, str) else None) or ""


def _checked(message: Any) -> Any:
    """The number of a request, or None; raises where it is no message."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise JsonRpcException("not a JSON-RPC 2.0 message", lsp.ErrorCodes.InvalidRequest)
    number = message.get("id")
    if "method" not in message:
        return None  # an answer to what the server asked
    if "id" in message and (isinstance(number, bool) or not isinstance(number, int | str)):
        raise JsonRpcException("a request's id is a number or a text", lsp.ErrorCodes.InvalidRequest)
    if not isinstance(message["method"], str):
        raise JsonRpcException("a method is a text", lsp.ErrorCodes.InvalidRequest)
    return number


def _out_of_turn(server: Server, method: str | None) -> JsonRpcException | None:
    """What is wrong with a message's time, if anything."""
    is_initialized = server.protocol._workspace is not None
    if method == _EXIT or method is None:
        return None
    if server.protocol._shutdown:
        return JsonRpcException("the server was shut down", lsp.ErrorCodes.InvalidRequest)
    if method == _INITIALIZE and is_initialized:
        return JsonRpcException("already initialized", lsp.ErrorCodes.InvalidRequest)
    if method != _INITIALIZE and not is_initialized:
        return JsonRpcException("not initialized", lsp.ErrorCodes.ServerNotInitialized)
    return None
