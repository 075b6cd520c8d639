"""What goes wrong on a machine, done to real processes: nothing is lost, and the server answers after it."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import DRAFT, DRAFT_COLUMN, DRAFT_LINE, EXAMPLE, environment

from deepcodeseek.index_builder.lsp_client import Client
from deepcodeseek.server import generator_process
from deepcodeseek.server.generation import sha256_file
from deepcodeseek.server.generator_process import GeneratorProcess
from deepcodeseek.server.models import ModelFiles, ModelProblem, find_model
from deepcodeseek.server.stop import Stop, Stopped

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
URI = (EXAMPLE / DRAFT).as_uri()
LINE, CHARACTER = DRAFT_LINE - 1, DRAFT_COLUMN - 1
LONG_PROMPT = "function berth(vessel) {\n\treturn vessel.length;\n}\n\n" * 30
ENDED = ("Z", "0")


def stat(pid: int) -> tuple[str, ...]:
    """State and parent of a process."""
    try:
        return tuple(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:2])
    except OSError:
        return ENDED


def children(pid: int) -> list[int]:
    """The processes below one that have not ended."""
    every = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    own = [child for child in every if stat(child)[1] == str(pid) and stat(child)[0] != "Z"]
    return own + [below for child in own for below in children(child)]


def is_gone(*pids: int) -> bool:
    """Whether processes have ended; one that only waits to be waited for has."""
    return all(stat(pid)[0] == "Z" for pid in pids)


def eventually(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What holds, as soon as it does."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.02)
    return found


# The generator


@pytest.fixture
def generator() -> Iterator[GeneratorProcess]:
    model = find_model("generator")
    assert model, "run `make setup`"
    process = GeneratorProcess(model)
    yield process
    process.close()


def child_of(generator: GeneratorProcess) -> int:
    assert generator._child
    return generator._child.pid


def asked(generator: GeneratorProcess, stop: Stop | None = None, timeout_ms: float = 60_000) -> list[Any]:
    """Begin a long request in a thread of its own; the list receives its text, or what it raised."""
    outcome: list[Any] = []

    def ask() -> None:
        try:
            outcome.append(generator.generate(LONG_PROMPT, 500, timeout_ms, stop))
        except (ModelProblem, Stopped) as problem:
            outcome.append(problem)

    generator.start()
    threading.Thread(target=ask).start()
    time.sleep(0.2)  # it reads the prompt now
    assert not outcome
    return outcome


def test_a_killed_generator_is_one_line_and_started_again_after_a_pause(generator: GeneratorProcess) -> None:
    outcome = asked(generator)
    os.kill(child_of(generator), signal.SIGKILL)
    (problem,) = eventually(lambda: outcome)
    assert "died (SIGKILL)" in str(problem)
    assert "\n" not in str(problem)
    with pytest.raises(ModelProblem, match="started again in 1 s"):
        generator.generate("var a", 1, 1000)
    time.sleep(generator_process.FIRST_PAUSE_SECONDS)
    assert generator.generate("var a", 1, 60_000)
    assert generator.state == "running"


def test_a_generator_that_hangs_is_killed(generator: GeneratorProcess) -> None:
    outcome = asked(generator, timeout_ms=300)
    hanging = child_of(generator)
    os.kill(hanging, signal.SIGSTOP)
    (problem,) = eventually(lambda: outcome)
    assert "did not answer in time" in str(problem)
    assert is_gone(hanging)


def test_stopping_reaches_the_model_at_once(generator: GeneratorProcess) -> None:
    stop = Stop()
    outcome = asked(generator, stop)
    start = time.monotonic()
    stop.set()
    (problem,) = eventually(lambda: outcome)
    assert isinstance(problem, Stopped)
    assert time.monotonic() - start < 0.5
    assert generator.state == "running"
    assert generator.generate("var a", 1, 60_000)


def test_a_generator_that_hangs_does_not_outlive_being_stopped(generator: GeneratorProcess) -> None:
    stop = Stop()
    outcome = asked(generator, stop)
    os.kill(child_of(generator), signal.SIGSTOP)
    stop.set()
    (problem,) = eventually(lambda: outcome, 2 * generator_process.CANCEL_SECONDS)
    assert "did not answer in time" in str(problem)


def test_a_gguf_that_crashes_the_loader_is_one_line(tmp_path: Path) -> None:
    installed = find_model("generator")
    assert installed
    data = bytearray(installed.path(installed.file).read_bytes())
    key = b"llama.block_count"
    where = data.index(key) + len(key) + 4  # behind the type
    data[where : where + 4] = struct.pack("<I", 0)
    (tmp_path / "bad.gguf").write_bytes(data)
    card = {"file": "bad.gguf", "sha256": {"bad.gguf": sha256_file(tmp_path / "bad.gguf")}}
    bad = GeneratorProcess(ModelFiles("generator", tmp_path, card))
    with pytest.raises(ModelProblem, match=r"died \(SIG"):
        bad.start()
    with pytest.raises(ModelProblem, match="started again in"):
        bad.generate("var a", 1, 1000)


# The server's end


@pytest.fixture
def session() -> Iterator[Client]:
    """A session on the example; its folder is indexed where no other test has done it."""
    with Client(environment()) as client:
        client.initialize(EXAMPLE)
        client.ready()
        client.open(URI, (EXAMPLE / DRAFT).read_text(encoding="utf-8"))
        yield client


def predicts(client: Client) -> bool:
    return bool(client.complete(URI, LINE, CHARACTER).result()["items"])


def expanding(client: Client) -> int:
    """Ask, and wait until the generator works; its process."""
    assert predicts(client)
    return int(eventually(lambda: children(client.process.pid))[0])


@pytest.mark.usefixtures("example_report")
def test_the_server_survives_its_generator(session: Client) -> None:
    os.kill(expanding(session), signal.SIGKILL)
    assert predicts(session)
    session.change(URI, 2, {"range": at(0, 0), "text": "var other;\n"})
    assert session.complete(URI, LINE + 1, CHARACTER).result()["items"]


@pytest.mark.usefixtures("example_report")
@pytest.mark.parametrize("how", ["end of stdin", "kill -9"])
def test_no_process_outlives_the_server(how: str, session: Client) -> None:
    below = [expanding(session)]
    start = time.monotonic()
    if how == "kill -9":
        session.process.kill()
    else:
        session.close()
    session.process.wait(1.5)
    eventually(lambda: is_gone(*below), 3)
    assert time.monotonic() - start < 3


def test_a_build_under_way_ends_with_the_server(tmp_path: Path) -> None:
    workspace = tmp_path / "work"
    for number in range(40):
        shutil.copytree(EXAMPLE / "apps", workspace / f"copy{number}")
    variables = environment(DEEPCODESEEK_CACHE_HOME=str(tmp_path / "cache"))
    with Client(variables) as client:
        client.initialize(workspace)
        builder = eventually(lambda: children(client.process.pid))[0]
        below = eventually(lambda: children(builder))  # they read sources
        client.process.kill()
        client.process.wait()
        eventually(lambda: is_gone(builder, *below), 5)


def test_the_server_ends_with_the_process_that_initialize_names() -> None:
    """Also where its stdin stays open: somebody else may hold the pipe."""
    editor = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with Client(environment()) as client:
        client.initialize(processId=editor.pid)
        editor.kill()  # and nobody waits for it yet
        assert client.process.wait(2) == 1
    editor.wait()


def test_a_parent_that_is_not_there_is_not_watched() -> None:
    """An editor's number means nothing in the container that it starts the server in."""
    with Client(environment()) as client:
        client.initialize(processId=4_000_000)
        assert client.status()["state"]


def at(line: int, character: int) -> dict[str, Any]:
    place = {"line": line, "character": character}
    return {"start": place, "end": place}
