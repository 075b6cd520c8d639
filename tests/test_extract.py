"""From files to APIs and call sites: tables of input and expected output."""

from __future__ import annotations

import textwrap
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcodeseek.index_builder import parse
from deepcodeseek.index_builder.extract import Extracted, extract
from deepcodeseek.index_builder.scripts import Language, Script
from deepcodeseek.server.types import Api


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
        "var X = Class.create(); X.findById = Base.findById; X.DRAFT = Base.DRAFT; X.Color = Base.Color;",
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
    "made by its constructor": (
        "var X = Class.create(); X.prototype = {initialize: function(a) "
        "{ this.b = function(c) {}; this.log = {d: function() {}}; this.e = 1; }, f: function() {}};",
        "(a): b(c) log.d() f()",
    ),
    "made by its es constructor": (
        "class X { constructor(a) { this.b = c => c; this.d = 1; } e() {} }",
        "(a): b(c) e()",
    ),
    "in one statement": (
        "var X = Class.create(); X.a = function() {}, X.b = function(c) {}, X.prototype.d = function() {};",
        "(): a() b(c) d()",
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
    assert api.doc_origin == ("written" if expected else "synthesized")


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


AJAX = {  # code of a Script Include -> method: parameters
    "processor": (
        "var X = Class.create(); X.prototype = Object.extendsObject(AbstractAjaxProcessor, {"
        "a: function() { var b = this.getParameter('sysparm_b'); return this.getParameter(\"sysparm_c\"); },"
        "d: function() { return this.getParameter('sysparm_b') || this.getParameter('sysparm_b'); },"
        "e: function() {}, type: 'X'});",
        ["a: sysparm_b sysparm_c", "d: sysparm_b"],
    ),
    "other objects": (
        "X.prototype = Object.extendsObject(Base, {a: function() { g_request.getParameter('sysparm_a');"
        "request.getParameter('sysparm_b'); this.request.getParameter('sysparm_c');"
        "gs.get('sysparm_d'); }});",
        ["a: sysparm_a sysparm_b sysparm_c"],
    ),
    "inner functions": (
        "X.prototype = Object.extendsObject(Base, {a: function() { var self = this;"
        "each(function() { self.getParameter('sysparm_a'); });"
        "function b() { self.getParameter('sysparm_b'); }}});",
        ["a: sysparm_a sysparm_b"],
    ),
    "es class": (
        "class X extends AbstractAjaxProcessor { a() { return this.getParameter('sysparm_a'); } b() {} }",
        ["a: sysparm_a"],
    ),
    "one by one": (
        "var X = Class.create(); X.prototype = Object.extendsObject(Base, {});"
        "X.prototype.a = function() { return this.getParameter('sysparm_a'); };",
        ["a: sysparm_a"],
    ),
    "two classes, one name": (
        "Y.prototype = Object.extendsObject(Base, {a: function() { this.getParameter('sysparm_y'); }});\n"
        "X.prototype = Object.extendsObject(Base, {a: function() { this.getParameter('sysparm_x'); }});",
        ["a: sysparm_x"],
    ),
    "no names": (
        "X.prototype = Object.extendsObject(Base, {a: function() { this.getParameter(b);"
        "this.getParameter('id'); this.getParameter('sysparm_a b'); this.getParameter(); }});",
        [],
    ),
    "no ancestor": ("var X = {a: function() { request.getParameter('sysparm_a'); }};", []),
    "broken": (
        "X.prototype = Object.extendsObject(Base, {"
        "a: function() { this.getParameter('sysparm_a'), new Foo(; },"
        "b: function() {}});",
        ["a: sysparm_a"],
    ),
}


@pytest.mark.parametrize("case", AJAX)
def test_parameters_of_ajax_methods(case: str) -> None:
    code, expected = AJAX[case]
    (api,) = include(code).apis
    read = [f"{method.name}: {' '.join(method.sysparms)}" for method in api.methods if method.sysparms]
    assert read == expected


GR = "var gr = new GlideRecord('task');"
TABLES = {  # code of a rule on `incident` -> tables it uses / those it writes
    "read": (f"{GR} gr.query(); while (gr.next()) gs.info(gr.number);", "task /"),
    "several": ("new GlideRecord('b'); new GlideAggregate('a'); new GlideRecordSecure(\"b\");", "b a /"),
    "inserted": (f"{GR} gr.initialize(); gr.setValue('a', 1); gr.insert();", "task / task"),
    "set alone": (f"{GR} gr.setValue('a', 1);", "task /"),
    "updated in a loop": (f"{GR} gr.query(); while (gr.next()) {{ gr.a = 1; gr.update(); }}", "task / task"),
    "deleted": (f"{GR} gr.deleteMultiple();", "task / task"),
    "on the spot": ("new GlideRecord('a').insert();", "a / a"),
    "assigned later": ("var gr; gr = new GlideRecord('a'); gr.deleteRecord();", "a / a"),
    "bound again": (f"{GR} gr.query(); gr = new GlideRecord('b'); gr.update();", "task b / b"),
    "another function's": (
        "function a() { var gr = new GlideRecord('a'); gr.query(); }"
        "function b() { var gr = new GlideRecord('b'); gr.insert(); }",
        "a b / b",
    ),
    "inner function": (f"{GR} each(function() {{ gr.updateMultiple(); }});", "task / task"),
    "of the object": (
        "X.prototype = {save: function() { this.gr.update(); }, initialize: function() "
        "{ this.gr = new GlideRecord('a'); }};",
        "a / a",
    ),
    "query": ("new GlideQuery('a').where('b', 1).updateMultiple({c: 1});", "a / a"),
    "query that reads": ("new GlideQuery('a').where('b', 1).select().forEach(f);", "a /"),
    "query in a variable": ("var q = new GlideQuery('a'); q.insert({});", "a / a"),
    "bulk": ("var d = new GlideMultipleDelete('a'); d.execute();", "a / a"),
    "qualified": ("new global.GlideRecord('a').query();", "a /"),
    "current, read": ("gs.info(current.getValue('a'));", "incident /"),
    "current, updated": ("(function(current) { current.update(); })(current);", "incident / incident"),
    "current, set": ("current.state = 3;", "incident / incident"),
    "current, set by name": ("current.setValue('state', 3);", "incident / incident"),
    "current, made here": ("var current = new GlideRecord('a'); current.update();", "a / a"),
    "name unknown": ("new GlideRecord(name).insert(); new GlideRecord().insert();", "/"),
    "others": ("new Foo('a').update(); new GlideDateTime('a');", "/"),
    "broken": (f"{GR} gr.update();\nvar a = new Foo(;", "task / task"),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(case: str) -> None:
    code, expected = TABLES[case]
    found = extract(Script("r.xml", code, record_type="sys_script", record_name="R", table="incident"))
    assert f"{' '.join(found.tables)} / {' '.join(found.writes)}".strip() == expected


@pytest.mark.parametrize("language", ["javascript", "typescript", "tsx"])
def test_parameters_in_every_language(language: Language) -> None:
    code = "class X extends AbstractAjaxProcessor { a() { return this.getParameter('sysparm_a'); } }"
    (api,) = extract(Script("x.ts", code, 0, language, "sys_script_include", "X")).apis
    assert [method.sysparms for method in api.methods] == [("sysparm_a",)]


def test_current_of_a_script_include_has_no_table() -> None:
    found = include("current.update(); new GlideRecord('task');")
    assert (found.tables, found.writes) == (("task",), ())


def test_names() -> None:
    assert include("var gr = new GlideRecord('incident'); function f() {} gr.a = 1;").names == ("gr", "f")
    assert include("const>v,,g}").names == ("v", "g")  # what is not typed yet has none


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
    names = {"Pen": "Pen", "all": "all", "pick": "pick"}
    check_module(found, ["class Pen", "object all", "function pick"], names)
    pen = found.apis[0]
    assert (pen.extends, pen.params, pen.doc) == ("Tool", ("width",), "Draws.")
    assert [method.signature for method in pen.methods] == ["draw(to, dashed)", "of(color)"]
    check_calls(found, ["new Line.paint", "new Ink"])


def shown(api: Api) -> str:
    """kind name(parameters): return base: methods; `-` stands before a static one."""
    methods = " ".join(
        f"{'-' * m.is_static}{m.signature}{f': {m.returns}' if m.returns else ''}" for m in api.methods
    )
    params = f"({', '.join(api.params)})" if api.params else ""
    base = f" {api.extends}" if api.extends else ""
    result = f": {api.returns}" if api.returns else ""
    return f"{api.kind} {api.name}{params}{result}{base} | {methods}".rstrip(" |")


def check_apis(code: str, expected: list[str], language: Language = "typescript") -> tuple[Api, ...]:
    found = module(code, language=language)
    assert [shown(api) for api in found.apis] == expected
    return found.apis


DECLARATIONS: dict[str, tuple[str, list[str]]] = {
    "class": (
        "export declare abstract class A<T> extends B.C<T> implements D { constructor(a?: string); "
        "abstract b(c: T): Map<T, string>; static d(): void; e: (f: T) => void; g?: (() => T) | null; "
        "get h(): string; i: string; private j(): void; static readonly k: () => void; }",
        [
            "class A(a) B.C | b(c): Map<T, string> -d(): void e(f): void g(): T j(): void -k(): void",
        ],
    ),
    "overloads": (
        "export declare class A { b(c: 1): 1; d(): void; b(c: 2, e: 3): 2; }\n"
        "export declare function f(a: 1): 1;\nexport declare function f(a: 1, b: 2): 2;",
        ["class A | b(c, e): 1 d(): void", "function f(a): 1"],
    ),
    "interface": (
        "export interface A<T> extends B.C<T>, D { b(c: T): string; (x: number): string; e: () => void; "
        "f: { g(h: 1): 2 }; i?: string; readonly j: (k: 1) => 2; }",
        ["object A B.C | b(c): string e(): void f.g(h): 2 j(k): 2"],
    ),
    "interface not exported": (
        "/** Yes. */\ninterface A { b(): void }\ninterface C { d(): void }\nexport const e = 1;",
        ["object A | b(): void"],
    ),
    "type": (
        "export type A = { b(): void } & Other;\nexport type C = (d: string) => void;\nexport type E = 'f';",
        ["object A | b(): void"],
    ),
    "namespace": (
        "declare namespace N.M { class A { b(): void } function c(d: 1): 2; function c(d: 1, e: 2): 2; "
        "namespace O { interface P { q(): void } } const r: (s: 1) => 2; type T = 1; }",
        ["object N.M | -c(d, e): 2 -r(s): 2", "class N.M.A | b(): void", "object N.M.O.P | q(): void"],
    ),
    "namespace in code": (
        "export namespace N { export function a(b: string) { return b; } function c() {} }",
        ["object N | -a(b) -c()"],
    ),
    "namespace of a function": (
        "declare function f(a: 1): 2;\ndeclare namespace f { function g(): void; }\nexport = f;",
        ["function f(a): 2 | -g(): void"],
    ),
    "module": (
        "declare module 'x' { export class A { b(): void } export default A; }",
        ["class A | b(): void"],
    ),
    "global": (
        "export {};\ndeclare global { interface Window { a(): void } var b: { c(): void }; }",
        ["object Window | a(): void", "object b | -c(): void"],
    ),
    "object": (
        "export declare const A: { b(c: 1): void; d: (e: 1) => 2; f: { g(): void }; h: 1 };",
        ["object A | -b(c): void -d(e): 2 -f.g(): void"],
    ),
    "function type": ("export declare let f: (a: string) => number;", ["function f(a): number"]),
    "constructor": (
        "interface A { b(): void }\ninterface AConstructor { new (c: 1): A; d(): A }\n"
        "export declare var A: AConstructor;",
        ["class A(c) | b(): void -d(): A"],
    ),
    "type and value": (
        "interface A { (b: 1): 2; c(): void }\nexport const d: A = ((e) => 1) as A;\n"
        "export const f: { g: typeof h; i: typeof J.prototype.k } = {};\nfunction h(l: 1) {}",
        ["function d(e) | -c(): void", "object f | -g(l) -i()"],
    ),
    "alias of itself": (
        "type B = A;\ntype A = B & { c(): void };\nexport declare const d: A;",
        ["object d | -c(): void"],
    ),
    "export =": ("declare class A { b(): void }\nexport = A;", ["class A | b(): void"]),
    "long type": (
        "export declare function f(): { a: string; b: string; c: string; d: string; e: string; f: string };",
        ["function f: {...}"],
    ),
}


@pytest.mark.parametrize("case", DECLARATIONS)
def test_declarations(case: str) -> None:
    code, expected = DECLARATIONS[case]
    check_apis(code, expected)


def test_declared_members() -> None:
    code = """
        export declare class A {
            b(c: string): void;
            /** Of b. */
            b(c: number, d): void;
            private e(): void;
            protected f(): void;
        }
        """
    (api,) = module(code, language="typescript").apis
    b, e, f = api.methods
    assert (b.doc, b.types, b.line) == ("Of b.", ("number", ""), 3)
    assert [method.is_private for method in (b, e, f)] == [False, True, False]


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


AMD = [
    ("sap.ui.define(['./Tide', 'sap/m/Moon'], function(Tide, Moon) { new Tide(); });",
     [("Tide", "pkg/src/Tide", "*"), ("Moon", "sap/m/Moon", "*")]),
    ("define('me', ['a/Tide', 'jquery'], (Tide) => { new Tide(); });", [("Tide", "a/Tide", "*")]),
    ("require(['a/b', 'a/Tide'], function({x}, Tide) { new Tide(); });", [("Tide", "a/Tide", "*")]),
    ("define(['a/Tide'], Tide => new Tide());", [("Tide", "a/Tide", "*")]),
    ("define(function() { return 1; }); define([], x); define(['a'], factory);", []),
]  # fmt: skip


@pytest.mark.parametrize(("code", "expected"), AMD)
def test_amd_imports(code: str, expected: list[tuple[str, str, str]]) -> None:
    check_imports(code, expected)


def test_calls_of_imports() -> None:
    code = """
        import {parse} from './parse';
        const util = require('util'), Reader = require('./reader');
        parse(1); util.inspect(2); new Reader().read();
        """
    check_calls(module(code), ["func parse", "static util.inspect", "new Reader.read"])


# Whatever stands in a file, extraction ends and raises nothing


@pytest.mark.parametrize(
    "opening", ["(", "[", "{", "f(", "a.", "!", "x => ", "new A(", "{a: ", "a = ", "(function() {"]
)
@pytest.mark.parametrize("name", ["X", ""])
def test_deep_nesting(opening: str, name: str) -> None:
    code = opening * 10_000
    assert include(f"var X = {code}", name).apis
    module(f"module.exports = {code}\n;var y = {code}")


@pytest.mark.parametrize(
    "opening",
    [
        "namespace a {",
        "declare global {",
        "let a: {b: ",
        "let a: A<",
        "let a: (b: ",
        "type A = A | (",
        "class A { b: {",
    ],
)
def test_deep_declarations(opening: str) -> None:
    module(opening * 5_000, language="typescript")


def test_types_that_name_one_another() -> None:
    names = " | ".join(f"T{i}" for i in range(60))
    code = "".join(
        f"export interface T{i} {{ a: {names}; b: {{ c: {names} }}; d(): void }}\n" for i in range(60)
    )
    assert {len(api.methods) for api in module(code, language="typescript").apis} == {1}


HOSTILE = {  # what is quadratic to the parser, or to a query
    "unclosed comments": "/** ",
    "assertions": "a!",
    "type operators": "A|B ",
    "brackets": "{",
    "closed at once": ") a",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_takes_too_long_to_parse_is_given_up(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "PARSE_SECONDS", 1)
    started = time.thread_time()
    found = module(HOSTILE[case] * (3_000_000 // len(HOSTILE[case])), language="typescript")
    assert [problem.message for problem in found.problems] == ["skipped: takes more than 1 s to parse"]
    assert not found.apis
    assert time.thread_time() - started < 3


def test_a_parser_is_never_shown_less_of_a_file_than_before() -> None:
    assert not module("class /*\ufffd" * 2_500, language="tsx").apis  # its scanner crashed


def test_declare_a_thousand_times_over() -> None:
    found = module(
        f"{'declare ' * 2_000} var x: number;\ndeclare class B {{ c(): void }}", language="typescript"
    )
    assert "B" in found.names


def test_a_member_that_is_not_typed_yet_defines_nothing() -> None:
    assert module("this. = []; A. = function () {}; exports. = 1; class B {}").names == ("B",)


REPEATED = {  # of which five megabytes were quadratic; with the language
    "X.prototype.a{} = function() {{}};": "javascript",
    "/** {} */ var X;": "javascript",
    "A.B{0} = function() {{}}; A.B{0}.prototype.c = function() {{}};": "javascript",
    "function f{}() {{ return 1; }}": "javascript",
    "this.f = new GlideRecord('t{0}'); this.f.a{0}();": "javascript",
    "// {}": "javascript",
    "interface I {{ a{}(): void }}": "typescript",
    "declare const a{}: T; type T = U;": "typescript",
}


@pytest.mark.parametrize("line", REPEATED)
def test_time_grows_as_the_code_does(line: str) -> None:
    language: Any = REPEATED[line]
    took = []
    for times in (3_000, 24_000):
        started = time.thread_time()
        module("\n".join(line.format(i) for i in range(times)), language=language)
        took.append(time.thread_time() - started)
    assert took[1] < 12 * took[0] + 1


def test_variables_of_a_large_type_are_given_up() -> None:
    members = "".join(f"a{i}(): void;" for i in range(3_000))
    consts = "".join(f"declare const c{i}: U;" for i in range(3_000))
    found = module(f"interface U {{ {members} }} {consts}", language="typescript")
    assert [problem.message for problem in found.problems] == ["skipped: takes more than 4 s to parse"]


def test_a_large_file_is_read_whole() -> None:
    code = "".join(f"/** {'ü' * 50} */ export function f{i}() {{ A.b(); }}\n" for i in range(3_000))
    found = module(code)
    assert [len(found.apis), len(found.calls)] == [3_000, 3_000]
    assert found.apis[-1].name == "f2999"


def test_wide_file() -> None:
    found = include("".join(f"function f{i}() {{ return new A().b(); }}\n" for i in range(5_000)))
    assert len(found.calls) == len(found.apis[0].methods) == 5_000


PIECES = """
    var X = ; X.prototype = { } ( ) [ ] function class extends Base a: , this.b = Object.extendsObject( =>
    new Foo( Foo.bar() GlideAjax 'x' " ` /* */ // export default module.exports exports.y import from return
    this.getParameter('sysparm_a') if else static get async * ... ${ require('m') 1 . ; ü 😀 <div> @ # \\ ? :
    declare namespace interface type A | & typeof new() /**@class X*/ /**@memberof@X#a*/ define(
"""
CODE = st.lists(st.sampled_from([*PIECES.split(), "\n"])).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(CODE | st.text(), st.sampled_from(["javascript", "typescript", "tsx"]))
def test_any_code(code: str, language: Language) -> None:
    found = module(code, language=language)
    for call in (*found.calls, *include(code).calls):
        assert 0 <= call.start <= len(code)
