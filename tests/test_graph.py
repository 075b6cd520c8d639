"""What the metadata graph says beyond single calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepcodeseek.index_builder.extract import extract
from deepcodeseek.index_builder.graph import (
    Names,
    ancestors,
    find_exports,
    inherited_methods,
    resolve_calls,
    with_tails,
)
from deepcodeseek.index_builder.scripts import Script
from deepcodeseek.server.types import Api, ApiKind, Method


def api(api_name: str, extends: str = "", methods: str = "", kind: ApiKind = "script_include") -> Api:
    """A method with a star before its name is static."""
    scope, _, name = api_name.rpartition(".")
    made = tuple(Method(m.lstrip("*"), is_static=m.startswith("*")) for m in methods.split())
    scope = scope if kind == "script_include" else ""
    return Api(api_name, name, kind, scope=scope, extends=extends, methods=made)


APIS = (
    api("global.Base", methods="a b _c"),
    api("global.Child", "Base", "b d"),
    api("x_a.Child", "global.Child", "d e"),
    api("x_a.Local", "Child", "f"),
    api("global.Stranger", "NotIndexed", "a"),
    api("x_a.Stranger", "Stranger", "g"),
    api("global.Own", "Own", "a"),
    api("global.Ping", "Pong", "a"),
    api("global.Pong", "Ping", "b"),
    api("global.Statics", methods="a *make"),
    api("global.OfStatics", "Statics"),
    api("global.Literal", methods="*a *b"),
    api("global.OfLiteral", "Literal", "b"),
    api("pkg/src/m.Base", methods="a", kind="class"),
    api("pkg/src/m.Child", "Base", "b", kind="class"),
    api("pkg/src/n.Child", "Base", "b", kind="class"),
)
INHERITED = {  # API -> ancestor.method
    "global.Base": "",
    "global.Child": "global.Base.a global.Base._c",
    "x_a.Child": "global.Child.b global.Base.a global.Base._c",
    "x_a.Local": "x_a.Child.d x_a.Child.e global.Child.b global.Base.a global.Base._c",
    "global.Stranger": "",
    "x_a.Stranger": "",
    "global.Own": "",
    "global.Ping": "global.Pong.b",
    "global.Pong": "global.Ping.a",
    "global.OfStatics": "global.Statics.a",
    "global.OfLiteral": "global.Literal.a",
    "pkg/src/m.Child": "pkg/src/m.Base.a",
    "pkg/src/n.Child": "",
}


@pytest.mark.parametrize("name", INHERITED)
def test_inherited_methods(name: str) -> None:
    (one,) = (one for one in APIS if one.api_name == name)
    found = inherited_methods(one, Names(APIS))
    assert " ".join(f"{item.api_name}.{item.method.name}" for item in found) == INHERITED[name]


def of_package(package: str, api_name: str) -> Api:
    return Api(api_name, api_name.rpartition("/")[2].partition(".")[2] or api_name, "class", package=package)


PACKAGED = (
    of_package("three", "three/src/math/Vector3.Vector3"),
    of_package("three", "three/src/math/Plane.Plane"),
    of_package("three", "three/examples/jsm/Plane.Plane"),
    of_package("three", "three/src/math/utils.MathUtils.Range"),
    of_package("three-extra", "three-extra/lib.Ray"),
    of_package("@org/sea", "@org/sea/src/a.Vessel"),
    of_package("@org/sea", "@org/sea/src/b.moor"),
    of_package("@types/org__tides", "@types/org__tides/index.Tide"),
    of_package("@servicenow/glide", "GlideRecord"),
    of_package("pkg", "pkg/src/deep.Own"),
    replace(of_package("x_app", "x_app.Include"), kind="script_include"),
)
IMPORTED = {  # -> what the calls mean
    "import {Vector3} from 'three'; new Vector3(1).add(2)": "three/src/math/Vector3.Vector3",
    "import {Vector3 as V} from 'three/webgpu'; V.from(1)": "three/src/math/Vector3.Vector3",
    "import * as THREE from 'three'; new THREE.Vector3()": "three/src/math/Vector3.Vector3",
    "import THREE from 'three'; THREE.Vector3.from(1)": "three/src/math/Vector3.Vector3",
    "const THREE = require('three'); new THREE.Vector3()": "three/src/math/Vector3.Vector3",
    "const {Vector3} = require('three'); new Vector3()": "three/src/math/Vector3.Vector3",
    "const V = require('three').Vector3; new V()": "three/src/math/Vector3.Vector3",
    "import {MathUtils} from 'three'; new MathUtils.Range(1)": "three/src/math/utils.MathUtils.Range",
    "import {Plane} from 'three'; new Plane()": "",  # two have the name
    "import {Ray} from 'three'; new Ray()": "",
    "import {Vector3} from 'three-extra'; new Vector3()": "",
    "import {Vector3} from 'thr'; new Vector3()": "",
    "import {Vessel} from '@org/sea/lib/main.js'; new Vessel()": "@org/sea/src/a.Vessel",
    "import {Vessel} from '@org'; new Vessel()": "",
    "import * as sea from '@org/sea'; sea.moor(1)": "@org/sea/src/b.moor",
    "import sea from '@org/sea'; sea.moor(1)": "@org/sea/src/b.moor",
    "import sea from '@org/sea/other'; sea.moor(1)": "",  # a file's default is not its package
    "import {Tide} from '@org/tides'; new Tide()": "@types/org__tides/index.Tide",
    "import {GlideRecord as GR} from '@servicenow/glide'; new GR('task')": "GlideRecord",
    "import {Own} from './barrel'; new Own()": "pkg/src/deep.Own",
    "import {Own} from '../elsewhere'; new Own()": "pkg/src/deep.Own",
    "import * as own from './barrel'; own.Own()": "",  # may be anything of that file
    "import {Include} from 'x_app'; new Include()": "",  # scopes are not imported from
    "new Vector3()": "",
}


@pytest.mark.parametrize("code", IMPORTED)
def test_calls_through_imports(code: str) -> None:
    calls = extract(Script("src/a.js", code, package="pkg", module="src/a"))
    found = resolve_calls(calls, Names(PACKAGED), {})
    assert " ".join(edge.api_name for edge in found) == IMPORTED[code]


SHARED = {  # code of a script -> what it means, beside tide.js, sun.js, rain.js, shine.js and a module
    "new sea.Tide()": "p/tide.sea.Tide",
    "sea.Tide.of(1)": "p/tide.sea.Tide",
    "new Sun()": "p/sun.Sun",
    "new Sky()": "",  # two scripts define it
    "new Hidden()": "",  # a module's own
    "new Tide()": "",
    "import x from './x'; new Sun()": "",  # a module says what it uses
    "function f(Sun) { new Sun() }": "",
    "new Elsewhere()": "",
}


@pytest.mark.parametrize("code", SHARED)
def test_plain_scripts_of_a_package_share_what_they_define(code: str) -> None:
    scripts = {
        "tide": "/** Water. */\nsea.Tide = function() {};\nsea.Tide.prototype.of = function() {};",
        "sun": "/** Light. */\nclass Sun { rise() {} }",
        "rain": "class Sky { fall() {} }",
        "shine": "class Sky { rise() {} }",
        "module": "/** Nobody's. */\nclass Hidden { a() {} }\nexport class Other { a() {} }",
    }
    every = [extract(Script(f"{m}.js", text, package="p", module=m)) for m, text in scripts.items()]
    every.append(extract(Script("q.js", "class Elsewhere { a() {} }", package="q", module="q")))
    calls = extract(Script("a.js", code, package="p", module="a"))
    found = resolve_calls(calls, Names([api for item in every for api in item.apis]), find_exports(every))
    assert " ".join(edge.api_name for edge in found) == SHARED[code]


def test_what_a_module_exports_comes_before_what_its_package_has() -> None:
    exports = {("three/index", "Vector3"): "whole vector", ("three/a", "*"): "whole"}
    code = "import {Vector3} from 'three'; new Vector3(); const a = require('three/a'); a(1)"
    calls = extract(Script("a.js", code, package="pkg", module="a"))
    found = resolve_calls(calls, Names(PACKAGED), exports)
    assert [edge.api_name for edge in found] == ["whole vector", "whole"]


def test_of_several_the_one_that_is_exported_is_meant() -> None:
    plane = "three/src/math/Plane"
    calls = extract(Script("a.js", "import {Plane} from 'three'; new Plane()", package="pkg", module="a"))
    for exports, expected in (
        ({(plane, "Plane"): f"{plane}.Plane"}, [f"{plane}.Plane"]),
        (
            {
                (f"three/{path}/Plane", "Plane"): f"three/{path}/Plane.Plane"
                for path in ("src/math", "examples/jsm")
            },
            [],
        ),
    ):
        found = resolve_calls(calls, Names(PACKAGED), exports)
        assert [edge.api_name for edge in found] == expected


def test_a_long_chain_ends() -> None:
    every = tuple(api(f"global.A{i}", f"A{i + 1}") for i in range(5_000))
    assert len(tuple(ancestors(every[0], Names(every)))) == 4_999


def test_a_module_goes_by_the_end_of_its_path_where_only_one_ends_so() -> None:
    exports = {("p/src/sap/m/Bar", "*"): "bar", ("q/src/sap/m/Tab", "*"): "tab", ("q/x/m/Tab", "*"): "other"}
    found = with_tails(exports)
    assert found["sap/m/Bar", "*"] == found["m/Bar", "*"] == found["p/src/sap/m/Bar", "*"] == "bar"
    assert found["sap/m/Tab", "*"] == "tab"
    assert ("m/Tab", "*") not in found
    assert ("Bar", "*") not in found
