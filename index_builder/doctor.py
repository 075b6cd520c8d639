"""Is everything in order? Each check says what it found and, where it is not, the one command that mends it.

A check is a plain function from what was measured to a line; `examine` measures and asks them all.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Literal

from deepcodeseek.server.engine import Engine, load_engine
from deepcodeseek.server.generation import IndexProblem, damaged_files, read_manifest
from deepcodeseek.server.models import Encoder, ModelProblem, Reranker, mend_of
from deepcodeseek.server.stop import Stop
from deepcodeseek.server.types import Prompt

from .llama_flags import FEATURES, cmake_args
from .machine import ask_llama, available_mb, cpuinfo, existing, processor_flags, recorded_network, size_mb
from .model_store import ModelState, list_models
from .stage_times import Timing, time_stages

State = Literal["ok", "note", "broken"]
LEAST_PYTHON = (3, 11)
FIRST_LIST_MS = 200.0
"""A first list that takes longer is felt in typing."""
LEAST_FREE_MB, LEAST_MEMORY_MB = 500, 600
"""Room for another generation of a large index; for the server and the expander."""
GOLDEN = (
    ("Finds a free berth for a vessel.", "look for an empty place where the ship can moor"),
    ("Formats a number as an amount of money.", "show the price with its currency"),
    ("Sends an e-mail to a user.", "notify someone by a message"),
)
"""A document and a question that means it: an encoder that works puts each question nearest to its own."""
GOLDEN_PROMPT = Prompt("function add(first, second) {\n    return first +", "statement")
GOLDEN_ANSWER = "second"
# What llama.cpp calls a feature, by the name of its build option.
_SYSTEM_NAMES = tuple((option.removeprefix("GGML_"), flags) for option, flags in FEATURES)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's report."""

    name: str
    state: State
    found: str
    mend: str = ""  # a command


@dataclass(frozen=True, slots=True)
class Report:
    """What the doctor says."""

    checks: tuple[Check, ...]
    timings: tuple[Timing, ...] = ()

    @property
    def is_well(self) -> bool:
        """Whether nothing is broken; a note is no illness."""
        return all(check.state != "broken" for check in self.checks)


