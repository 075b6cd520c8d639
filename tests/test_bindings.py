"""What names mean, asked of the example's index."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepcodeseek.server.bindings import Script, meaning_of, members_of
from deepcodeseek.server.cursor import cursor_at
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.modules import Caller, imports_of

BERTH = Caller("apps/berth-planning/update/new.js", "x_hbr_berth", "x_hbr_berth")
MODULE = Caller("packages/harbour-tools/src/new.js", "", "harbour-tools")
ALLOCATOR = "findFree listCandidates reserve release"
REGISTRY = "findByImo isBanned particulars find exists register retire"
BASE = "find exists register retire"
TIDES = "rangeOf interpolate riseByTwelfths isSpringTide"

MEMBERS = [
    # caller, text that ends behind a dot, methods that are offered
    (BERTH, "var u = new BerthAllocator();\nu.", ALLOCATOR),
    (BERTH, "var u = new x_hbr_berth.BerthAllocator(a, 'x)');\nu.fi", ALLOCATOR),
    (BERTH, "var u = new BerthAllocator(); u = new VesselRegistry(); u.", REGISTRY),
    (BERTH, "var u = new BerthAllocator(); u = u; u.", ALLOCATOR),
    (BERTH, "new VesselRegistry().", REGISTRY),
    (BERTH, "(new VesselRegistry()).", REGISTRY),
    (BERTH, "this.a = new BerthAllocator();}, f: function() { this.a.", ALLOCATOR),
    (BERTH, "V.prototype = Object.extendsObject(global.BaseRegistry, { m: function() { this.", BASE),
    (BERTH, "TideMath.", TIDES),
    (BERTH, "var u = 'new BerthAllocator()'; u.", ""),
    (BERTH, "// var u = new BerthAllocator();\nu.", ""),
    (BERTH, "var u = new BerthAllocator(); u = other(); u.", ""),
    (BERTH, "var u = new BerthAllocator() || v; u.", ""),
    (BERTH, "var TideMath = 1; TideMath.", ""),
    (BERTH, "new x_hbr_cargo.YardPlanner().", "findSlot reserve vacate occupancy"),
    (BERTH, "new YardPlanner().", ""),
    (MODULE, "import {TideCurve as T} from './tides.js';\nconst c = new T(p);\nc.", "heightAt windowsAbove"),
    (MODULE, "import * as t from './tides.js';\nconst c = new t.TideCurve(p);\nc.", "heightAt windowsAbove"),
    (MODULE, "const {ReadingBuffer} = require('./legacy');\nvar b = new ReadingBuffer(3); b.", "push mean"),
    (MODULE, "const legacy = require('./legacy');\nvar b = new legacy.ReadingBuffer(3); b.", "push mean"),
    (MODULE, "import {TideCurve} from 'elsewhere';\nconst c = new TideCurve(p);\nc.", ""),
    (MODULE, "/** @param {TideCurve} c */ function f(c) { c.", "heightAt windowsAbove"),
    (MODULE, "function f(c: TideCurve) { c.", "heightAt windowsAbove"),
    (MODULE, "nothing.", ""),
]  # fmt: skip


@pytest.mark.parametrize(("caller", "before", "methods"), MEMBERS)
def test_what_a_dot_offers(engine: Engine, caller: Caller, before: str, methods: str) -> None:
    cursor = cursor_at(before)
    meaning = meaning_of(engine.index, Script(caller, cursor.code.text, before), cursor.receiver)
    found = members_of(engine.index, meaning) if meaning else ()
    assert [each.method.name for each in found if each.method] == methods.split()


IMPORTS = [
    ("import A from 'm'", [("A", "m", "default")]),
    ("import { b, c as d } from './m.js';", [("b", "./m.js", "b"), ("d", "./m.js", "c")]),
    ("import A, { b } from 'm'", [("b", "m", "b"), ("A", "m", "default")]),
    ("import * as n from 'm'", [("n", "m", "*")]),
    ("import type { T } from 'm'", [("T", "m", "T")]),
    ("const x = require('m')", [("x", "m", "*")]),
    ("var { a, b: c } = require('m');", [("a", "m", "a"), ("c", "m", "b")]),
    ("var a = require('m').b", [("a", "m", "b")]),
    ("import 'm'", []),
]


@pytest.mark.parametrize(("text", "expected"), IMPORTS)
def test_imports(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert [(each.local, each.module, each.exported) for each in imports_of(text)] == expected


WORDS = ("u", "new ", "BerthAllocator", ".", "(", ")", " = ", ";", "\n", "this", "x_hbr_berth", "{", "}", "'")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(WORDS), max_size=20).map("".join))
def test_any_script_has_members_or_none(engine: Engine, text: str) -> None:
    cursor = cursor_at(f"{text}.")
    meaning = meaning_of(engine.index, Script(BERTH, cursor.code.text, text), cursor.receiver)
    assert meaning is None or {each.api.name for each in members_of(engine.index, meaning)} <= {
        "BerthAllocator"
    }
