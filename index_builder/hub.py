"""Files of models over HTTP, from a hub laid out as Hugging Face is. Nothing else here opens a connection.

What a hub sends is checked in download.py. A token goes to the hub alone, never along with a redirect to
another place, and a redirect never leads from https to http.
"""

from __future__ import annotations

import json
import re
import ssl
import string
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from deepcodeseek.server import __version__
from deepcodeseek.server.models import ModelProblem

from .copying import PIECE, Told
from .download import Download, Fault, NoSuchRange, RemoteFile

HUB = "https://huggingface.co"
FROM_DISK = "where there is no network, `deepcodeseek models import PATH` takes a copy from disk"
MAX_ANSWER = 16 << 20  # bytes of JSON
MAX_REDIRECTS = 5
GAIN = 1 << 20  # bytes by which an attempt must get further to count as a success

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_NO_SUCH_RANGE = 416
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TOKEN = re.compile(r"[!-~]*")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is waited for, in seconds."""

    timeout: float = 30.0  # without a byte
    pauses: tuple[float, ...] = (1.0, 5.0, 20.0, 60.0)  # before each further attempt


class Hub:
    """A hub by its address. Raises ModelProblem where it is none; its methods where it does not deliver."""

    def __init__(
        self,
        url: str = HUB,
        token: str = "",
        patience: Patience = Patience(),
        say: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.url = url.rstrip("/")
        if not _is_address(self.url):
            raise ModelProblem(f"{url!r} is no address of a hub: https://HOST is one")
        self._token = token.strip()
        if not _TOKEN.fullmatch(self._token):
            raise ModelProblem("HF_TOKEN is no token: it holds spaces or other odd characters")
        self._patience = patience
        self._say = say
        self._opener = OpenerDirector()
        for handler in (
            ProxyHandler(),
            HTTPHandler(),
            HTTPSHandler(),
            HTTPErrorProcessor(),
            HTTPDefaultErrorHandler(),
            UnknownHandler(),
        ):
            self._opener.add_handler(handler)

    def ask(self, path: str) -> Any:
        """The JSON at a path; raises ModelProblem."""
        try:
            return self._patiently(lambda: self._json(path), self._patience.pauses[:1])
        except Fault as fault:
            raise ModelProblem(f"{fault}; {FROM_DISK}") from None

    def fetch(self, path: str, file: RemoteFile, target: Path, told: Told) -> None:
        """Put the bytes of `file`, exactly these, at `target`, if they are not there yet.

        What came before it broke off stays beside it as `.part`, and the next call goes on from there. Raises
        ModelProblem, or OSError where what is there cannot be read.
        """
        download = Download(file, target, told)
        if download.is_there():
            return
        try:
            self._patiently(lambda: self._go_on(path, download), self._patience.pauses, lambda: download.done)
        except Fault as fault:
            raise ModelProblem(
                f"{file.path} could not be fetched: {fault}; {download.done:,} of {file.size:,} bytes are "
                "kept, and the same command goes on from there"
            ) from None

    def _go_on(self, path: str, download: Download) -> None:
        """Get what is still missing, in one request."""
        if download.done < download.file.size:
            try:
                with self._open(quote(path), download.headers()) as response:
                    download.take(response.status, response.headers, _pieces(response))
            except NoSuchRange:
                download.discard()
                raise
        download.finish()

    def _patiently(
        self, attempt: Callable[[], T], pauses: tuple[float, ...], done: Callable[[], int] = lambda: 0
    ) -> T:
        """Try again after each pause; from the first pause on where `done` has got further than ever."""
        most, left = done(), iter(pauses)
        while True:
            try:
                return attempt()
            except Fault as fault:
                if done() >= most + GAIN:
                    most, left = done(), iter(pauses)
                pause = next(left, None)
                if pause is None:
                    raise
                self._say(f"{fault}: again in {pause:g} s")
                time.sleep(pause)

    def _json(self, path: str) -> Any:
        answer = bytearray()
        with self._open(path, {"Accept": "application/json"}) as response:
            for piece in _pieces(response):
                answer += piece
                if len(answer) > MAX_ANSWER:
                    raise ModelProblem(f"{self.url} is no hub: what it says at {path} does not end")
            if response.headers.get("Content-Length", str(len(answer))) != str(len(answer)):
                raise Fault(f"the connection broke off at {len(answer):,} bytes")
            if 'rel="next"' in response.headers.get("Link", ""):
                raise ModelProblem(f"{self.url}{path} has more than one page: a model has fewer files")
        try:
            return json.loads(answer)
        except (ValueError, RecursionError):
            raise ModelProblem(f"{self.url} is no hub: what it says at {path} is no JSON") from None

    def _open(self, path: str, headers: Mapping[str, str]) -> HTTPResponse:
        """The answer to a request, where redirects lead to one; raises ModelProblem or Fault."""
        url = self.url + path
        for _ in range(MAX_REDIRECTS + 1):
            # No compression: bytes are counted, and gone on with, as they are.
            usual = {"User-Agent": f"deepcodeseek/{__version__}", "Accept-Encoding": "identity"}
            request = Request(url, headers={**usual, **headers, **self._authorization(url)})
            try:
                response: HTTPResponse = self._opener.open(request, timeout=self._patience.timeout)
                return response
            except HTTPError as error:
                with error:
                    if error.code not in _REDIRECTS:
                        raise _refusal(url, error.code) from None
                    url = _redirected(url, error.headers.get("Location", ""))
            except (OSError, HTTPException) as error:
                raise _no_connection(url, error) from None
        raise ModelProblem(f"{self.url}{path} is redirected more than {MAX_REDIRECTS} times")

    def _authorization(self, url: str) -> dict[str, str]:
        """The token, for the hub itself and where nobody listens in."""
        scheme, host, _ = _origin(url)
        is_safe = scheme == "https" or host in _LOOPBACK
        if self._token and is_safe and _origin(url) == _origin(self.url):
            return {"Authorization": f"Bearer {self._token}"}
        return {}


def _pieces(response: HTTPResponse) -> Iterator[bytes]:
    """What an answer holds, as it comes; raises Fault where it breaks off."""
    while True:
        try:
            piece = response.read1(PIECE)
        except (OSError, HTTPException) as error:
            raise Fault(f"the connection broke off ({_reason(error)})") from None
        if not piece:
            return
        yield piece


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads, which is never a less private place."""
    try:
        target = urljoin(url, quote(location, safe=string.punctuation, encoding="iso-8859-1"))
    except ValueError:
        target = location
    if not _is_address(target) or (url.startswith("https:") and not target.startswith("https:")):
        raise ModelProblem(f"{_host(url)} redirects to {target[:80]!r}, which is not followed")
    return target


def _is_address(url: str) -> bool:
    try:
        scheme, host, _ = _origin(url)
    except ValueError:
        return False
    return scheme in ("http", "https") and bool(host) and url.isascii()


def _refusal(url: str, status: int) -> Exception:
    host = _host(url)
    if status == _NO_SUCH_RANGE:
        return NoSuchRange(f"{host} has no such range")
    if status in _PASSING:
        return Fault(f"{host} answers with status {status}")
    if status in (401, 403, 404):
        return ModelProblem(
            f"{host} has no such model, commit or file, or does not give it to everybody (status {status}): "
            "accept its licence there and set HF_TOKEN, which is sent over https alone"
        )
    return ModelProblem(f"{host} answers with status {status}")


def _no_connection(url: str, error: Exception) -> Exception:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ModelProblem(
            f"{_host(url)} has a certificate that is not trusted here ({cause.verify_message}): the variable "
            "SSL_CERT_FILE names a file of those that are, such as your company's"
        )
    return Fault(f"{_host(url)} cannot be reached ({_reason(cause)})")


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    said = " ".join(str(error).split())[:200]
    return "".join(each for each in said if each.isprintable()) or type(error).__name__


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
