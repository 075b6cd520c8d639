"""What is called below the cursor on names that nothing defines: the statement to come may define them."""

from __future__ import annotations

import pytest

from deepcodeseek.server.context import make_context

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
    ("", "", ()),
]


@pytest.mark.parametrize(("before", "after", "expected"), MEMBERS)
def test_members_of_what_is_not_defined(before: str, after: str, expected: tuple[str, ...]) -> None:
    assert make_context(before, after).members == expected
