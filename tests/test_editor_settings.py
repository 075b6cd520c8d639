"""The settings for editors that ship: each starts the server, and none overwrites what a user has."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from deepcodeseek.index_builder.cli import main
from deepcodeseek.index_builder.editor_settings import EDITORS, FOLDER, editor_files, write_editor

COMMAND = ["deepcodeseek", "serve", "--stdio"]


def test_every_editor_has_files_and_every_folder_is_listed() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == [editor.name for editor in EDITORS]
    assert all(editor_files(editor.name) for editor in EDITORS)


def test_helix_starts_the_server() -> None:
    settings = tomllib.loads((FOLDER / "helix/languages.toml").read_text())
    server = settings["language-server"]["deepcodeseek"]
    assert [server["command"], *server["args"]] == COMMAND
    assert all("deepcodeseek" in language["language-servers"] for language in settings["language"])


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("kate/lspclient.json", ("servers", "javascript", "command")),
        ("sublime/LSP.sublime-settings", ("clients", "deepcodeseek", "command")),
    ],
)
def test_json_settings_start_the_server(file: str, path: tuple[str, ...]) -> None:
    value = json.loads((FOLDER / file).read_text())
    for key in path:
        value = value[key]
    assert value == COMMAND


def test_zed_starts_the_server_in_place_of_one_it_knows() -> None:
    settings = json.loads((FOLDER / "zed/settings.json").read_text())
    ((name, server),) = settings["lsp"].items()
    assert [server["binary"]["path"], *server["binary"]["arguments"]] == COMMAND
    assert all(name in language["language_servers"] for language in settings["languages"].values())


def test_writing_leaves_what_is_there(tmp_path: Path) -> None:
    mine = tmp_path / "lsp/deepcodeseek.lua"
    mine.parent.mkdir()
    mine.write_text("-- mine")
    written = write_editor("neovim", tmp_path)
    assert mine.read_text() == "-- mine"
    assert {path.relative_to(tmp_path).as_posix() for path in written} == {
        "lua/deepcodeseek/init.lua",
        "lua/deepcodeseek/health.lua",
    }


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 0, "neovim   ~/.config/nvim"),
        (["helix"], 0, 'command = "deepcodeseek"'),
        (["ed"], 1, "no settings are known for 'ed'"),
    ],
)
def test_the_command_prints_settings(arguments: list[str], status: int, said: str) -> None:
    done = CliRunner().invoke(main, ["editor", *arguments])
    assert (done.exit_code, said in done.output) == (status, True), done.output
