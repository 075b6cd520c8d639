"""The VS Code extension's manifest agrees with the server's settings, its own code and its README."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deepcodeseek.index_builder.readme import with_part
from deepcodeseek.index_builder.vscode_settings import (
    CLIENT,
    CLIENT_README,
    OWN,
    PACKAGE,
    client_settings_table,
    updated_package,
)
from deepcodeseek.server import __version__
from deepcodeseek.server.settings import parse_settings

TEXT = PACKAGE.read_text(encoding="utf-8")
MANIFEST = json.loads(TEXT)
README = CLIENT_README.read_text(encoding="utf-8")
CONTRIBUTED = MANIFEST["contributes"]
PROPERTIES = CONTRIBUTED["configuration"]["properties"]
SERVED = {name: schema for name, schema in PROPERTIES.items() if name not in OWN}
RENEW = "run: python -m deepcodeseek.index_builder.readme"


def source(name: str) -> str:
    return (CLIENT / "src" / name).read_text(encoding="utf-8")


def test_the_settings_are_the_servers() -> None:
    assert updated_package(TEXT) == TEXT, RENEW
    assert with_part(README, "settings", client_settings_table(TEXT)) == README, RENEW


def test_the_server_takes_every_default_without_a_word() -> None:
    defaults = {name.removeprefix("deepcodeseek."): schema["default"] for name, schema in SERVED.items()}
    settings, problems = parse_settings(defaults)
    assert (settings, problems) == (parse_settings({})[0], ())


@pytest.mark.parametrize("name", [name for name, schema in SERVED.items() if "maximum" in schema])
def test_the_server_takes_what_the_editor_allows_and_no_more(name: str) -> None:
    option, schema = name.removeprefix("deepcodeseek."), PROPERTIES[name]
    allowed = (schema["minimum"], schema["maximum"])
    assert [parse_settings({option: value})[1] for value in allowed] == [(), ()]
    assert all(parse_settings({option: value})[1] for value in (allowed[0] - 1, allowed[1] + 1))


def test_an_untrusted_workspace_names_no_program_and_no_place() -> None:
    restricted = MANIFEST["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"]
    assert set(restricted) == {name for name, schema in PROPERTIES.items() if schema["type"] == "string"}


def test_what_the_client_keeps_from_the_server_is_its_own() -> None:
    (listed,) = re.findall(r"OWN_SETTINGS = \[(.*?)\]", source("server.ts"))
    assert [f"deepcodeseek.{name}" for name in re.findall(r"'(\w+)'", listed)] == list(OWN)


def test_every_command_is_implemented_and_described() -> None:
    (table,) = re.findall(r"const commands: .*? = \{\n(.*?)\n    \};", source("extension.ts"), re.DOTALL)
    implemented = {f"deepcodeseek.{name}" for name in re.findall(r"^ +(\w+):", table, re.MULTILINE)}
    assert implemented == {command["command"] for command in CONTRIBUTED["commands"]}
    assert all(f"| {command['title']} |" in README for command in CONTRIBUTED["commands"])


def test_every_picture_and_page_of_the_manifest_is_there_and_packed() -> None:
    steps = [step["media"] for step in CONTRIBUTED["walkthroughs"][0]["steps"]]
    named = [media.get("image") or media["markdown"] for media in steps]
    named += [MANIFEST["icon"], *re.findall(r"\]\((media/[^)]+)\)", README)]
    packed = [line[1:] for line in (CLIENT / ".vscodeignore").read_text().splitlines() if line[0] == "!"]
    missing = [name for name in named if not (CLIENT / name).is_file()]
    unpacked = [name for name in named if not any(Path(name).match(pattern) for pattern in packed)]
    assert (missing, unpacked) == ([], [])


def test_extension_and_server_are_of_one_version() -> None:
    assert MANIFEST["version"] == __version__
    assert f"## {__version__}" in (CLIENT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert (CLIENT / "LICENSE").read_bytes() == (CLIENT.parent / "LICENSE").read_bytes()


@pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("node") is None or not (CLIENT / "node_modules/esbuild").is_dir(),
    reason="needs Node 20 and the client's development tools: cd vscode-client && npm ci",
)
def test_the_client_does_as_it_says_in_an_editor_that_is_played() -> None:
    command = ["node", "--test", "--test-reporter=spec", str(Path(__file__).with_name("vscode_client.mjs"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
