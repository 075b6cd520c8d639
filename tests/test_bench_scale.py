"""Generated workspaces, and what is measured with them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from deepcodeseek.index_builder import bench_scale
from deepcodeseek.index_builder.bench_scale import Stages, sizes
from deepcodeseek.index_builder.bench_workspace import Plan, api_name, workspace_files
from deepcodeseek.index_builder.extract import extract
from deepcodeseek.index_builder.readme import scale_text
from deepcodeseek.index_builder.scripts import Script


def test_the_same_seed_gives_the_same_files() -> None:
    files = dict(workspace_files(Plan(60, seed=1)))
    assert files == dict(workspace_files(Plan(60, seed=1)))
    assert files.keys() == dict(workspace_files(Plan(60, seed=2))).keys()
    assert files != dict(workspace_files(Plan(60, seed=2)))


def test_a_smaller_workspace_has_other_scopes_but_the_same_names() -> None:
    names = {Path(path).name for path, _ in workspace_files(Plan(50))}
    assert names < {Path(path).name for path, _ in workspace_files(Plan(60))}


def test_no_two_apis_share_a_name() -> None:
    assert len({api_name(number) for number in range(20_000)}) == 20_000


def test_the_scripts_are_like_real_ones() -> None:
    every = list(workspace_files(Plan(100)))
    codes = [code for path, code in every if "sys_script_include" in path]
    assert 1200 < sum(map(len, codes)) / len(codes) < 2500
    path, code = every[7]
    name = Path(path).name.removesuffix(".script.js")
    made = extract(Script(path, code, record_type="sys_script_include", record_name=name))
    (api,) = made.apis
    assert not made.problems
    assert 3 <= len(api.methods) <= 8


@pytest.mark.parametrize(
    ("apis", "expected"), [(100_000, (1000, 10_000, 100_000)), (20_000, (2000, 20_000)), (200, (200,))]
)
def test_sizes(apis: int, expected: tuple[int, ...]) -> None:
    assert sizes(apis) == expected


def test_stages_are_told_by_their_first_word() -> None:
    stages = Stages()
    for task in ("reading", "linking doc", "linking code", "writing"):
        stages(task, 0, 1)
    assert list(stages.seconds()) == ["reading", "linking", "writing"]


def test_a_small_run_writes_what_the_readme_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "scale.json"
    arguments = ["--apis", "100", "--out", str(out), "--workspace", str(tmp_path / "home")]
    monkeypatch.setattr(sys, "argv", ["bench_scale", *arguments])
    bench_scale.main()
    content = json.loads(out.read_bytes())
    (build,), (lookup,) = content["builds"], content["lookups"]
    assert (build["apis"], build["files"], lookup["apis"]) == (100, 110, 100)
    assert build["peak_mb"] > 50 < lookup["server_mb"]
    assert build["seconds"]["total"] >= build["seconds"]["embedding"] > build["again"]["seconds"]["embedding"]
    assert 0 < lookup["graph_keeps_percent"] < 100
    assert all(np.all(np.diff((0, ms["p50"], ms["p95"])) >= 0) for ms in lookup["ms"].values())
    assert "| 100 |" in scale_text(content)
