"""What can be called from where, which usages speak, and the vectors' two ways of searching."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deepcodeseek.index_builder.graph import Names, ajax_reachable
from deepcodeseek.index_builder.write import write_hnsw
from deepcodeseek.server.columns import Texts
from deepcodeseek.server.context import make_context
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.pipeline import METHODS, known_facts, predict
from deepcodeseek.server.places import PLATFORM
from deepcodeseek.server.retrieve import reachable
from deepcodeseek.server.types import Api
from deepcodeseek.server.vectors import EXACT_ROWS, Vectors

BERTH_RULE = "apps/berth-planning/update/new_rule.js"

REACHABLE = [
    # facts of the caller, APIs that must be among the candidates, APIs that must not
    ({}, {"BerthTimeline", "BerthAllocator", "HarbourLog", "CraneScheduler"}, set()),
    ({"scope": "x_hbr_berth"}, {"BerthTimeline", "HarbourLog"}, set()),
    ({"scope": "x_hbr_cargo"}, {"BerthAllocator", "HarbourLog", "CraneScheduler"}, {"BerthTimeline"}),
    (
        {"scope": "x_hbr_berth", "record_type": "sys_script_client"},
        {"VesselAjax", "BerthAjax"},
        {"BerthAllocator", "HarbourLog"},
    ),
]


@pytest.mark.parametrize(("facts", "reached", "pruned"), REACHABLE)
def test_the_graph_keeps_what_can_be_called(
    engine: Engine, facts: dict[str, str], reached: set[str], pruned: set[str]
) -> None:
    answer = predict(engine, make_context("var x = 1;\n", "", facts), METHODS["fused"])
    names = {item.api.name for item in answer.ranked}
    assert reached <= names
    assert names.isdisjoint(pruned)


APIS = {  # name -> scope, package, access, GlideAjax reaches it
    "own": ("x_a", "a", "package_private", False),
    "own ajax": ("x_a", "a", "package_private", True),
    "own elsewhere": ("x_a", "c", "package_private", False),
    "private": ("x_b", "b", "package_private", False),
    "private ajax": ("x_b", "b", "package_private", True),
    "public": ("x_b", "b", "public", False),
    "public ajax": ("x_b", "b", "public", True),
    "unsaid": ("x_b", "b", "", False),
    "unsaid ajax": ("x_b", "b", "", True),
    "global private": ("global", "g", "package_private", False),
    "global unsaid": ("global", "g", "", False),
    "called by others": ("global", "shared", "", False),
    "called but private": ("global", "shared", "package_private", False),
    "no scope": ("", "b", "package_private", False),
    "no package": ("x_b", "", "", False),
    "nothing known": ("", "", "", False),
    "platform": ("sn_ws", PLATFORM, "", False),
}
CALLERS: dict[str, tuple[dict[str, str], str]] = {  # facts of the caller -> what it cannot reach
    "unknown": ({}, ""),
    "scope": (
        {"scope": "x_a"},
        "private, private ajax, global private, called but private",
    ),
    "scope and package": (
        {"scope": "x_a", "package": "a"},
        "private, private ajax, unsaid, unsaid ajax, global private, global unsaid, called but private, "
        "no scope",
    ),
    "global scope": ({"scope": "global"}, "own, own ajax, own elsewhere, private, private ajax"),
    "global scope and package": (
        {"scope": "global", "package": "other"},
        "own, own ajax, own elsewhere, private, private ajax, unsaid, unsaid ajax, no scope",
    ),
    "package": (
        {"package": "b"},
        "own, own ajax, own elsewhere, global private, global unsaid",
    ),
    "record of a package": (
        {"package": "other", "record_type": "sys_script"},
        "no scope",
    ),
    "browser": (
        {"record_type": "sys_script_client"},
        "own, own elsewhere, private, public, unsaid, global private, global unsaid, called by others, "
        "called but private, no scope, no package, nothing known, platform",
    ),
    "browser and scope": (
        {"record_type": "sp_widget", "field": "client_script", "scope": "x_a"},
        "own, own elsewhere, private, private ajax, public, unsaid, global private, global unsaid, "
        "called by others, called but private, no scope, no package, nothing known, platform",
    ),
    "widget's server": ({"record_type": "sp_widget", "field": "script"}, ""),
    "widget": ({"record_type": "sp_widget"}, ""),
    "button": ({"record_type": "sys_ui_action"}, ""),
}


def known_apis() -> Any:
    """An index of APIS: one is called by a file of another package, `private` by one of its own."""
    scope, package, access, ajax = zip(*APIS.values(), strict=True)
    called = np.array([list(APIS).index("called by others"), list(APIS).index("private")])
    usages = SimpleNamespace(api=called, file=np.array([0, 1]), file_package=Texts(("a", "b")))
    texts = {"scope": Texts(scope), "package": Texts(package), "access": Texts(access)}
    apis = SimpleNamespace(**texts, ajax=np.array(ajax), platform=texts["package"].equal(PLATFORM))
    return SimpleNamespace(count=len(APIS), apis=apis, usages=usages)


@pytest.mark.parametrize("caller", CALLERS)
def test_reachable(caller: str) -> None:
    facts, unreached = CALLERS[caller]
    kept = reachable(known_apis(), make_context("", "", facts), np.ones(2, np.bool_))
    pruned = [name for name, is_kept in zip(APIS, kept, strict=True) if not is_kept]
    assert ", ".join(pruned) == unreached


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"file": BERTH_RULE}, {"scope": "x_hbr_berth"}),
        (
            {"file": "apps/cargo/x_hbr_cargo/sys_script/New.script.js"},
            {"scope": "x_hbr_cargo", "record_name": "New"},
        ),
        ({"file": BERTH_RULE, "scope": "global"}, {"scope": "global"}),
        ({"file": BERTH_RULE, "scope": "e5f73d8451cd77f84bc677038d0a9d0a"}, {"scope": "x_hbr_berth"}),
        ({"scope": "x_other"}, {"scope": "x_other"}),
        ({"file": "apps/new/x_new/sys_script/A.script.js"}, {"scope": "x_new"}),
        ({}, {}),
    ],
)
def test_known_facts(engine: Engine, given: dict[str, str], expected: dict[str, str]) -> None:
    assert expected.items() <= known_facts(engine.index, given).items()


@pytest.mark.parametrize("file", ["new.js", "apps/new/a.js"])
def test_neighbours_that_disagree_say_nothing(engine: Engine, file: str) -> None:
    assert known_facts(engine.index, {"file": file}) == {"file": file}


def test_a_prediction_explains_itself(engine: Engine) -> None:
    before = (
        "var arrival = call.getValue('eta');\nvar length = vessel.length;\nvar draught = vessel.draught;\n"
    )
    answer = predict(engine, make_context(before, "", {"file": BERTH_RULE}), METHODS["fused"])
    first = answer.ranked[0]
    assert first.api.name == "BerthAllocator"
    assert first.usage
    assert "BerthAllocator" in first.usage.statement
    assert first.usage.caller
    assert {evidence.signal for evidence in first.evidence} <= set(METHODS["fused"].weights)
    assert [item.score for item in answer.ranked] == sorted((i.score for i in answer.ranked), reverse=True)


def api(name: str, **values: object) -> Api:
    return Api(f"global.{name}", name, "script_include", scope="global", **values)


@pytest.mark.parametrize(
    ("name", "reachable"),
    [
        ("Stated", True),
        ("Direct", True),
        ("Grandchild", True),
        ("Plain", False),
        ("Stranger", True),
        ("Empty", True),
        ("Loop", False),
    ],
)
def test_ajax_reachable(name: str, reachable: bool) -> None:
    from deepcodeseek.server.types import Method

    one = (Method("m"),)
    every = [
        api("Stated", client_callable=True, methods=one),
        api("Direct", extends="global.AbstractAjaxProcessor", methods=one),
        api("Child", extends="Direct", methods=one),
        api("Grandchild", extends="Child", methods=one),
        api("Plain", methods=one),
        api("Stranger", extends="NotIndexed", methods=one),
        api("Empty"),
        api("Loop", extends="Loop", methods=one),
    ]
    assert ajax_reachable(next(a for a in every if a.name == name), Names(every)) is reachable


FEW_ROWS = 4096  # a graph over EXACT_ROWS takes too long to make


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Vectors, np.ndarray]:
    """More rows than are searched exactly."""
    folder = tmp_path_factory.mktemp("vectors")
    rows = np.random.default_rng(7).normal(size=(FEW_ROWS + 500, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.save(folder / "doc.npy", rows)
    write_hnsw(folder / "doc.hnsw", rows)
    return Vectors(folder, "doc", 16, exact_rows=FEW_ROWS), rows


@pytest.mark.parametrize("share", [1.0, 0.95, 0.5, 0.001, 0.0])
def test_hnsw_and_exact_search_agree(
    vectors: tuple[Vectors, np.ndarray], share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, rows = vectors
    if share == 1.0:  # of all rows none is searched exactly
        monkeypatch.delattr(Vectors, "_exact")
    generator = np.random.default_rng(11)
    found = 0
    for _ in range(20):
        query = rows[generator.integers(len(rows))]
        keep = generator.random(len(rows)) < share
        expected = [i for i in np.argsort(-(rows @ query), kind="stable") if keep[i]][:10]
        ids, scores = index.nearest(query, 10, keep)
        assert len(ids) == len(expected)
        assert all(keep[ids])
        assert list(scores) == sorted(scores, reverse=True)
        found += len(set(ids.tolist()) & set(expected))
    wanted = 20 * min(10, int(share * len(rows)))
    assert found >= 0.95 * wanted or share == 0.001


def test_many_equal_vectors_are_still_searched(tmp_path: Path) -> None:
    few = np.random.default_rng(3).normal(size=(10, 16)).astype(np.float32)
    few /= np.linalg.norm(few, axis=1, keepdims=True)
    rows = np.tile(few, (500, 1))
    np.save(tmp_path / "doc.npy", rows)
    write_hnsw(tmp_path / "doc.hnsw", rows)
    index = Vectors(tmp_path, "doc", 16, exact_rows=FEW_ROWS)
    for row in few:
        ids, scores = index.nearest(row, 20, np.ones(len(rows), np.bool_))
        assert len(ids) == 20
        assert scores[0] == pytest.approx(1.0, abs=1e-5)


def test_the_same_vectors_give_the_same_graph(tmp_path: Path) -> None:
    rows = np.random.default_rng(5).normal(size=(800, 8)).astype(np.float32)
    for name in ("a", "b"):
        write_hnsw(tmp_path / name, rows)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_graph_is_opened_where_there_are_many_vectors(tmp_path: Path) -> None:
    few, many = np.eye(4, dtype=np.float32), np.tile(np.eye(4, dtype=np.float32), (EXACT_ROWS, 1))
    (tmp_path / "doc.hnsw").write_bytes(b"not a graph")
    np.save(tmp_path / "doc.npy", few)
    Vectors(tmp_path, "doc", 4)  # the file is not even opened
    np.save(tmp_path / "doc.npy", many)
    with pytest.raises(RuntimeError):
        Vectors(tmp_path, "doc", 4)
    Vectors(tmp_path, "doc", 4, hnsw=False)
