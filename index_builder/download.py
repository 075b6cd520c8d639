"""A file on its way: what is there of it, what is asked for next, and whether it is the right one.

No server is believed. What it sends counts once it has the size and the hash that were expected of it; what
broke off is gone on with where it ended; a file appears in its place by one rename.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from deepcodeseek.server.models import ModelProblem

from .atomic import PART
from .copying import PIECE, Told

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the listing of a repository states it."""

    path: str
    size: int  # in bytes
    digest: str  # SHA-256, or for small files SHA-1 of the git blob; hexadecimal

    def hasher(self) -> hashlib._Hash:
        """What comes to `digest` when it has seen every byte."""
        if len(self.digest) == 64:
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)


class Fault(Exception):
    """An attempt failed in a way that the next one may not."""


class NoSuchRange(Fault):
    """The server has nothing from there on."""


class Download:
    """A file on its way: how much is there, and what that hashes to so far."""

    def __init__(self, file: RemoteFile, target: Path, told: Told) -> None:
        self.file, self.done = file, 0
        self._target, self._part = target, target.with_name(target.name + PART)
        self._told = told
        self._digest = file.hasher()
        self._etag = ""
        self._is_resumed = False

    def is_there(self) -> bool:
        """Whether the right file is in its place already; if not, what there is of it is taken up."""
        self._target.parent.mkdir(parents=True, exist_ok=True)
        if self._target.is_file() and self._target.stat().st_size == self.file.size:
            digest = self.file.hasher()
            for piece in _read(self._target):
                digest.update(piece)
            if digest.hexdigest() == self.file.digest:
                self._told(self.file.size)
                return True
        self._take_up()
        return False

    def headers(self) -> dict[str, str]:
        """What asks for the rest, if the file is still the one that was begun."""
        if not self.done:
            return {}
        return {"Range": f"bytes={self.done}-"} | ({"If-Range": self._etag} if self._etag else {})

    def take(self, status: int, headers: Message, pieces: Iterable[bytes]) -> None:
        """Write what an answer holds; raises Fault where it is not what was asked for, or ModelProblem."""
        expected = self._expected(status, headers)
        etag = headers.get("ETag", "")
        self._etag = etag if etag.startswith('"') else ""  # a weak one says nothing of bytes
        try:
            self._append(pieces, expected, "Content-Length" in headers)
        except OSError as error:
            raise ModelProblem(f"{self._part} cannot be written: {error.strerror}") from None

    def finish(self) -> None:
        """Put the whole into its place; raises Fault where some is missing, else ModelProblem."""
        if self.done < self.file.size:
            raise Fault(f"the connection broke off at {self.done:,} of {self.file.size:,} bytes")
        if self._digest.hexdigest() == self.file.digest:
            self._part.touch()  # nothing is asked for of a file without a byte
            self._part.replace(self._target)
            return
        was_resumed = self._is_resumed
        self.discard()
        if was_resumed:  # the parts may be of different files
            raise Fault(f"{self.file.path} does not fit what was there of it, and is begun anew")
        raise ModelProblem(f"{self.file.path} has another hash than its listing states: nothing is kept")

    def discard(self) -> None:
        """Begin anew."""
        self._part.unlink(missing_ok=True)
        self._told(-self.done)
        self.done, self._digest, self._etag, self._is_resumed = 0, self.file.hasher(), "", False

    def _append(self, pieces: Iterable[bytes], expected: int, is_stated: bool) -> None:
        with self._part.open("ab") as out:
            for piece in pieces:
                if len(piece) > expected:
                    self.discard()
                    raise Fault("the server sends more than the file holds")
                out.write(piece)
                self._count(piece)
                expected -= len(piece)
                if is_stated and not expected:
                    break  # some versions of http.client would wait for more

    def _expected(self, status: int, headers: Message) -> int:
        """How many bytes the answer has to hold."""
        if "html" in headers.get("Content-Type", ""):
            raise ModelProblem(
                f"a page of HTML came instead of {self.file.path}: is there a login or a proxy in between?"
            )
        if headers.get("Content-Encoding", "identity") != "identity":
            raise Fault("the server compresses what was asked for as it is")
        if status == 206:
            expected = self._range(headers.get("Content-Range", ""))
        elif status == 200:
            expected = self.file.size
        else:
            raise Fault(f"the server answers with status {status}")
        stated = headers.get("Content-Length", str(expected))
        if stated != str(expected):
            raise Fault(f"the server has {stated[:20]!r} bytes instead of {expected:,}")
        if status == 200:
            self.discard()
        return expected

    def _range(self, stated: str) -> int:
        match = _RANGE.fullmatch(stated)
        begin, end, size = match.groups() if match else ("0", "0", "")
        is_right = self.done and int(begin) == self.done <= int(end) < self.file.size
        if is_right and size in ("*", str(self.file.size)):
            self._is_resumed = True
            return int(end) + 1 - self.done
        self.discard()
        raise Fault(f"the server answers with another range than was asked for, {stated[:40]!r}")

    def _take_up(self) -> None:
        if self._part.is_file():
            for piece in _read(self._part):
                self._count(piece)
            self._is_resumed = True

    def _count(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.done += len(piece)
        self._told(len(piece))


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
