"""Bytes of a file -> text, whatever the editor or the instance that wrote them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

CHUNK = 1 << 18  # bytes; most files are one chunk

_NO_CHARSETS = ("utf-7", "unicode-escape", "raw-unicode-escape", "punycode", "idna")  # they rewrite text
_LAST_RESORT = "cp1252"  # of Windows editors before UTF-8; gives some text for any bytes


def read_text(path: Path, max_bytes: int) -> str:
    """The whole file. ValueError, in words for its reader, where there is no text in it."""
    if (size := path.stat().st_size) > max_bytes:
        raise TooLarge(f"skipped: {size:,} bytes, the limit is {max_bytes:,}")
    return "".join(read_chunks(path))


class TooLarge(ValueError):
    """Larger than anything that people write by hand."""


def read_chunks(path: Path) -> Iterator[str]:
    """The file in pieces, as large as it may be. ValueError where it is no text."""
    with path.open("rb") as file:
        head = file.read(CHUNK)
        if not file.read(1):
            yield _text(decode(head))
            return
    encoding = next((name for name in _encodings(head) if _fits(path, name)), _LAST_RESORT)
    with path.open(encoding=encoding, errors="replace", newline="") as lines:
        while chunk := lines.read(CHUNK):
            yield _text(chunk)


def decode(data: bytes, is_whole: bool = True) -> str:
    """By its byte order mark, as UTF-8, as its XML declaration says, or as Windows wrote it."""
    for encoding in _encodings(data):
        try:  # a part may end in the middle of a character
            return codecs.getincrementaldecoder(encoding)().decode(data, final=is_whole)
        except UnicodeError:
            continue
    return data.decode(_LAST_RESORT, errors="replace")


def _encodings(head: bytes) -> Iterator[str]:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield "utf-16"
    yield "utf-8-sig"
    declared = re.match(rb"\s*<\?xml[^>]*?\bencoding\s*=\s*[\"']([A-Za-z0-9._-]+)", head)
    if declared and _is_text_encoding(name := declared[1].decode()):
        yield name
    yield _LAST_RESORT


def _is_text_encoding(name: str) -> bool:
    try:
        return codecs.lookup(name).name not in _NO_CHARSETS and b"<".decode(name) == "<"
    except (LookupError, UnicodeError):  # no such encoding, or one from bytes to bytes
        return False


def _fits(path: Path, encoding: str) -> bool:
    try:
        with path.open(encoding=encoding, newline="") as lines:
            while lines.read(CHUNK):
                pass
    except UnicodeError:
        return False
    return True


def _text(chunk: str) -> str:
    if "\0" in chunk:
        raise ValueError("skipped: binary content (NUL character)")
    return chunk