def examine(workspace: Path, directory: Path, models: Path | None = None) -> Report:
    """Ask every check; what cannot be measured is a check that says so."""
    flags = processor_flags()
    checks = [
        check_python(sys.version_info[:3], sys.executable),
        Check("processor", "ok", f"{platform.machine()}, {os.cpu_count()} cores, {_shown_flags(flags)}"),
        check_llama(*ask_llama(), flags),
        *map(check_model, list_models()),
        check_index(directory, workspace),
        check_space(shutil.disk_usage(existing(directory)).free // 1_000_000, available_mb(), directory),
    ]
    with recorded_network() as events:
        asked, timings = _try_out(directory, models)
    return Report((*checks, *asked, check_silence(events, bool(timings))), timings)


def check_python(version: Sequence[int], executable: str) -> Check:
    """Python is recent enough."""
    found = f"{'.'.join(map(str, version))}, {executable}"
    if tuple(version) >= LEAST_PYTHON:
        return Check("python", "ok", found)
    return Check(
        "python",
        "broken",
        f"{found}: 3.11 or newer is needed",
        "pipx reinstall --python python3.12 deepcodeseek",
    )


def check_llama(version: str, system: str, flags: frozenset[str]) -> Check:
    """llama-cpp-python loads, and is built for this processor: no more than it has, and not much less.

    `system` is what llama.cpp says of itself; `flags` the processor's features as Linux names them, or none.
    """
    again = (
        f"CMAKE_ARGS='{_wanted_flags()}' {_pip()} --force-reinstall --no-deps --no-cache-dir llama-cpp-python"
    )
    if not version:
        return Check("llama-cpp-python", "broken", system, again)
    built = {part.split("=")[0].strip().split(": ")[-1] for part in system.split("|") if "= 1" in part}
    known = [(name, flags.issuperset(needs)) for name, needs in _SYSTEM_NAMES if flags]
    beyond = [name for name, has in known if name in built and not has]
    unused = [name for name, has in known if has and name not in built and name in ("AVX2", "FMA", "AVX512")]
    used = ", ".join(name for name, _ in _SYSTEM_NAMES if name in built)
    found = f"{version}, built with {used or 'none of the flags known here'}"
    if beyond:
        return Check(
            "llama-cpp-python", "broken", f"{found}; this processor lacks {', '.join(beyond)}", again
        )
    if "AMX_INT8" in built:
        return Check(
            "llama-cpp-python", "note", f"{found} and AMX, which crashes on quantized weights", again
        )
    if unused:
        return Check("llama-cpp-python", "note", f"{found}; without {', '.join(unused)} it is slower", again)
    return Check("llama-cpp-python", "ok", found)


def check_model(model: ModelState) -> Check:
    """A model is there and whole by its SHA-256."""
    name = f"model: {model.kind}"
    usual = "deepcodeseek models get" if model.kind == "generator" else _again("--no-deps")
    mend = _command_in(model.state) or usual
    if model.state == "whole":
        return Check(name, "ok", f"{model.name}, {model.megabytes:.1f} MB, whole")
    if model.state != "not installed":
        return Check(name, "broken", model.state, mend)
    if model.kind == "encoder":
        return Check(name, "broken", model.state, mend)
    if model.kind == "generator":
        return Check(name, "note", "not installed: the server runs in lite mode", mend)
    return Check(name, "ok", "none: not needed")


def check_index(directory: Path, workspace: Path) -> Check:
    """There is an index of the workspace, of this version, whole by its hashes."""
    mend = f'deepcodeseek index "{workspace}"'
    try:
        generation, manifest = read_manifest(directory)
    except IndexProblem as problem:
        return Check("index", "broken" if directory.exists() else "note", str(problem), mend)
    damaged = damaged_files(generation, manifest)
    if damaged:
        return Check("index", "broken", f"{generation}: damaged are {', '.join(damaged)}", mend)
    counts = ", ".join(f"{count:,} {name}" for name, count in manifest["counts"].items())
    return Check(
        "index", "ok", f"{generation.name}, {counts}, {size_mb(generation):.1f} MB, whole; {directory}"
    )


def check_space(disk_mb: int, memory_mb: int | None, place: Path) -> Check:
    """Enough disk for another generation of the index, enough memory for server and expander."""
    memory = "" if memory_mb is None else f", {memory_mb:,} MB of memory available"
    found = f"{disk_mb:,} MB free on disk{memory}"
    if disk_mb < LEAST_FREE_MB:
        return Check("space", "broken", f"{found}: too little disk", f'du -sh "{place.parent}"')
    if memory_mb is not None and memory_mb < LEAST_MEMORY_MB:
        return Check(
            "space",
            "note",
            f"{found}: without the expander the server needs less",
            "in the editor's settings: expand = false",
        )
    return Check("space", "ok", found)


def check_note(note: str, directory: Path, models: Path | None = None) -> Check:
    """What the server could not load, and does without; the way out stands in the note itself."""
    return Check("loading", "note", note, _mend_in(note, directory, models))


def check_encoder(encoder: Encoder) -> Check:
    """The encoder puts each golden question nearest to its own document."""
    documents = encoder.encode([document for document, _ in GOLDEN])
    questions = encoder.encode([question for _, question in GOLDEN])
    nearest = (questions @ documents.T).argmax(axis=1).tolist()
    right = sum(found == place for place, found in enumerate(nearest))
    if right == len(GOLDEN):
        return Check("golden: encoder", "ok", f"{right} of {len(GOLDEN)} questions find their document")
    mend = f"{_pip()} --force-reinstall onnxruntime"
    return Check(
        "golden: encoder", "broken", f"only {right} of {len(GOLDEN)} questions find their document", mend
    )


def check_reranker(reranker: Reranker, directory: Path, models: Path | None = None) -> Check:
    """It loads, which it does not where its golden lists come out in another order, and reads a pair."""
    name = f"golden: {reranker.files.kind}"
    try:
        list(reranker.each("var total = sum(", ["Adds numbers."], Stop()))
    except ModelProblem as problem:
        return Check(name, "broken", str(problem), _mend_in(mend_of(reranker.files), directory, models))
    return Check(name, "ok", f"its lists stand in their order; a pair takes {reranker.pair_ms:.0f} ms")


def check_generator(written: str) -> Check:
    """The expander continues a line of code that has only one sensible end."""
    if GOLDEN_ANSWER in written:
        return Check(
            "golden: expander", "ok", f"writes {written.strip().splitlines()[0]!r} after `return first +`"
        )
    return Check(
        "golden: expander", "note", f"writes {written!r} after `return first +`", "deepcodeseek models get"
    )


def check_speed(timings: Sequence[Timing]) -> Check:
    """The first list comes faster than it is missed."""
    first = next(timing for timing in timings if timing.stage == "first list")
    found = f"first list p50 {first.p50:.0f} ms, p95 {first.p95:.0f} ms (n = {first.n})"
    if first.p95 <= FIRST_LIST_MS:
        return Check("speed", "ok", found)
    return Check(
        "speed",
        "note",
        f"{found}: more than {FIRST_LIST_MS:.0f} ms is felt; is the machine busy?",
        "deepcodeseek doctor",
    )


def check_silence(events: Iterable[str], was_asked: bool) -> Check:
    """While models and index were loaded and asked, no socket was opened by Python code or native library."""
    seen = sorted(set(events))
    if not seen:
        found = "models and index were loaded and asked" if was_asked else "this ran, without an index to ask"
        return Check("network", "ok", f"silent: no socket was opened while {found}")
    return Check("network", "broken", f"not silent: {', '.join(seen)}", _again())


def _try_out(directory: Path, models: Path | None) -> tuple[list[Check], tuple[Timing, ...]]:
    """Golden checks and the self-benchmark, as far as there is something to load."""
    try:
        engine = load_engine(directory, models)
    except (IndexProblem, ModelProblem):
        return [], ()  # said by the check of index or model
    try:
        notes = [note for note in engine.notes if not note.startswith("no generator")]
        checks = [check_note(note, directory, models) for note in notes]
        checks += [check_encoder(engine.encoder)] if engine.encoder else []
        checks += [
            check_reranker(each, directory, models) for each in (engine.reranker, engine.causal) if each
        ]
        engine, generated = _try_generator(engine)
        timings = time_stages(engine, directory)
        return [*checks, *generated, *([check_speed(timings)] if timings else [])], timings
    finally:
        if engine.generator:
            engine.generator.close()
        engine.index.close()


def _try_generator(engine: Engine) -> tuple[Engine, list[Check]]:
    """The engine, without its generator where that does not work."""
    if engine.generator is None:
        return engine, []
    try:
        return engine, [check_generator(engine.generator.generate(GOLDEN_PROMPT, 8, 60_000))]
    except ModelProblem as problem:
        return replace(engine, generator=None), [
            Check("golden: expander", "broken", str(problem), "deepcodeseek models get")
        ]


def _shown_flags(flags: frozenset[str]) -> str:
    shown = [flag for flag in ("avx2", "fma", "avx512f", "avx512_vnni", "amx_int8") if flag in flags]
    return " ".join(shown) or "features not known"


def _wanted_flags() -> str:
    return cmake_args(platform.machine(), cpuinfo())


def _mend_in(said: str, directory: Path, models: Path | None) -> str:
    """The command that a message names, for this index and these models, or what it says to delete.

    Where it names neither, what ships is damaged.
    """
    command, unused = _command_in(said), re.search(r"delete ([^;]+)", said)
    if command == "deepcodeseek train adapt":
        is_chosen = models and unused and Path(unused[1]).is_relative_to(models)
        return f'{command} --index "{directory}"' + (f' --out "{models}"' if is_chosen else "")
    return command or (unused[0] if unused else _again())


def _command_in(text: str) -> str:
    command = re.search(r"`(deepcodeseek [^`]+)`", text)
    return command[1] if command else ""


def _again(*options: str) -> str:
    """What installs this package anew, from where it was installed."""
    told = distribution("deepcodeseek").read_text("direct_url.json")
    about: dict[str, Any] = json.loads(told) if told else {"url": "deepcodeseek"}
    editable = ["--editable"] * about.get("dir_info", {}).get("editable", False)
    return " ".join((_pip(), "--force-reinstall", *options, *editable, about["url"]))


def _pip() -> str:
    return f"{sys.executable} -m pip install"
