"""Many changed inputs for each parser, in a process that may die: no crash, no five seconds.

FUZZ_INPUTS=100000 python tests/fuzz.py

Half of the inputs of each target come from the mutator of the tests, half from atheris, which keeps those
that reach new code; without atheris all come from the mutator. What fails is kept in tests/.fuzz.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FAILED = HERE / ".fuzz"
SUMMARY = HERE.parent / "index_builder" / "results" / "fuzz.json"
SECONDS = 5  # of computing for one input
_WALL_SECONDS = 120  # for one input that waits; a busy machine is not the input's fault
SEED = 1
_COUNTS = struct.Struct("<QQd")  # inputs, failures, slowest in seconds


def main() -> None:
    """Every target in turn; the exit code says whether anything failed."""
    total = int(os.environ.get("FUZZ_INPUTS", "100000"))
    sys.path.insert(0, str(HERE))
    from fuzz_targets import TARGETS

    tools = ["mutator", "atheris"] if find_spec("atheris") else ["mutator"]
    if len(tools) == 1:
        python = ".".join(map(str, sys.version_info[:2]))
        print("the mutator alone: atheris is not installed. pip install '.[fuzz]' brings it where there is")
        print(f"a wheel: Linux on x86-64, Python 3.11 to 3.14. This is {sys.platform}, Python {python}.")
    started = time.monotonic()
    share = -(-total // len(TARGETS) // len(tools))
    targets = {name: {tool: run(name, tool, share) for tool in tools} for name in TARGETS}
    summary = _summary(targets, total, round(time.monotonic() - started))
    SUMMARY.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in summary.items() if key != "targets"}, indent=1))
    sys.exit(summary["crashes"] + summary["hangs"] > 0)


def _summary(targets: dict[str, Any], total: int, seconds: int) -> dict[str, Any]:
    every = [result for by_tool in targets.values() for result in by_tool.values()]
    return {
        "description": f"Changed inputs for every parser, each in less than {SECONDS} s of computing.",
        "command": f"FUZZ_INPUTS={total} make fuzz",
        "seed": SEED,
        "inputs": sum(result["inputs"] for result in every),
        "crashes": sum(result["crashes"] for result in every),
        "hangs": sum(result["hangs"] for result in every),
        "slowest_ms": max(result["slowest_ms"] for result in every),
        "seconds": seconds,
        "targets": targets,
    }


# The process that watches


def run(target: str, tool: str, inputs: int) -> dict[str, int]:
    """As many inputs; where one kills the process, another process goes on."""
    result = {"inputs": 0, "crashes": 0, "hangs": 0, "slowest_ms": 0}
    while result["inputs"] < inputs:
        folder = Path(tempfile.mkdtemp(prefix="fuzz"))
        code = _watched(target, tool, result["inputs"], inputs, folder)
        done, failed, slowest = _COUNTS.unpack((folder / "counts").read_bytes())
        result["inputs"] += max(done, 1)
        result["crashes"] += failed
        result["slowest_ms"] = max(result["slowest_ms"], round(slowest * 1000))
        if code < 0 or (code > 0 and result["inputs"] < inputs):
            is_hang = code in (-signal.SIGPROF, -signal.SIGKILL)
            result["hangs" if is_hang else "crashes"] += 1
            _keep(target, (folder / "input").read_bytes(), f"exit code {code}")
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{target}, {tool}: {result}", flush=True)
    return result


def _watched(target: str, tool: str, first: int, last: int, folder: Path) -> int:
    (folder / "counts").write_bytes(bytes(_COUNTS.size))
    (folder / "input").write_bytes(b"")
    arguments = [target, tool, str(first), str(last), str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, __file__, *arguments], stdout=log, stderr=log)
        before = b""
        while True:
            try:
                return process.wait(_WALL_SECONDS)
            except subprocess.TimeoutExpired:
                now = (folder / "counts").read_bytes()
                if now == before:
                    process.kill()
                before = now


def _keep(target: str, data: bytes, why: str) -> None:
    FAILED.mkdir(exist_ok=True)
    name = f"{target.replace(' ', '-')}-{abs(hash((target, data))) % 10**8:08}"
    (FAILED / name).write_bytes(data)
    (FAILED / f"{name}.txt").write_text(why, encoding="utf-8", errors="replace")
    print(f"{target}: {why.strip().splitlines()[-1]} ({FAILED / name})", flush=True)


# The process that works


def work(target: str, tool: str, first: int, last: int, folder: Path) -> None:
    """Inputs from `first` to `last`, each noted before it is tried."""
    sys.path.insert(0, str(HERE))
    warnings.simplefilter("ignore")
    if tool == "atheris":
        import atheris

        with atheris.instrument_imports(include=["deepcodeseek"]):
            from fuzz_targets import TARGETS
    else:
        from fuzz_targets import TARGETS
    from fuzz_inputs import any_input

    attempt = _attempt(target, TARGETS[target], folder)
    if tool == "atheris":
        _guided(target, attempt, first, last, folder)
        return
    for number in range(first, last):
        attempt(any_input(target, random.Random(f"{SEED} {target} {number}")))


def _attempt(target: str, check: Callable[[bytes, Path], None], folder: Path) -> Callable[[bytes], None]:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process wherever it is, native code included
    file = (folder / "counts").open("r+b")
    counts = mmap.mmap(file.fileno(), _COUNTS.size)
    place, seen = folder / "work", set[str]()
    place.mkdir(exist_ok=True)

    def attempt(data: bytes) -> None:
        (folder / "input").write_bytes(data)
        done, failed, slowest = _COUNTS.unpack(counts[:])
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        started = time.process_time()
        try:
            check(data, place)
        except Exception as error:
            failed += 1
            where = f"{type(error).__name__} {traceback.extract_tb(error.__traceback__)[-1]}"
            if where not in seen:  # one input of each kind is enough to look at
                seen.add(where)
                _keep(target, data, traceback.format_exc())
        signal.setitimer(signal.ITIMER_PROF, 0)
        counts[:] = _COUNTS.pack(done + 1, failed, max(slowest, time.process_time() - started))

    return attempt


def _guided(target: str, attempt: Callable[[bytes], None], first: int, last: int, folder: Path) -> None:
    """atheris chooses what to change: what reached new code. Half of the changes are its own."""
    import atheris
    from fuzz_inputs import MAX_BYTES, SEEDS, mutated

    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS[target]):
        (corpus / str(number)).write_bytes(seed)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        made = mutated(target, data, rng) if rng.random() < 0.5 else atheris.Mutate(data, max_size)
        return bytes(made[:max_size])

    options = [f"-runs={last - first}", f"-seed={SEED + first}", f"-max_len={MAX_BYTES}", "-timeout=100",
               f"-artifact_prefix={folder}/", "-rss_limit_mb=4096"]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], attempt, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
    else:
        main()
