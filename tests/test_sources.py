"""From files to scripts: tables of files and what is read of them."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from hashlib import md5
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcodeseek.index_builder.build import build_index
from deepcodeseek.index_builder.cli import main
from deepcodeseek.index_builder.extract import extract
from deepcodeseek.index_builder.fluent import read_fluent
from deepcodeseek.index_builder.manifests import Manifests
from deepcodeseek.index_builder.scripts import Problem, Script
from deepcodeseek.index_builder.sources import Workspace, read_workspace
from deepcodeseek.index_builder.walk import walk
from deepcodeseek.server.models import Encoder

Files = Mapping[str, str | bytes]

ROW = """\
    <{table} action="{action}">
        <active>true</active>
{fields}
        <sys_id>{sys_id}</sys_id>
    </{table}>
"""


def sys_id(name: str) -> str:
    return md5(name.encode(), usedforsecurity=False).hexdigest()


def row(kind: str, /, action: str = "INSERT_OR_UPDATE", key: str = "", **fields: str) -> str:
    """One record; those with the same name or key have the same sys_id. A value may bring its own tags."""
    lines = [v if v.startswith(f"<{n}") else f"<{n}>{v}</{n}>" for n, v in fields.items()]
    made = sys_id(key or f"{fields.get('name')}")
    inside = "\n".join(f"        {line}" for line in lines)
    return ROW.format(table=kind, action=action, fields=inside, sys_id=made)


def record(kind: str, /, action: str = "INSERT_OR_UPDATE", key: str = "", **fields: str) -> str:
    """As source control writes it."""
    return document(row(kind, action, key, **fields), kind)


def document(rows: str, kind: str) -> str:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return f'{head}<record_update table="{kind}">\n{rows}</record_update>\n'


def unload(*rows: str) -> str:
    """As a list is exported."""
    inside = "".join(rows)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<unload unload_date="2026-01-01">\n{inside}</unload>\n'


def update(payload: str, action: str = "INSERT_OR_UPDATE", name: str = "") -> str:
    """A line of an update set."""
    return (
        f'<sys_update_xml action="INSERT_OR_UPDATE">\n<action>{action}</action>\n<name>{name}</name>\n'
        f"<payload>{payload}</payload>\n<sys_id>{sys_id(payload)}</sys_id>\n</sys_update_xml>\n"
    )


def cdata(text: str) -> str:
    return f"<![CDATA[{text.replace(']]>', ']]]]><![CDATA[>')}]]>"


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(folder: Path, files: Files) -> Workspace:
    found = read_workspace(write(folder, files))
    assert found.problems == ()
    return found


def shown(script: Script) -> str:
    """path:first line table.field name | module: path:first line package/module"""
    place = f"{script.path}:{script.line_offset + 1}"
    if script.record_type:
        name = script.api_name or script.record_name
        return f"{place} {script.record_type}.{script.field} {name}"
    return f"{place} {script.package}/{script.module}"


def check(folder: Path, files: Files, expected: list[str]) -> tuple[Script, ...]:
    scripts = read(folder, files).scripts
    assert [shown(script) for script in scripts] == expected
    return scripts


def check_lines(folder: Path, script: Script) -> None:
    """Each line of the code stands where it is said to stand."""
    lines = (folder / script.path).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(script.code.splitlines(), script.line_offset):
        assert line in lines[number]


# Records in source control


def test_records(tmp_path: Path) -> None:
    update = "apps/one/update"
    scripts = check(tmp_path, {
        f"{update}/sys_script_1.xml": record(
            "sys_script", name="On insert", collection="incident", script="<![CDATA[\nnew A();\n]]>"),
        f"{update}/sp_widget_1.xml": record(
            "sp_widget", name="W", css="a {}", script="s = 1;",
            client_script="<![CDATA[c ]]]]><![CDATA[> 1]]>"),
        f"{update}/sys_ui_policy_1.xml": record(
            "sys_ui_policy", short_description="P", table="task", script_true="f() &lt; 1", script_false=""),
        f"{update}/sys_ws_operation_1.xml": record("sys_ws_operation", name="Op", operation_script="g(1)"),
        f"{update}/sys_script_include_1.xml": record(
            "sys_script_include", name="I", api_name="x_one.I", script="", access="public",
            client_callable="true", description="Says."),
        f"{update}/sys_script_2.xml": record("sys_script", action="DELETE", name="Gone", script="a()"),
        f"{update}/sys_ui_page_1.xml": record("sys_ui_page", processing_script="&lt;j:jelly/&gt;"),
        f"{update}/sys_flag_1.xml": record("sys_flag", use_script="true", a_script="ref"),
        f"{update}/sys_update_version_1.xml": record(
            "sys_update_version", payload=cdata(record("sys_script", name="Old", script="a()"))),
        "apps/one/other.xml": "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
    }, [
        f"{update}/sp_widget_1.xml:6 sp_widget.script W",
        f"{update}/sp_widget_1.xml:7 sp_widget.client_script W",
        f"{update}/sys_script_1.xml:6 sys_script.script On insert",
        f"{update}/sys_script_include_1.xml:6 sys_script_include.script x_one.I",
        f"{update}/sys_ui_policy_1.xml:6 sys_ui_policy.script_true P",
        f"{update}/sys_ws_operation_1.xml:5 sys_ws_operation.operation_script Op",
    ])  # fmt: skip
    _, client, script, include, policy, _ = scripts
    assert client.code == "c ]]> 1"
    assert (script.code, script.table, script.app) == ("\nnew A();\n", "incident", "apps/one")
    assert (include.api_name, include.access, include.client_callable) == ("x_one.I", "public", True)
    assert (include.description, policy.code, policy.table) == ("Says.", "f() < 1", "task")
    (call,) = extract(script).calls
    lines = (tmp_path / script.path).read_text().splitlines()
    assert lines[call.line - 1] == "new A();"


# Exports: lists and update sets

SPLIT = "var A = Class.create();\nA.x = b[c[0]]>1;\nA.y = ']]>';\n"


def test_an_exported_list(tmp_path: Path) -> None:
    exported = unload(
        row("sys_script_include", name="A", api_name="x_a.A", script=cdata(SPLIT)),
        row("sys_user_role", name="admin"),
        row("sys_script_include", name="B", api_name="global.B", script="b = 1 &lt; 2;\nc();"),
        row("sys_script", name="R", script=cdata("\n\nnew A();"), collection="task"),
    )
    a, b, rule = check(tmp_path, {"deep/down/sys_script_include (23).xml": exported}, [
        "deep/down/sys_script_include (23).xml:7 sys_script_include.script x_a.A",
        "deep/down/sys_script_include (23).xml:22 sys_script_include.script global.B",
        "deep/down/sys_script_include (23).xml:29 sys_script.script R",
    ])  # fmt: skip
    assert (a.code, a.package, a.app, rule.table) == (SPLIT, "down", "deep/down", "task")
    check_lines(tmp_path, rule)
    assert b.code == "b = 1 < 2;\nc();"


PAYLOADS: dict[str, Callable[[str], str]] = {
    "CDATA": cdata,
    "escaped": escape,
    "blank before": lambda text: f"\n  {cdata(text)}",
}


@pytest.mark.parametrize("shape", PAYLOADS)
def test_an_exported_update_set(tmp_path: Path, shape: str) -> None:
    wrapped = PAYLOADS[shape]
    first = record("sys_script_include", name="A", api_name="x_a.A", script=cdata("var A = {};\nA.b = 1;"))
    second = document(
        row("sys_ui_policy", short_description="P", script_true="f();") + row("sys_choice", name="c"), "P"
    )
    exported = unload(row("sys_remote_update_set", name="S"), update(wrapped(first)), update(wrapped(second)))
    a, policy = read(tmp_path, {"set.xml": exported}).scripts
    assert (a.api_name, a.code, policy.record_name) == ("x_a.A", "var A = {};\nA.b = 1;", "P")
    check_lines(tmp_path, a)
    check_lines(tmp_path, policy)


ROOTS = {
    "<record_update>{}</record_update>": True,
    "<unload>{}</unload>": True,
    "<?xml version='1.0'?>\n<!-- from dev -->\n<unload a='b'>{}</unload>": True,
    "\n<?xml version='1.0'?><unload>{}</unload>": True,
    "<?xml version='1.0'?>\n" + "<!-- x -->\n" * 30 + "<unload>{}</unload>": True,
    "<?xml version='1.0'?>\n" + "<!-- x -->\n" * 30 + "<project>{}</project>": False,
    "<!-- x --> y --><unload>{}</unload>": False,
    "<unloaded>{}</unloaded>": False,
    "<a><unload>{}</unload></a>": False,
    "<!DOCTYPE unload><unload>{}</unload>": False,
    "<unload": False,
    "": False,
}


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_only_records_are_looked_into(tmp_path: Path, root: str, encoding: str) -> None:
    text = root.replace("{}", row("sys_script", name="A", script="a()"))
    found = read(tmp_path, {"any.xml": text.encode(encoding)})
    assert bool(found.scripts) == ROOTS[root]


def test_a_large_export_is_read_and_a_large_script_in_it_is_not(tmp_path: Path) -> None:
    code = cdata("// ü\n" * 200 + "a()")
    small = [row("sys_script_include", name=f"S{i}", script=code) for i in range(900)]
    large = row("sys_script_include", name="Large", script="a" * 2_001)
    payload = update(cdata(record("sys_script_include", name="P", script="a" * 2_001)), name="sys_p")
    write(tmp_path, {"all.xml": unload(*small[:500], large, payload, *small[500:])})
    found = read_workspace(tmp_path, max_bytes=2_000)
    assert [script.record_name for script in found.scripts] == [f"S{i}" for i in range(900)]
    assert [problem.message for problem in found.problems] == [
        "skipped: script of Large, the limit is 2,000 characters",
        "skipped: payload of sys_p, the limit is 2,000 characters",
    ]
    assert found.skipped == {"too large": 2}
    check_lines(tmp_path, found.scripts[-1])


def test_a_broken_payload_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    good = record("sys_script", name="Good", script="a()")
    payloads = (cdata("<record_update><a></record_update>"), "", " ", cdata(good))
    write(tmp_path, {"set.xml": unload(*(update(text, name="sys_bad") for text in payloads))})
    found = read_workspace(tmp_path)
    assert [script.record_name for script in found.scripts] == ["Good"]
    (problem,) = found.problems
    assert problem.path == "set.xml"
    assert problem.message.startswith("payload of sys_bad: broken XML: mismatched tag")


def test_what_comes_before_an_error_is_kept(tmp_path: Path) -> None:
    text = unload(row("sys_script", name="A", script="a()"), "<b></c>")
    found = read_workspace(write(tmp_path, {"set.xml": text}))
    assert [script.record_name for script in found.scripts] == ["A"]
    assert len(found.problems) == 1


# Deleted and replaced records


def include(name: str = "A", updated: str = "", code: str = "a()", action: str = "INSERT_OR_UPDATE") -> str:
    return row("sys_script_include", action, name=name, script=code, sys_updated_on=updated)


def metadata_delete(**fields: str) -> str:
    return row("sys_metadata_delete", key="m", **fields)


KEY = f"sys_script_include_{sys_id('A')}"
VERSIONS: dict[str, tuple[dict[str, str], list[str]]] = {  # files -> what stands
    "deleted by another file": ({"a": include(), "b": include(action="DELETE")}, []),
    "whatever the order": ({"b": include(), "a": include(action="DELETE")}, []),
    "others stay": ({"a": include("A") + include("B"), "b": include(action="DELETE")}, ["a B"]),
    "another table's row": ({"a": include(), "b": row("sys_script", "DELETE", name="A")}, ["a A"]),
    "deleted in an update set": (
        {"a": include(), "b": update(cdata(document(include(action="DELETE"), "x")))},
        [],
    ),
    "deleted by the update set's line": ({"a": include(), "b": update("", "DELETE", KEY)}, []),
    "deleted with its last text": (
        {"a": include(), "b": update(cdata(document(include(), "x")), "DELETE")},
        [],
    ),
    "metadata delete by name": ({"a": include(), "b": metadata_delete(sys_update_name=KEY)}, []),
    "metadata delete by table": (
        {
            "a": include(),
            "b": metadata_delete(
                sys_metadata=sys_id("A"),
                sys_db_object='<sys_db_object name="sys_script_include">Script Include</sys_db_object>',
            ),
        },
        [],
    ),
    "metadata delete in an update set": (
        {"a": include(), "b": update(cdata(document(metadata_delete(sys_update_name=KEY), "x")))},
        [],
    ),
    "made again after its deletion": (
        {"a": include(updated="2026-02-02"), "b": include(updated="2026-01-01", action="DELETE")},
        ["a A"],
    ),
    "deleted as it was": (
        {"a": include(updated="2026-01-01"), "b": include(updated="2026-01-01", action="DELETE")},
        [],
    ),
    "the last wins": ({"a": include(updated="2026-01-01"), "b": include(updated="2026-02-02")}, ["b A"]),
    "the last wins, in any order": (
        {"b": include(updated="2026-01-01"), "a": include(updated="2026-02-02")},
        ["a A"],
    ),
    "stated wins": ({"a": include(), "b": include(updated="2026-02-02")}, ["b A"]),
    "else the first": ({"a": include(), "b": include()}, ["a A"]),
    "in one file": ({"a": include(updated="1") + include(updated="3") + include(updated="2")}, ["a A"]),
}


@pytest.mark.parametrize("case", VERSIONS)
def test_versions_of_a_record(tmp_path: Path, case: str) -> None:
    files, expected = VERSIONS[case]
    found = read(tmp_path, {f"{name}.xml": unload(rows) for name, rows in files.items()})
    assert [f"{s.path[0]} {s.record_name}" for s in found.scripts] == expected


# Scopes and packages


def check_scope(tmp_path: Path, head: str, expected: tuple[str, str], inferred: str) -> None:
    """Scope and package of a record whose fields are `head`, and which of them were not stated."""
    text = record("sys_script", name="S", script="a()").replace("<active>true</active>", head)
    known = record("sys_app", name="Known", scope="x_known", key="known")
    found = read(tmp_path, {"shop/update/sys_script_1.xml": text, "sys_app_1.xml": known})
    (script,) = found.scripts
    assert (script.scope, script.package) == expected
    assert script.inferred == frozenset(inferred.split())


@pytest.mark.parametrize(
    ("head", "expected", "inferred"),
    [
        ("", ("", "shop"), "package"),
        ('<sys_scope display_value="Shop">x_shop</sys_scope>', ("x_shop", "shop"), "package"),
        ('<sys_scope display_value="global">global</sys_scope>', ("global", "shop"), "package"),
        (f'<sys_scope display_value="S">{sys_id("known")}</sys_scope>', ("x_known", "shop"), "package"),
        (f'<sys_scope display_value="x_s">{sys_id("known")}</sys_scope>', ("x_known", "shop"), "package"),
        (f'<sys_scope display_value="x_s">{"e" * 32}</sys_scope>', ("x_s", "shop"), "package"),
        (f'<sys_scope display_value="Shop">{"e" * 32}</sys_scope>', ("", "shop"), "package"),
        ('<sys_package display_value="Shop" source="x_shop">1</sys_package>', ("x_shop", "x_shop"), ""),
        ('<sys_package display_value="Shop" source="com.shop">1</sys_package>', ("", "com.shop"), ""),
        (f'<sys_package display_value="Shop" source="{"e" * 32}">1</sys_package>', ("", "Shop"), ""),
        ('<sys_package display_value="Global" source="global">1</sys_package>', ("", "Global"), ""),
    ],
)
def test_scope_and_package(tmp_path: Path, head: str, expected: tuple[str, str], inferred: str) -> None:
    check_scope(tmp_path, head, expected, inferred)


@pytest.mark.parametrize(
    ("stated", "expected"), [("", ""), ("1", "restricted"), ("2", "tracked"), ("true", "")]
)
def test_caller_access(tmp_path: Path, stated: str, expected: str) -> None:
    fields = {"name": "A", "script": "var A = {};", "caller_access": stated}
    (script,) = read(tmp_path, {"a.xml": unload(row(TABLE, **fields))}).scripts
    assert script.caller_access == expected
    (api,) = extract(script).apis
    assert api.caller_access == expected


def test_scope_of_an_application_in_the_same_export(tmp_path: Path) -> None:
    exported = unload(
        row("sys_script_include", name="A", script="a()", sys_scope=sys_id("Shop")),
        update(cdata(record("sys_app", name="Shop", scope="x_shop"))),
    )
    (script,) = read(tmp_path, {"set.xml": exported}).scripts
    assert (script.scope, script.api_name) == ("x_shop", "x_shop.A")
    assert script.inferred == {"package", "api_name"}


def test_scope_of_most_script_includes(tmp_path: Path) -> None:
    def made(name: str, scope: str, table: str = "sys_script_include") -> str:
        return record(table, name=name, api_name=f"{scope}.{name}" if scope else "", script="a()")

    scripts = read(tmp_path, {
        "one/update/a.xml": made("A", "x_a"), "one/update/b.xml": made("B", "x_b"),
        "one/update/c.xml": made("C", "x_b"), "one/update/d.xml": made("D", ""),
        "one/update/e.xml": made("E", "", "sys_script"), "two/update/f.xml": made("F", "", "sys_script"),
        "one/m.js": "",
    }).scripts  # fmt: skip
    by_name = {script.record_name or script.module: script for script in scripts}
    assert {name: by_name[name].scope for name in sorted(by_name)} == {
        "A": "x_a", "B": "x_b", "C": "x_b", "D": "x_b", "E": "x_b", "F": "", "one/m": "",
    }  # fmt: skip
    assert [by_name[name].api_name for name in "ABCDE"] == ["x_a.A", "x_b.B", "x_b.C", "x_b.D", ""]
    assert by_name["A"].inferred == {"package"}
    assert by_name["D"].inferred == {"package", "scope", "api_name"}
    assert by_name["E"].inferred == {"package", "scope"}
    assert by_name["F"].inferred == {"package"}


# Layouts of folders


def test_plain_files(tmp_path: Path) -> None:
    write(tmp_path, {
        "package.json": json.dumps({"name": "root"}),
        "src/a.ts": "", "src/a.d.ts": "", "dist/a.min.js": "", "view.tsx": "", "b.test.mjs": "",
        "lib/package.json": json.dumps({"name": "@org/lib"}), "lib/src/c.js": "",
        "broken/package.json": "{", "broken/d.cjs": "", "odd/package.json": '{"name": "\\ud800"}',
        "odd/e.js": "", "odd/sys_script_include/Not/helper.js": "",
        "node_modules/f/f.js": "", ".git/g.js": "", "env/pyvenv.cfg": "", "env/h.js": "", "index/i.js": "",
    })  # fmt: skip
    found = read_workspace(tmp_path, frozenset({tmp_path / "index"}))
    assert (found.problems, found.skipped) == ((), {"minified": 1, "type declarations": 1})
    assert [(s.path, s.language, s.package, s.module) for s in found.scripts] == [
        ("b.test.mjs", "javascript", "root", "b.test"),
        ("view.tsx", "tsx", "root", "view"),
        ("broken/d.cjs", "javascript", "root", "broken/d"),
        ("lib/src/c.js", "javascript", "@org/lib", "src/c"),
        ("odd/e.js", "javascript", "root", "odd/e"),
        ("odd/sys_script_include/Not/helper.js", "javascript", "root", "odd/sys_script_include/Not/helper"),
        ("src/a.ts", "typescript", "root", "src/a"),
    ]
    assert {script.inferred for script in found.scripts} == {frozenset()}


def test_package_of_a_folder_without_manifest(tmp_path: Path) -> None:
    (script,) = read(tmp_path / "shop", {"a.js": ""}).scripts
    assert (script.package, script.module, script.inferred) == ("shop", "a", {"package"})


TABLE = "sys_script_include"
FOLDERS: dict[str, tuple[dict[str, str], str]] = {  # files -> table.field api_name or name, scope, package
    "sn-scriptsync": ({f"x_app/{TABLE}/E.script.js": "e"}, f"{TABLE}.script x_app.E, x_app, x_app"),
    "without field": ({f"x_app/{TABLE}/E.js": "e"}, f"{TABLE}.script x_app.E, x_app, x_app"),
    "dotted name": ({"x_app/sys_ui_script/a.b.js": "e"}, "sys_ui_script.script a.b, x_app, x_app"),
    "client script": (
        {"dev/x_app/sp_widget/My W.client_script.js": "e", "dev/x_app/sp_widget/_map.json": "{}"},
        "sp_widget.client_script My W, x_app, x_app",
    ),
    "link": ({"x_app/sp_widget/W.link.js": "e"}, "sp_widget.link W, x_app, x_app"),
    "Sincronia": (
        {f"src/x_app/{TABLE}/My E/script.ts": "e"},
        f"{TABLE}.script x_app.My E, x_app, x_app",
    ),
    "Sincronia client": (
        {"x_app/sp_widget/W/client_script.js": "e"},
        "sp_widget.client_script W, x_app, x_app",
    ),
    "no scope": ({f"src/{TABLE}/E/script.js": "e"}, f"{TABLE}.script E, , src"),
    "Sincronia's manifest": (
        {f"src/{TABLE}/E/script.js": "e", "sinc.manifest.json": '{"scope": "x_app", "tables": {}}'},
        f"{TABLE}.script x_app.E, x_app, x_app",
    ),
    "Sincronia's manifest of scopes": (
        {f"src/x_app/{TABLE}/E/script.js": "e", "sinc.manifest.json": '{"x_app": {"tables": {}}}'},
        f"{TABLE}.script x_app.E, x_app, x_app",
    ),
    "manifest of sn-scriptsync": (
        {f"dev/now_x/{TABLE}/E.script.js": "e", "dev/scopes.json": json.dumps({"now_x": "a" * 32})},
        f"{TABLE}.script now_x.E, now_x, now_x",
    ),
    "odd JSON": (
        {
            f"x_app/{TABLE}/E.js": "e", "scopes.json": '{"x_app": 1, "read": "Read all"}',
            "sinc.manifest.json": '["scope"]', "now.config.json": '{"scope": 1}',
        },
        f"{TABLE}.script x_app.E, x_app, x_app",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLDERS)
def test_records_in_folders(tmp_path: Path, case: str) -> None:
    files, expected = FOLDERS[case]
    (script,) = read(tmp_path, files).scripts
    name = script.api_name or script.record_name
    assert f"{script.record_type}.{script.field} {name}, {script.scope}, {script.package}" == expected
    derived = {"record_type", "record_name", "field", "package", *(["api_name"] if script.api_name else [])}
    assert script.inferred == derived | ({"scope"} if script.scope and "manifest" not in case else set())


def test_an_export_learns_its_scopes_from_scopes_json(tmp_path: Path) -> None:
    rows = row("sys_script_include", name="A", script="a()", sys_scope="a" * 32)
    files = {"x.xml": unload(rows), "dev/scopes.json": json.dumps({"x_app": "a" * 32})}
    assert [script.api_name for script in read(tmp_path, files).scripts] == ["x_app.A"]


# ServiceNow SDK

FLUENT = """\
import { ScriptInclude, BusinessRule, Record } from '@servicenow/sdk/core'
import { other } from '../server/other'

