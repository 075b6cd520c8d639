"""Columns of an index made for comparing: at 100,000 APIs comparing texts takes longer than all else."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .caches import kept
from .lexical import Ids, Mask


class Texts:
    """One text a row, many of them alike: each is kept once and rows are compared by its number."""

    def __init__(self, rows: Iterable[str]) -> None:
        self._numbers: dict[str, int] = {}
        numbers = (self._numbers.setdefault(text, len(self._numbers)) for text in rows)
        self.numbers: NDArray[np.int32] = np.fromiter(numbers, np.int32)
        self.values = tuple(self._numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: int) -> str:
        return self.values[int(self.numbers[row])]

    def __iter__(self) -> Iterator[str]:
        return (self.values[number] for number in self.numbers.tolist())

    def equal(self, text: str) -> Mask:
        """The rows that hold a text."""
        found: Mask = self.numbers == self._numbers.get(text, -1)
        return found

    def numbered_here(self, other: Texts) -> NDArray[np.int32]:
        """The rows of another column by this one's numbers; -1 where this one has no such text."""
        known = np.array([self._numbers.get(text, -1) for text in other.values], np.int32)
        return known[other.numbers]


class Beginnings:
    """Finds the rows whose text begins so, whatever the case."""

    def __init__(self, rows: Iterable[str]) -> None:
        every = sorted((text.lower(), row) for row, text in enumerate(rows))
        self._texts = [text for text, _ in every]
        self._rows = np.array([row for _, row in every], np.int64)

    def find(self, prefix: str) -> Mask:
        """The rows that begin with `prefix`."""
        wanted = prefix.lower()
        span = (search(self._texts, wanted, key=lambda text: text[: len(wanted)]) for search in _ENDS)
        found = np.zeros(len(self._texts), np.bool_)
        found[self._rows[slice(*span)]] = True
        return found


def postings(rows: Iterable[tuple[str, int]]) -> dict[str, Ids]:
    """Rows by word."""
    found: dict[str, list[int]] = {}
    for word, row in rows:
        found.setdefault(word, []).append(row)
    return {word: np.array(ids, np.int64) for word, ids in found.items()}


class Folders:
    """The folder of one path a row."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._folders = Texts(map(folder_of, paths))
        self.nearness = kept(self._nearness, 16)

    def _nearness(self, folder: str) -> NDArray[np.float64]:
        """How many leading parts each row's folder [rows] shares with this one, of the longer of the two."""
        here = folder.split("/")
        shared = (_shared(here, there.split("/")) for there in self._folders.values)
        nearness: NDArray[np.float64] = np.fromiter(shared, np.float64)[self._folders.numbers]
        return nearness


def folder_of(path: str) -> str:
    """Of a path with forward slashes."""
    return path.rpartition("/")[0]


def _shared(here: Sequence[str], there: Sequence[str]) -> float:
    pairs = zip(here, there, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)) / max(len(here), len(there))


_ENDS = (bisect_left, bisect_right)


@dataclass(frozen=True, slots=True)
class Uses:
    """Which file uses which API, each pair once, sorted by API."""

    api: Ids
    file: Ids

    @classmethod
    def of(cls, api: Ids, file: Ids) -> Self:
        """The pairs of known usages."""
        files = int(file.max(initial=0)) + 1
        return cls(*np.divmod(np.unique(api * files + file), files))

    def files_of(self, api: int, among: Mask) -> Ids:
        """Files that use an API, by the pairs that `among` allows."""
        start, end = np.searchsorted(self.api, (api, api + 1))
        return self.file[start:end][among[start:end]]

    def counts(self, among: Mask, apis: int) -> Ids:
        """In how many files each of the APIs is used, by the pairs that `among` allows."""
        return np.bincount(self.api[among], minlength=apis)
