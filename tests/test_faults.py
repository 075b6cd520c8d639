"""What goes wrong on a machine, done to real processes: nothing is lost, and the server answers after it."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import DRAFT, DRAFT_COLUMN, DRAFT_LINE, EXAMPLE, environment

from deepcodeseek.index_builder.build import build_index
from deepcodeseek.index_builder.lsp_client import COMMAND, Client, Pending, framed
from deepcodeseek.server import generator_process
from deepcodeseek.server.generation import damaged_files, read_manifest, sha256_file
from deepcodeseek.server.generator_process import GeneratorProcess
from deepcodeseek.server.models import Encoder, ModelFiles, ModelProblem, find_model
from deepcodeseek.server.stop import Stop, Stopped
from deepcodeseek.server.types import Prompt

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
URI = (EXAMPLE / DRAFT).as_uri()
LINE, CHARACTER = DRAFT_LINE - 1, DRAFT_COLUMN - 1
LONG_PROMPT = Prompt("function berth(vessel) {\n\treturn vessel.length;\n}\n\n" * 30, "statement")
SHORT_PROMPT = Prompt("var a", "statement")
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


def test_a_child_that_lives_on_behind_what_is_no_answer_holds_nothing_up() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            assert generator_process._cause(child) == "said what is no answer"
        finally:
            child.kill()


def test_a_killed_generator_is_one_line_and_started_again_after_a_pause(generator: GeneratorProcess) -> None:
    outcome = asked(generator)
    os.kill(child_of(generator), signal.SIGKILL)
    (problem,) = eventually(lambda: outcome)
    assert "died (SIGKILL)" in str(problem)
    assert "\n" not in str(problem)
    with pytest.raises(ModelProblem, match="started again in 1 s"):
        generator.generate(SHORT_PROMPT, 1, 1000)
    time.sleep(generator_process.FIRST_PAUSE_SECONDS)
    assert generator.generate(SHORT_PROMPT, 1, 60_000)
    assert generator.state == "running"


def test_neither_a_start_nor_another_request_outlasts_who_asks(
    generator: GeneratorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_start, start = threading.Event(), generator._start

    def slowly() -> None:
        may_start.wait(60)
        start()

    def is_left_in_time() -> None:
        begin, stop = time.monotonic(), Stop()
        assert generator.generate(SHORT_PROMPT, 1, 100) == ""
        threading.Timer(0.1, stop.set).start()
        with pytest.raises(Stopped):
            generator.generate(SHORT_PROMPT, 1, 60_000, stop)
        assert time.monotonic() - begin < 5

    monkeypatch.setattr(generator, "_start", slowly)
    is_left_in_time()
    may_start.set()
    assert generator.generate(SHORT_PROMPT, 1, 60_000)
    stop = Stop()
    outcome = asked(generator, stop)
    is_left_in_time()
    assert not outcome
    stop.set()
    eventually(lambda: outcome)
    assert generator.generate(SHORT_PROMPT, 1, 60_000)


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
    assert time.monotonic() - start < 2
    assert generator.state == "running"
    assert generator.generate(SHORT_PROMPT, 1, 60_000)


def test_a_generator_that_hangs_does_not_outlive_being_stopped(generator: GeneratorProcess) -> None:
    stop = Stop()
    outcome = asked(generator, stop)
    os.kill(child_of(generator), signal.SIGSTOP)
    stop.set()
    (problem,) = eventually(lambda: outcome, 2 * generator_process.CANCEL_SECONDS)
    assert "did not answer in time" in str(problem)


def test_an_idle_generator_gives_its_memory_back_and_comes_again(generator: GeneratorProcess) -> None:
    generator.start()
    process = child_of(generator)
    generator.rest()
    assert is_gone(process)
    assert generator.generate(SHORT_PROMPT, 1, 60_000)


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
        bad.generate(SHORT_PROMPT, 1, 1000)


# The server's end


@pytest.fixture
def session() -> Iterator[Client]:
    """A session on the example; its folder is indexed where no other test has done it."""
    with Client(environment()) as client:
        client.initialize(EXAMPLE, initializationOptions={"expand": True})
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
    session.process.wait(3)  # within a second where nothing else is at work
    eventually(lambda: is_gone(*below), 3)
    assert time.monotonic() - start < 5


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


# The index


@pytest.fixture(scope="module")
def indexed(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A workspace and its index."""
    workspace, index = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("index")
    shutil.copytree(EXAMPLE / "apps", workspace / "apps")
    build_index(workspace, index, encoder, lambda task, done, total: None)
    return workspace, index


def copied(indexed: tuple[Path, Path], folder: Path) -> tuple[Path, Path]:
    """The same for a test that damages it."""
    places = folder / "work", folder / "index"
    for source, place in zip(indexed, places, strict=True):
        shutil.copytree(source, place, ignore=shutil.ignore_patterns("build.lock"))
    return places