export const a = ScriptInclude({
    $id: Now.ID['a'],
    name: 'A',
    apiName: 'x_sdk.A',
    clientCallable: true,
    accessibleFrom: 'public', callerAccess: 'restriction',
    description: "It's A",
    script: script`
        var A = Class.create();
        A.b = \\`\\${c}\\` + '\\\\n';
    `,
})
ScriptInclude({ name: 'B', script: Now.include('../server/B.server.js') });
ScriptInclude({ name: 'C', script: `var C = {};` } as any);
ScriptInclude({ script: Now.include('../../missing.js') });
BusinessRule({ name: 'Rule', table: 'incident', script: other });
BusinessRule({ name: 'Rule 2', table: 'incident', script: "run(\\"a\\");\\n" });
Record({ table: 'sys_ui_action', data: { name: 'Act', script: `act();`, table: 'task' } });
Table({ name: 'x_sdk_t', script: 'no' }
"""
SDK: Files = {
    "app/now.config.json": json.dumps({"scope": "x_sdk", "scopeId": "a" * 32, "name": "The App"}),
    "app/src/fluent/all.now.ts": FLUENT,
    "app/src/server/B.server.js": "var B = {};",
    "app/src/server/other.ts": "export function other() {}",
    "app/metadata/update/sys_script_1.xml": record("sys_script", name="S", script="a()"),
}


def test_sdk(tmp_path: Path) -> None:
    source = "app/src/fluent/all.now.ts"
    scripts = check(tmp_path, SDK, [
        "app/metadata/update/sys_script_1.xml:5 sys_script.script S",
        f"{source}:11 sys_script_include.script x_sdk.A",
        f"{source}:17 sys_script_include.script x_sdk.C",
        f"{source}:20 sys_script.script Rule 2",
        f"{source}:21 sys_ui_action.script Act",
        "app/src/server/B.server.js:1 sys_script_include.script x_sdk.B",
        "app/src/server/other.ts:1 The App/src/server/other",
    ])  # fmt: skip
    assert {script.scope for script in scripts} == {"x_sdk"}
    assert {script.package for script in scripts[1:]} == {"The App"}
    _, a, c, rule, action, b, other = scripts
    assert (a.access, a.client_callable, a.description, a.app) == ("public", True, "It's A", "app")
    assert (a.caller_access, c.caller_access) == ("restricted", "")
    assert a.code == "\n        var A = Class.create();\n        A.b = `${c}` + '\\n';\n    "
    assert (rule.table, rule.code, action.table, b.code) == ("incident", 'run("a");\n', "task", "var B = {};")
    assert (a.language, b.language, other.language) == ("javascript", "javascript", "typescript")
    assert (a.inferred, c.inferred, other.inferred) == (set(), {"api_name"}, set())
    (api,) = extract(a).apis
    assert (api.api_name, api.line) == ("x_sdk.A", 12)


def test_sdk_package_is_that_of_its_package_json(tmp_path: Path) -> None:
    files = {**SDK, "app/package.json": '{"name": "sdk-app"}'}
    assert read(tmp_path, files).scripts[-1].package == "sdk-app"


def test_a_long_chain_of_calls_is_read_in_time_that_grows_with_it_alone() -> None:
    begin = time.process_time()
    found = read_fluent("a" + ".b()" * 48_000 + ";\n" + FLUENT, "a.now.ts", "", Manifests())
    assert time.process_time() - begin < 4  # squared, it would be 15
    assert len(found.drafts) == 4


# What is not read

MADE_BY_TOOLS = {
    "bundle.js": (f"var a={{{'b:1,' * 2_000}}};", "minified"),
    "long.js": ("x = [" + "'some words', " * 100 + "];", ""),
    "table.js": ("\n".join(f"  add({'1, ' * 60});" for _ in range(50)), ""),
    "banner.js": ("/**\n * @generated by x\n */\na();", "generated"),
    "go.ts": ("// Code generated by y. DO NOT EDIT.\na();", "generated"),
    "word.js": ("var text = '@generated'; // DO NOT\na();", ""),
    "late.js": ("a();\n" * 20 + "// DO NOT EDIT below", ""),
    "mapped.js": ("a();\n//# sourceMappingURL=mapped.js.map\n", "generated"),
    "mapper.js": ("a('//# sourceMappingURL=');", ""),
    "pack.js": ("/******/ (function(modules) { // webpackBootstrap\n", "generated"),
    "a.min.js": ("a();", "minified"),
    "b.d.ts": ("// DO NOT EDIT\ndeclare const a: 1;", ""),
    f"x_app/{TABLE}/Crypto.script.js": (f"var a={{{'b:1,' * 2_000}}};", ""),
}


DECLARATIONS: Files = {
    "package.json": json.dumps({"name": "p"}),
    "a.js": "", "a.d.ts": "", "b.d.ts": "//# sourceMappingURL=b.d.ts.map", "c.d.mts": "", "c.mjs": "",
    "d.d.cts": "", f"x_app/{TABLE}/E.script.d.ts": "",
}  # fmt: skip


def test_declarations_count_where_their_source_is_not_beside_them(tmp_path: Path) -> None:
    found = read(tmp_path, DECLARATIONS)
    assert found.skipped == {"type declarations": 2}
    assert [script.module for script in found.scripts] == ["a", "b", "c", "d", f"x_app/{TABLE}/E.script"]


def test_declarations_of_the_platform(tmp_path: Path) -> None:
    files = {
        "package.json": json.dumps({"name": "@servicenow/glide"}),
        "src/index.d.ts": "export * from './types';",
        "src/imports/B.d.ts": "export declare class B {}",
        "src/sn_ws/A.d.ts": "export declare class A { b(): void }",
        "src/types/GlideRecord.d.ts": "export declare class GlideRecord { b(): void }",
    }
    scripts = read(tmp_path, files).scripts
    apis = [api for script in scripts for api in extract(script).apis]
    assert [(api.api_name, api.name, api.scope) for api in apis] == [
        ("sn_ws.A", "A", "sn_ws"),
        ("GlideRecord", "GlideRecord", "global"),
    ]


# Packages

PACKAGES: Files = {
    "package.json": json.dumps({"dependencies": {"typed": "1", "@org/plain": "1", "../x": "1", "none": "1"}}),
    "lib/package.json": json.dumps(
        {"devDependencies": {"@types/old": "1", "typed": "1"}, "peerDependencies": []}
    ),
    "a.js": "",
    "node_modules/typed/package.json": json.dumps({"types": "./lib/index", "main": "m.js"}),
    "node_modules/typed/lib/index.d.ts": "export * from './a.js'; import {b} from '../b/'; import 'a';",
    "node_modules/typed/lib/a.d.ts": "/// <reference path=\"c.d.ts\" />\nimport '../../outside';",
    "node_modules/typed/lib/c.d.ts": "import './a'; import './missing';",
    "node_modules/typed/lib/unused.d.ts": "",
    "node_modules/typed/b/index.d.ts": "type X = typeof import('../d.cjs');",
    "node_modules/typed/d.d.cts": "",
    "node_modules/typed/m.js": "",
    "node_modules/outside.d.ts": "",
    "node_modules/@org/plain/package.json": json.dumps({"main": "lib"}),
    "node_modules/@org/plain/lib/index.js": "const a = require('./a'), b = require('b');",
    "node_modules/@org/plain/lib/a.js": "",
    "node_modules/old/index.js": "",
    "lib/node_modules/@types/old/index.d.ts": "",
    "node_modules/not-named/index.js": "",
}


def test_packages(tmp_path: Path) -> None:
    assert [script.path for script in read(tmp_path, PACKAGES).scripts] == ["a.js"]
    found = read_workspace(tmp_path, packages=True)
    assert [(script.path, script.package, script.module) for script in found.scripts[1:]] == [
        ("lib/node_modules/@types/old/index.d.ts", "old", "index"),
        ("node_modules/typed/b/index.d.ts", "typed", "b/index"),
        ("node_modules/typed/d.d.cts", "typed", "d"),
        ("node_modules/typed/lib/a.d.ts", "typed", "lib/a"),
        ("node_modules/typed/lib/c.d.ts", "typed", "lib/c"),
        ("node_modules/typed/lib/index.d.ts", "typed", "lib/index"),
        ("node_modules/@org/plain/lib/a.js", "@org/plain", "lib/a"),
        ("node_modules/@org/plain/lib/index.js", "@org/plain", "lib/index"),
    ]


def test_packages_behind_links(tmp_path: Path) -> None:
    names = dict.fromkeys(("store", "own", "away"), "1")
    write(tmp_path / "in", {
        "package.json": json.dumps({"dependencies": names}), "packages/own/index.d.ts": "",
        "node_modules/.pnpm/store@1/node_modules/store/index.d.ts": "",
    })  # fmt: skip
    modules = tmp_path / "in/node_modules"
    (modules / "store").symlink_to(modules / ".pnpm/store@1/node_modules/store")
    (modules / "own").symlink_to(tmp_path / "in/packages/own")
    (modules / "away").symlink_to(write(tmp_path / "away", {"index.d.ts": ""}))
    found = read_workspace(tmp_path / "in", packages=True)
    assert [script.path for script in found.scripts] == [
        "packages/own/index.d.ts",
        "node_modules/store/index.d.ts",
    ]


@pytest.mark.parametrize("name", MADE_BY_TOOLS)
def test_what_tools_make_is_left_out_and_counted(tmp_path: Path, name: str) -> None:
    code, reason = MADE_BY_TOOLS[name]
    found = read(tmp_path, {name: code})
    assert found.skipped == ({reason: 1} if reason else {})
    assert len(found.scripts) == (not reason)


def test_what_is_left_out_is_reported(tmp_path: Path, encoder: Encoder) -> None:
    write(tmp_path / "work", {"a.min.js": "", "b.min.js": "", "c.js": "// @generated\n", "d.js": "a();"})
    report = build_index(tmp_path / "work", tmp_path / "out", encoder, lambda what, done, total: None)
    counts = {"generated": 1, "minified": 2}
    assert (report.files, report.problems, report.skipped) == (1, (), counts)
    arguments = ["index", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(main, arguments).output.endswith("; skipped: 1 generated, 2 minified\n")
    assert json.loads(CliRunner().invoke(main, [*arguments, "--json"]).output)["skipped"] == counts


IGNORED: Files = {
    ".gitignore": b"""\xef\xbb\xbf/build\r
*.gen.js\n!keep.gen.js\nlogs/\n# comment\n!\n\\\n/docs/*\n!/docs/a/\n*.xml\n""",
    "build/a.js": "", "lib/build/b.js": "", "c.gen.js": "", "keep.gen.js": "", "logs/d.js": "", "logs.js": "",
    "docs/e.js": "", "docs/a/f.js": "", "docs/b/g.js": "", "x.xml": unload(include()),
    "lib/.gitignore": "*.js\n!/h.js\n!x.xml", "lib/h.js": "", "lib/i.js": "", "lib/deep/h.js": "",
    "lib/deep/.gitignore": "!j.js", "lib/deep/j.js": "", "lib/x.xml": unload(include()),
    "logs/.gitignore": "!d.js", "ü/.gitignore": "ä.js\n", "ü/ä.js": "", "ü/ö.js": "",
}  # fmt: skip
KEPT = ["keep.gen.js", "logs.js", "docs/a/f.js", "lib/h.js", "lib/x.xml", "lib/deep/j.js", "ü/ö.js"]


