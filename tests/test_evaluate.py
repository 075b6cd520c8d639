"""Measuring: how a sample becomes a question, what its own file must not tell, and the figures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import EXAMPLE, StandIn

from deepcodeseek.index_builder import evaluate
from deepcodeseek.index_builder.ablate import ablate, cases, without_models, working
from deepcodeseek.index_builder.build import Report, build_index
from deepcodeseek.index_builder.cli import main
from deepcodeseek.index_builder.evaluate import (
    Asked,
    Cursor,
    commit_or_version,
    context_of,
    measure,
    result_name,
)
from deepcodeseek.index_builder.figures import Outcome, compare, mcnemar, rows
from deepcodeseek.index_builder.train_fusion import Recipe, write_fusion
from deepcodeseek.server import __version__
from deepcodeseek.server.answers import Answers, context_key
from deepcodeseek.server.context import make_context
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.fusion import FEATURES, Fusion
from deepcodeseek.server.generation import ADAPTED, index_directory
from deepcodeseek.server.index import open_index
from deepcodeseek.server.models import Encoder, ModelFiles, ModelProblem, Remembering
from deepcodeseek.server.pipeline import METHODS, Variant, predict
from deepcodeseek.server.signals import SIGNALS
from deepcodeseek.server.stop import Stop
from deepcodeseek.server.text import reranker_document
from deepcodeseek.server.types import Prompt

SAMPLE = {
    "id": "a",
    "file": "x_hbr_berth/sys_script/Rule.script.js",
    "record_type": "sys_script",
    "table": "x_hbr_berth_call",
    "code_before": "var a = 1;\n",
    "code_middle": "var found = new x_hbr_berth.BerthAllocator().find(a);",
    "code_after": "",
    "target": "x_hbr_berth.BerthAllocator",
    "target_name": "BerthAllocator",
    "kind": "new",
}


@pytest.mark.parametrize(
    ("statement", "kind", "cursor", "typed"),
    [
        ("var found = new BerthAllocator();", "new", "statement", ""),
        ("var found = new BerthAllocator();", "new", "new", "var found = new "),
        ("var found = new BerthAllocator();", "new", "letters", "var found = new Be"),
        ("var found = new x_a.BerthAllocator();", "new", "new", "var found = new "),
        ("var berthAllocator = new BerthAllocator();", "new", "letters", "var x = new Be"),
        ("log(new x_a.BerthAllocator(1));", "new", "letters", "log(new x_a.Be"),
        ("BerthAllocator.of(a);", "static", "new", None),
        ("BerthAllocator.of(a);", "static", "statement", ""),
    ],
)
def test_how_far_the_statement_is_typed(
    statement: str, kind: str, cursor: Cursor, typed: str | None, engine: Engine
) -> None:
    context = context_of(engine, SAMPLE | {"code_middle": statement, "kind": kind}, Asked(cursor))
    assert (context and context.before) == (None if typed is None else SAMPLE["code_before"] + typed)


def test_what_is_known_of_the_file(engine: Engine) -> None:
    seen = {
        facts: context_of(engine, SAMPLE, Asked(facts=facts))  # type: ignore[arg-type]
        for facts in ("given", "path", "none")
    }
    assert {facts: (c.scope, c.record_type, c.table) for facts, c in seen.items() if c} == {
        "given": ("x_hbr_berth", "sys_script", "x_hbr_berth_call"),
        "path": ("x_hbr_berth", "sys_script", ""),
        "none": ("", "", ""),
    }
    assert {context.file for context in seen.values() if context} == {SAMPLE["file"]}


SAMPLES = [SAMPLE | {"id": str(n), "code_before": f"var call{n} = berth.next();\n"} for n in range(3)]


# What the sample's own file must not tell

CLASS = "var {0} = Class.create();\n{0}.prototype = {{ go: function(a) {{ return a; }} }};\n"
PLANTED = {
    "global/sys_script_include/Zufu.script.js": CLASS.format("Zufu"),
    "global/sys_script_include/Other.script.js": CLASS.format("Other"),
    "global/sys_script/Elsewhere.script.js": "var quay = harbour.first();\nnew Other().go(quay);\n",
}
OWN = "global/sys_script/Own.script.js"
LEAK = (
    "new Other().go(1);\nvar quay = harbour.first();\nvar depth = quay.depth;\nnew Zufu().go(quay, depth);\n"
)


@pytest.fixture(scope="module")
def planted(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> list[Engine]:
    """The index without the sample's own file, and with it: the only one that uses the target."""
    engines = []
    for files in (PLANTED, PLANTED | {OWN: LEAK}):
        folder = tmp_path_factory.mktemp("planted")
        for name, code in files.items():
            (folder / "w" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "w" / name).write_text(code)
        build_index(folder / "w", folder / "i", encoder, lambda *_: None)
        engines.append(Engine(open_index(folder / "i", encoder.files.sha256), encoder))
    return engines


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_leak_planted_in_the_own_file_is_refused(signal: str, planted: list[Engine]) -> None:
    before = LEAK[: LEAK.index("new Zufu")]
    context = make_context(before, "", {"file": OWN, "scope": "global", "record_name": "Own"})
    without, leaky = (
        {item.api.name: item.evidence for item in predict(engine, context, Variant({signal: 1.0})).ranked}
        for engine in planted
    )
    assert leaky.get("Zufu") == without.get("Zufu")
    assert not any("usages" in e.signal for e in leaky.get("Zufu", ()))


