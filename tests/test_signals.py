"""What names at the cursor say of the APIs, signal by signal."""

from __future__ import annotations

import pytest

from deepcodeseek.server.context import make_context
from deepcodeseek.server.pipeline import Engine
from deepcodeseek.server.retrieve import rank, view_of
from deepcodeseek.server.types import ExpandedQuery

SAID = [
    # signal, before the cursor, after it, the API that it ranks first, if any
    ("unresolved names", "", "tideCurve.heightAt(now);", "TideCurve"),
    ("unresolved names", "", "send(this._mail);", "MailComposer"),
    ("unresolved names", "", "var now = 1;\nwc.next(now);", "WorkCalendar"),  # by its initials
    ("unresolved names", "", "grid(tide); curve.heightAt();", "TideCurve"),  # what is called speaks louder
    ("unresolved names", "var mail = ", "", "MailComposer"),
    ("unresolved names", "var tideCurve = 1;\n", "tideCurve.heightAt(now);", ""),
    ("unresolved names", "new TideCurve();\n", "tideCurve.heightAt(now);", "TideCalculator"),  # what is new
    ("unresolved names", "tideCurve.heightAt(now);\n", "", ""),
    ("function", "function composeMail(to) {\n  if (to) {\n", "", "MailComposer"),
    ("function", "composeMail: function(to) {\n}, run: function() {\n", "", ""),
    ("function", "// composeMail\n", "", ""),
]


@pytest.mark.parametrize(("signal", "before", "after", "expected"), SAID)
def test_what_a_name_says(signal: str, before: str, after: str, expected: str, engine: Engine) -> None:
    context = make_context(before, after, {"file": "apps/berth-planning/update/new.js"})
    found = rank(view_of(engine.index, ExpandedQuery(context), None), [signal])[signal]
    assert [engine.index.apis.name[api] for api in found.ids[:1].tolist()] == ([expected] if expected else [])
