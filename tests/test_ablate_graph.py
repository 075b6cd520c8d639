"""Taking metadata away from an index and from a caller."""

from __future__ import annotations

import numpy as np
import pytest

from deepcodeseek.index_builder.ablate_graph import (
    Case,
    Sample,
    cases,
    filtered,
    measure,
    without_columns,
    without_facts,
)
from deepcodeseek.server.context import make_context
from deepcodeseek.server.engine import Engine

CONTEXT = make_context(
    "var x = 1;\n", "", {"scope": "x_hbr_cargo", "package": "x_hbr_cargo", "record_type": "sys_script"}
)
PRIVATE = "x_hbr_berth.BerthTimeline"  # package_private
PUBLIC = "x_hbr_berth.BerthAllocator"


def test_columns_are_blanked_in_a_copy(engine: Engine) -> None:
    before = engine.index.apis
    index = without_columns(engine.index, 100, np.random.default_rng(0))
    assert {*index.apis.scope, *index.apis.package, *index.apis.access} == {""}
    assert list(index.apis.name) == list(before.name)
    assert engine.index.apis is before
    half = without_columns(engine.index, 50, np.random.default_rng(0)).apis.package
    assert 0.2 < np.mean(half.equal("")) < 0.8


@pytest.mark.parametrize(("percent", "left"), [(0, ("x_hbr_cargo", "x_hbr_cargo")), (100, ("", ""))])
def test_facts_are_taken_away(percent: int, left: tuple[str, str]) -> None:
    context = without_facts(CONTEXT, percent, np.random.default_rng(0))
    assert (context.scope, context.package, context.record_type) == (*left, "sys_script")


@pytest.mark.parametrize(
    ("target", "percent", "is_kept"), [(PRIVATE, 0, False), (PRIVATE, 100, True), (PUBLIC, 0, True)]
)
def test_what_is_unknown_is_kept(engine: Engine, target: str, percent: int, is_kept: bool) -> None:
    index = without_columns(engine.index, percent, np.random.default_rng(0))
    share, found = filtered(index, CONTEXT, target)
    assert found is is_kept
    assert (share == 1.0) is (percent == 100)


def test_measure(engine: Engine) -> None:
    samples = [Sample(CONTEXT, PRIVATE), Sample(CONTEXT, PUBLIC)]
    every, filtered_ = (measure(engine, samples, case, 0) for case in (Case(graph=False), Case()))
    assert (every["targets"]["percent"], filtered_["targets"]["percent"]) == (100.0, 50.0)
    assert every["candidates"]["percent"] == 100.0 > filtered_["candidates"]["percent"]
    assert filtered_["n"] == 2
    assert measure(engine, samples, Case(50, 50), 1) == measure(engine, samples, Case(50, 50), 1)


def test_every_case_is_another() -> None:
    assert len(set(cases())) == len(list(cases())) == 11