def test_the_example_of_a_document_is_not_read(planted: list[Engine]) -> None:
    """It is a call: it is shown, and neither searched (as the signals above show) nor given to a model."""
    before, after = (engine.index.api(engine.index.find("Zufu")[0]) for engine in planted)
    assert "new Zufu().go(quay, depth)" in after.synthesized
    assert reranker_document(after, None) == reranker_document(before, None)


def test_what_was_answered_elsewhere_is_not_told_by_caches(planted: list[Engine]) -> None:
    """Answers, vectors and what else is kept, filled by a file that may see the planted call."""
    before, variant = LEAK[: LEAK.index("new Zufu")], METHODS["rrf"]
    other, own = (
        make_context(before, "", {"file": file, "scope": "global"})
        for file in ("global/sys_script/New.script.js", OWN)
    )
    assert planted[1].encoder
    engine, answers = replace(planted[1], encoder=Remembering(planted[1].encoder)), Answers()
    told = predict(engine, other, variant)
    assert any("usages" in e.signal for item in told.ranked for e in item.evidence if item.api.name == "Zufu")
    answers.keep(context_key(other, "engine"), "", told)
    assert answers.find(context_key(own, "engine"), "", engine.index) is None
    found, without = (predict(each, own, variant).ranked for each in (engine, planted[0]))
    assert [item.api.name for item in found] == [item.api.name for item in without]
    (found_of,), (without_of,) = (
        [item.evidence for item in ranked if item.api.name == "Zufu"] for ranked in (found, without)
    )
    assert found_of == without_of


def test_the_leak_would_be_seen_from_another_file(planted: list[Engine]) -> None:
    """The test above can fail: asked from elsewhere, the planted call speaks."""
    context = make_context(LEAK[: LEAK.index("new Zufu")], "", {"file": "new.js", "scope": "global"})
    for signal in ("usages, lexical", "usages, dense", "co-use", "popularity"):
        answer = predict(planted[1], context, Variant({signal: 1.0}))
        assert "Zufu" in [item.api.name for item in answer.ranked], signal


# Figures


def test_rows_by_what_is_known_of_the_samples() -> None:
    samples = [
        {"id": i, "clean": i < 4, "leak": i >= 4, "record_type": "sys_script" * (i % 2), "lines_before": i}
        | {"documentation": "written" if i == 0 else "not written"}
        for i in range(6)
    ]
    outcomes = [Outcome(i, rank, {}) for i, rank in enumerate([1, 0, 5, 40, 1, 1])]  # type: ignore[arg-type]
    found = {(row.group, row.value): row for row in rows(samples, outcomes)}
    clean = found["subset", "clean"]
    assert (clean.n, clean.top[1][0], clean.top[5][0], clean.top[40][0]) == (4, 25.0, 50.0, 75.0)
    assert clean.mrr[0] == pytest.approx((1 + 1 / 5 + 1 / 40) / 4, abs=1e-3)
    assert all(low <= value <= high for value, low, high in clean.top.values())
    assert found["subset", "leak"].top[1] == (100.0, 100.0, 100.0)
    assert {value for group, value in found if group == "record type"} == {"module", "sys_script"}
    assert found["lines before", "fewer"].n == 3
    assert (found["documentation", "written"].n, found["documentation", "not written"].n) == (1, 3)
    assert ("subset", "ambiguous") not in found


