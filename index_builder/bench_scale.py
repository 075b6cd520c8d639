"""Time and memory of indexes by their number of APIs, in generated workspaces.

    python -m deepcodeseek.index_builder.bench_scale --apis 100000 --out results/scale.json [--workspace DIR]

Builds an index of as many APIs, of a tenth and of a hundredth, each from nothing and again after one file has
changed, then asks them (bench_lookup.py). Each build is a process of its own, and so has a peak of its own.
With --workspace all stays in DIR; what lies there whole is not built again, so that a run can be resumed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from deepcodeseek.server.models import find_model, load_encoder

from .atomic import write_lines
from .bench_lookup import crossover, lookups
from .bench_workspace import Plan, write_workspace
from .build import build_index
from .cache import CACHE

LEAST_APIS = 1000  # of the smaller indexes; below it a build is mostly its start
SAMPLE_SECONDS = 0.2
BUILD = "build.json"
DESCRIPTION = (
    "Indexes of generated workspaces (index_builder/bench_workspace.py). `seconds`: by stage, as a build "
    "names them; `peak_mb`: the most resident memory of the build and its workers together, seen "
    "five times a second; `again`: the next build, after one file has changed. `ms`: p50 and p95 over n "
    "questions, processor time but for `first list`, which the clock times."
)

T = TypeVar("T")


def main() -> None:
    """Measure all sizes and write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--apis", type=int, default=100_000, help="of the largest index")
    parser.add_argument("--out", type=Path, required=True, help="the file of results")
    parser.add_argument("--workspace", type=Path, help="where the workspaces and indexes are kept")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with _home(given.workspace) as home:
        content = measure(Path(home), given.apis, given.seed)
    write_lines(given.out, [json.dumps(content, indent=1)])


def measure(home: Path, apis: int, seed: int = 0) -> dict[str, Any]:
    """All that is measured, as it is kept in the file."""
    places = {size: home / f"{size}-{seed}" for size in sizes(apis)}
    builds = [_kept_build(places[size], Plan(size, seed)) for size in places]
    asked = [{"apis": size, **apart(lookups, places[size])[0]} for size in places]
    return {
        "description": DESCRIPTION,
        "command": f"python -m deepcodeseek.index_builder.bench_scale --apis {apis} --out scale.json",
        "machine": machine(),
        "seed": seed,
        "builds": builds,
        "lookups": asked,
        "crossover": apart(crossover, places[apis])[0],
    }


def sizes(apis: int) -> tuple[int, ...]:
    """Numbers of APIs to measure, the largest last."""
    return (*(apis // part for part in (100, 10) if apis // part >= LEAST_APIS), apis)


def machine() -> dict[str, Any]:
    """What the times depend on."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(pages / 2**30, 1),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[1], 1),  # processes that want a core, five minutes' mean
    }


def _home(folder: Path | None) -> AbstractContextManager[Path | str]:
    return nullcontext(folder) if folder else tempfile.TemporaryDirectory()


# Builds


def _kept_build(place: Path, plan: Plan) -> dict[str, Any]:
    """What was measured before, or is now."""
    kept = place / BUILD
    if not kept.is_file():
        if not (place / "workspace").is_dir():
            write_workspace(place / "workspace.part", plan)
            (place / "workspace.part").rename(place / "workspace")
        shutil.rmtree(place / "index", ignore_errors=True)  # of a build that was cut short
        kept.write_text(json.dumps(_both_builds(place)), encoding="utf-8")
    result: dict[str, Any] = json.loads(kept.read_bytes())
    return result


def _both_builds(place: Path) -> dict[str, Any]:
    first, peak = apart(_build, place)
    changed = min((place / "workspace").rglob("sys_script_include/*.js"))
    changed.write_text(changed.read_text(encoding="utf-8") + "// changed\n", encoding="utf-8")
    second, second_peak = apart(_build, place)
    again = {"seconds": second["seconds"], "cpu_seconds": second["cpu_seconds"], "peak_mb": second_peak}
    return {**first, "peak_mb": peak, **_disk(place), "again": again}


def _build(place: Path) -> dict[str, Any]:
    """One build: what it made, and the seconds of its stages."""
    files = find_model("encoder")
    assert files, "the encoder ships with the package"
    stages = Stages()
    report = build_index(place / "workspace", place / "index", load_encoder(files), stages)
    seconds = {"total": round(report.seconds, 2), **stages.seconds()}
    counts = {"apis": report.apis, "files": report.files, "usages": report.usages}
    return {**counts, "methods": report.methods, "seconds": seconds, "cpu_seconds": _cpu_seconds()}


def _cpu_seconds() -> float:
    """Of this process and its workers, on all cores: what a busy machine changes less than the time."""
    times = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(sum(used.ru_utime + used.ru_stime for used in times), 1)


class Stages:
    """The seconds between the first word of one stage and that of another."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._stage, self._since = "", time.monotonic()

    def __call__(self, task: str, done: int, total: int) -> None:
        stage = task.split()[0]  # "linking doc" is linking
        if stage != self._stage:
            self._close()
            self._stage = stage

    def seconds(self) -> dict[str, float]:
        """Of each stage, the last one until now."""
        self._close()
        return {stage: round(seconds, 2) for stage, seconds in self._seconds.items() if stage}

    def _close(self) -> None:
        now = time.monotonic()
        self._seconds[self._stage] += now - self._since
        self._since = now


def _disk(place: Path) -> dict[str, float]:
    """Megabytes of the sources, of the generation in use, and of the cache beside it."""
    generation = place / "index" / (place / "index" / "current").read_text(encoding="utf-8").strip()
    return {
        "sources_mb": _megabytes((place / "workspace").rglob("*.js")),
        "index_mb": _megabytes(generation.iterdir()),
        "cache_mb": _megabytes([place / "index" / CACHE]),
    }


def _megabytes(files: Iterator[Path] | list[Path]) -> float:
    return round(sum(path.stat().st_size for path in files) / 1e6, 1)


# Processes


def apart(work: Callable[[Path], T], place: Path) -> tuple[T, int]:
    """The result of `work` in a process of its own, and the most megabytes that it and its children held."""
    peak = 0
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        future = pool.submit(work, place)
        while not wait([future], SAMPLE_SECONDS).done:
            peak = max(peak, _resident_below(os.getpid()))
        result = future.result()
    # Without /proc: of the largest process alone.
    return result, round((peak or resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024) / 1e6)


def _resident_below(process: int) -> int:
    """Bytes that all descendants of a process hold; pages that they share count for each."""
    parents = {int(path.name): _parent(path) for path in Path("/proc").glob("[0-9]*")}
    below = {process}
    while found := {child for child, parent in parents.items() if parent in below} - below:
        below |= found
    return sum(_resident(child) for child in below - {process})


def _parent(process: Path) -> int:
    """0 where it has ended meanwhile."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


if __name__ == "__main__":
    main()
