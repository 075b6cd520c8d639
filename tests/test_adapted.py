"""What was adapted: where it is put, whom it serves, and what an earlier run has left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import EXAMPLE, QUICK, QUIET
from filelock import FileLock

from deepcodeseek.index_builder import adapt as adapting
from deepcodeseek.index_builder.adapt import AdaptProblem, adapt
from deepcodeseek.index_builder.adapt_files import NAMES, put_in_place
from deepcodeseek.index_builder.build import Report, build_index
from deepcodeseek.index_builder.cli import main
from deepcodeseek.index_builder.train_fusion import (
    Recipe,
    _initial,
    write_fusion,
)
from deepcodeseek.server.engine import Engine, load_engine, mark_of
from deepcodeseek.server.generation import ADAPTED, index_directory
from deepcodeseek.server.models import CARD, ModelKind, read_card

pytestmark = pytest.mark.usefixtures("few_questions")


HERE = {"workspace": "/here", "left_out": ["a.js"]}
EARLIER = [
    # the card of what an earlier run made; what this one makes, and leaves out; what is unfit; why it goes
    (HERE, (), ["a.js"], (), ""),
    (HERE, (), [], (), ""),
    (HERE, (), ["a.js", "b.js"], (), "it may have seen what is left out now"),
    ({"workspace": "/here"}, (), ["a.js"], (), "it may have seen what is left out now"),
    (HERE | {"workspace": "/there"}, (), [], (), "it learned from another workspace"),
    ({}, (), [], (), "its card does not say which workspace it learned from"),
    (HERE, (), [], NAMES, "it cannot be used"),
    (HERE, ("fusion",), [], (), "nobody judged it beside what is new"),
    (HERE, ("reranker",), [], (), "nobody judged it beside what is new"),
]


@pytest.mark.parametrize(("card", "made", "left_out", "unfit", "reason"), EARLIER)
def test_what_becomes_of_what_an_earlier_run_made(
    card: dict[str, Any],
    made: Collection[ModelKind],
    left_out: list[str],
    unfit: Collection[ModelKind],
    reason: str,
    tmp_path: Path,
) -> None:
    first, second = (_initial(4, np.random.default_rng(seed)) for seed in (0, 1))
    for kind in NAMES:
        write_fusion(first, tmp_path / "out" / kind, {"adapted": {}, **card}, QUICK)
    for kind in made:
        write_fusion(second, tmp_path / "made" / kind, {}, QUICK)
    about = {"adapted": {}, "workspace": "/here", "left_out": left_out}
    found = put_in_place(tmp_path / "made", tmp_path / "out", about, False, unfit)
    assert found == {kind: reason for kind in NAMES if kind not in made}
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there == ({*made} if reason else {*NAMES})


def test_what_was_learned_stays_where_it_loads_and_nothing_better_comes(
    untrained: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also what was to make room when an earlier run was killed; damaged, it would be refused for ever."""
    monkeypatch.setattr(adapting, "RECIPE", QUICK)
    monkeypatch.setattr(adapting, "MOST_QUESTIONS", 60)
    said: list[str] = []
    hidden = frozenset({"b.js", "a.js"})
    arguments = (untrained, index_directory(EXAMPLE), tmp_path, EXAMPLE, hidden, QUIET, said.append)
    monkeypatch.setattr(adapting, "is_gain", lambda *_: True)
    adapt(*arguments)
    card = read_card(tmp_path / "fusion" / CARD)
    assert (card["workspace"], card["left_out"]) == (str(EXAMPLE.resolve()), ["a.js", "b.js"])
    (tmp_path / "fusion").rename(tmp_path / "fusion.012345.old")
    monkeypatch.setattr(adapting, "is_gain", lambda *_: False)
    adapt(*arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["fusion"]
    (tmp_path / "fusion" / "fusion.npz").write_bytes(b"damaged")
    adapt(*arguments)
    assert not list(tmp_path.iterdir())
    learned = "the fusion that an earlier run had learned"
    assert said == [f"{learned} stays", f"{learned} is removed: it cannot be used"]


def test_what_another_training_made_is_not_replaced(
    untrained: Engine, example_report: Report, tmp_path: Path
) -> None:
    """Hours of `train fusion`; and adapted weights would then be refused as what to start from."""
    assert untrained.fusion
    write_fusion(untrained.fusion.parameters, tmp_path / "fusion", {}, QUICK)
    with pytest.raises(AdaptProblem, match="fusion is not of an earlier run and would be replaced"):
        adapt(untrained, index_directory(EXAMPLE), tmp_path, EXAMPLE, frozenset(), QUIET, QUIET)


def test_a_second_run_waits_and_says_so(
    untrained: Engine, example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It would take away what the first one has made."""
    monkeypatch.setattr(adapting, "RECIPE", Recipe(epochs=1, rate=0.0, decay=0.0))
    said: SimpleQueue[str] = SimpleQueue()
    arguments = (untrained, index_directory(EXAMPLE), tmp_path, EXAMPLE, frozenset(), QUIET, said.put)
    with ThreadPoolExecutor(1) as second, FileLock(tmp_path / adapting.LOCK):
        running = second.submit(adapt, *arguments)
        assert said.get(timeout=60).startswith(f"another run that adapts {tmp_path} is under way")
        assert not (tmp_path / adapting.WORK).exists()
    assert not running.result().is_better
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", NAMES)
def test_what_is_no_model_is_not_replaced(
    kind: str, untrained: Engine, example_report: Report, tmp_path: Path
) -> None:
    """A folder of the user's project may have the name of a model."""
    mine = tmp_path / kind / "mine.sql"
    mine.parent.mkdir()
    mine.write_text("SELECT", encoding="utf-8")
    with pytest.raises(AdaptProblem, match=f"{kind} is not of an earlier run and would be replaced: choose"):
        adapt(untrained, index_directory(EXAMPLE), tmp_path, EXAMPLE, frozenset(), QUIET, QUIET, encoder=True)
    assert mine.is_file()


def test_what_has_no_card_is_an_earlier_runs_where_nobody_else_writes(
    untrained: Engine, example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(adapting, "RECIPE", Recipe(epochs=1, rate=0.0, decay=0.0))
    monkeypatch.setattr(adapting, "MOST_QUESTIONS", 60)
    index = tmp_path / "i"
    shutil.copytree(index_directory(EXAMPLE), index)
    (index / ADAPTED / "fusion").mkdir(parents=True)
    (index / ADAPTED / "fusion" / "fusion.npz").write_bytes(b"of a run that was killed")
    adapt(untrained, index, index / ADAPTED, EXAMPLE, frozenset(), QUIET, QUIET)
    assert not (index / ADAPTED / "fusion").exists()


def test_what_was_learned_serves_its_workspace_alone(
    untrained: Engine, example_report: Report, tmp_path: Path
) -> None:
    index, first, second = (
        index_directory(EXAMPLE), _initial(4, np.random.default_rng(1)), _initial(4, np.random.default_rng(2))
    )  # fmt: skip
    shutil.copytree(index, tmp_path / "i")
    write_fusion(first, tmp_path / "i" / ADAPTED / "fusion", {}, QUICK)
    write_fusion(second, tmp_path / "chosen" / "fusion", {}, QUICK)
    shipped, adapted, chosen = (
        load_engine(*places).fusion
        for places in ((index,), (tmp_path / "i",), (tmp_path / "i", tmp_path / "chosen"))
    )
    assert shipped
    assert adapted
    assert chosen
    assert np.array_equal(adapted.parameters[0], first[0])
    assert np.array_equal(chosen.parameters[0], second[0])
    assert shipped.parameters[0].shape != first[0].shape
    marks = {
        mark_of(*places) for places in ((index,), (tmp_path / "i",), (tmp_path / "i", tmp_path / "chosen"))
    }
    assert len(marks) == 3
    build_index(EXAMPLE, tmp_path / "i", untrained.encoder, QUIET)  # type: ignore[arg-type]
    assert (tmp_path / "i" / ADAPTED / "fusion").is_dir()


def test_adapting_again_begins_where_it_began(
    untrained: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Weights that have seen a file must neither judge its calls nor be gone on from."""
    monkeypatch.setattr(adapting, "RECIPE", QUICK)
    assert untrained.fusion
    said = []
    for name in ("new", "adapted before"):
        index = tmp_path / name
        shutil.copytree(index_directory(EXAMPLE), index)
        if name != "new":
            write_fusion(untrained.fusion.parameters, index / ADAPTED / "fusion", {}, QUICK)
        done = CliRunner().invoke(main, ["train", "adapt", "--index", str(index), "--no-encoder", "--json"])
        said.append(json.loads(done.stdout) | {"minutes": 0})
    assert said[0] == said[1]


def test_a_damaged_card_of_adapted_weights_is_a_note(example_report: Report, tmp_path: Path) -> None:
    shutil.copytree(index_directory(EXAMPLE), tmp_path / "i")
    for kind in ("fusion", "query"):
        folder = tmp_path / "i" / ADAPTED / kind
        folder.mkdir(parents=True)
        (folder / "model.json").write_text("{", encoding="utf-8")
    engine = load_engine(tmp_path / "i")
    assert engine.fusion  # the one that ships
    assert engine.query_encoder is None
    assert len([note for note in engine.notes if "model.json" in note]) == 2
