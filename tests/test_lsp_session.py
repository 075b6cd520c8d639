"""A session's settings and folders, what it loads, and that nothing of it leaves the machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import DRAFT, DRAFT_COLUMN, DRAFT_LINE, EXAMPLE, environment

from deepcodeseek.index_builder.build import build_index
from deepcodeseek.index_builder.lsp_client import COMMAND, STATUS, Client
from deepcodeseek.server.generation import index_directory, source_of
from deepcodeseek.server.models import Encoder

ASKED = {"workspace": {"configuration": True}}


def eventually(holds: Callable[[], Any], seconds: float = 90.0) -> Any:
    """What holds, as soon as it does."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.05)
    return found


def said(client: Client) -> str:
    return "\n".join(
        each["params"]["message"] for each in client.said if each["method"] == "window/logMessage"
    )


def kinds(client: Client) -> set[str]:
    return {model["kind"] for model in client.status()["models"]}


# Settings


@pytest.mark.parametrize(
    ("configured", "max_items", "named"),
    [
        ({"maxItems": 2}, 2, ""),
        ({"maxItems": 2, "python": "/usr/bin/python3", "trace": {"server": "off"}}, 2, ""),
        ({"maxItems": "many"}, 20, "maxItems"),
        ({"maxItems": None}, 5, ""),
        (None, 5, ""),
        ([1], 5, ""),
    ],
)
def test_the_editors_configuration_goes_over_the_options(configured: Any, max_items: int, named: str) -> None:
    with Client(environment()) as client:
        client.settings = configured
        options = {"maxItems": 5, "expandTokens": 8}
        client.initialize(capabilities=ASKED, initializationOptions=options)
        eventually(lambda: client.status()["state"] == "no workspace")
        settings = client.status()["settings"]
        assert (settings["max_items"], settings["expand_tokens"]) == (max_items, 8)
        assert ("option" in said(client)) is bool(named)
        assert named in said(client)


@pytest.mark.parametrize("how", ["asked for", "sent"])
def test_a_change_of_the_configuration_holds_at_once(how: str) -> None:
    with Client(environment()) as client:
        client.initialize(capabilities=ASKED if how == "asked for" else {})
        client.settings = {"maxItems": 3}
        sent = None if how == "asked for" else {"deepcodeseek": client.settings}
        client.notify("workspace/didChangeConfiguration", {"settings": sent})
        eventually(lambda: client.status()["settings"]["max_items"] == 3)


@pytest.mark.usefixtures("example_report")
def test_lite_loads_no_generator_and_can_be_changed_at_any_time() -> None:
    with Client(environment()) as client:
        client.settings = {"lite": True}
        client.initialize(EXAMPLE, capabilities=ASKED)
        client.ready()
        assert kinds(client) == {"encoder", "fusion"}
        client.settings = {"lite": False}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        eventually(lambda: "generator" in kinds(client))


def test_a_server_that_is_asked_something_shuts_down_all_the_same() -> None:
    with Client(environment()) as client:
        client.initialize()
        for _ in range(5):
            client.request("workspace/executeCommand", {"command": STATUS})
        assert client.request("shutdown", None).result() is None
        client.notify("exit", None)
        assert client.process.wait(30) == 0


# Folders


@pytest.fixture
def two_folders(tmp_path: Path, encoder: Encoder) -> list[Path]:
    folders = [tmp_path / name for name in ("harbour", "airport")]
    for folder in folders:
        folder.mkdir()
        name = f"open{folder.name.title()}"
        (folder / "lib.js").write_text(f"export function {name}() {{}}\n", encoding="utf-8")
        build_index(folder, index_directory(folder), encoder, lambda task, done, total: None)
    return folders


def offered(client: Client, folder: Path) -> list[str]:
    """What a file of a folder is offered behind `open`."""
    uri = (folder / "new.js").as_uri()
    client.open(uri, "open")
    return [item["label"] for item in client.complete(uri, 0, 4).result()["items"]]


def test_each_folder_is_answered_with_its_own_index(two_folders: list[Path]) -> None:
    harbour, airport = two_folders
    with Client(environment()) as client:
        client.initialize(harbour, airport)
        eventually(lambda: offered(client, harbour) == ["openHarbour"])
        eventually(lambda: offered(client, airport) == ["openAirport"])
        for folder in (harbour, airport, harbour):
            uri = (folder / "new.js").as_uri()
            client.open(uri, f"open{folder.name.title()}()")
            hover = client.at("textDocument/hover", uri, 0, 6).result()
            assert folder.name.title() in hover["contents"]["value"]
            item = client.complete(uri, 0, 4).result()["items"][0]
            assert client.request("completionItem/resolve", item).result()["documentation"]
        told = [(each["folder"], each["directory"]) for each in client.status()["folders"]]
        assert told == [(str(folder), str(index_directory(folder))) for folder in (harbour, airport)]


