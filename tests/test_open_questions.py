"""What the paper leaves open: a row a question, with the figures of the result files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from deepcodeseek.index_builder.open_questions import open_questions
from deepcodeseek.index_builder.readme import RESULTS
from deepcodeseek.server.models import shipped


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for path in RESULTS.glob("*.json"):
        shutil.copy(path, tmp_path)
    return tmp_path


def rows(results: Path) -> list[list[str]]:
    return [[cell.strip() for cell in line.split(" | ")] for line in open_questions(results).splitlines()[2:]]


def test_each_question_has_a_row_and_a_sentence(results: Path) -> None:
    found = rows(results)
    assert [row[0].split(".")[0].strip("| ") for row in found] == list("123456")
    assert all(len(row) == 4 and row[3].rstrip(" |").endswith(".") for row in found)


def test_figures_come_from_the_files(results: Path) -> None:
    cases = json.loads((results / "ablations.json").read_text())
    for case in cases["cases"]:
        if case["case"] == "answer at 400 ms with the expander":
            case["top"]["5"], case["gained"] = [12.3, 1.2, 23.4], 77
    (results / "ablations.json").write_text(json.dumps(cases))
    row = rows(results)[5]
    assert row[1].startswith("12.3 [1.2, 23.4]")
    assert "gains 77" in row[3]


@pytest.mark.parametrize(
    ("tops", "verdict"),
    [((51.0, 55.0), "More is better"), ((51.0, 53.0), "More is no better"), ((51.0, 41.0), "More is worse")],
)
def test_synthetic_sets_are_held_against_none(tops: tuple[float, ...], verdict: str, results: Path) -> None:
    made = [
        {
            "method": method,
            "n": 480,
            "seeds": 3,
            "top": {"5": top},
            "interval": {"5": [46, 54]},
            "spread": {"5": 1.2},
        }
        for method, top in zip(("none", "204 lists", "1,000 lists"), (50.0, *tops), strict=True)
    ]
    (results / "synthetic-size.json").write_text(json.dumps({"results": made}))
    row = rows(results)[1]
    assert row[1].endswith(f"<br>{tops[1]} [46.0, 54.0] reranked, 1,000 lists")
    assert row[2] == "50.0 [46.0, 54.0] reranked, none, n = 480"
    assert row[3].startswith(f"{verdict}")
    assert f"from 50.0 to 51.0, {tops[1]} %" in row[3]
    assert row[3].endswith("Measured with an earlier fusion. |")
    of_now = {"results": made, "retrieved_by": shipped("fusion").sha256}
    (results / "synthetic-size.json").write_text(json.dumps(of_now))
    assert rows(results)[1][3].endswith("standard deviation at most 1.2). |")


def test_lost_targets_are_told(results: Path) -> None:
    assert "keeps all targets" in rows(results)[4][3]
    content = json.loads((results / "graph-filter.json").read_text())
    content["cases"][-1]["targets"]["percent"] = 98.2
    (results / "graph-filter.json").write_text(json.dumps(content))
    assert "keeps at least 98.2 % of the targets" in rows(results)[4][3]