def test_what_git_ignores_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = walk(write(tmp_path, IGNORED)).files
    assert [path.relative_to(tmp_path).as_posix() for path in files] == KEPT
    monkeypatch.chdir(tmp_path)
    assert [path.as_posix() for path in walk(Path()).files] == KEPT


@pytest.mark.skipif(not shutil.which("git"), reason="git says what git ignores")
def test_git_ignores_the_same(tmp_path: Path) -> None:
    git = ["git", "-c", "core.quotePath=false", "-C", str(write(tmp_path, IGNORED))]
    subprocess.run([*git, "init", "--quiet"], check=True)
    command = [*git, "ls-files", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {name for name in listed if not name.endswith(".gitignore")} == set(KEPT)


@pytest.mark.parametrize(
    "line", ["[b-\x1f]", "[a-<]", "x" + "*" * 40_000, "*a*a*a*a*a*a*b", "[[:a", "a\n" * 300_000]
)
def test_a_pattern_that_cannot_be_used_is_passed_over(tmp_path: Path, line: str) -> None:
    files = {".gitignore": f"{line}\nb.js\n", "b.js": "", "a" * 200 + ".js": ""}
    expected = ["a" * 200 + ".js"] if len(line) < 500_000 else ["a" * 200 + ".js", "b.js"]
    assert [path.name for path in walk(write(tmp_path, files)).files] == expected


WALK = """import sys; from pathlib import Path; from deepcodeseek.index_builder.walk import walk
print(*(path.name for path in walk(Path(sys.argv[1])).files))"""


def _in_little_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("rules"),
        lambda path: path.symlink_to("nowhere"),
        Path.mkdir,
    ],
    ids=["pipe", "device", "link", "nothing", "folder"],
)
def test_a_gitignore_that_is_no_file_says_nothing(tmp_path: Path, make: Callable[[Path], None]) -> None:
    write(tmp_path, {"rules": "a.js\n", "a.js": "", "lib/b.js": "", "lib/.gitignore": "b.js\n"})
    make(tmp_path / ".gitignore")
    found = subprocess.run(
        [sys.executable, "-c", WALK, tmp_path], preexec_fn=_in_little_memory, capture_output=True, timeout=20
    )
    assert found.stdout == b"a.js\n"