@pytest.mark.parametrize("together", [True, False])
def test_folders_never_build_over_each_other_in_a_place_that_the_client_names(
    two_folders: list[Path], tmp_path: Path, together: bool
) -> None:
    place = tmp_path / "indexes"
    for folders in [two_folders] if together else [[folder] for folder in two_folders]:
        with Client(environment()) as client:
            client.initialize(*folders, initializationOptions={"indexDirectory": str(place)})
            for folder in folders:
                eventually(lambda folder=folder: offered(client, folder) == [f"open{folder.name.title()}"])
    harbour, airport = two_folders
    apart = place / index_directory(airport).name
    assert [source_of(directory) for directory in (place, apart)] == [harbour, airport]


def test_the_index_of_another_folder_is_used_as_it_is_where_none_is_built(two_folders: list[Path]) -> None:
    harbour, airport = two_folders
    options = {"indexDirectory": str(index_directory(harbour)), "autoIndex": False}
    with Client(environment()) as client:
        client.initialize(airport, initializationOptions=options)
        eventually(lambda: offered(client, airport) == ["openHarbour"])
        client.notify("workspace/didChangeConfiguration", {"settings": {"deepcodeseek": {"autoIndex": True}}})
        eventually(lambda: client.status()["settings"]["auto_index"])
        document = {"uri": (airport / "new.js").as_uri()}
        client.notify("textDocument/didSave", {"textDocument": document})
        eventually(lambda: offered(client, airport) == ["openAirport"])
    assert source_of(index_directory(harbour)) == harbour


@pytest.mark.parametrize("named", ["~nobody-goes-by-that/index", "\0"])
def test_a_place_that_cannot_be_is_said(named: str, two_folders: list[Path]) -> None:
    with Client(environment()) as client:
        client.initialize(two_folders[0], initializationOptions={"indexDirectory": named, "autoIndex": False})
        eventually(lambda: client.status()["state"] not in ("starting", "ready"))


def test_folders_come_and_go(two_folders: list[Path]) -> None:
    harbour, airport = two_folders
    with Client(environment()) as client:
        client.initialize(harbour)
        client.ready()
        folder = {"uri": airport.as_uri(), "name": "airport"}
        change = {"event": {"added": [folder], "removed": []}}
        client.notify("workspace/didChangeWorkspaceFolders", change)
        eventually(lambda: offered(client, airport) == ["openAirport"])
        change = {"event": {"added": [], "removed": [{"uri": harbour.as_uri(), "name": "harbour"}]}}
        client.notify("workspace/didChangeWorkspaceFolders", change)
        eventually(lambda: offered(client, harbour) == ["openAirport"])  # the only one that is left


def test_an_index_that_is_built_later_is_picked_up(two_folders: list[Path], tmp_path: Path) -> None:
    harbour, _ = two_folders
    place = tmp_path / "later"
    with Client(environment()) as client:
        options = {"indexDirectory": str(place), "autoIndex": False}
        client.initialize(harbour, initializationOptions=options)
        eventually(lambda: client.status()["state"].startswith("no index in"))
        assert offered(client, harbour) == []
        shutil.copytree(index_directory(harbour), place)
        eventually(lambda: offered(client, harbour) == ["openHarbour"])
        assert client.status()["state"] == "ready"


def test_an_index_is_built_once_that_is_wanted(two_folders: list[Path], tmp_path: Path) -> None:
    harbour, _ = two_folders
    with Client(environment()) as client:
        client.settings = {"indexDirectory": str(tmp_path / "later"), "autoIndex": False}
        client.initialize(harbour, capabilities=ASKED)
        eventually(lambda: client.status()["state"].startswith("no index in"))
        client.settings |= {"autoIndex": True}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        eventually(lambda: offered(client, harbour) == ["openHarbour"])


def test_settings_that_change_while_an_index_is_built_build_it_once_more_and_no_second_one_beside(
    two_folders: list[Path], tmp_path: Path
) -> None:
    harbour, _ = two_folders
    with Client(environment()) as client:
        client.settings = {"indexDirectory": str(tmp_path / "first")}
        client.initialize(harbour, capabilities=ASKED)
        eventually(lambda: client.status()["state"] == "indexing")
        client.settings = {"indexDirectory": str(tmp_path / "second")}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        eventually(lambda: offered(client, harbour) == ["openHarbour"])
        assert "indexing failed" not in said(client)
        assert not (tmp_path / "first" / "current").exists()


