"""Changed inputs for every parser: the properties of tests/fuzz_targets.py hold, each in less than 5 s."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from fuzz import SECONDS
from fuzz_inputs import SEEDS, any_input
from fuzz_targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each target; its one file is written again for each input."""
    return {target: tmp_path_factory.mktemp("fuzz") for target in TARGETS}


def check(target: str, data: bytes, place: Path) -> None:
    started = time.process_time()  # a busy machine is not the input's fault
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TARGETS[target](data, place)
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target: str, places: dict[str, Path]) -> None:
    for seed in SEEDS[target]:
        check(target, seed, places[target])


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_changed_inputs(target: str, places: dict[str, Path], number: int) -> None:
    check(target, any_input(target, random.Random(number)), places[target])


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes(target: str, places: dict[str, Path], data: bytes) -> None:
    check(target, data, places[target])


@pytest.mark.skipif(sys.platform == "win32", reason="its clock is POSIX's")
def test_the_long_run_ends_an_input_that_takes_too_long(tmp_path: Path) -> None:
    code = """if True:
        import sys, pathlib, fuzz
        fuzz.SECONDS = 0.2
        folder = pathlib.Path(sys.argv[1])
        (folder / "counts").write_bytes(bytes(fuzz._COUNTS.size))
        attempt = fuzz._attempt("any", lambda data, place: data and sum(range(10**12)), folder)
        attempt(b"")
        attempt(b"endless")"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parent, timeout=60)
    assert done.returncode == -signal.SIGPROF
    assert (tmp_path / "input").read_bytes() == b"endless"
