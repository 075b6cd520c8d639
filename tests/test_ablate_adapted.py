"""Five folds: each sample is asked of weights that have not seen its file."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import EXAMPLE, QUICK, QUIET

from deepcodeseek.index_builder import ablate_adapted, evaluate
from deepcodeseek.index_builder.ablate_adapted import _place, judged_text
from deepcodeseek.index_builder.adapt import fold_of, mined
from deepcodeseek.index_builder.build import Report
from deepcodeseek.index_builder.train_fusion import _initial, write_fusion
from deepcodeseek.server.engine import Engine, load_engine
from deepcodeseek.server.generation import index_directory
from deepcodeseek.server.models import SHIPPED

pytestmark = pytest.mark.usefixtures("few_questions")


def test_each_sample_is_asked_of_weights_that_have_not_seen_its_file(
    example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index = index_directory(EXAMPLE)
    samples = mined(index, EXAMPLE, frozenset(), QUIET, QUIET)[:5]
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, samples)), encoding="utf-8")
    hidden: list[list[str]] = []

    def stand_in(engine: Engine, index: Path, out: Path, workspace: Any, leave_out: Any, *_: Any) -> str:
        hidden.append(leave_out)
        return "nothing learned"

    monkeypatch.setattr(ablate_adapted, "adapt", stand_in)
    options = [
        "--index",
        index,
        "--samples",
        tmp_path / "s.jsonl",
        "--subset",
        "all",
        "--work",
        tmp_path / "w",
    ]
    shutil.copytree(SHIPPED["reranker"], tmp_path / "stage" / "reranker")
    for _ in range(2):
        arguments = [*options, "--out", tmp_path / "adapted.json", "--stage", "again", tmp_path / "stage"]
        done = CliRunner().invoke(ablate_adapted.main, list(map(str, arguments)))
        assert done.exit_code == 0, done.output
    folds = fold_of(sample["file"] for sample in samples).tolist()
    assert [frozenset(files) for files in hidden] == [
        frozenset(s["file"] for s, its in zip(samples, folds, strict=True) if its == fold)
        for fold in sorted(set(folds))
    ]  # once each: the second time what lies there is asked
    written = json.loads((tmp_path / "adapted.json").read_text(encoding="utf-8"))
    rows = {row["method"]: row for row in written["results"]}
    assert {row["n"] for row in rows.values()} == {len(samples)}
    # Nothing was learned, so that all of these are the same weights.
    for suffix in ("", ", nothing after the cursor"):
        assert rows[f"adapted{suffix}"]["top"] == rows[f"fused{suffix}"]["top"]
        assert rows[f"adapted, reranked{suffix}"]["top"] == rows[f"reranked{suffix}"]["top"]
    assert rows["reranked, again"]["top"] == rows["reranked"]["top"]
    assert "; beside it *again*." in written["description"]
    assert " --stage again MODELS --out" in written["commands"][0]


@pytest.mark.parametrize(
    ("models", "written"),
    [
        ("/home/a/m", "MODELS"),
        ("/home/a/m/stages/sft+rl", "MODELS/stages/sft+rl"),
        ("stages/base", "MODELS/stages/base"),
    ],
)
def test_a_command_names_no_folder_of_this_machine(models: str, written: str) -> None:
    assert _place(Path(models)) == written


JUDGED = [
    # questions and top-1 before and after, of each fold that wrote something; what is said
    ([], []),
    (
        [(50, 40.0, 41.0)],
        ["files of the workspace, 50 as mined in each fold,", "top-1 is 40.0 by what ships, 41.0 adapted"],
    ),
    (
        [(1613, 57.6, 62.76), (1636, 57.64, 59.6)],
        ["1,613 to 1,636 as mined in each fold", "is 57.6 by what ships, 59.6 to 62.8 adapted"],
    ),
]


@pytest.mark.parametrize(("folds", "said"), JUDGED)
def test_by_what_adapting_was_judged(
    folds: list[tuple[int, float, float]], said: list[str], tmp_path: Path
) -> None:
    for number, (questions, before, after) in enumerate(folds):
        adapted = {"questions": questions, "before": {"1": before}, "after": {"1": after}}
        write_fusion(
            _initial(4, np.random.default_rng(0)),
            tmp_path / str(number) / "fusion",
            {"adapted": adapted},
            QUICK,
        )
    text = judged_text([tmp_path / str(number) for number in range(len(folds))])
    assert len(text) == bool(folds)
    assert all(part in text[0] for part in said)
    some = judged_text([tmp_path / str(number) for number in range(len(folds) + 1)])
    assert all(f"in each fold of the {len(folds)} that learned something, asked" in text for text in some)


def test_folds_of_other_code_are_made_anew_and_installed_models_are_refused(
    example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[Path] = []

    def made_anew(*arguments: Any) -> None:
        made.append(arguments[2])
        shutil.copytree(SHIPPED["fusion"], made[-1] / "fusion")  # fails where the last one is there still

    monkeypatch.setattr(ablate_adapted, "adapt", made_anew)
    monkeypatch.setattr(ablate_adapted, "_rows", lambda *parts: [])
    index = index_directory(EXAMPLE)
    samples = mined(index, EXAMPLE, frozenset(), QUIET, QUIET)[:5]
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, samples)), encoding="utf-8")

    def run(*more: object) -> Result:
        options = ["--index", index, "--samples", tmp_path / "s.jsonl", "--subset", "all"]
        options += ["--work", tmp_path / "w", "--out", tmp_path / "new" / "a.json", *more]
        return CliRunner().invoke(ablate_adapted.main, list(map(str, options)))

    first, again, elsewhere = run(), run(), run("--workspace", EXAMPLE)
    assert [each.exit_code for each in (first, again, elsewhere)] == [0, 0, 0], first.output
    folds = len(set(made))
    assert len(made) == 2 * folds
    monkeypatch.setattr(ablate_adapted, "code_digest", lambda: b"other")
    assert run("--workspace", EXAMPLE).exit_code == 0
    assert len(made) == 3 * folds
    monkeypatch.setattr(ablate_adapted, "SHIPPED", {})
    assert run("--workspace", EXAMPLE).exit_code == 0
    assert len(made) == 4 * folds
    missing = run("--stage", "base", tmp_path / "none")
    assert missing.exit_code == 1
    assert f"{tmp_path / 'none'} holds no cross-encoder that can be used" in missing.output
    assert len(made) == 4 * folds  # it was said before all the work
    engine = load_engine(index, adapted=False)
    monkeypatch.setattr(evaluate, "load_engine", lambda *_, **__: replace(engine, fusion=None))
    refused = run()
    assert refused.exit_code == 1
    assert "instead of what ships (fusion): `deepcodeseek models list`" in refused.output
