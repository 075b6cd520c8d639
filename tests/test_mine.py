"""Mined samples: what is taken out, what is flagged, and that the same seed gives the same choice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from deepcodeseek.index_builder import mine as mining
from deepcodeseek.index_builder.cli import main
from deepcodeseek.index_builder.extract import extract
from deepcodeseek.index_builder.graph import find_exports
from deepcodeseek.index_builder.mine import Sample, mine, without_imports
from deepcodeseek.index_builder.scripts import Script

IMPORTS = [
    # code before the call, what is left of it when Tide is the target
    ("import {Tide} from './tide';\nvar a;\n", "var a;\n"),
    ("import {\n  Moon,\n  Tide\n} from './tide';\nvar a;\n", "var a;\n"),
    (
        "import Moon from './moon';\nimport * as Tide from 'tide'\nvar a;\n",
        "import Moon from './moon';\nvar a;\n",
    ),
    ("const {Tide} = require('./x');\nvar a;\n", "var a;\n"),
    (
        "const Moon = require('./moon');\nconst Tide = require('./x').Tide\n",
        "const Moon = require('./moon');\n",
    ),
    ("const {\n  Moon,\n  Tide\n} = require('./x');\nvar a;\n", "var a;\n"),
    (
        "const {\n  Sun,\n  Moon\n} = require('./x');\nconst { Tide } = require('./y');\n",
        "const {\n  Sun,\n  Moon\n} = require('./x');\n",
    ),
    ("goog.require('sea.Tide');\nvar a;\n", "var a;\n"),
    ("goog.requireType('sea.Tide');\ngoog.forwardDeclare('sea.Tide');\nvar a;\n", "var a;\n"),
    ('/** @typedef {import("./Tide")} Tide */\nvar a;\n', "var a;\n"),
    (
        '/**\n * @import {Tide} from "./tide"\n * @typedef {import("./moon").Moon} Moon\n */\n',
        '/**\n * @typedef {import("./moon").Moon} Moon\n */\n',
    ),
    ("/** @typedef {Tide} Sea */\n", "/** @typedef {Tide} Sea */\n"),
    (
        "sap.ui.define(['sap/m/Moon', 'sap/m/Tide'], function(Moon, Tide) {\n",
        "sap.ui.define(['sap/m/Moon',], function(Moon, ) {\n",
    ),
    (
        'sap.ui.define([\n\t"./Tide",\n\t"./Moon"\n], (Tide, Moon) => {\n',
        'sap.ui.define([\n\n\t"./Moon"\n], ( Moon) => {\n',
    ),
    ("define('me', ['a/Tide'], function(Tide) {\n", "define('me', [], function() {\n"),
    (  # a path goes with the parameter at its place
        "sap.ui.define(['sea/Lib', \"sea/Moon\"], function(Tide, Moon) {\n",
        'sap.ui.define([ "sea/Moon"], function( Moon) {\n',
    ),
    ("define(['a', 'b/c', 'd'], async (A, Tide) => {\n", "define(['a', 'd'], async (A, ) => {\n"),
    ("import {Tides} from './tides';\n", "import {Tides} from './tides';\n"),
    ("var a = important('Tide');\n", "var a = important('Tide');\n"),
]


@pytest.mark.parametrize(("before", "left"), IMPORTS)
def test_imports_of_the_target_are_taken_out(before: str, left: str) -> None:
    assert without_imports(before, ("Tide", "Tide")) == left


CLASS = "var {0} = Class.create();\n{0}.prototype = {{ of: function(a) {{ return a; }} }};\n"
LINES = "var a = 1;\nvar b = 2;\nvar c = {};\n"


def include(name: str, scope: str = "global") -> Script:
    code = CLASS.format(name)
    path = f"{scope}/sys_script_include/{name}.js"
    return Script(path, code, record_type="sys_script_include", record_name=name, scope=scope, package=scope,
                  api_name=f"{scope}.{name}")  # fmt: skip


def rule(path: str, code: str) -> Script:
    return Script(path, code, record_type="sys_script", record_name=path, scope="global", package="p")


def mined(*rules: Script, per_target: int = 5, seed: int = 0) -> tuple[Sample, ...]:
    every = [extract(script) for script in (include("Tide"), include("Moon"), include("Moon", "x_a"), *rules)]
    apis = [api for item in every for api in item.apis]
    return mine(every, apis, find_exports(every), per_target, seed)


def test_a_sample_is_the_script_around_a_call() -> None:
    (sample,) = mined(
        rule("r.js", f"{LINES.format(3)}var t = new Tide().of(a);\nt.go();\nlog(new Tide());\n")
    )[:1]
    assert sample.code_before == LINES.format(3)
    assert sample.code_middle == "var t = new Tide().of(a);"
    assert sample.code_after == "\nt.go();\n"  # the second call names the target
    assert (sample.target, sample.target_name, sample.method) == ("global.Tide", "Tide", "of")
    assert (sample.record_type, sample.project, sample.lines_before) == ("sys_script", "p", 3)


def test_a_statement_that_calls_an_api_twice_asks_for_it_once() -> None:
    samples = mined(rule("r.js", f"{LINES.format(3)}go(new Tide(), new Tide());\n"))
    assert [(s.target_name, s.balanced) for s in samples] == [("Tide", True)]


@pytest.mark.parametrize(
    ("imported", "call", "is_fair"),
    [("$", "$(1);", True), ("_", "_(1);", True), ("$", "$(1);\nvar b = $(2);", False)],
)
def test_names_without_letters(imported: str, call: str, is_fair: bool) -> None:
    """Such a name stands in every text, as far as its letters go."""
    sea = Script("sea.js", f"export function {imported}(a) {{}}\n")
    use = Script("use.js", f"import {{ {imported} }} from './sea';\n{LINES}var d = {call}\nvar e = 5;\n")
    every = [extract(replace(script, package="p", module=script.path[:-3])) for script in (sea, use)]
    found = mine(every, every[0].apis, find_exports(every), per_target=5, seed=0)
    assert [(s.leak, s.usable, s.code_before.startswith(LINES)) for s in found][-1] == (
        not is_fair,
        is_fair,
        True,
    )
    assert "var e = 5;" in found[0].code_after


def test_what_the_own_file_defines_is_no_fair_question() -> None:
    """As in an export of many records: nothing of the caller's own file is a candidate."""
    path, calls = "export.xml", f"{LINES}new Tide().of(a);\n"
    scripts = [
        replace(include("Tide"), path=path),
        *(replace(rule(f"r{i}", calls), path=path) for i in (1, 2)),
    ]
    every = [extract(script) for script in scripts]
    samples = mine(every, [api for item in every for api in item.apis], find_exports(every), 5, 0)
    assert [(s.record_name, s.usable, s.clean) for s in samples] == [
        ("r1", False, False),
        ("r2", False, False),
    ]
    assert len({sample.id for sample in samples}) == 2  # at the same place, of two records


