"""What names at the cursor say of the APIs, signal by signal."""

from __future__ import annotations

import pytest

from deepcodeseek.server.context import make_context
from deepcodeseek.server.engine import Engine
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
    # all words of a name say more than one word of a longer one
    ("words before", "// the mail that the harbour master gets\ncompose(", "", "MailComposer"),
    ("words before", "", "tide.curve();", ""),
    ("words after", "", "tide.curve();", "TideCurve"),
    ("words after", "tide.curve();\n", "", ""),
]


@pytest.mark.parametrize(("signal", "before", "after", "expected"), SAID)
def test_what_a_name_says(signal: str, before: str, after: str, expected: str, engine: Engine) -> None:
    context = make_context(before, after, {"file": "apps/berth-planning/update/new.js"})
    found = rank(view_of(engine.index, ExpandedQuery(context), None), [signal])[signal]
    assert [engine.index.apis.name[api] for api in found.ids[:1].tolist()] == ([expected] if expected else [])


ALIKE = "function plan(vessel) {\n  var berth = findBerth(vessel.draught, vessel.length_overall);\n"


@pytest.mark.parametrize("signal", ["code alike", "files alike"])
def test_a_file_is_like_others_as_a_whole(signal: str, engine: Engine) -> None:
    context = make_context(ALIKE + "x();\n" * 20, "", {"file": "apps/berth-planning/update/new.js"})
    found = rank(view_of(engine.index, ExpandedQuery(context), None), [signal])[signal]
    assert len(found.ids)
    assert "findBerth" not in context.window
    assert not rank(view_of(engine.index, ExpandedQuery(make_context("", "")), None), [signal])[
        signal
    ].ids.size


def test_neighbours_are_used_by_what_the_file_names_or_use_what_it_defines(engine: Engine) -> None:
    index = engine.index

    def neighbours(before: str, file: str) -> set[str]:
        view = view_of(index, ExpandedQuery(make_context(before, "", {"file": file})), None)
        return {index.apis.name[api] for api in rank(view, ["neighbours"])["neighbours"].ids.tolist()}

    used, using = next(
        (int(api), int(other))
        for api, file in zip(index.uses.api, index.uses.file, strict=True)
        for other in range(index.count)
        if index.file_of[other] == file and other != api
    )
    assert index.apis.name[used] in neighbours(f"new {index.apis.name[using]}();\n", "new.js")
    assert index.apis.name[using] in neighbours("", index.apis.source[used])
