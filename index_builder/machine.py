"""What the machine says of itself: processor, memory, sockets, and how llama.cpp was built for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LLAMA_SECONDS = 30.0
LOOK_SECONDS = 0.02  # between two looks at the open sockets: asking a name server takes longer
_LLAMA = "import llama_cpp; print(llama_cpp.__version__); print(llama_cpp.llama_print_system_info().decode())"


@contextmanager
def recorded_network() -> Iterator[list[str]]:
    """What Python code asks of sockets, and what sockets native code holds open in between."""
    events: list[str] = []
    done = threading.Event()

    def hook(event: str, _arguments: tuple[object, ...]) -> None:
        if event.startswith("socket.") and not done.is_set():
            events.append(event)

    def look() -> None:
        while not done.wait(LOOK_SECONDS):
            if _open_sockets() > before:
                events.append("a socket of native code")

    before = _open_sockets()
    sys.addaudithook(hook)  # it cannot be taken away again, but it can fall silent
    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield events
    finally:
        done.set()
        watcher.join()


def _open_sockets() -> int:
    """How many sockets this process has open, where the system shows it."""
    places = Path("/proc/self/fd")
    if not places.is_dir():
        return 0
    return sum(_is_socket(place) for place in places.iterdir())


def _is_socket(place: Path) -> bool:
    try:
        return str(place.readlink()).startswith("socket:")
    except OSError:  # closed since it was listed
        return False


def ask_llama() -> tuple[str, str]:
    """Version and build flags, asked in a child: a build for another processor dies on loading."""
    command = [sys.executable, "-I", "-c", _LLAMA]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LLAMA_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return "", f"did not load within {LLAMA_SECONDS:.0f} s"
    if done.returncode:
        return "", (done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"])[-1]
    version, _, system = done.stdout.partition("\n")
    return version, system


def processor_flags() -> frozenset[str]:
    """The processor's features as Linux names them; none where the system does not say."""
    line = next((line for line in cpuinfo().splitlines() if line.startswith("flags")), ":")
    return frozenset(line.split(":", 1)[1].split())


def cpuinfo() -> str:
    """The text of /proc/cpuinfo; empty where there is none."""
    source = Path("/proc/cpuinfo")
    return source.read_text(encoding="utf-8", errors="replace") if source.exists() else ""


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def size_mb(folder: Path) -> float:
    """Megabytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def available_mb() -> int | None:
    """Memory that is free or can be freed, where the system says."""
    source = Path("/proc/meminfo")
    if not source.exists():
        return None
    lines = dict(line.split(":", 1) for line in source.read_text(encoding="ascii").splitlines())
    return int(lines["MemAvailable"].split()[0]) // 1000
