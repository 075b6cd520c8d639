"""The contract of `deepcodeseek predict` and `query`, and of the index as SQLite tools see it."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import DRAFT, DRAFT_COLUMN, DRAFT_LINE, EXAMPLE

from deepcodeseek.index_builder.build import Report, build_index
from deepcodeseek.index_builder.cli import main
from deepcodeseek.index_builder.predict import file_of
from deepcodeseek.server.context import make_context
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.generation import index_directory, read_manifest
from deepcodeseek.server.models import Encoder
from deepcodeseek.server.pipeline import METHODS, predict

STAGES = {
    "bm25-docs": ["retrieve"],
    "bm25-all-docs": ["retrieve"],
    "bm25-raw": ["retrieve"],
    "dense-docs": ["encode", "retrieve"],
    "dense-raw": ["encode", "retrieve"],
    "rrf": ["encode", "retrieve"],
    "fused": ["encode", "retrieve"],
    "reranked": ["encode", "retrieve", "rerank"],
    "full": ["expand", "encode", "retrieve", "rerank"],
}
OWN = "x_hbr_berth.BerthAllocator"
OWN_FILE = "apps/berth-planning/update/sys_script_include_04b414bd623dd2ba3202bf81b27ac0c6.xml"
CODE = "".join((EXAMPLE / DRAFT).read_text().splitlines(keepends=True)[: DRAFT_LINE - 1])
LIES = {"code_middle": "new HarbourLog().info()", "target": "global.HarbourLog", "candidates": []}
FACTS = {"file": DRAFT, "record_type": "sys_script", "record_name": "Assign berth on arrival"}
SAMPLES: list[dict[str, Any]] = [
    {"id": "z", "code_before": CODE, **FACTS},
    {"id": "again", "code_before": CODE, **FACTS},
    {"id": "lies", "code_before": CODE, **FACTS, **LIES},
    {"id": 7, "code_before": CODE},
    {"id": "absent", "code_before": CODE, "file": "apps/nowhere/none.js", "scope": "x_none", "table": None},
    {"id": "own", "code_before": CODE, "file": OWN_FILE},
]

Command = Callable[..., Result]


@pytest.fixture(scope="module")
def command(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command line with an encoder and without a generator."""
    models = tmp_path_factory.mktemp("home") / "models"
    models.mkdir()
    (models / "encoder").symlink_to(encoder.files.directory)
    runner = CliRunner(env={"DEEPCODESEEK_DATA_HOME": str(models.parent)})
    return lambda *arguments: runner.invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def predictions(command: Command, example_report: Report, tmp_path: Path) -> Callable[..., list[Any]]:
    def run(*options: object) -> list[Any]:
        samples, out = tmp_path / "samples.jsonl", tmp_path / "out.jsonl"
        samples.write_text("".join(json.dumps(sample) + "\n" for sample in SAMPLES))
        index = index_directory(EXAMPLE)
        done = command("predict", "--index", index, "--samples", samples, "--out", out, *options)
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in out.read_text().splitlines()]

    return run


def check_predictions(found: list[Any], stages: list[str]) -> dict[Any, list[str]]:
    """Ranked names by id: every sample answered, in order, with at most 100 names, each once."""
    assert [item["id"] for item in found] == [sample["id"] for sample in SAMPLES]
    for item in found:
        assert 0 < len(item["ranked"]) <= 100
        assert len(set(item["ranked"])) == len(item["ranked"])
        assert list(item["ms"]) == stages
        assert all(ms >= 0 for ms in item["ms"].values())
    return {item["id"]: item["ranked"] for item in found}


@pytest.mark.parametrize(
    ("file", "known", "found"),
    [
        ("src\\a.js", (), "src/a.js"),
        ("src\\a.js", ("src\\a.js",), "src\\a.js"),  # as a zip of Windows is unpacked elsewhere
        ("./src/../a.js", ("a.js",), "a.js"),
        ("/a.js", (), "a.js"),
        ("", (), ""),
    ],
)
def test_a_samples_own_file_is_found_as_the_index_calls_it(
    file: str, known: tuple[str, ...], found: str
) -> None:
    index: Any = SimpleNamespace(file_ids=lambda path: known.count(path))
    assert file_of(index, {"file": file}) == found


def test_the_help_names_every_method() -> None:
    told = CliRunner().invoke(main, ["predict", "--help"], terminal_width=200).output
    assert set(METHODS) <= set(re.findall(r"[\w-]+", told))


def test_every_method_is_here() -> None:
    assert list(STAGES) == list(METHODS)


@pytest.mark.parametrize("method", STAGES)
def test_predictions(method: str, predictions: Callable[..., list[Any]]) -> None:
    ranked = check_predictions(predictions("--method", method), STAGES[method])
    assert ranked["z"] == ranked["again"] == ranked["lies"]
    assert all((OWN in names) == (key != "own") for key, names in ranked.items())
    if method == "full":
        assert OWN in ranked["z"][:3]
        assert ranked == check_predictions(predictions(), STAGES[method])


@pytest.mark.parametrize("options", [("--first-only",), ("--first-only", "--deadline-ms", 1)])
def test_first_only_has_no_late_stage(options: tuple[object], predictions: Callable[..., list[Any]]) -> None:
    check_predictions(predictions(*options), ["encode", "retrieve"])