def options(index: Path, **given: Any) -> dict[str, Any]:
    return {"initializationOptions": {"indexDirectory": str(index), "expand": False, **given}}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def predicts_in(client: Client, workspace: Path) -> bool:
    uri = (workspace / DRAFT).as_uri()
    client.open(uri, (workspace / DRAFT).read_text(encoding="utf-8"))
    return bool(client.complete(uri, LINE, CHARACTER).result()["items"])


FILES = ("graph.sqlite", "doc.npy", "code.npy", "usage.npy", "manifest.json", "current")


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_named_and_the_index_is_built_again(
    name: str, indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    workspace, index = copied(indexed, tmp_path)
    flip(index / name if name == "current" else read_manifest(index)[0] / name)
    with Client(environment()) as client:
        client.initialize(workspace, **options(index, autoIndex=False))
        problem = eventually(lambda: "rebuild it" in client.status()["state"] and client.status()["state"])
        assert str(index) in problem
        assert not predicts_in(client, workspace)
    with Client(environment()) as client:
        client.initialize(workspace, **options(index))
        client.ready()
        assert predicts_in(client, workspace)


def test_an_index_that_is_replaced_under_way_costs_no_answer(
    indexed: tuple[Path, Path], tmp_path: Path, encoder: Encoder
) -> None:
    workspace, index = copied(indexed, tmp_path)
    with Client(environment()) as client:
        client.initialize(workspace, **options(index, autoIndex=False))
        client.ready()
        for number in range(4):  # two generations stay, the others are removed
            (workspace / f"apps/new{number}.js").write_text(f"export function added{number}() {{}}")
            build = threading.Thread(
                target=build_index, args=(workspace, index, encoder, lambda task, done, total: None)
            )
            build.start()
            while build.is_alive():
                assert predicts_in(client, workspace)
            build.join()
        newest = read_manifest(index)[0].name
        eventually(lambda: predicts_in(client, workspace) and f"{newest}" in loaded(client))


def loaded(client: Client) -> str:
    """The generation that answers come from."""
    answer = client.complete(URI, 0, 0).result()
    return str(answer["items"][0]["data"]["index"]) if answer["items"] else ""


def test_a_disk_that_is_full_costs_the_new_index_and_not_the_old_one(
    indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    workspace, index = copied(indexed, tmp_path)
    before = read_manifest(index)[0]
    (workspace / "apps/new.js").write_text("export function added() {}")
    full = ["sh", "-c", 'ulimit -f 20; exec "$@"', "sh", *COMMAND]  # blocks of 512 or 1,024 bytes
    with Client(environment(), full) as client:
        client.initialize(workspace, **options(index))
        client.ready()
        eventually(lambda: any("indexing failed" in line for line in said(client)))
        assert predicts_in(client, workspace)
    assert read_manifest(index)[0] == before
    assert not damaged_files(*read_manifest(index))


def said(client: Client) -> list[str]:
    return [each["params"]["message"] for each in client.said if each["method"] == "window/logMessage"]


# Messages and documents

OTHER = "file:///elsewhere/other.js"
METHODS = (
    *("initialize", "initialized", "textDocument/didOpen", "textDocument/didChange", "textDocument/didClose"),
    *("textDocument/completion", "textDocument/hover", "completionItem/resolve", "$/cancelRequest"),
    *("workspace/executeCommand", "workspace/didChangeConfiguration", "no/such/method", "$/setTrace"),
)
JUNK = (
    *(None, True, -1, 1e308, 2**80, "", "\ud800", [], {}, [[[]]]),
    *({"textDocument": None}, {"textDocument": {"uri": OTHER}}, {"id": {"a": 1}}, {"settings": 7}),
    {"textDocument": {"uri": "nonsense:"}, "position": {"line": -5, "character": 2**40}},
    {"textDocument": {"uri": OTHER}, "position": {"line": 2**31, "character": 2**31}},
    {"textDocument": {"uri": OTHER, "version": 9}, "contentChanges": [{"range": 3, "text": 4}]},
    {"label": "a", "data": {"api": "x", "index": []}},
    {"command": "deepcodeseek.status", "arguments": [1, 2]},
)
RAW = (
    b"\r\n\r\n\0\xff",
    b"Content-Length: 99999999999\r\n\r\n",
    b"Content-Length: -1\r\n\r\n{}",
    b"Content-Length: 5\r\n\r\n{{{{{",
    b"Content-Length: 2\r\n\r\n\xff\xff",
    b"Content-Length: 4\r\n\r\nnull",
    b'Content-Length: 14\r\n\r\n[{"jsonrpc":2}]',
    b"Content-Length: 60000\r\n\r\n" + b"[" * 60_000,
    b"Content-Type: nonsense\r\nContent-Length: 2\r\n\r\n{}",
)


def junk(client: Client, chance: random.Random) -> Pending | None:
    """Send a message that is malformed or comes out of turn; what waits for its answer, if it has one."""
    kind = chance.random()
    if kind < 0.2:
        client.write(chance.choice(RAW))
        return None
    method, params = chance.choice(METHODS), chance.choice(JUNK)
    if kind < 0.5:
        client.notify(method, params)
        return None
    if kind < 0.6:
        broken = {"jsonrpc": chance.choice(("2.0", 2)), "id": params, "result": params, "error": params}
        client.write(framed({key: value for key, value in broken.items() if chance.random() < 0.7}))
        return None
    return client.request(method, params)


@pytest.mark.usefixtures("example_report")
def test_10000_messages_that_are_malformed_or_out_of_order(session: Client) -> None:
    chance = random.Random(3)
    session.open(OTHER, "var other;")
    for _ in range(100):
        asked = [pending for _ in range(100) if (pending := junk(session, chance))]
        assert all("result" in each.wait(20) or "error" in each.wait() for each in asked)
    (document,) = [each for each in session.status()["documents"] if each["uri"] == URI]
    text = (EXAMPLE / DRAFT).read_text(encoding="utf-8")
    assert document["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert predicts(session)


@pytest.mark.parametrize(("method", "code"), [("textDocument/hover", -32002), ("initialize", -32600)])
def test_messages_out_of_turn_have_the_error_that_lsp_has_for_them(method: str, code: int) -> None:
    with Client(environment()) as client:
        if method == "initialize":
            client.initialize()
        assert client.request(method, {}).wait()["error"]["code"] == code


@pytest.mark.usefixtures("example_report")
def test_a_document_of_10_mb(session: Client) -> None:
    line = "var berth = 'naïve'; // a line of a document that somebody generated\n"
    text = line * (10_000_000 // len(line))
    uri = (EXAMPLE / "large.js").as_uri()
    session.open(uri, text)
    session.change(uri, 2, {"range": at(70_000, 0), "text": "var log = new Har"})
    assert session.complete(uri, 70_000, 17).result()["items"][0]["label"] == "HarbourLog"
    start = time.monotonic()
    for version in range(3, 53):
        session.change(uri, version, {"range": at(60_000, 0), "text": "x"})
    session.at("textDocument/hover", URI, 0, 0).result()
    assert time.monotonic() - start < 10
    after = text.splitlines(keepends=True)
    after[60_000] = "x" * 50 + after[60_000]
    after[70_000] = "var log = new Har" + after[70_000]
    hashes = {each["uri"]: each["sha256"] for each in session.status()["documents"]}
    assert hashes[uri] == hashlib.sha256("".join(after).encode()).hexdigest()


@pytest.mark.usefixtures("example_report")
def test_1000_documents_open(session: Client) -> None:
    uris = [(EXAMPLE / f"open{number}.js").as_uri() for number in range(1000)]
    for number, uri in enumerate(uris):
        session.open(uri, f"var a{number} = new Harb")
    for uri in uris:
        session.change(uri, 2, {"range": at(0, 0), "text": "/* b */ "})
    documents = session.status()["documents"]
    assert {each["uri"] for each in documents} == {URI, *uris}
    assert {each["version"] for each in documents} == {1, 2}
    assert session.complete(uris[500], 0, 8 + 20).result()["items"][0]["label"] == "HarbourLog"
    for uri in uris:
        session.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    assert len(session.status()["documents"]) == 1


@pytest.mark.usefixtures("example_report")
def test_200_completions_at_once(session: Client) -> None:
    asked = [session.complete(URI, line, 0) for line in range(15)]
    asked += [session.complete(URI, number % 15, 1) for number in range(185)]
    hover = session.at("textDocument/hover", URI, 0, 0)
    codes = {each.wait().get("error", {}).get("code") for each in asked}
    assert codes <= {None, -32800}
    assert asked[-1].result()["items"]
    assert hover.wait()
    assert predicts(session)


def test_keys_leave_nothing_behind() -> None:
    """pygls would keep something of every change, so that no round would be without growth."""
    with Client(environment()) as client:
        client.initialize()
        client.open(OTHER, "x")
        held = [_held_kb(client, 3000) for _ in range(5)]
        assert min(after - before for before, after in pairwise(held)) < 1000


def _held_kb(client: Client, changes: int) -> int:
    """What the server holds after so many more."""
    for version in range(changes):
        client.change(OTHER, version, {"range": at(0, 0), "text": "x" if version % 2 else ""})
    client.status()
    status = Path(f"/proc/{client.process.pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
