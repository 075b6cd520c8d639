"""From files to APIs and call sites: tables of input and expected output."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcodeseek.index_builder.extract import Extracted, extract
from deepcodeseek.index_builder.sources import (
    Language,
    Problem,
    Script,
    fill_scopes,
    read_scopes,
    read_scripts,
    read_workspace,
    walk,
)
from deepcodeseek.server.types import Api

RECORD = """\
<?xml version="1.0" encoding="UTF-8"?><record_update table="{table}">
    <{table} action="{action}">
        <active>true</active>
{fields}
        <sys_id>0123456789abcdef0123456789abcdef</sys_id>
    </{table}>
</record_update>
"""


def record(kind: str, /, action: str = "INSERT_OR_UPDATE", **fields: str) -> str:
    lines = (f"        <{name}>{value}</{name}>" for name, value in fields.items())
    return RECORD.format(table=kind, action=action, fields="\n".join(lines))


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def include(code: str, name: str = "X", scope: str = "global") -> Extracted:
    """Of a Script Include."""
    return extract(
        Script(
            path="x.xml",
            code=textwrap.dedent(code),
            record_type="sys_script_include",
            record_name=name,
            api_name=f"{scope}.{name}",
            scope=scope,
        )
    )


def module(code: str, path: str = "src/lib", language: Language = "javascript") -> Extracted:
    """Of a plain file in the package `pkg`."""
    script = Script(f"{path}.js", textwrap.dedent(code), language=language, package="pkg", module=path)
    return extract(script)


# Script Includes: every way to write a class


def check_api(found: Extracted, expected: str) -> Api:
    (api,) = found.apis
    signatures = " ".join(method.signature for method in api.methods)
    assert f"({', '.join(api.params)}) {api.extends}".rstrip() + f": {signatures}".rstrip() == expected
    return api


SHAPES = {  # code -> (parameters) base: methods
    "prototype": (
        "var X = Class.create(); X.prototype = {initialize: function(t) {}, a: function(b, c) "
        "{}, type: 'X'};",
        "(t): a(b, c)",
    ),
    "extends": (
        "var X = Class.create(); X.prototype = Object.extendsObject(Base, {a: function() {}, type: 'X'});",
        "() Base: a()",
    ),
    "extends scoped": (
        "X = Class.create();\nX.prototype = Object.extendsObject(global.Base, {a() {}});",
        "() global.Base: a()",
    ),
    "one by one": (
        "var X = Class.create(); X.prototype.a = function(b) {}; X.prototype.c = d => d;",
        "(): a(b) c(d)",
    ),
    "assign": ("function X() {} Object.assign(X.prototype, {a: function() {}});", "(): a()"),
    "static": ("var X = Class.create(); X.a = function(b) {}; X.LIMIT = 5; X.COLORS = {red: 1};", "(): a(b)"),
    "static copied": (
        "var X = Class.create(); X.findById = Base.findById; X.DRAFT = Base.DRAFT;",
        "(): findById()",
    ),
    "object": ("var X = {a: function(b) {}, 'c': function() {}, e: 1};", "(): a(b) c()"),
    "nested object": ("var X = {}; X.util = {a: function(b) {}};", "(): util.a(b)"),
    "or": ("var X = X || {a: function() {}};", "(): a()"),
    "function": ("function X(a, b) { return a; }", "(a, b):"),
    "function value": ("X = function(a) {};", "(a):"),
    "constructor": (
        "function X(a) { this.b = function(c) {}; var self = this; self.d = () => 1; this.e = 2; }",
        "(a): b(c) d()",
    ),
    "es class": (
        "class X extends Base { constructor(a) {} b(c = 1, ...d) {} static e({f, g}) {} get h() {} #i() {} }",
        "(a) Base: b(c, ...d) e({f, g})",
    ),
    "returned object": (
        "var X = (function() { function hidden() {} function a(b) {} return {a: a, c: function() {}}; })();",
        "(): a(b) c()",
    ),
    "returned class": (
        "var X = (function() { function Y(t) {} Y.prototype.a = function() {}; return Y; })();",
        "(t): a()",
    ),
    "assigned inside": (
        "var X; (function() { X = {a: a, b: b}; function a(c) {} function b() {} })();",
        "(): a(c) b()",
    ),
    "created with members": ("var X = Class.create({a: function() {}});", "(): a()"),
    "inherits": (
        "function X() {} X.prototype = Object.create(Base.prototype); X.prototype.a = function() {};",
        "() Base: a()",
    ),
    "several classes": (
        "var Y = Class.create(); Y.prototype = {no: function() {}};var X = Class.create(); "
        "X.prototype = {a: function() {}};",
        "(): a()",
    ),
    "name not defined": ("function a(b) {} function c() {} var d = 1;", "(): a(b) c()"),
    "only class has another name": ("var Y = Class.create(); Y.prototype = {a: function() {}};", "(): a()"),
    "later wins": ("var X = {a: function(b) {}}; X.a = function(c) {};", "(): a(c)"),
    "nothing": ("", "():"),
    "half written": (
        """
        var X = Class.create();
        X.prototype = {
            a: function(b) {
                var z = new Foo(
            },
            c: function() {},
            type: 'X'
        };""",
        "(): a(b) c()",
    ),
    "stray brace": (
        "var X = Class.create(); X.prototype = {a: function() {} }, b: function() {} };",
        "(): a()",
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: str) -> None:
    code, expected = SHAPES[shape]
    check_api(include(code), expected)


def test_api_of_a_script_include() -> None:
    script = Script(
        path="apps/a/update/sys_script_include_1.xml",
        code="/** Makes things. */\nvar X = Class.create();\n"
        "X.prototype = {\n  // Does a.\n  a: function() {},\n  _b: function() {}\n};",
        line_offset=7,
        record_type="sys_script_include",
        record_name="X",
        api_name="x_app.X",
        scope="x_app",
        package="App",
        access="public",
        client_callable=True,
        description="Of the record.",
    )
    (api,) = extract(script).apis
    assert (api.api_name, api.name, api.kind, api.scope, api.package) == (
        "x_app.X", "X", "script_include", "x_app", "App",
    )  # fmt: skip
    assert (api.access, api.client_callable, api.source, api.line) == ("public", True, script.path, 9)
    assert (api.doc, api.doc_origin, api.code) == ("Of the record.\nMakes things.", "written", script.code)
    a, b = api.methods
    assert (a.line, a.doc, a.is_private) == (12, "Does a.", False)
    assert (b.line, b.doc, b.is_private) == (13, "", True)


# Comments


def check_doc(above: str, expected: str) -> None:
    (api,) = include(f"{above}\nfunction X() {{}}").apis
    assert api.doc == expected
    assert api.doc_origin == ("written" if expected else "none")


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        ("/** One. */", "One."),
        (
            "/**\n * One\n *   two.\n *\n *\n * @param {String} a  the a\n */",
            "One\ntwo.\n\n@param {String} a the a",
        ),
        ("// One\n//  two", "One\ntwo"),
        ("/* One */", "One"),
        ("/*****\n * One **/", "One"),
        ("// ------\n// One ---\n// ======", "One"),
        ("// Copyright\n\n// One", "One"),
        ("/* Copyright */\n\n", ""),
        ("/** Other. */\nvar y = 1;", ""),
        ("var y = 1; // of y", ""),
        ("/* eslint-disable */", ""),
        ("/** One. */\n// eslint-disable-next-line", "One."),
        ("/** a < b */", "a < b"),
        ("//\tPrüft €", "Prüft €"),
    ],
)
def test_comments(above: str, expected: str) -> None:
    check_doc(above, expected)


def test_comments_of_members() -> None:
    code = """
        var X = Class.create();
        X.prototype = { // of no one
            /** a */
            a: function() {}, // of no one
            b: function() {},
            // c

            c: function() {},
            /** d
             * @private */
            d: function() {},
        };
        /** e */
        X.prototype.e = function() {};
        // f
        X.f = function() {};
        """
    api = check_api(include(code), "(): a() b() c() d() e() f()")
    assert [method.doc for method in api.methods] == ["a", "", "", "d\n@private", "e", "f"]
    assert [method.is_private for method in api.methods] == [False, False, False, True, False, False]
    assert [method.is_static for method in api.methods] == [False, False, False, False, False, True]
    assert api.doc == ""


# Calls


def check_calls(found: Extracted, expected: list[str]) -> None:
    assert [f"{call.kind} {call.name}.{call.method}".rstrip(".") for call in found.calls] == expected


CALLS = {
    "new": ("new Foo(1)", ["new Foo"]),
    "new and method": ("new Foo().bar()", ["new Foo.bar"]),
    "new scoped": ("new x_app.Foo().bar().baz()", ["new x_app.Foo.bar"]),
    "new global": ("var s = new global.JSON().encode(o);", ["new global.JSON.encode"]),
    "variable": ("var f = new Foo(); f.x = 1; f.bar(); f.baz();", ["new Foo.bar"]),
    "variable never used": ("var f = new Foo();", ["new Foo"]),
    "variable bound again": ("var f = new Foo(); f = new Bar(); f.baz();", ["new Foo", "new Bar.baz"]),
    "variable passed through itself": ("var f = new Foo(); f = f.bar(f);", ["new Foo.bar"]),
    "variable of another function": (
        "function a() { var f = new Foo(); } function b(f) { f.bar(); }",
        ["new Foo"],
    ),
    "variable in a closure": (
        "var f = new Foo(); each(function() { f.bar(); });",
        ["new Foo.bar", "func each"],
    ),
    "property": (
        "X.prototype = {a: function() { this.f = new Foo(); }, b: function() { this.f.bar(); }}",
        ["new Foo.bar"],
    ),
    "property used above": (
        "X.prototype = {b: function() { this.f.bar(); }, a: function() { this.f = new Foo(); }}",
        ["new Foo.bar"],
    ),
    "inside arguments": ("new Foo(new Bar())", ["new Foo", "new Bar"]),
    "static": ("if (Foo.isX(a)) Foo.bar();", ["static Foo.isX", "static Foo.bar"]),
    "static scoped": (
        "x_app.Foo.bar(); global.Foo.bar();",
        ["static x_app.Foo.bar", "static global.Foo.bar"],
    ),
    "static lower case": ("hr_Utils.bar();", ["static hr_Utils.bar"]),
    "prototype method": ("Foo.prototype.bar.call(this, 1)", ["static Foo.bar"]),
    "function": ("isJavaObject(x)", ["func isJavaObject"]),
    "ajax": (
        "var ga = new GlideAjax('x_app.Foo'); ga.addParam('sysparm_name', 'bar'); ga.getXML(cb);",
        ["ajax x_app.Foo.bar"],
    ),
    "two ajax": (
        "var a = new GlideAjax('A'); a.addParam('sysparm_name', 'b');var c = new "
        "GlideAjax('C'); c.addParam('sysparm_name', 'd');",
        ["ajax A.b", "ajax C.d"],
    ),
    "ajax of a variable": ("new GlideAjax(name)", ["new GlideAjax"]),
    "platform class": ("var gr = new GlideRecord('incident'); gr.query();", ["new GlideRecord.query"]),
    "built in": (
        "JSON.stringify(Math.max(1)); new Date(); Object.keys(new Array()); parseInt('1'); "
        "console.log(1);Array.prototype.slice.call(a); String(1); new Error('x'); "
        "global.JSON.parse(s)",
        [],
    ),
    "platform objects": (
        "gs.info('x'); current.update(); g_form.getValue('a'); this.a(); Packages.java.lang.X()",
        [],
    ),
    "own name": ("var X = Class.create(); X.make = function() { return new X(); };", ["new X"]),
    "defined here": ("function Foo() {} new Foo(); Foo.bar(); Foo();", []),
    "inner function and parameter": (
        "function X(cb, Ctor) { function log() {} cb(); log(); new Ctor(); Ctor.a(); }",
        [],
    ),
    "names that are bound": (
        "function f({a, b: c}, [d], e = 1, ...g) { a.x(); c.x(); d.x(); e.x(); g.x(); } h => h.x();"
        "for (var i in y) i.x(); for (const j of y) j.x(); try {} catch (k) { k.x(); }",
        [],
    ),
    "variable named as its class": ("var Foo = new Foo(); Foo.bar();", ["new Foo.bar"]),
    "inheritance is no call": ("var X = Object.extendsObject(Base, {}); X = Class.create();", []),
    "broken": ("var a = new Foo(;\nvar b = Bar.baz(1);", ["new Foo", "static Bar.baz"]),
}


@pytest.mark.parametrize("case", CALLS)
def test_calls(case: str) -> None:
    code, expected = CALLS[case]
    check_calls(include(code), expected)


def check_place(code: str, expected: list[tuple[int, str]]) -> None:
    """Line and statement of each call; `start` must point at the statement."""
    script = Script("a.js", code, line_offset=10, package="p", module="a")
    calls = extract(script).calls
    assert [(call.line, call.statement) for call in calls] == expected
    for call in calls:
        assert code[call.start :].startswith(call.statement)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("\n  var a = new Foo();\n", [(12, "var a = new Foo();")]),
        ("if (Foo.nil(a)) {\n  return;\n}", [(11, "if (Foo.nil(a))")]),
        ("while (\n  Foo.more()) go();", [(12, "while (\n  Foo.more())"), (12, "go();")]),
        (
            "/* ü€😀 */ each(function() {\n\treturn Foo.a('€');\n});\nFoo.b();",
            [
                (11, "each(function() {\n\treturn Foo.a('€');\n});"),
                (12, "return Foo.a('€');"),
                (14, "Foo.b();"),
            ],
        ),
        ("X.prototype = {\n  LOG: new Log(),\n  b: 1\n}", [(12, "LOG: new Log()")]),
        ("f = {a: new Log()}", [(11, "f = {a: new Log()}")]),
        ("y = [" + "1, " * 200 + "\n   new Foo()];", [(12, "new Foo()];")]),
        ("Foo.a('" + "x" * 400 + "');", [(11, "Foo.a('" + "x" * 293)]),
    ],
)
def test_places(code: str, expected: list[tuple[int, str]]) -> None:
    check_place(code, expected)


def test_tables_and_names() -> None:
    found = include(
        "var gr = new GlideRecord('incident'); new GlideAggregate(\"task\"); function f() {} gr.a = 1;"
    )
    assert found.tables == ("incident", "task")
    assert found.names == ("gr", "f")


# Modules


def check_module(found: Extracted, apis: list[str], exports: dict[str, str] | None = None) -> None:
    assert [f"{api.kind} {api.api_name}" for api in found.apis] == [
        f"{a.replace(' ', ' pkg/src/lib.')}" for a in apis
    ]
    if exports is not None:
        assert dict(found.exports) == {name: f"pkg/src/lib.{local}" for name, local in exports.items()}


MODULES: dict[str, tuple[str, list[str], dict[str, str]]] = {
    "exported": (
        "export function a(b) {}\nexport class C {}\nexport const d = () => 1, e = 2;\nfunction f() {}",
        ["function a", "class C", "function d"],
        {"a": "a", "C": "C", "d": "d"},
    ),
    "exported below": ("function a() {}\nfunction b() {}\nexport {a as c};", ["function a"], {"c": "a"}),
    "default": ("export default function a() {}", ["function a"], {"default": "a"}),
    "default class": ("export default class A extends B.C { d() {} }", ["class A"], {"default": "A"}),
    "default without name": ("export default function (a) {}", ["function lib"], {"default": "lib"}),
    "default by name": ("class A {}\nexport default A;", ["class A"], {"default": "A"}),
    "exported again": ("export {a} from './b';\nexport * from './c';", [], {}),
    "documented": ("/** Yes. */\nfunction a() {}\n// no\nfunction b() {}", ["function a"], {}),
    "exports.x": (
        "exports.a = function(b) {};\nfunction c() {}\nexports.d = c;\nexports.e = 1;",
        ["function a", "function c"],
        {"a": "a", "d": "c"},
    ),
    "module.exports name": (
        "function A() {}\nA.prototype.b = function() {};\nmodule.exports = A;",
        ["class A"],
        {"*": "A"},
    ),
    "module.exports object": (
        "function a() {}\nmodule.exports = {a, b: function() {}, c: a, d() {}, e: 1};",
        ["function a", "function b", "function d"],
        {"a": "a", "b": "b", "c": "a", "d": "d"},
    ),
    "module.exports function": ("module.exports = function() {};", ["function lib"], {"*": "lib"}),
    "module.exports instance": ("class A { b() {} }\nmodule.exports = new A();", ["class A"], {"*": "A"}),
    "script without exports": (
        "var NS = {a: function() {}};\nfunction C() {}\nC.prototype.d = function() {};\nfunction "
        "e() {}\nArray.prototype.f = function() {};",
        ["object NS", "class C"],
        {},
    ),
    "only the exported": (
        "export const a = 1;\nvar NS = {a: function() {}};\nexport {NS};\nclass Hidden { x() {} }",
        ["object NS"],
        {"NS": "NS"},
    ),
}


@pytest.mark.parametrize("case", MODULES)
def test_modules(case: str) -> None:
    code, apis, exports = MODULES[case]
    check_module(module(code), apis, exports)


def test_code_of_a_module_api() -> None:
    code = "function A() {}\nvar other;\nA.prototype.b = function() {};\nmodule.exports = A;"
    (api,) = module(code).apis
    assert api.code == "function A() {}\n\nA.prototype.b = function() {};"


def test_index_file_goes_by_its_folder() -> None:
    (api,) = module("module.exports = function() {};", "src/parser/index").apis
    assert api.api_name == "pkg/src/parser/index.parser"


def test_typescript() -> None:
    code = """
        import type {Shape} from './shape';
        /** Draws. */
        export abstract class Pen<T> extends Tool<T> implements Shape {
            constructor(private readonly width: number) { super(); }
            private draw(this: Pen<T>, to: Point, dashed?: boolean): void { new Line(to).paint(); }
            static of = (color: string) => new Ink(color)!;
        }
        export const all = <Shape>{ each(f: (s: Shape) => void) {} } as Shape;
        export function pick(...names: string[]): Shape;
        """
    found = module(code, language="typescript")
    check_module(found, ["class Pen", "object all"], {"Pen": "Pen", "all": "all"})
    pen = found.apis[0]
    assert (pen.extends, pen.params, pen.doc) == ("Tool", ("width",), "Draws.")
    assert [method.signature for method in pen.methods] == ["draw(to, dashed)", "of(color)"]
    check_calls(found, ["new Line.paint", "new Ink"])


def check_imports(code: str, expected: list[tuple[str, str, str]]) -> None:
    assert list(module(code).imports) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import a from 'm';", [("a", "m", "default")]),
        ("import * as a from './m';", [("a", "pkg/src/m", "*")]),
        ("import {a, b as c} from '../m.js';", [("a", "pkg/m", "a"), ("c", "pkg/m", "b")]),
        (
            "import d, {e} from '@org/m/sub';",
            [("d", "@org/m/sub", "default"), ("e", "@org/m/sub", "e")],
        ),
        ("const a = require('m');", [("a", "m", "*")]),
        ("import a from 'chart.js';", [("a", "chart.js", "default")]),
        ("import a from '@org/m/lib/b.mjs';", [("a", "@org/m/lib/b", "default")]),
        ("const {a, b: c} = require('m');", [("a", "m", "a"), ("c", "m", "b")]),
        ("var a = require('m').b;", [("a", "m", "b")]),
        ("import 'm'; import(x); require(y);", []),
    ],
)
def test_imports(code: str, expected: list[tuple[str, str, str]]) -> None:
    check_imports(code, expected)


def test_calls_of_imports() -> None:
    code = """
        import {parse} from './parse';
        const util = require('util'), Reader = require('./reader');
        parse(1); util.inspect(2); new Reader().read();
        """
    check_calls(module(code), ["func parse", "static util.inspect", "new Reader.read"])


# Files and records


def check_scripts(folder: Path, expected: list[str]) -> tuple[Script, ...]:
    """`expected`: path:first line of the code | what is stated, in the order of the walk."""
    scripts, problems = read_workspace(folder)
    assert problems == ()
    assert [
        f"{s.path}:{s.line_offset + 1} {s.record_type}.{s.field} {s.record_name}" for s in scripts
    ] == expected
    return scripts


def test_records(tmp_path: Path) -> None:
    update = "apps/one/update"
    write(tmp_path, {
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
        "apps/one/other.xml": "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
    })  # fmt: skip
    _, client, script, include, policy, _ = check_scripts(tmp_path, [
        f"{update}/sp_widget_1.xml:6 sp_widget.script W",
        f"{update}/sp_widget_1.xml:7 sp_widget.client_script W",
        f"{update}/sys_script_1.xml:6 sys_script.script On insert",
        f"{update}/sys_script_include_1.xml:6 sys_script_include.script I",
        f"{update}/sys_ui_policy_1.xml:6 sys_ui_policy.script_true P",
        f"{update}/sys_ws_operation_1.xml:5 sys_ws_operation.operation_script Op",
    ])  # fmt: skip
    assert client.code == "c ]]> 1"
    assert (script.code, script.table, script.app) == ("\nnew A();\n", "incident", "apps/one")
    assert (include.api_name, include.access, include.client_callable) == ("x_one.I", "public", True)
    assert (include.description, policy.code, policy.table) == ("Says.", "f() < 1", "task")
    (call,) = extract(script).calls
    lines = (tmp_path / script.path).read_text().splitlines()
    assert lines[call.line - 1] == "new A();"


def check_scope(tmp_path: Path, head: str, expected: tuple[str, str]) -> None:
    """Scope and package of a record whose fields are `head`."""
    text = RECORD.format(table="sys_script", action="x", fields=f"<script>a()</script>{head}")
    write(tmp_path, {"shop/update/sys_script_1.xml": text})
    known = {"f" * 32: "x_known"}
    (script,), _ = read_scripts(tmp_path / "shop/update/sys_script_1.xml", tmp_path, known)
    assert (script.scope, script.package) == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("", ("", "shop")),
        ('<sys_scope display_value="Shop">x_shop</sys_scope>', ("x_shop", "shop")),
        ('<sys_scope display_value="global">global</sys_scope>', ("global", "shop")),
        (f'<sys_scope display_value="Shop">{"f" * 32}</sys_scope>', ("x_known", "shop")),
        (f'<sys_scope display_value="Shop">{"e" * 32}</sys_scope>', ("", "shop")),
        ('<sys_package display_value="Shop" source="x_shop">1</sys_package>', ("x_shop", "x_shop")),
        ('<sys_package display_value="Shop" source="com.shop">1</sys_package>', ("", "com.shop")),
        (f'<sys_package display_value="Shop" source="{"e" * 32}">1</sys_package>', ("", "Shop")),
        ('<sys_package display_value="Global" source="global">1</sys_package>', ("", "Global")),
    ],
)
def test_scope_and_package(tmp_path: Path, head: str, expected: tuple[str, str]) -> None:
    check_scope(tmp_path, head, expected)


def test_scopes_of_applications(tmp_path: Path) -> None:
    sys_id = "0123456789abcdef0123456789abcdef"
    write(tmp_path, {
        f"sys_app_{sys_id}.xml": record("sys_app", name="Shop", scope="x_shop"),
        "update/sys_script_1.xml": record("sys_script", script="a()", sys_scope=sys_id),
    })  # fmt: skip
    assert read_scopes(tmp_path, walk(tmp_path)) == {sys_id: "x_shop"}
    scripts, _ = read_workspace(tmp_path)
    assert [script.scope for script in scripts] == ["x_shop"]


def test_scope_of_most_script_includes() -> None:
    def made(name: str, app: str, scope: str, table: str = "sys_script_include") -> Script:
        return Script(name, "", record_type=table, record_name=name, app=app, scope=scope)

    scripts = fill_scopes(
        [
            made("A", "one", "x_a"),
            made("B", "one", "x_b"),
            made("C", "one", "x_b"),
            made("D", "one", ""),
            made("E", "one", "", "sys_script"),
            made("F", "two", "", "sys_script"),
            Script("m.js", ""),
        ]
    )
    assert [script.scope for script in scripts] == ["x_a", "x_b", "x_b", "x_b", "x_b", "", ""]
    assert [script.api_name for script in scripts] == ["x_a.A", "x_b.B", "x_b.C", "x_b.D", "", "", ""]


def test_plain_files(tmp_path: Path) -> None:
    write(tmp_path, {
        "package.json": json.dumps({"name": "root"}),
        "src/a.ts": "", "src/types.d.ts": "", "dist/a.min.js": "", "view.tsx": "", "b.test.mjs": "",
        "lib/package.json": json.dumps({"name": "@org/lib"}), "lib/src/c.js": "",
        "broken/package.json": "{", "broken/d.cjs": "",
        "x_app/sys_script_include/E.script.js": "var E = Class.create();",
        "x_app/sp_widget/W.client_script.js": "", "x_app/sys_ui_script/U.js": "",
        "node_modules/f/f.js": "", ".git/g.js": "", "env/pyvenv.cfg": "", "env/h.js": "", "index/i.js": "",
    })  # fmt: skip
    scripts, problems = read_workspace(tmp_path, frozenset({tmp_path / "index"}))
    assert problems == ()
    assert [(s.path, s.language, s.package, s.module) for s in scripts if not s.record_type] == [
        ("b.test.mjs", "javascript", "root", "b.test"),
        ("view.tsx", "tsx", "root", "view"),
        ("broken/d.cjs", "javascript", "root", "broken/d"),
        ("lib/src/c.js", "javascript", "@org/lib", "src/c"),
        ("src/a.ts", "typescript", "root", "src/a"),
    ]
    assert [
        (s.record_type, s.record_name, s.field, s.scope, s.api_name) for s in scripts if s.record_type
    ] == [
        ("sp_widget", "W", "client_script", "x_app", ""),
        ("sys_script_include", "E", "script", "x_app", "x_app.E"),
        ("sys_ui_script", "U", "script", "x_app", ""),
    ]


def test_package_of_a_folder_without_manifest(tmp_path: Path) -> None:
    write(tmp_path / "shop", {"a.js": ""})
    (script,), _ = read_workspace(tmp_path / "shop")
    assert (script.package, script.module) == ("shop", "a")


def test_links_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path, {"in/a.js": "", "out/b.js": ""})
    (tmp_path / "in/loop").symlink_to(tmp_path)
    (tmp_path / "in/b.js").symlink_to(tmp_path / "out/b.js")
    assert [path.name for path in walk(tmp_path / "in")] == ["a.js"]


@pytest.mark.parametrize(
    "data",
    [
        "a = 'ü€';".encode(),
        "a = 'ü€';".encode("utf-8-sig"),
        "a = 'ü€';".encode("utf-16"),
        "a = 'ü€';".encode("cp1252"),
    ],
)
def test_encodings(tmp_path: Path, data: bytes) -> None:
    write(tmp_path, {"a.js": data})
    (script,), problems = read_scripts(tmp_path / "a.js", tmp_path)
    assert (script.code, problems) == ("a = 'ü€';", ())


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "no-such-thing"])
def test_encoding_of_xml(tmp_path: Path, encoding: str) -> None:
    text = record("sys_script", script="ü()").replace("UTF-8", encoding)
    write(tmp_path, {"update/a.xml": text.encode("cp1252" if encoding.startswith("no") else encoding)})
    (script,), problems = read_scripts(tmp_path / "update/a.xml", tmp_path)
    assert (script.code, problems) == ("ü()", ())


# What cannot be read


def check_problem(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    write(tmp_path, {name: content, "update/good.xml": record("sys_script", script="a()")})
    scripts, problems = read_workspace(tmp_path)
    assert [script.path for script in scripts] == ["update/good.xml"]
    (problem,) = problems
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
        ("update/a.xml", record("sys_script", script="a()")[:-30], "broken XML"),
        ("update/a.xml", "", "broken XML"),
        ("update/a.xml", b"\x7fELF\x00\x01", "binary"),
        ("a.js", b"a = 1;\x00", "binary"),
    ],
)
def test_problems(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    check_problem(tmp_path, name, content, message)


def test_too_large(tmp_path: Path) -> None:
    write(tmp_path, {"a.js": "a = 1234;"})
    expected = Problem("a.js", "skipped: 9 bytes, the limit is 8")
    assert read_scripts(tmp_path / "a.js", tmp_path, max_bytes=8) == ((), (expected,))
    assert read_scripts(tmp_path / "a.js", tmp_path, max_bytes=9)[1] == ()


def test_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.js").mkdir()
    assert read_scripts(tmp_path / "a.js", tmp_path)[1] == (
        Problem("a.js", "cannot be read: Is a directory"),
    )
    assert read_scripts(tmp_path / "b.js", tmp_path)[1][0].path == "b.js"


# Whatever stands in a file, extraction ends and raises nothing


@pytest.mark.parametrize(
    "opening", ["(", "[", "{", "f(", "a.", "!", "x => ", "new A(", "{a: ", "a = ", "(function() {"]
)
@pytest.mark.parametrize("name", ["X", ""])
def test_deep_nesting(opening: str, name: str) -> None:
    code = opening * 10_000
    assert include(f"var X = {code}", name).apis
    module(f"module.exports = {code}\n;var y = {code}")


def test_wide_file() -> None:
    found = include("".join(f"function f{i}() {{ return new A().b(); }}\n" for i in range(5_000)))
    assert len(found.calls) == len(found.apis[0].methods) == 5_000


PIECES = """
    var X = ; X.prototype = { } ( ) [ ] function class extends Base a: , this.b = Object.extendsObject( =>
    new Foo( Foo.bar() GlideAjax 'x' " ` /* */ // export default module.exports exports.y import from return
    if else static get async * ... ${ require('m') 1 . ; ü 😀 <div> @ # \\ ? :
"""
CODE = st.lists(st.sampled_from([*PIECES.split(), "\n"])).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(CODE | st.text(), st.sampled_from(["javascript", "typescript", "tsx"]))
def test_any_code(code: str, language: Language) -> None:
    found = module(code, language=language)
    for call in (*found.calls, *include(code).calls):
        assert 0 <= call.start <= len(code)


XML = record(
    "sys_script_include", name="X", api_name="x_a.X", script="<![CDATA[var X = {a: function() {}};]]>"
)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(XML)), st.integers(0, 20), st.binary(max_size=12))
def test_any_record(tmp_path_factory: pytest.TempPathFactory, at: int, length: int, junk: bytes) -> None:
    folder = tmp_path_factory.mktemp("any") / "update"
    write(folder, {"a.xml": XML[:at].encode() + junk + XML[at + length :].encode()})
    scripts, problems = read_workspace(folder.parent)
    assert len(problems) <= 1
    for script in scripts:
        extract(script)
