"""The bench types what stands in the files, and its figures come from a real server."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import EXAMPLE

from deepcodeseek.index_builder.bench_lsp import LIMITS, latency_table, measure
from deepcodeseek.index_builder.soak_lsp import is_flat, soak, soak_text
from deepcodeseek.index_builder.typist import DEVIATION_MS, MEAN_MS, call_sites, keys
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.generation import index_directory
from deepcodeseek.server.models import Encoder

TEXT = "var berth = new BerthAllocator().findFree(arrival, vessel); " * 40


def test_what_is_typed_with_all_mistakes_is_the_text() -> None:
    typed = ""
    every = list(keys(TEXT, seed=1))
    for key in every:
        typed = typed + key.text if key.text else typed[:-1]
    assert typed == TEXT
    assert len(every) > len(TEXT)


def test_the_intervals_are_those_recorded() -> None:
    text = "(" * 20_000  # no words, so no thoughts
    ms = [1000 * key.seconds for key in keys(text, seed=2)]
    assert np.mean(ms) == pytest.approx(MEAN_MS, rel=0.02)
    assert np.std(ms) == pytest.approx(DEVIATION_MS, rel=0.05)


@pytest.mark.usefixtures("example_report")
def test_a_site_is_a_real_line_taken_out(engine: Engine) -> None:
    sites = call_sites(engine.index, EXAMPLE, 5, seed=0)
    assert len({site.path for site in sites}) == 5
    for site in sites:
        text = site.path.read_text(encoding="utf-8")
        lines = text.split("\n")
        assert lines[site.line].strip().startswith(site.typed)
        assert site.text.split("\n")[site.line] == site.indent


@pytest.mark.usefixtures("example_report")
def test_figures_of_a_quick_run(engine: Engine, encoder: Encoder) -> None:
    result = measure(encoder, engine.index, EXAMPLE, index_directory(EXAMPLE), 2, pace=50)
    assert result["apis"] == engine.index.count
    assert {"first list", "next letter", "the same again", "one encoder pass"} <= result["ms"].keys()
    assert set(result["ms"]) <= {*LIMITS, "one encoder pass"}
    assert all(0 < ms["p50"] <= ms["p95"] for name, ms in result["ms"].items() if "pause" not in name)
    assert result["peak_mb"]["server"] > 50
    assert "| first list |" in latency_table(result)


@pytest.mark.usefixtures("example_report")
def test_a_short_soak_adds_no_descriptors_and_no_threads(
    engine: Engine, encoder: Encoder, tmp_path: Path
) -> None:
    workspace = shutil.copytree(EXAMPLE, tmp_path / "workspace")
    index = shutil.copytree(index_directory(EXAMPLE), tmp_path / "index")
    sites = call_sites(engine.index, workspace, 10, seed=0)
    result = soak(encoder, sites, workspace, index, 20, lambda line: None, save_lines=2)
    assert result["lines"] > 3
    assert result["renewed"] > 1  # once it does when it starts
    assert f"{result['lines']:,} lines" in soak_text(result)
    assert result["descriptors_added"] <= 0
    assert result["threads_added"] <= 0


@pytest.mark.parametrize(
    ("growth", "descriptors", "threads", "flat"),
    [(0.0, 0, -1, True), (4.9, 0, 0, True), (5.1, 0, 0, False), (0.0, 1, 0, False), (0.0, 0, 2, False)],
)
def test_what_counts_as_growth(growth: float, descriptors: int, threads: int, flat: bool) -> None:
    result = {"growth_percent": growth, "descriptors_added": descriptors, "threads_added": threads}
    assert is_flat(result) is flat
