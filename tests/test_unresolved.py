"""What is used below the cursor and nothing defines: the statement to come may define it."""

from __future__ import annotations

import time

import pytest

from deepcodeseek.server.context import make_context
from deepcodeseek.server.types import Unresolved

MEMBERS = [
    # before the cursor, after it, the members
    ("", "util.load(a);\nutil.save();\n", ("load", "save")),
    ("", "this.util.load();", ("load",)),
    ("var util = new ", "util.load();", ("load",)),  # the cursor's own line defines what is asked for
    ("var a = 1;\r\nvar util = new A", "util.load();", ("load",)),
    ("var util = 1;\n", "util.load();", ()),
    ("let util;\nconst b = 2;\n", "util.load(); b.c(); d.e();", ("e",)),
    ("this.util = make();\n", "this.util.load(); this.other.stop();", ("stop",)),
    ("import util, { other } from 'x';\n", "util.load(); other.go(); third.stay();", ("stay",)),
    ("function f(util, b) {\n", "util.load(); b.c(); d.e();", ("e",)),
    ("", "items.forEach((item) => item.load()); catch (e) { e.log(); }", ("forEach",)),
    ("", "var later = util.load(); later.go();", ("load",)),
    ("", "this.load(); super.load(); a.b.load(); 'x'.load(); util.name;", ()),
    ("", "// util.load()\nx('util.save()');", ()),
    ("", "", ()),
    # of a function that has ended above, or begins below, a variable says nothing
    ("a: function() {\n  var util = 1;\n},\nb: function() {\n", "util.load();", ("load",)),
    ("a: function(util) {\n  if (x) { function g() {} }\n},\nb: function() {\n", "util.load();", ("load",)),
    ("for (var util of all) {\n}\n", "util.load();", ()),
    (
        "b: function() {\n  if (x) {\n",
        "util.load();\n}\nother.go();\n},\nc() { third.stay(); }",
        ("load", "go"),
    ),
    ("b() {\n", "}, c() { util.load(); this.util.save(); }", ("save",)),
    ("switch (x) {\n", "}\nutil.load();", ("load",)),
    # nor what was there all along
    ("util.save();\n", "util.load();", ()),
    ("", "gs.info(x); JSON.parse(x); GlideRecord.go(); g_form.setValue(x); Helper.load();", ()),
    # the server is asked for a method by its name
    (
        "function onLoad() {\n",
        "ga.addParam('sysparm_name', 'find');\nga.addParam('sysparm_id', x);\nga.getXML(f);\n}",
        ("find",),
    ),
]

NAMES = [
    # before the cursor, after it, the names, the receivers
    ("", "util.load(cart);", ("util", "cart"), {"util"}),
    ("", "b(a); a.load();", ("b", "a"), {"a"}),
    ("var a;\n", "b(a); a.load();", ("b",), set()),
    ("var util = new ", "return util;", ("util",), {"util"}),
    ("var a = 1;\nvar util = new ", "a(); b();", ("util", "b"), {"util"}),
    ("this._state = ", "", ("this._state",), {"this._state"}),
    ("", "this._state.next(); this.load();", ("this._state",), {"this._state"}),
    ("", "if (typeof x === 'undefined') return null; // or y", ("x",), set()),
    ("", "send({ key: value, other });", ("send", "value", "other"), set()),
    ("", "list.first.second; `${name} text`;", ("list", "name"), set()),
    ("", "for (var i = 0; i < n; i++) {}", ("n",), set()),
    ("", "", (), set()),
]


@pytest.mark.parametrize(("before", "after", "expected"), MEMBERS)
def test_members_of_what_is_not_defined(before: str, after: str, expected: tuple[str, ...]) -> None:
    assert make_context(before, after).unresolved.members == expected


@pytest.mark.parametrize(("before", "after", "names", "receivers"), NAMES)
def test_names_that_are_not_defined(
    before: str, after: str, names: tuple[str, ...], receivers: set[str]
) -> None:
    found = make_context(before, after).unresolved
    assert found == Unresolved(names, frozenset(receivers), found.members)


LONG = [
    # what stands after the cursor in one long line
    f"var key = '{'a3f9' * 5000}';",
    f"var key = {'a$' * 10_000};",
    f"{'a' * 20_000}.addParam(",
    f"{'this.' * 4000}x",
    "(" * 20_000,
    "{a " * 6000,
]


@pytest.mark.parametrize("line", LONG, ids=lambda line: line[:16])
def test_a_long_line_takes_no_longer_than_its_length(line: str) -> None:
    begin = time.process_time()
    make_context("var a = 1;\nvar x = ", f"\n{line}\n")
    assert time.process_time() - begin < 0.5  # squared, it would be seconds