def test_the_bootstrap_interval_is_that_of_a_share() -> None:
    ranks = np.random.default_rng(1).random(400) < 0.3
    samples = [{"id": str(i), "clean": True} for i in range(400)]
    (row, *_) = rows(samples, [Outcome(str(i), int(hit), {}) for i, hit in enumerate(ranks)])
    value, low, high = row.top[1]
    spread = 196 * np.sqrt(ranks.mean() * (1 - ranks.mean()) / 400)
    assert (low, high) == (pytest.approx(value - spread, abs=1), pytest.approx(value + spread, abs=1))


@pytest.mark.parametrize(
    ("gained", "lost", "p"), [(0, 0, 1.0), (5, 5, 1.0), (1, 8, 0.0391), (8, 1, 0.0391), (0, 6, 0.0312)]
)
def test_mcnemar(gained: int, lost: int, p: float) -> None:
    assert mcnemar(gained, lost) == pytest.approx(p, abs=1e-4)


def test_two_results_are_compared_sample_by_sample() -> None:
    found = compare({"a": 1, "b": 7, "c": 0, "d": 3}, {"a": 9, "b": 2, "c": 5, "e": 1}, 5)
    assert (found.n, found.gained, found.lost) == (3, ("b", "c"), ("a",))


@pytest.mark.usefixtures("example_report")
def test_the_commands_measure_and_compare_reproducibly(tmp_path: Path) -> None:
    runner, samples = CliRunner(), tmp_path / "samples.jsonl"
    assert runner.invoke(main, ["eval", "mine", str(EXAMPLE), "--out", str(samples)]).exit_code == 0
    lines = samples.read_text().splitlines()[:40]
    samples.write_text("\n".join(lines) + "\n")
    run = ["eval", "run", "--index", str(index_directory(EXAMPLE)), "--samples", str(samples)]
    made = []
    for name in ("one", "two"):
        arguments = [*run, "--method", "fused", "--method", "bm25-docs", "--json", str(tmp_path / name)]
        done = runner.invoke(main, arguments)
        assert done.exit_code == 0, done.output
        made.append({path.name: json.loads(path.read_text()) for path in sorted((tmp_path / name).iterdir())})
    assert [name.partition("-")[0] for name in made[0]] == ["bm25", "fused"]
    for results in made:
        for result in results.values():
            assert result.pop("ms")["total"]["p50"] > 0
            assert {r["value"] for r in result["rows"] if r["group"] == "documentation"} <= {
                "written",
                "not written",
            }
            assert "documentation" in {r["group"] for r in result["rows"]}
    assert made[0] == made[1]
    files = sorted((tmp_path / "one").iterdir())
    done = runner.invoke(main, ["eval", "compare", *map(str, files)])
    assert "top-5" in done.output
    assert "n = 40" in done.output
    other = json.loads(files[0].read_text()) | {"ranks": {"other": 1}}
    (tmp_path / "other.json").write_text(json.dumps(other))
    (tmp_path / "list.json").write_text("[]")
    for name, message in (("other.json", "no sample in common"), ("list.json", "not a result")):
        done = runner.invoke(main, ["eval", "compare", str(files[0]), str(tmp_path / name)])
        assert (done.exit_code, message in done.output) == (1, True)


BAD_SAMPLES = [
    # what is measured, what is said of it, whether it is refused
    ([{"id": 1, "target": "x_hbr_berth.BerthAllocator"}], ":1: not a sample: 'code_before'", True),
    ([SAMPLE | {"target": "other.Api"}], "none of the targets is in the index", True),
    (
        [SAMPLE, SAMPLE | {"id": "b", "target": "other.Api"}],
        "1 of 2 samples have a target that the index",
        False,
    ),
    (
        [SAMPLE | {"file": "elsewhere/Rule.js"}],
        "1 of 1 samples stand in files that the index does not",
        False,
    ),
]


