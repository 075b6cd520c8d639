"""What a build works out once: extractions, vectors, summaries, by the content they were made from.

One SQLite file beside the generations. It may vanish at any time; the next build is slower, that is all.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import deepcodeseek.server

CACHE = "cache.sqlite"
_KEYS_A_QUERY = 500

T = TypeVar("T")


class Cache:
    """Values by kind and key. Whatever a build does not ask for is dropped at its end."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / CACHE
        try:
            self._database = _open(self._path)
        except sqlite3.DatabaseError:
            self._database = _made_again(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def get(self, kind: str, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The values that there are."""
        wanted = list(dict.fromkeys(keys))
        return self._whole(lambda: _found(self._database, kind, wanted), {})

    def put(self, kind: str, values: Mapping[bytes, bytes]) -> None:
        """Keep values, at once: a build that is cut short has not worked for nothing."""
        self._whole(lambda: _keep(self._database, kind, values), None)

    def keep_only(self, kind: str, keys: Iterable[bytes]) -> None:
        """Drop all others of this kind."""
        wanted = list(keys)
        self._whole(lambda: _drop_others(self._database, kind, wanted), None)

    def _whole(self, ask: Callable[[], T], nothing: T) -> T:
        """What a whole file answers; of a damaged one nothing is left, and it is made again."""
        try:
            return ask()
        except sqlite3.OperationalError:  # full or locked, which another file would be too
            raise
        except sqlite3.DatabaseError:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = _made_again(self._path)
            return nothing


def digest(*parts: bytes | str) -> bytes:
    """A key: no two different lists of parts share one."""
    made = hashlib.blake2b(digest_size=20)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        made.update(len(data).to_bytes(8, "little") + data)
    return made.digest()


@cache
def code_digest() -> bytes:
    """Of this package's own source: what other code extracted is extracted anew."""
    packages = (Path(__file__).parent, Path(deepcodeseek.server.__file__).parent)
    files = sorted(path for package in packages for path in package.glob("*.py"))
    return digest(*(path.read_bytes() for path in files))


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=60)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(
            "CREATE TABLE IF NOT EXISTS entry"
            " (kind TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key))"
        )
        database.execute("SELECT count(*) FROM (SELECT 1 FROM entry LIMIT 1)").fetchone()
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            database.close()
        raise
    return database


def _made_again(path: Path) -> sqlite3.Connection:
    """An empty one in place of one that is damaged: it held nothing that cannot be made again."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    return _open(path)


def _found(database: sqlite3.Connection, kind: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for start in range(0, len(keys), _KEYS_A_QUERY):
        some = keys[start : start + _KEYS_A_QUERY]
        marks = ",".join("?" * len(some))
        query = f"SELECT key, value FROM entry WHERE kind = ? AND key IN ({marks})"
        found.update(database.execute(query, (kind, *some)))
    return found


def _keep(database: sqlite3.Connection, kind: str, values: Mapping[bytes, bytes]) -> None:
    rows = ((kind, key, value) for key, value in values.items())
    with database:
        database.executemany("INSERT OR REPLACE INTO entry (kind, key, value) VALUES (?, ?, ?)", rows)


def _drop_others(database: sqlite3.Connection, kind: str, keys: Iterable[bytes]) -> None:
    with database:
        database.execute("CREATE TEMP TABLE kept (key BLOB PRIMARY KEY)")
        database.executemany("INSERT OR IGNORE INTO kept VALUES (?)", ((key,) for key in keys))
        database.execute("DELETE FROM entry WHERE kind = ? AND key NOT IN (SELECT key FROM kept)", (kind,))
        database.execute("DROP TABLE kept")
