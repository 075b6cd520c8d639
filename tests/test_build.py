"""The life of an index: what changed is done again, what did not is not, and nothing is ever lost."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import pytest
from conftest import EXAMPLE, environment
from filelock import FileLock

from deepcodeseek.index_builder import parts
from deepcodeseek.index_builder.build import LOCK, MAX_USAGES, build_index
from deepcodeseek.index_builder.cache import CACHE, Cache, digest
from deepcodeseek.server.generation import read_manifest
from deepcodeseek.server.index import open_index
from deepcodeseek.server.models import Encoder, Vectors
from deepcodeseek.server.stop import Stop

INDEX = [sys.executable, "-I", "-m", "deepcodeseek.index_builder.cli", "index"]
KILLS = 20


class Counting:
    """The encoder, and how many texts it was asked for."""

    def __init__(self, encoder: Encoder) -> None:
        self.files, self.dimension, self.state = encoder.files, encoder.dimension, encoder.state
        self.count = 0
        self._encoder = encoder

    def encode(self, texts: Sequence[str], stop: Stop | None = None) -> Vectors:
        self.count += len(texts)
        return self._encoder.encode(texts)


def silent(task: str, done: int, total: int) -> None:
    """Shows nothing."""


def contents(index: Path) -> dict[str, Any]:
    manifest = read_manifest(index)[1]
    return {key: manifest[key] for key in ("counts", "files")}


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


LOG = "apps/shared/global/sys_script_include/DockLog.script.js"
CLASS = "var DockLog = Class.create();\nDockLog.prototype = {\n\twrite: function(%s) {}\n};\n"
RULE = "lib/global/sys_script/A.script.js"


def _rename(workspace: Path) -> None:
    (workspace / LOG).rename(workspace / LOG.replace("DockLog", "QuayLog"))


def _new_package(workspace: Path) -> None:
    write(workspace / "packages/harbour-tools/package.json", json.dumps({"name": "quay-tools"}))


EDITS: list[tuple[str, Callable[[Path], object]]] = [  # one after the other in one workspace
    ("add an API", lambda w: write(w / LOG, CLASS % "line")),
    (
        "call it elsewhere",
        lambda w: write(w / "lib/global/sys_script/A.script.js", "new DockLog().write(1);\n"),
    ),
    ("change it", lambda w: write(w / LOG, CLASS % "line, level")),
    ("rename it", _rename),
    ("remove a folder", lambda w: shutil.rmtree(w / "apps/shared/global/sys_script_include")),
    ("a manifest that renames modules", _new_package),
    ("remove a file", lambda w: next((w / "apps").rglob("sys_script_include_*.xml")).unlink()),
]


def test_an_index_brought_up_to_date_is_the_index_built_anew(encoder: Encoder, tmp_path: Path) -> None:
    workspace, out = shutil.copytree(EXAMPLE, tmp_path / "w"), tmp_path / "out"
    build_index(workspace, out, encoder, silent)
    for number, (edit, change) in enumerate(EDITS):
        before = contents(out)
        change(workspace)
        build_index(workspace, out, encoder, silent)
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        build_index(workspace, tmp_path / "new", encoder, silent)
        assert contents(out) == contents(tmp_path / "new"), edit
        assert contents(out) != before, (number, edit)


def test_only_what_changed_is_read_parsed_and_embedded(encoder: Encoder, tmp_path: Path) -> None:
    workspace, out = shutil.copytree(EXAMPLE, tmp_path / "w"), tmp_path / "out"
    counting, seen = Counting(encoder), []

    def note(task: str, done: int, total: int) -> None:
        if task in ("reading", "parsing", "embedding") and total > 1:
            seen.append((task, total))

    def build() -> tuple[int, set[tuple[str, int]]]:
        counting.count = 0
        seen.clear()
        build_index(workspace, out, counting, note)
        return counting.count, set(seen)

    first, steps = build()
    assert first > 200
    assert {task for task, _ in steps} == {"reading", "parsing", "embedding"}
    assert build() == (0, set())
    write(workspace / LOG, CLASS % "line")
    count, steps = build()
    assert 2 <= count < 10  # its documentation, its code, and the calls that now mean it
    assert max((total for _, total in steps), default=0) < 10


def test_a_build_that_changes_nothing_leaves_the_generation_in_use(encoder: Encoder, tmp_path: Path) -> None:
    first = build_index(EXAMPLE, tmp_path, encoder, silent).generation
    assert build_index(EXAMPLE, tmp_path, encoder, silent).generation == first
    (tmp_path / first / "doc.npy").write_bytes(b"damaged")
    assert build_index(EXAMPLE, tmp_path, encoder, silent).generation != first
    open_index(tmp_path, encoder.files.sha256).close()


def test_a_damaged_cache_is_made_again(encoder: Encoder, tmp_path: Path) -> None:
    build_index(EXAMPLE, tmp_path, encoder, silent)
    before = contents(tmp_path)
    for content in (b"no database at all" * 100, (tmp_path / CACHE).read_bytes()[:5000]):
        for path in tmp_path.glob(f"{CACHE}*"):
            path.unlink()
        (tmp_path / CACHE).write_bytes(content)
        build_index(EXAMPLE, tmp_path, encoder, silent)
        assert contents(tmp_path) == before


KEYS = [digest(str(i)) for i in range(3_000)]
ASKED: dict[str, Callable[[Cache], object]] = {
    "get": lambda cache: cache.get("a", KEYS),
    "put": lambda cache: cache.put("a", dict.fromkeys(KEYS, b"new" * 200)),
    "keep_only": lambda cache: cache.keep_only("a", KEYS[::2]),
}


@pytest.mark.parametrize("first", ASKED)
def test_a_cache_that_is_damaged_inside_is_made_again(first: str, tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.put("a", {key: key * 20 for key in KEYS})
    with (tmp_path / CACHE).open("r+b") as file:
        file.seek((tmp_path / CACHE).stat().st_size // 2 // 4096 * 4096)
        file.write(b"\x5a" * 4096 * 40)
    with Cache(tmp_path) as cache:
        assert not ASKED[first](cache)
        assert cache.get("a", KEYS) == {}
        cache.put("a", {KEYS[0]: b"b"})
    with Cache(tmp_path) as cache:
        assert cache.get("a", KEYS) == {KEYS[0]: b"b"}


def test_many_files_are_read_by_several_processes_with_the_same_result(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(EXAMPLE, tmp_path / "one", encoder, silent)
    monkeypatch.setattr(parts, "_AT_ONCE", 10)
    build_index(EXAMPLE, tmp_path / "two", encoder, silent)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def _deadly(item: str) -> bytes:
    if item in ("7", "8", "299"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return item.encode()


def test_what_kills_a_process_is_named_and_the_others_are_read() -> None:
    items = [str(number) for number in range(400)]
    made = parts._each(_deadly, items, lambda item: b"lost", lambda done, total: None)
    expected = [b"lost" if item in ("7", "8", "299") else item.encode() for item in items]
    assert [*made] == [*zip(items, expected, strict=True)]


def test_a_class_called_everywhere_keeps_some_of_its_usages(encoder: Encoder, tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    write(workspace / LOG, CLASS % "line")
    for number in range(MAX_USAGES // 10 + 1):
        calls = "".join(f"new DockLog().write({n});\n" for n in range(10))
        write(workspace / f"x/global/sys_script/Rule {number}.script.js", calls)
    report = build_index(workspace, tmp_path / "out", encoder, silent)
    assert report.usages == MAX_USAGES


# Processes


def test_a_second_builder_waits_and_says_so(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / LOCK)
    lock.acquire()
    second = subprocess.Popen([*INDEX, EXAMPLE, "--out", tmp_path], stderr=subprocess.PIPE, text=True)
    assert second.stderr
    assert "another build of" in second.stderr.readline()
    assert second.poll() is None
    lock.release()
    assert second.wait(60) == 0
    read_manifest(tmp_path)


def test_watching_indexes_what_changes_and_nothing_else(tmp_path: Path) -> None:
    workspace, out = shutil.copytree(EXAMPLE, tmp_path / "w"), tmp_path / "w/out"
    command = [*INDEX, workspace, "--out", out, "--watch", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout
    try:
        first = _report(process.stdout)
        (workspace / "notes.txt").write_text("not a source")
        write(workspace / LOG, CLASS % "line")
        second = _report(process.stdout)
        (workspace / LOG).unlink()
        third = _report(process.stdout)
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert (second["apis"], third["apis"]) == (first["apis"] + 1, first["apis"])


def _report(stream: IO[str]) -> dict[str, Any]:
    lines = iter(stream.readline, "}\n")
    return dict(json.loads("".join(lines) + "}"))


def test_killed_at_any_moment_the_last_generation_stays(encoder: Encoder, tmp_path: Path) -> None:
    """kill -9, at moments spread over a whole build, each with a change to be indexed."""
    workspace, out = shutil.copytree(EXAMPLE, tmp_path / "w"), tmp_path / "out"
    command = [*INDEX, workspace, "--out", out]
    build_index(workspace, out, encoder, silent)
    write(workspace / LOG, CLASS % "first")
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, env=environment())
    whole = time.monotonic() - start
    generator, moments = random.Random(3), set()
    for number in range(KILLS):
        write(workspace / LOG, CLASS % f"line{number}")
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(whole * (number + generator.random()) / KILLS)
        os.kill(process.pid, signal.SIGKILL)
        moments.add(process.wait())
        index = open_index(out, encoder.files.sha256)
        assert index.find("DockLog")
        assert index.notes == ()
        index.close()
    assert -signal.SIGKILL in moments
    subprocess.run(command, check=True, capture_output=True, env=environment())
    shutil.rmtree(tmp_path / "new", ignore_errors=True)
    build_index(workspace, tmp_path / "new", encoder, silent)
    assert contents(out) == contents(tmp_path / "new")
    assert len(list(out.glob("gen-*"))) <= 2  # what the killed ones left behind is gone
    assert not list(out.glob("*.part"))


def test_what_a_killed_build_left_goes_where_nothing_has_changed(encoder: Encoder, tmp_path: Path) -> None:
    workspace, generations = tmp_path / "w", []
    for name in ("A", "B"):
        write(workspace / "a.js", f"export class {name} {{}}")
        generations.append(build_index(workspace, tmp_path / "i", encoder, silent).generation)
    write(tmp_path / "i/gen-20990101T000000-abcdef/graph.sqlite", "")
    assert build_index(workspace, tmp_path / "i", encoder, silent).generation == generations[-1]
    assert sorted(path.name for path in (tmp_path / "i").glob("gen-*")) == sorted(generations)


@pytest.mark.parametrize(("is_held", "status"), [(True, 0), (False, 1)])
def test_a_background_build_ends_when_it_is_done_or_when_nobody_holds_its_stdin(
    is_held: bool, status: int, tmp_path: Path
) -> None:
    workspace = tmp_path / "w"
    write(workspace / LOG, CLASS % "first")
    command = [*INDEX, workspace, "--out", tmp_path / "out", "--background"]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=pipe if is_held else null, stdout=null, stderr=pipe)
    assert process.stderr
    assert (process.wait(timeout=60), process.stderr.read()) == (status, b"")
