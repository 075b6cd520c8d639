"""What JSDoc comments and registering calls define: tables of code and the APIs it gives."""

from __future__ import annotations

import pytest
from test_extract import check_apis, include, module

TAGS: dict[str, tuple[str, list[str]]] = {
    "class": (
        "/** @class\n * @param {string} a */\nvar X = make();\nX.prototype.b = function(c) {};",
        ["class X(a) | b(c)"],
    ),
    "class without code": (
        "/**\n * @class a.X\n * @extends {Base}\n */\n\nvar y;\n/** @method a.X#b\n * @param c */",
        ["class a.X Base | b(c)"],
    ),
    "words are no name": ("/** @class of all things */\nfunction X() {}", ["class X"]),
    "namespace": (
        "/** @namespace */\nvar N = make();\n/** @memberof N */\nfunction a(b) {}",
        ["object N | -a(b)"],
    ),
    "member of": (
        "(function() { function wrap() {\n/** @memberOf _\n * @static */\nfunction a(b) {}\n"
        "/** @name c\n * @memberof _.prototype\n * @method\n * @param d\n */\n} })();\n"
        "/** @name _\n * @constructor */",
        ["class _ | -a(b) c(d)"],
    ),
    "function": (
        "/** @function f\n * @param {A} a\n * @returns {B} */\n/** @func\n * @param c */\nvar g = make();",
        ["function g(c)", "function f(a): B"],
    ),
    "function of an object": (
        "/** @namespace */\nvar N = {};\n/** @function\n * @param c */\nN.g = make();",
        ["object N | -g(c)"],
    ),
    "whose it is, is known": (
        "/** @namespace */\nvar N = {};\n/** @method b */\nN.b = function(c) {};\n",
        ["object N | -b(c)"],
    ),
    "typedef": (
        "/** @typedef {{a: string}} T */\n/** @typedef {function(): void} F */\n/** @callback C */",
        ["object T"],
    ),
    "lends": (
        "var X = extend(Base, /** @lends X.prototype */ {a: function(b) {}, c: 1});\n/** @class X */",
        ["class X | a(b)"],
    ),
    "private": (
        "/** @class\n * @private */\nfunction X() {}\n/** @function f\n * @ignore */\n/** @private */\n"
        "function g() {}\nclass Y { /** @private */ a() {} }",
        ["class Y | a()"],
    ),
    "inside a function": ("/** @class A~B */\n/** @function\n * @memberof A~B */\nfunction c() {}", []),
    "full name": (
        "/** @alias a.b.X */\nvar X = function() {};\nX.prototype.c = function() {};\nmodule.exports = X;",
        ["class a.b.X | c()"],
    ),
    "plain data": ("/** Some. */\nvar c = {red: 1};\n/** A function. */\nfunction f() {}", ["function f"]),
    "types": (
        "/** @param {A} b - c\n * @param [d]\n * @return {Promise<E>} */\nexport function f(b, d) {}",
        ["function f(b, d): Promise<E>"],
    ),
    "in a string": ("var a = '/** @class X */';", []),
}  # fmt: skip

REGISTERED: dict[str, tuple[str, list[str]]] = {
    "ui5": (
        "sap.ui.define(['sap/ui/core/Control'], function(Control) { 'use strict';\n"
        "/** A button. */\nvar Button = Control.extend('sap.m.Button', {metadata: {}, a: function(b) {}});\n"
        "Button.prototype.c = function() {};\nreturn Button; });",
        ["class sap.m.Button Control | a(b) c()"],
    ),
    "ui5 returned": (
        "sap.ui.define(['x'], function(Base) { return Base.extend('my.App', {a: function() {}}); });",
        ["class my.App Base | a()"],
    ),
    "amd": (
        "define(['x'], function(x) { function hidden() {} return {a: function(b) {}}; });",
        ["function a(b)"],
    ),
    "umd": (
        "(function(root, factory) { factory(root); })(this, (function(exports) {\n"
        "function A() {}\nA.prototype.b = function() {};\nexports.A = A; }));",
        ["class A | b()"],
    ),
    "ext": (
        "Ext.define('My.Panel', {extend: 'Ext.Panel', a: function(b) {}});",
        ["class My.Panel | a(b)"],
    ),
    "goog": (
        "goog.provide('a.b.C');\n/** @constructor */\na.b.C = function(d) {};\n"
        "a.b.C.prototype.e = function() {};\na.b.C.f = function() {};",
        ["class a.b.C(d) | e() -f()"],
    ),
    "goog.module": (
        "goog.module('a.C');\nclass C { b() {} }\nexports = C;",
        ["class C | b()"],
    ),
    "nested class": (
        "var N = {};\nN.A = function(b) {};\nN.A.prototype.c = function() {};\nN.d = function() {};",
        ["object N | -d()", "class N.A(b) | c()"],
    ),
    "alias of exports": ("var u = exports;\nu.a = function() {};", ["object u | -a()"]),
}


@pytest.mark.parametrize("case", [*TAGS, *REGISTERED])
def test_names(case: str) -> None:
    code, expected = {**TAGS, **REGISTERED}[case]
    check_apis(code, expected, "javascript")


def test_a_script_include_is_what_its_record_says() -> None:
    code = "/** @class Y */\n/** @function Y#b */\nvar X = Class.create();\nX.prototype = {a: function() {}};"
    (api,) = include(code).apis
    assert [method.name for method in api.methods] == ["a"]


def test_types_of_tags() -> None:
    code = "/** @class */\nclass X { /** @param {A} b\n * @param c\n * @returns {D} */ m(b, ...c) {} }"
    (api,) = module(code).apis
    (method,) = api.methods
    assert (method.types, method.returns) == (("A", ""), "D")


def test_many_comments() -> None:
    code = "/** @memberof X */\nfunction f() {}\n" * 5_000 + "(" * 5_000 + "/** @class X */" * 5_000
    (api,) = module(code).apis
    assert [method.name for method in api.methods] == ["f"]


@pytest.mark.parametrize(
    "code",
    ["/** " * 5_000, "/**" * 100_000, f"/** @class {'a.' * 100_000} */", f"/** @name {'a-' * 100_000}! */"],
)
def test_endless_comments(code: str) -> None:
    assert len(module(code).apis) <= 1
