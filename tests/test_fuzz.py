"""The parsers on a few changed inputs each; `make fuzz` tries a hundred thousand."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from fuzz_inputs import any_input
from fuzz_targets import TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SECONDS = 5  # of computing for one input
INPUTS = 300

_SETTINGS = settings(
    max_examples=INPUTS,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("target", TARGETS)
@_SETTINGS
@given(seed=st.integers(0, 2**32))
def test_a_changed_input_neither_crashes_nor_holds_up(target: str, seed: int, tmp_path: Path) -> None:
    data = any_input(target, random.Random(seed))
    start = time.thread_time()
    TARGETS[target](data, tmp_path)
    assert time.thread_time() - start < SECONDS
