"""How long work says how far it is; what shows it is in terminal.py."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def silent(task: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""
