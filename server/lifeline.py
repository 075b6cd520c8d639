"""Notices when the process that started this one is gone."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from collections.abc import Callable

POLL_SECONDS = 0.5  # where the system does not tell by itself


def watch(pid: int, gone: Callable[[], None]) -> bool:
    """Call `gone`, from a thread of its own, when the process ends; False where there is none of that number.

    There is none where an editor starts the server in a container: its number means nothing here.
    """
    wait = _wait_windows if sys.platform == "win32" else _wait_posix
    ended = wait(pid)
    if ended is None:
        return False

    def run() -> None:
        ended()
        gone()

    threading.Thread(target=run, name="lifeline", daemon=True).start()
    return True


def _wait_posix(pid: int) -> Callable[[], object] | None:
    """What returns when the process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:  # it belongs to somebody else
        pass
    with contextlib.suppress(OSError, AttributeError):
        # Also tells of one that ended and that nobody has waited for; not every system has it.
        poll = select.poll()
        poll.register(os.pidfd_open(pid), select.POLLIN)
        return poll.poll
    return lambda: _poll(pid)


def _poll(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        while True:
            with contextlib.suppress(PermissionError):
                os.kill(pid, 0)
            time.sleep(POLL_SECONDS)


def _wait_windows(pid: int) -> Callable[[], object] | None:
    import ctypes

    kernel = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined, unused-ignore]  # Windows alone
    synchronize, forever = 0x00100000, 0xFFFFFFFF
    handle = kernel.OpenProcess(synchronize, False, pid)
    return (lambda: kernel.WaitForSingleObject(handle, forever)) if handle else None