@pytest.mark.usefixtures("example_report")
@pytest.mark.parametrize(("samples", "said", "is_refused"), BAD_SAMPLES)
def test_samples_of_another_code_base_are_told(
    samples: list[dict[str, Any]], said: str, is_refused: bool, tmp_path: Path
) -> None:
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, samples)))
    run = ["eval", "run", "--index", str(index_directory(EXAMPLE)), "--samples", str(tmp_path / "s.jsonl")]
    done = CliRunner().invoke(main, run)
    assert said in done.output
    assert done.exit_code == int(is_refused)


def test_the_own_file_is_hidden_however_its_path_is_written(engine: Engine) -> None:
    paths = ("a/b.js", "./a/b.js", "a\\b.js", "/a/b.js", "a/c/../b.js")
    assert {
        context.file for p in paths if (context := context_of(engine, SAMPLE | {"file": p}, Asked()))
    } == {"a/b.js"}


def test_what_needs_an_expander_is_not_measured_without(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text(json.dumps(SAMPLE))
    for asked, is_refused in ((Asked(), True), (Asked(first_only=True), False)):
        with pytest.raises(ModelProblem, match="needs an expander") if is_refused else nullcontext():
            measure(
                replace(engine, generator=None),
                tmp_path / "s.jsonl",
                "full",
                METHODS["full"],
                asked,
                lambda *_: None,
            )
    names = [case.name for case in cases(replace(engine, generator=None, reranker=StandIn()))]
    assert "answer at 400 ms" in names
    assert not [name for name in names if "expander" in name]


def test_what_learned_from_the_samples_does_not_measure_them(
    engine: Engine, example_report: Report, tmp_path: Path
) -> None:
    shutil.copytree(index_directory(EXAMPLE), tmp_path / "i")
    assert engine.fusion
    other = tuple(-array for array in engine.fusion.parameters)
    write_fusion(other, tmp_path / "i" / ADAPTED / "fusion", {"adapted": {}}, Recipe())  # type: ignore[arg-type]
    (tmp_path / "s.jsonl").write_text("\n".join(json.dumps(sample) for sample in SAMPLES))
    run = ["eval", "run", "--index", str(tmp_path / "i"), "--samples", str(tmp_path / "s.jsonl")]
    kept = []
    for options in ([], ["--models", str(tmp_path / "i" / ADAPTED)]):
        done = CliRunner().invoke(main, [*run, *options, "--json", str(tmp_path / "r")])
        assert done.exit_code == 0, done.output
        assert ("is left out" in done.output) == (not options)
        kept.append({path.name for path in (tmp_path / "r").iterdir()})
    assert [len(names) for names in kept] == [1, 2]  # other weights, another file


def test_the_commit_is_that_of_this_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "theirs" / ".venv" / "index_builder"
    package.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(tmp_path / "theirs")], check=True)
    commit = ["-c", "user.name=a", "-c", "user.email=a", "commit", "-q", "--allow-empty", "-m", "x"]
    subprocess.run(["git", "-C", str(tmp_path / "theirs"), *commit], check=True)
    monkeypatch.setattr(evaluate, "__file__", str(package / "evaluate.py"))
    assert commit_or_version() == __version__
    monkeypatch.setattr(evaluate, "__file__", str(tmp_path / "theirs" / "index_builder" / "evaluate.py"))
    (tmp_path / "theirs" / "index_builder").mkdir()
    assert re.fullmatch("[0-9a-f]{7,}", commit_or_version())


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"cursor": "statement", "facts": "given", "deadline_ms": None}, "fused"),
        ({"cursor": "new", "facts": "none", "deadline_ms": None}, "fused, cursor new, facts none"),
        ({"cursor": "statement", "facts": "given", "deadline_ms": 400.0}, "fused, 400 ms"),
        ({"first_only": True}, "fused, first list"),
    ],
)
def test_results_of_other_questions_have_other_names(asked: dict[str, Any], name: str) -> None:
    usual = {"cursor": "statement", "facts": "given", "deadline_ms": None, "first_only": False}
    assert result_name({"method": "fused", **usual, **asked}) == name