ALIASES = [
    # how a module calls what another exports, what is left before and after, whether that tells the target
    ("import {tide as flow} from './sea';\n{0}flow(1);\nflow(2);\n", "{0}", "\n", False),
    ("import {tide as flow} from './sea';\n{0}flow(1);", "{0}", "", False),
    ("import {tide as flow} from './sea';\n{0}var Flow;\nflow(1);", "{0}var Flow;\n", "", True),
    ("import * as flow from './sea';\n{0}flow.moon();\nflow.tide(1);", "{0}flow.moon();\n", "", False),
    (  # a letter that is two in lower case
        "import {tide as flow} from './sea';\n{0}flow(1);\nmoon('İİİİİİİİİİİİ');\nflow(2);\nend();",
        "{0}",
        "\nmoon('İİİİİİİİİİİİ');\nend();",
        False,
    ),
    ("const flow = require('./sea');\n{0}flow.tide(1);\nflow.moon();", "{0}", "\nflow.moon();", False),
    ("const {{tide: flow}} = require('./sea');\n{0}flow(1);\nflow(2);\n", "{0}", "\n", False),
]


@pytest.mark.parametrize(("code", "before", "after", "leak"), ALIASES)
def test_another_name_for_the_target_tells_it_as_well(code: str, before: str, after: str, leak: bool) -> None:
    sea = Script("sea.js", "export function tide(a) {}\nexport function moon(a) {}\n")
    use = Script("use.js", code.replace("{0}", LINES.format(3)).replace("{{", "{").replace("}}", "}"))
    every = [extract(replace(script, package="p", module=script.path[:-3])) for script in (sea, use)]
    found = mine(every, every[0].apis, find_exports(every), per_target=5, seed=0)
    sample = next(sample for sample in found if sample.target_name == "tide")
    assert (sample.code_before, sample.code_after) == (before.replace("{0}", LINES.format(3)), after)
    assert sample.leak == leak


