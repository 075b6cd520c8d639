"""Types real code as people do: which keys, when, and with which mistakes.

Between two keys lie 239 ms in the mean with a standard deviation of 112 ms, log-normal, as in the recordings
of Dhakal et al., Observations on Typing from 136 Million Keystrokes (CHI 2018). Nobody knows how long
programmers think: before every eighth word, half a second to two, as an assumption.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np

from deepcodeseek.server.documents import line_starts
from deepcodeseek.server.index import Index

MEAN_MS, DEVIATION_MS = 239.0, 112.0
THOUGHT_SECONDS = (0.5, 2.0)
THOUGHTFUL = 1 / 8  # of the words
WRONG = 0.04  # of the letters: typed, seen, and deleted
LONGEST = 60  # characters of a line that are typed
_SPREAD = math.sqrt(math.log(1 + (DEVIATION_MS / MEAN_MS) ** 2))
_MIDDLE = math.log(MEAN_MS) - _SPREAD**2 / 2


@dataclass(frozen=True, slots=True)
class Site:
    """A line of a real file that calls an API, to be typed anew."""

    path: Path
    lines: tuple[str, ...]  # of the file, with their ends, but for the one to type
    line: int  # 0-based, of the one to type
    indent: str
    typed: str

    @property
    def text(self) -> str:
        """The file as it is opened, with nothing but its indentation in that line."""
        return "".join((*self.lines[: self.line], self.indent, *self.lines[self.line :]))


@dataclass(frozen=True, slots=True)
class Key:
    """A change at the end of what is typed so far."""

    seconds: float  # since the one before
    text: str  # "" deletes the last character


def call_sites(index: Index, workspace: Path, count: int, seed: int) -> list[Site]:
    """Lines with calls that the index knows, each of another file."""
    chance = Random(seed)
    live = np.flatnonzero(index.usages.live).tolist()
    chance.shuffle(live)
    found: dict[str, Site] = {}
    for usage_id in live:
        usage = index.usage(usage_id)
        if usage.file not in found and (site := _site(workspace / usage.file, usage.line - 1)):
            found[usage.file] = site
        if len(found) == count:
            break
    return list(found.values())


def keys(text: str, seed: int, pace: float = 1.0) -> Iterator[Key]:
    """How a text is typed, so many times as fast as people do."""
    for key in _keys(text, Random(seed)):
        yield replace(key, seconds=key.seconds / pace)


def _keys(text: str, chance: Random) -> Iterator[Key]:
    for before, char in zip(" " + text, text, strict=False):
        if before == " " and char.isalpha() and chance.random() < THOUGHTFUL:
            yield Key(chance.uniform(*THOUGHT_SECONDS), char)
        elif char.isalpha() and chance.random() < WRONG:
            yield Key(_interval(chance), chance.choice("aeiounrt"))
            yield Key(_interval(chance), "")
            yield Key(_interval(chance), char)
        else:
            yield Key(_interval(chance), char)


def _interval(chance: Random) -> float:
    return chance.lognormvariate(_MIDDLE, _SPREAD) / 1000


def _site(path: Path, line: int) -> Site | None:
    """None where the file has changed, or the line is no plain statement."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    starts = [*line_starts(text), len(text)]
    lines = [text[a:b] for a, b in pairwise(starts)]
    if line >= len(lines):
        return None
    whole = lines[line]
    typed = whole.strip()[:LONGEST]
    if not typed.isascii() or len(typed) < 10 or "CDATA" in whole:
        return None
    lines[line] = whole[len(whole.rstrip("\r\n")) :]  # its end
    return Site(path, tuple(lines), line, whole[: len(whole) - len(whole.lstrip())], typed)