@pytest.mark.usefixtures("example_report")
def test_the_same_again_is_answered_alike_and_anything_else_anew() -> None:
    uri, version = (EXAMPLE / "again.js").as_uri(), 1
    texts = {"berth": "var berth = new ", "tide": "var tide = getTide();\nvar a = 1;\nvar b = new "}

    def ask(client: Client, name: str) -> list[dict[str, Any]]:
        text = texts[name]
        line = text.count("\n")
        found: list[dict[str, Any]] = client.complete(uri, line, len(text.split("\n")[-1])).result()["items"]
        return found

    with Client(environment()) as client:
        client.initialize(EXAMPLE, initializationOptions={"lite": True})
        client.ready()
        client.open(uri, texts["berth"])
        berth = ask(client, "berth")
        assert berth
        assert ask(client, "berth") == berth
        client.open(uri, texts["tide"])  # under the same version
        tide = ask(client, "tide")
        assert tide != berth
        change = {"range": None, "text": texts["berth"]}
        client.change(uri, version + 1, {key: value for key, value in change.items() if value})
        assert ask(client, "berth") == berth
        client.settings = {"lite": True, "maxItems": 2}
        client.notify("workspace/didChangeConfiguration", {"settings": {"deepcodeseek": client.settings}})
        eventually(lambda: len(ask(client, "berth")) == 2)


# What is kept to itself

SECRET = "harbourmaster4711"


@pytest.mark.usefixtures("example_report")
def test_no_code_of_the_user_is_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = f"var {SECRET} = 1;\nvar a = new {SECRET}.Berth"
    with Client(environment(), [*COMMAND, "--log-file", str(log)]) as client:
        client.initialize(EXAMPLE, initializationOptions={"deadlineMs": 60_000})
        client.ready()
        uri = (EXAMPLE / "secret.js").as_uri()
        client.open(uri, text)
        client.complete(uri, 0, 0).result()
        client.at("textDocument/hover", uri, 0, 6).result()
        eventually(lambda: client.status()["counters"].get("refined"))
        client.notify("textDocument/didOpen", {"textDocument": {"text": text}})  # not as it should be
        client.request("textDocument/hover", {"textDocument": text}).wait()
        client.write(f"Content-Length: {len(text)}\r\n\r\n{text}".encode())
        assert client.status()
    written = log.read_text(encoding="utf-8")
    assert "refused" in written
    assert SECRET not in written


# Silence

GUARD = """
import sys
def hook(event, arguments):
    if event.startswith("socket.") and event != "socket.__new__":
        with open(sys.argv[1], "a") as file:
            file.write(f"{event} {arguments}\\n")
        raise PermissionError(event)
sys.addaudithook(hook)
from deepcodeseek.server.lsp import run
run()
"""


def test_a_whole_session_without_any_network(tmp_path: Path) -> None:
    """In a namespace without interfaces, and with every use of a socket noted and refused."""
    apart = ["unshare", "-rn"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        apart = []  # not permitted here: the guard alone
    workspace, noted = tmp_path / "work", tmp_path / "noted"
    shutil.copytree(EXAMPLE / "apps", workspace / "apps")
    variables = environment(DEEPCODESEEK_CACHE_HOME=str(tmp_path / "cache"))
    command = [*apart, sys.executable, "-I", "-c", GUARD, str(noted)]
    with Client(variables, command) as client:
        client.initialize(workspace, initializationOptions={"deadlineMs": 60_000})
        client.ready()  # indexed meanwhile
        path = workspace / DRAFT
        uri, text = path.as_uri(), path.read_text(encoding="utf-8")
        client.open(uri, text)
        items = client.complete(uri, DRAFT_LINE - 1, DRAFT_COLUMN - 1).result()["items"]
        assert "BerthAllocator" in [item["label"] for item in items[:3]]
        assert client.request("completionItem/resolve", items[0]).result()["documentation"]
        eventually(lambda: client.status()["counters"].get("refined"))
        (workspace / "apps/added.js").write_text("export function dredge() {}\n", encoding="utf-8")
        client.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
        eventually(lambda: client.status()["counters"].get("update"))
        client.at("textDocument/hover", uri, 3, 8).result()
        client.request("shutdown", None).result()
        client.notify("exit", None)
        assert client.process.wait(5) == 0
    assert not noted.exists(), noted.read_text(encoding="utf-8")


def test_the_guard_would_notice(tmp_path: Path) -> None:
    code = GUARD.replace("from deepcodeseek.server.lsp import run\nrun()", "import socket\n") + (
        "socket.create_connection(('127.0.0.1', 9), 1)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code, str(tmp_path / "noted")], capture_output=True)
    assert done.returncode == 1
    assert "socket." in (tmp_path / "noted").read_text(encoding="utf-8")