def test_plain_scripts_that_share_names() -> None:
    """As the Closure Library has it: what is required is taken out, what else is required stays."""
    tide = Script(
        "tide.js", "/** Water. */\nsea.Tide = function() {};\nsea.Tide.prototype.of = function() {};\n"
    )
    moon = f"goog.require('sea.Tide');\ngoog.require('sea.Sun');\n{LINES.format(3)}new sea.Tide();\n"
    every = [extract(replace(script, package="p", module=script.path[:-3]))
             for script in (tide, Script("moon.js", moon))]  # fmt: skip
    (sample,) = mine(every, every[0].apis, find_exports(every), per_target=5, seed=0)
    assert sample.code_before == f"goog.require('sea.Sun');\n{LINES.format(3)}"
    assert (sample.target, sample.target_name, sample.clean) == ("p/tide.sea.Tide", "Tide", True)


FLAGS = [
    # code of one rule, flags of its first sample
    (f"{LINES.format(3)}new Tide();", {"usable", "balanced", "clean"}),
    ("var a = 1;\nnew Tide();", set()),
    (f"{LINES.format('tide')}var tide;\nnew Tide();", {"leak"}),
    (f"{LINES.format('x')}// Tide\nnew Tide();", {"leak"}),
    (f"{LINES.format(3)}var _tide;\nnew Tide();", {"leak"}),
    (f"{LINES.format(3)}go($tide, 1);\nnew Tide();", {"leak"}),
    (f"{LINES.format(3)}var tide_;\nnew Tide();", {"leak"}),
    (f"{LINES.format(3)}var tideTable;\nnew Tide();", {"usable", "balanced", "clean"}),
    (f"{LINES.format(3)}new global.Moon();", {"ambiguous", "usable", "balanced"}),
]


@pytest.mark.parametrize(("code", "flags"), FLAGS)
def test_flags(code: str, flags: set[str]) -> None:
    sample = mined(rule("r.js", code))[0]
    names = ("leak", "clone", "ambiguous", "usable", "balanced", "clean")
    assert {name for name in names if getattr(sample, name)} == flags


def test_clones_repetitions_and_contested_windows() -> None:
    same = f"{LINES.format(3)}new Tide();"
    one, other = mined(rule("a.js", same), rule("b.js", same))
    assert (one.clone, one.ambiguous, one.balanced, one.clean) == (True, False, True, False)
    assert (one.usable, other.usable) == (True, False)  # the same window and target a second time
    tide, moon = mined(rule("a.js", same), rule("b.js", f"{LINES.format(3)}new global.Moon();"))
    assert tide.ambiguous
    assert moon.ambiguous


CLONES = [
    # the lines before a call and the call, twice in two files, whether one is a clone of the other
    ("var a;\nvar b;\nvar c;\nvar d;\nnew Tide();", "var e;\nvar b;\nvar c;\nvar d;\nnew Tide();", True),
    ("var a;\nvar b;\nvar c;\nvar d;\nnew Tide();", "var a;\nvar b;\nvar e;\nvar d;\nnew Tide();", False),
    ("var a;\nvar b;\nvar c;\nnew Tide().of(1);", "var e;\nvar b;\nvar c;\nnew Tide().of(2);", True),
    ("var a;\nvar b;\nvar c;\nnew Tide().of(1);", "var e;\nvar b;\nvar c;\nnew Tide();", False),
    ("var a;\nvar b;\nvar c;\nnew Tide();", "var e;\nvar b;\nvar c;\nnew global.Moon();", False),
]


@pytest.mark.parametrize(("one", "other", "is_clone"), CLONES)
def test_a_clone_has_the_same_two_lines_target_and_method(one: str, other: str, is_clone: bool) -> None:
    samples = mined(rule("a.js", one), rule("b.js", other))
    assert [(s.usable, s.clone) for s in samples] == [(True, is_clone)] * 2


