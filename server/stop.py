"""Stopping work from another thread: nobody waits for the answer any more, or the time for it is up."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopped(Exception):
    """Nobody wants the answer any more."""


class Stop:
    """Set once, from any thread; ends native work under way and what would follow it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._actions: list[Callable[[], None]] = []
        self.is_set = False

    def set(self) -> None:
        with self._lock:
            self.is_set = True
            actions, self._actions = self._actions, []
        for action in actions:
            action()

    def check(self) -> None:
        """Raise Stopped where it is set."""
        if self.is_set:
            raise Stopped

    @contextmanager
    def ending(self, action: Callable[[], None]) -> Iterator[None]:
        """While inside, `set` also calls `action`; where it is set already, raises Stopped."""
        with self._lock:
            self.check()
            self._actions.append(action)
        try:
            yield
        finally:
            with self._lock:
                if action in self._actions:
                    self._actions.remove(action)


@contextmanager
def in_time(stop: Stop, left_ms: float) -> Iterator[Stop]:
    """A Stop that is set with `stop`, or when so many milliseconds are over."""
    if left_ms == math.inf:
        yield stop
        return
    late = Stop()
    timer = threading.Timer(max(0.0, left_ms) / 1000, late.set)
    timer.start()
    try:
        with stop.ending(late.set):
            yield late
    finally:
        timer.cancel()
