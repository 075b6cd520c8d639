"""What a build works out once: extractions, vectors, summaries, by the content they were made from.

One SQLite file beside the generations. It may vanish at any time; the next build is slower, that is all.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import deepcodeseek.server

CACHE = "cache.sqlite"
_KEYS_A_QUERY = 500


class Cache:
    """Values by kind and key. Whatever a build does not ask for is dropped at its end."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / CACHE
        try:
            self._database = _open(path)
        except sqlite3.DatabaseError:  # damaged: it holds nothing that cannot be made again
            path.unlink()
            self._database = _open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def get(self, kind: str, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The values that there are."""
        wanted = list(dict.fromkeys(keys))
        found: dict[bytes, bytes] = {}
        for start in range(0, len(wanted), _KEYS_A_QUERY):
            some = wanted[start : start + _KEYS_A_QUERY]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, value FROM entry WHERE kind = ? AND key IN ({marks})"
            found.update(self._database.execute(query, (kind, *some)))
        return found

    def put(self, kind: str, values: Mapping[bytes, bytes]) -> None:
        """Keep values, at once: a build that is cut short has not worked for nothing."""
        with self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO entry (kind, key, value) VALUES (?, ?, ?)",
                ((kind, key, value) for key, value in values.items()),
            )

    def keep_only(self, kind: str, keys: Iterable[bytes]) -> None:
        """Drop all others of this kind."""
        with self._database:
            self._database.execute("CREATE TEMP TABLE kept (key BLOB PRIMARY KEY)")
            self._database.executemany("INSERT OR IGNORE INTO kept VALUES (?)", ((key,) for key in keys))
            self._database.execute(
                "DELETE FROM entry WHERE kind = ? AND key NOT IN (SELECT key FROM kept)", (kind,)
            )
            self._database.execute("DROP TABLE kept")


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
