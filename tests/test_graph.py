"""What the metadata graph says beyond single calls."""

from __future__ import annotations

import pytest

from deepcodeseek.index_builder.graph import Names, ancestors, inherited_methods
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


def test_a_long_chain_ends() -> None:
    every = tuple(api(f"global.A{i}", f"A{i + 1}") for i in range(5_000))
    assert len(tuple(ancestors(every[0], Names(every)))) == 4_999
