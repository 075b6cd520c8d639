"""What a path says of a script, the same to an editor as to the index, and where scripts run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcodeseek.index_builder.build import build_index
from deepcodeseek.index_builder.layouts import file_draft
from deepcodeseek.index_builder.manifests import Manifests
from deepcodeseek.index_builder.scripts import LANGUAGES
from deepcodeseek.server.context import make_context
from deepcodeseek.server.index import open_index
from deepcodeseek.server.models import Encoder
from deepcodeseek.server.pipeline import known_facts
from deepcodeseek.server.places import (
    CLIENT_TABLES,
    FLUENT,
    SCRIPT_TABLES,
    Place,
    module_name,
    place_of,
    side_of,
)

INCLUDE = "sys_script_include"
ID = "0123456789abcdef" * 2

PLACES = {  # path -> scope, table, name, field, app
    f"x_a/{INCLUDE}/E.script.js": f"x_a|{INCLUDE}|E|script|x_a",
    f"dev123/x_a/{INCLUDE}/E.script.ts": f"x_a|{INCLUDE}|E|script|dev123/x_a",
    f"x_a/{INCLUDE}/E.js": f"x_a|{INCLUDE}|E|script|x_a",
    "apps/global/sys_ui_script/a.b.js": "global|sys_ui_script|a.b|script|apps/global",
    "x_a/sp_widget/My W.client_script.js": "x_a|sp_widget|My W|client_script|x_a",
    "x_a/sp_widget/W.link.js": "x_a|sp_widget|W|link|x_a",
    "x_a/sys_ui_policy/P.script_true.js": "x_a|sys_ui_policy|P|script_true|x_a",
    f"src/x_a/{INCLUDE}/My E/script.ts": f"x_a|{INCLUDE}|My E|script|src/x_a",
    "x_a/sp_widget/W/client_script.js": "x_a|sp_widget|W|client_script|x_a",
    f"src/{INCLUDE}/E/script.js": f"|{INCLUDE}|E|script|src",
    f"{INCLUDE}/E.script.js": f"x_home|{INCLUDE}|E|script|",
    f"now_x/{INCLUDE}/E.js": f"now_x|{INCLUDE}|E|script|now_x",
    f"shop/update/sys_script_{ID}.xml": "|sys_script|||shop",
    f"update/sys_any_{ID}.xml": "|sys_any|||",
    f"shop/{INCLUDE}_{ID}.xml": f"|{INCLUDE}|||shop",
    f"shop/notes_{ID}.xml": "||||",
    "shop/update/sys_script_1.xml": "||||",
    f"x_a/{INCLUDE}/all.now.ts": "||||",
    f"x_a/{INCLUDE}/W/helper.js": "||||",
    "src/lib/a.js": "||||",
    "a.js": "||||",
    "": "||||",
}


@pytest.mark.parametrize("path", PLACES)
def test_place_of(path: str) -> None:
    place = place_of(path, home="x_home", scopes={"now_x"})
    shown = (place.scope, place.record_type, place.record_name, place.field, place.app)
    assert "|".join(shown) == PLACES[path]


SIDES = [
    ("sys_script_client", "", "client"),
    ("sys_ui_policy", "script_false", "client"),
    ("sys_ux_client_script", "script", "client"),
    ("sp_angular_provider", "script", "client"),
    ("sp_widget", "client_script", "client"),
    ("sp_widget", "link", "client"),
    ("sp_widget", "script", "server"),
    ("sp_widget", "", ""),
    ("sys_ui_page", "processing_script", "server"),
    ("sys_ui_page", "client_script", "client"),
    ("sys_ui_action", "script", ""),
    ("sys_ui_action", "client_script_v2", "client"),
    ("sys_script_include", "script", "server"),
    ("ecc_agent_script", "script", ""),
    ("u_some_table", "script", ""),
    ("", "", ""),
]


@pytest.mark.parametrize(("table", "field", "side"), SIDES)
def test_side_of(table: str, field: str, side: str) -> None:
    assert side_of(table, field) == side
    assert make_context("", "", {"record_type": table, "field": field}).side == side


@pytest.mark.parametrize(
    ("before", "field", "side"),
    [
        ("<sp_widget><client_script><![CDATA[var a;\n", "client_script", "client"),
        ("<link><![CDATA[a();]]></link>\n<script>\n<![CDATA[\n", "script", "server"),
        ("<script><![CDATA[a();]]></script>\n", "", ""),
        ("var a;", "", ""),
    ],
)
def test_the_element_around_the_cursor_is_the_field(before: str, field: str, side: str) -> None:
    context = make_context(before, "", {"record_type": "sp_widget"})
    assert (context.field, context.side) == (field, side)


def test_client_tables_are_script_tables() -> None:
    assert CLIENT_TABLES < SCRIPT_TABLES


# An editor and the index say the same


class NothingIndexed:
    """An index that has read no file."""

    def file_facts(self, path: str) -> dict[str, str]:
        return {}

    def file_ids(self, path: str) -> tuple[int, ...]:
        return ()


FACTS = ("scope", "record_type", "record_name", "field")
NAMES = ("global", "x_a", "sn_b", "src", "dev1", "My W", "a.b", "ü")
FIELDS = ("script", "client_script", "link", "script_true", "a", "a.b", "A.script", "W.link")
STEMS = st.sampled_from(FIELDS) | st.text("a._ /", min_size=1)
FILES = st.builds("".join, st.tuples(STEMS, st.sampled_from(sorted(LANGUAGES))))
FOLDERS = st.lists(st.sampled_from((*sorted(SCRIPT_TABLES), *NAMES)), max_size=5)
PATHS = st.builds(lambda folders, name: "/".join([*folders, name]), FOLDERS, FILES)
WALKED = PATHS.filter(lambda path: not re.search(r"(^|/)[./]", path))


@given(WALKED, st.sampled_from(("", "x_home")))
def test_an_editor_and_the_index_infer_the_same(path: str, home: str) -> None:
    if path.endswith(FLUENT):
        assert place_of(path, home) == Place()
        return
    (script,) = file_draft("", path, home, Manifests()).scripts
    index: Any = NothingIndexed()
    facts = known_facts(index, {"file": path}, home)
    assert {key: facts.get(key, "") for key in FACTS} == {key: getattr(script, key) for key in FACTS}
    assert place_of(path, home).app == script.app


def test_neighbours_know_what_a_manifest_stated(tmp_path: Path, encoder: Encoder) -> None:
    """The folder's name is no scope's; of a new file in it those that were read say so."""
    files = {
        f"dev/now_x/{INCLUDE}/Old.script.js": "var Old = {};",
        "dev/scopes.json": f'{{"now_x": "{"a" * 32}"}}',
        "app/now.config.json": '{"scope": "x_sdk"}',
        "app/src/server/b.js": "export function b() {}",
    }
    for name, text in files.items():
        path = tmp_path / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    build_index(tmp_path / "work", tmp_path / "out", encoder, lambda task, done, total: None)
    index = open_index(tmp_path / "out", encoder.files.sha256)
    new = known_facts(index, {"file": f"dev/now_x/{INCLUDE}/New.script.js"})
    assert (new["scope"], new["record_name"], new["field"]) == ("now_x", "New", "script")
    assert known_facts(index, {"file": "app/src/server/new.js"})["scope"] == "x_sdk"
    index.close()


MODULES = {
    "src/util/TideTable.js": "TideTable",
    "src/tide.table.test.ts": "tide",
    "lib/tides/index.mjs": "tides",
    "index.js": "index",
    "main.ts": "main",
    "update/sys_script_include_0123.xml": "",
    "README.md": "",
    "": "",
}


@pytest.mark.parametrize("path", MODULES)
def test_a_module_goes_by_the_name_of_its_file(path: str) -> None:
    assert module_name(path) == MODULES[path]
    assert make_context("", "", {"file": path}).record_name == MODULES[path]
    assert make_context("", "", {"file": path, "record_name": "Given"}).record_name == "Given"