def test_apis_whose_last_names_are_the_same_are_ambiguous() -> None:
    code = "/** Water. */\n{0}.Tide = function() {{}};\n{0}.Tide.prototype.of = function() {{}};\n"
    tides = [Script(f"{water}.js", code.format(water)) for water in ("sea", "lake")]
    use = Script("use.js", f"goog.require('sea.Tide');\n{LINES.format(3)}new sea.Tide();\n")
    every = [extract(replace(script, package="p", module=script.path[:-3])) for script in (*tides, use)]
    apis = [api for item in every for api in item.apis]
    assert {api.name for api in apis} == {"sea.Tide", "lake.Tide"}
    (sample,) = mine(every, apis, find_exports(every), per_target=5, seed=0)
    assert (sample.ambiguous, sample.balanced, sample.clean) == (True, True, False)


def test_a_file_may_ask_for_a_target_once() -> None:
    """As in an export of many records: in one script the first call tells the second."""
    records = (rule(f"r{n}", f"{LINES.format(n)}var n{n};\nnew Tide();") for n in range(3))
    samples = mined(*(replace(record, path="export.xml") for record in records))
    assert [s.usable for s in samples] == [True, True, True]
    assert sum(s.balanced for s in samples) == 1


def test_an_import_that_is_taken_out_is_no_line_before() -> None:
    sea = Script("sea.js", "export function tide(a) {}\n")
    use = Script("use.js", "import {tide} from './sea';\nvar a = 1;\n\nvar b = 2;\ntide(1);\n")
    every = [extract(replace(script, package="p", module=script.path[:-3])) for script in (sea, use)]
    (sample,) = mine(every, every[0].apis, find_exports(every), per_target=5, seed=0)
    assert (sample.lines_before, sample.leak, sample.usable) == (2, False, False)


def test_what_an_installed_package_calls_is_not_asked() -> None:
    code = f"{LINES.format(3)}new Tide();"
    samples = mined(rule("a.js", code), rule("node_modules/sea/a.js", code))
    assert [(s.file, s.clone) for s in samples] == [("a.js", False)]


def test_the_balanced_choice_is_capped_and_seeded() -> None:
    rules = [rule(f"{n}.js", f"{LINES.format(n)}var n{n};\nnew Tide();") for n in range(20)]
    chosen = [{s.id for s in mined(*rules, per_target=4, seed=seed) if s.balanced} for seed in (0, 0, 1)]
    assert [len(ids) for ids in chosen] == [4, 4, 4]
    assert chosen[0] == chosen[1] != chosen[2]


def test_of_a_long_file_of_many_calls_some_are_asked_from_all_over_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each brings the whole file along: in three megabytes twenty thousand would be sixty gigabytes."""
    code = "".join(f"var n{n} = new Tide();\n" for n in range(100))
    assert len(mined(rule("a.js", code))) == 100
    monkeypatch.setattr(mining, "MOST_TEXT", 10 * len(code))
    assert [s.code_middle for s in mined(rule("a.js", code))] == [
        f"var n{n} = new Tide();" for n in range(0, 100, 10)
    ]
    assert len(mined(rule("a.js", code), rule("b.js", LINES.format(1) + "new Tide();"))) == 11


def test_all_samples_of_a_file_share_a_fold() -> None:
    rules = [rule(f"{n}.js", f"{LINES.format(n)}new Tide();\nnew global.Moon();") for n in range(30)]
    folds = {(s.file, s.fold) for s in mined(*rules)}
    assert len(folds) == 30
    assert len({fold for _, fold in folds}) == 5


def test_the_command_writes_samples(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    (workspace / "lib").mkdir(parents=True)
    (workspace / "lib/tide.js").write_text("export class Tide { of() {} }\n")
    use = "import {Tide} from './tide';\nvar a = 1;\nvar b = 2;\nvar c = 3;\nnew Tide().of();\n"
    (workspace / "lib/use.js").write_text(use)
    done = CliRunner().invoke(main, ["eval", "mine", str(workspace), "--out", str(tmp_path / "s.jsonl")])
    assert done.exit_code == 0, done.output
    assert "1 samples of 1 APIs" in done.output
    assert '"code_before": "var a = 1;\\nvar b = 2;\\nvar c = 3;\\n"' in (tmp_path / "s.jsonl").read_text()