def test_links_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path, {"in/a.js": "", "out/b.js": ""})
    (tmp_path / "in/loop").symlink_to(tmp_path)
    (tmp_path / "in/b.js").symlink_to(tmp_path / "out/b.js")
    assert [path.name for path in walk(tmp_path / "in").files] == ["a.js"]


# Encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("size", [1, 100_000])
def test_encodings(tmp_path: Path, encoding: str, size: int) -> None:
    code = "a = 'ü€';\n" * size
    (script,) = read(tmp_path, {"a.js": code.encode(encoding)}).scripts
    assert script.code == code


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ("UTF-8", "utf-8"), ("UTF-8", "utf-8-sig"), ("utf-16", "utf-16"), ("iso-8859-1", "iso-8859-1"),
        ("windows-1251", "cp1251"), ("UTF-8", "cp1252"), ("no-such-thing", "cp1252"), ("hex", "cp1252"),
        ("utf-7", "cp1252"), ("iso-8859-1", "utf-8"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 60_000])
def test_encoding_of_xml(tmp_path: Path, declared: str, encoding: str, size: int) -> None:
    code = ("Привет" if "1251" in declared else "ü()\n") * size
    text = unload(row("sys_script", name="S", script=code)).replace("UTF-8", declared)
    (script,) = read(tmp_path, {"any.xml": text.encode(encoding)}).scripts
    assert script.code == code


