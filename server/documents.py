"""Text positions as LSP defines them, and the edits that editors send.

Only `\\n`, `\\r\\n` and `\\r` end a line. Python's str.splitlines, which pygls uses, also splits at U+2028,
form feeds and others, and so loses track of the text at the first one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Starts = NDArray[np.int64]

_LINE_END = re.compile(r"\r\n|\n|\r")


def line_starts(text: str) -> list[int]:
    """Offset of the first character of each line; a text has at least one line."""
    return [0, *(end.end() for end in _LINE_END.finditer(text))]


def edited_starts(starts: Starts, old: str, new: str, start: int, end: int) -> Starts:
    """Line starts of `new`, which is `old` with another text from `start` to `end`: only that part is read.

    Looking through a large document takes longer than the time between two keys.
    """
    grown = len(new) - len(old)
    first = int(np.searchsorted(starts, max(0, start - 1), "right")) - 1  # a \n may follow the \r before it
    after = int(np.searchsorted(starts, end, "right"))
    begin = int(starts[first])
    stop = int(starts[after]) + grown if after < len(starts) else len(new)
    inside = [begin + each for each in line_starts(new[begin:stop])]
    if after < len(starts):
        inside.pop()  # the line after the edit, or its end
    return np.concatenate((starts[:first], np.array(inside, np.int64), starts[after:] + grown))


def offset_at(text: str, starts: Sequence[int] | Starts, line: int, character: int, encoding: str) -> int:
    """Offset of a client's position; one beyond the end of its line or of the text is moved back there."""
    if line >= len(starts):
        return len(text)
    start = int(starts[line])
    end = int(starts[line + 1]) if line + 1 < len(starts) else len(text)
    content = text[start:end].rstrip("\r\n")
    return start + _code_points(content, character, _UNITS.get(encoding, _utf16_units))


def position_at(text: str, starts: Sequence[int] | Starts, offset: int, encoding: str) -> tuple[int, int]:
    """The client's (line, character) of an offset."""
    line = int(np.searchsorted(starts, offset, "right")) - 1
    part = text[int(starts[line]) : offset]
    if part.isascii():
        return line, len(part)
    return line, sum(map(_UNITS.get(encoding, _utf16_units), part))


def _code_points(content: str, character: int, units: Callable[[str], int]) -> int:
    if content.isascii():
        return min(character, len(content))
    passed = 0
    for index, char in enumerate(content):
        if passed >= character:
            return index
        passed += units(char)
    return len(content)


def _utf8_units(char: str) -> int:
    code = ord(char)
    return 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4


def _utf16_units(char: str) -> int:
    return 2 if ord(char) > 0xFFFF else 1


def _utf32_units(_char: str) -> int:
    return 1


_UNITS: Mapping[str, Callable[[str], int]] = MappingProxyType(
    {"utf-8": _utf8_units, "utf-16": _utf16_units, "utf-32": _utf32_units}
)