@pytest.mark.parametrize("deadline", [1, 150])
def test_a_deadline_costs_stages_and_never_the_answer(
    deadline: float, engine: Engine, predictions: Callable[..., list[Any]]
) -> None:
    check_predictions(predictions("--deadline-ms", deadline), STAGES["full"])
    answer = predict(engine, make_context(CODE, "", FACTS), deadline_ms=deadline)
    assert OWN in [ranked.api.api_name for ranked in answer.ranked[:5]]  # without a vector, too
    assert [stage.stage for stage in answer.trace.stages] == STAGES["full"]
    notes = {stage.stage: stage.note for stage in answer.trace.stages}
    assert notes["expand"]
    assert deadline > 1 or {notes["expand"], notes["rerank"]} == {"skipped: no time left"}


# What the caller's own file says of an API is the answer, no evidence


INCLUDE = "var {0} = Class.create(); {0}.prototype = {{ run: function(a) {{ return a; }}, type: '{0}' }};"
CUT = "(function() {\n\tvar both = new Both().run(current.number);\n"
CALLER = CUT + "\tnew Planted().run(both);\n})();\n"
MINED = {
    *("usages, lexical", "usages, dense", "usages, last lines"),
    *("co-use", "popularity", "like-named", "nearby", "files alike"),
}


@pytest.mark.parametrize(("caller", "is_known"), [("First caller", False), ("Another caller", True)])
def test_nothing_mined_from_the_callers_file_counts(
    caller: str, is_known: bool, command: Command, encoder: Encoder, tmp_path: Path
) -> None:
    """`Planted` is called in one file only; both files hold the same text at the time of the question."""
    records = tmp_path / "work/x_a"
    for kind, name, code in (
        *(("sys_script_include", name, INCLUDE.format(name)) for name in ("Both", "Planted", "Other")),
        ("sys_script", "First caller", CALLER),
        ("sys_script", "Third caller", "new Both().run(); new Other().run();"),
    ):
        (records / kind).mkdir(parents=True, exist_ok=True)
        (records / kind / f"{name}.script.js").write_text(code)
    build_index(tmp_path / "work", tmp_path / "out", encoder, lambda task, done, total: None)
    file = records / f"sys_script/{caller}.script.js"
    file.write_text(CUT)
    place = ("--line", 3, "--column", 1, "--index", tmp_path / "out", "--workspace", tmp_path / "work")
    ranked = json.loads(command("query", file, *place, "--json").stdout)["ranked"]
    found = {item["api_name"]: item for item in ranked}
    signals = {name: {e["signal"] for e in item["evidence"]} for name, item in found.items()}
    assert signals["x_a.Planted"] & MINED == (MINED if is_known else set())
    assert (found["x_a.Planted"]["usage"] is not None) == is_known
    assert signals["x_a.Other"] >= MINED  # mined from a third file
    (popularity,) = [e["score"] for e in found["x_a.Both"]["evidence"] if e["signal"] == "popularity"]
    assert popularity == 1 + is_known


# query


@pytest.mark.usefixtures("example_report")
def test_query_prints_what_a_program_reads(command: Command) -> None:
    done = command("query", EXAMPLE / DRAFT, "--line", DRAFT_LINE, "--column", DRAFT_COLUMN, "--json")
    answer = json.loads(done.stdout)
    assert answer["ranked"][0]["api_name"] == OWN
    assert answer["ranked"][0]["score"] >= answer["ranked"][1]["score"] > 0
    assert [stage["stage"] for stage in answer["trace"]] == STAGES["full"]
    assert all(set(stage) == {"stage", "ms", "note"} for stage in answer["trace"])
    assert "deepcodeseek models get" in answer["trace"][0]["note"]


@pytest.mark.usefixtures("example_report")
def test_a_cursor_beyond_the_end_is_one_clear_line(command: Command) -> None:
    done = command("query", EXAMPLE / DRAFT, "--line", 999, "--column", 1)
    assert (done.exit_code, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert str(EXAMPLE / DRAFT) in done.stderr
    assert "999" in done.stderr
    assert command("query", EXAMPLE / DRAFT, "--line", 1, "--column", 999, "--json").exit_code == 0


# The SQLite file


USED_IN = "apps/berth-planning/update/sys_ui_action_8b7f9f6c5afd70be975731628efa1fad.xml"
QUERIES = [  # columns, table, condition, and the row
    (
        "name, kind, scope, package, access, source",
        "api",
        f"api_name = '{OWN}'",
        ("BerthAllocator", "script_include", "x_hbr_berth", "x_hbr_berth", "public", OWN_FILE),
    ),
    (
        "api_name, name, params",
        "method",
        f"api_name = '{OWN}' AND name = 'findFree'",
        (OWN, "findFree", '["arrival", "length", "draught"]'),
    ),
    ("api_name, file, line", "usage", f"api_name = '{OWN}' AND file = '{USED_IN}'", (OWN, USED_IN, 15)),
]


@pytest.mark.usefixtures("example_report")
@pytest.mark.parametrize(("columns", "table", "condition", "row"), QUERIES)
def test_the_database_answers_plain_sql(columns: str, table: str, condition: str, row: tuple[object]) -> None:
    connection = sqlite3.connect(read_manifest(index_directory(EXAMPLE))[0] / "graph.sqlite")
    assert connection.execute(f"SELECT {columns} FROM {table} WHERE {condition}").fetchall() == [row]
    connection.close()