# What cannot be read


def check_problem(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    good = record("sys_script", name="Good", script="a()")
    found = read_workspace(write(tmp_path, {name: content, "update/good.xml": good}))
    assert [script.path for script in found.scripts] == ["update/good.xml"]
    (problem,) = found.problems
    assert problem.path == name
    assert message in problem.message
    assert "\n" not in problem.message


BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<record_update><sys_script><script>&b;</script></sys_script></record_update>"""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("update/a.xml", BOMB, "refused XML"),
        ("update/a.xml", '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "refused XML"),
        ("any.xml", unload(update(cdata(BOMB), name="sys_x")), "payload of sys_x: refused XML"),
        ("any.xml", unload(update(cdata(BOMB), name="sys\n x")), "payload of sys x: refused XML"),
        ("update/a.xml", BOMB.encode("utf-16"), "refused XML"),
        ("update/a.xml", BOMB.replace("?>", " encoding='utf-7'?>", 1).replace("<!", "+ADw-!"), "broken XML"),
        ("update/a.xml", BOMB.replace("<!ENTITY a", "<!ENTITY % a"), "refused XML"),
        ("update/a.xml", '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "refused XML"),
        ("update/a.xml", f'<!DOCTYPE a [<!ENTITY b "{"x" * 9_000}">]><a>{"&b;" * 9_000}</a>', "refused XML"),
        ("any.xml", unload(row("sys_script", script="&b;")), "broken XML"),
        ("update/a.xml", record("sys_script", script="a()")[:-30], "broken XML"),
        ("update/a.xml", "", "broken XML"),
        ("update/a.xml", " \n", "broken XML"),
        ("update/a.xml", b"\x7fELF\x00\x01", "binary"),
        ("a.js", b"a = 1;\x00", "binary"),
    ],
)
def test_problems(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    check_problem(tmp_path, name, content, message)


def test_too_large(tmp_path: Path) -> None:
    write(tmp_path, {"a.js": "a = 1234;"})
    found = read_workspace(tmp_path, max_bytes=8)
    assert found.problems == (Problem("a.js", "skipped: 9 bytes, the limit is 8"),)
    assert (found.scripts, found.skipped) == ((), {"too large": 1})
    assert read_workspace(tmp_path, max_bytes=9).problems == ()


XML = record(
    "sys_script_include", name="X", api_name="x_a.X", script="<![CDATA[var X = {a: function() {}};]]>"
)


@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.integers(0, len(XML)), st.integers(0, 20), st.binary(max_size=12))
def test_any_record(
    tmp_path_factory: pytest.TempPathFactory, in_update: bool, at: int, length: int, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any") / "update"
    changed = XML[:at].encode() + junk + XML[at + length :].encode()
    whole = unload(update("@")).encode().replace(b"@", b"<![CDATA[" + changed + b"]]>")
    found = read_workspace(write(folder, {"a.xml": whole if in_update else changed}).parent)
    assert len(found.problems) <= 1
    for script in found.scripts:
        extract(script)


@settings(max_examples=100, deadline=None)
@given(st.text("ScriptInclude({name:'A`,$}[]) \n\\", max_size=80), st.integers(0, len(FLUENT)))
def test_any_fluent(tmp_path_factory: pytest.TempPathFactory, junk: str, at: int) -> None:
    folder = tmp_path_factory.mktemp("any")
    found = read_workspace(write(folder, {"a.now.ts": FLUENT[:at] + junk + FLUENT[at:]}))
    assert {script.path for script in found.scripts} <= {"a.now.ts"}
    for script in found.scripts:
        extract(script)
