"""Measuring: how a sample becomes a question, what its own file must not tell, and the figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import EXAMPLE, StandIn

from deepcodeseek.index_builder.ablate import ablate, without_models, working
from deepcodeseek.index_builder.build import build_index
from deepcodeseek.index_builder.cli import main
from deepcodeseek.index_builder.evaluate import Asked, Cursor, context_of, result_name
from deepcodeseek.index_builder.figures import Outcome, compare, mcnemar, rows
from deepcodeseek.server.answers import Answers, context_key
from deepcodeseek.server.context import make_context
from deepcodeseek.server.fusion import FEATURES, Fusion
from deepcodeseek.server.generation import index_directory
from deepcodeseek.server.index import open_index
from deepcodeseek.server.models import Encoder, ModelFiles, ModelProblem, Remembering
from deepcodeseek.server.pipeline import METHODS, Engine, Variant, predict
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


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"cursor": "statement", "facts": "given", "deadline_ms": None}, "fused"),
        ({"cursor": "new", "facts": "none", "deadline_ms": None}, "fused, cursor new, facts none"),
        ({"cursor": "statement", "facts": "given", "deadline_ms": 400.0}, "fused, 400 ms"),
    ],
)
def test_results_of_other_questions_have_other_names(asked: dict[str, Any], name: str) -> None:
    assert result_name({"method": "fused", **asked}) == name


@pytest.mark.usefixtures("example_report")
def test_the_ablations_are_kept_and_shown(tmp_path: Path) -> None:
    samples, out = tmp_path / "samples.jsonl", tmp_path / "out.json"
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