@pytest.mark.usefixtures("example_report")
def test_the_ablations_are_kept_and_shown(tmp_path: Path) -> None:
    samples, out = tmp_path / "samples.jsonl", tmp_path / "new" / "out.json"
    samples.write_text("".join(json.dumps(sample | {"clean": True}) + "\n" for sample in SAMPLES))
    command = ["eval", "ablate", "--index", str(index_directory(EXAMPLE)), "--samples", str(samples)]
    done = CliRunner().invoke(main, [*command, "--model-samples", "0", "--json", str(out)])
    assert done.exit_code == 0, done.output
    assert "popularity" in done.output
    kept = json.loads(out.read_text())
    assert (kept["subset"], kept["seed"], kept["cases"][0]["n"]) == ("clean", 0, 3)
    done = CliRunner().invoke(main, [*command, "--subset", "leak"])
    assert "no sample is leak" in done.output


@pytest.mark.usefixtures("example_report")
def test_each_case_is_compared_with_the_whole(engine: Engine) -> None:
    results = ablate(without_models(replace(engine, fusion=None)), SAMPLES, lambda *_: None)
    names = [result["case"] for result in results]
    assert names[0] == "fused"
    assert len(names) == len(set(names)) > 20
    assert (results[0]["gained"], results[0]["lost"], results[0]["p"]) == (0, 0, 1.0)
    assert {result["n"] for result in results} == {3}
    assert "without like-named" not in names  # without a learned fusion it says nothing
    assert not any("query" in name or "reranked" in name or "answer" in name for name in names)


class NamingGenerator:
    """Writes the name of the API that is right, or dies."""

    files = ModelFiles("generator", Path(), {})
    state = "running"
    asked = 0

    def __init__(self, problem: str = "") -> None:
        self.problem = problem

    def start(self) -> None:
        if self.problem:
            raise ModelProblem(self.problem)

    def generate(self, prompt: Prompt, max_tokens: int, timeout_ms: float, stop: Stop | None = None) -> str:
        self.asked += 1
        return "berth allocator: allocate the berth by an allocator"

    def rest(self) -> None: ...

    def close(self) -> None: ...


class LastReranker(StandIn):
    """The last one first: what it reads is turned over."""

    def each(self, query: str, documents: Sequence[str], stop: Stop) -> Iterator[float]:
        yield from (1000.0 * number for number in range(len(documents)))


@pytest.mark.usefixtures("example_report")
def test_cases_that_ask_models_run_on_a_part_and_are_paired(engine: Engine) -> None:
    generator = NamingGenerator()
    equipped = replace(engine, generator=generator, reranker=LastReranker())
    results = {r["case"]: r for r in ablate(equipped, SAMPLES, lambda *_: None, model_samples=2)}
    of_models = [r for r in results.values() if r["n"] == 2]
    assert {r["against"] for r in of_models} == {"fused", "dense-docs"}
    for base in ("fused", "dense-docs"):
        assert results[f"{base}, query: hypothetical code"]["ms"]["expand"]["p50"] > 0
        assert results[f"{base}, query: a description by the model"]["against"] == base
    assert results["fused, query: hypothetical code"]["mrr"][0] >= results["fused, no model on top"]["mrr"][0]
    assert {f"reranked, the first {depth}" for depth in (5, 10, 20, 40)} <= results.keys()
    assert {"answer at 1,000 ms", "answer at 1,000 ms with the expander"} <= results.keys()
    # Each form once for both methods, and each answer once.
    assert generator.asked == 2 * 2 + 2 * 3


@pytest.mark.usefixtures("example_report")
def test_a_learned_fusion_is_compared_with_reciprocal_ranks(engine: Engine) -> None:
    width = len(FEATURES)
    fusion = Fusion(FEATURES, np.eye(width, dtype=np.float32), np.zeros(width), np.arange(width) % 5.0)
    learned = replace(without_models(engine), fusion=fusion)
    results = {r["case"]: r for r in ablate(learned, SAMPLES, lambda *_: None)}
    assert results["by reciprocal ranks, not learned"]["against"] == "fused"
    assert "without like-named" in results


def test_a_generator_that_does_not_start_is_a_note(engine: Engine) -> None:
    left = working(replace(engine, generator=NamingGenerator("it died")))
    assert left.generator is None
    assert left.notes[-1] == "it died"
