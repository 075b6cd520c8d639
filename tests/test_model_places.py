"""Where models are looked for: what does not load gives way to the next place, and a note says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import EXAMPLE

from deepcodeseek.index_builder import adapt as adapting
from deepcodeseek.index_builder.adapt import AdaptProblem
from deepcodeseek.index_builder.build import Report
from deepcodeseek.index_builder.cli import main
from deepcodeseek.index_builder.train_fusion import Recipe, _initial, write_fusion
from deepcodeseek.server.engine import Engine, load_engine, mark_of
from deepcodeseek.server.fusion import FEATURES
from deepcodeseek.server.generation import ADAPTED, index_directory, sha256_file
from deepcodeseek.server.models import CARD, SHIPPED, ModelKind, data_directory, read_card
from deepcodeseek.server.text import CAUSAL_TEXT_VERSION, RERANKER_TEXT_VERSION, TEXT_VERSION

FALLING: tuple[ModelKind, ...] = ("fusion", "query", "reranker", "causal")
TEXTS = {"reranker": RERANKER_TEXT_VERSION, "causal": CAUSAL_TEXT_VERSION}
UNITS = {"index": 3, "installed": 5, "chosen": 7}  # of the fusion there: by these it is told from others
WITHOUT = {"query": "the encoder of documents stands in", "causal": "the order before it stands"}


@pytest.fixture
def index(example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The example's, for a user who has installed nothing."""
    monkeypatch.setenv("DEEPCODESEEK_DATA_HOME", str(tmp_path / "home"))
    return shutil.copytree(index_directory(EXAMPLE), tmp_path / "i")


def folder(place: str, kind: ModelKind, index: Path) -> Path:
    places = {"index": index / ADAPTED, "installed": data_directory(), "chosen": index.parent / "chosen"}
    return places[place] / kind if place in places else SHIPPED[kind]


def put(place: str, kind: ModelKind, index: Path, **about: Any) -> Path:
    """A model that loads, as far as it is loaded with the engine."""
    made = folder(place, kind, index)
    if kind == "fusion":
        write_fusion(_initial(UNITS[place], np.random.default_rng(0)), made, about, Recipe())
        return made
    card: dict[str, Any] = {"kind": kind, "file": "model.onnx"}
    if kind == "query":
        shutil.copytree(SHIPPED["encoder"], made)
        card |= read_card(made / CARD) | {"documents": read_card(made / CARD)["sha256"]["model.onnx"]}
    else:  # nothing of it is loaded before it reads
        made.mkdir(parents=True)
        (made / "model.onnx").write_bytes(b"weights")
        card |= {"sha256": {"model.onnx": sha256_file(made / "model.onnx")}, "text_version": TEXTS[kind]}
    (made / CARD).write_text(json.dumps(card | about), encoding="utf-8")
    return made


def change(made: Path, **fields: Any) -> None:
    """What the card states."""
    (made / CARD).write_text(json.dumps(read_card(made / CARD) | fields), encoding="utf-8")


def weights_of(made: Path) -> Path:
    return made / read_card(made / CARD).get("file", "model.onnx")


def of_another_version(made: Path) -> None:
    if made.name != "fusion":
        return change(made, text_version="0")
    with np.load(made / "fusion.npz") as file:
        arrays = dict(file)
    np.savez(made / "fusion.npz", **(arrays | {"features": np.array(FEATURES[1:])}))
    return change(made, sha256={"fusion.npz": sha256_file(made / "fusion.npz")})


DAMAGE: dict[str, Callable[[Path], object]] = {
    "weights": lambda made: weights_of(made).write_bytes(b"x"),
    "no weights": lambda made: weights_of(made).unlink(),
    "card": lambda made: (made / CARD).write_text("{", encoding="utf-8"),
    "no card": lambda made: (made / CARD).unlink(),
    "another version": of_another_version,
}


def used(engine: Engine, kind: ModelKind, index: Path) -> str:
    """The place that a model was loaded from."""
    if kind == "fusion":
        units = engine.fusion.parameters[0].shape[1] if engine.fusion else 0
        return next((place for place, its in UNITS.items() if its == units), "ships" if units else "none")
    model = {"query": engine.query_encoder, "reranker": engine.reranker, "causal": engine.causal}[kind]
    if model is None:
        return "none"
    every = ("chosen", "index", "installed", "ships")
    return next(place for place in every if folder(place, kind, index) == model.files.directory)


def notes(engine: Engine) -> list[str]:
    """Of models, but for that of the expander, which is not installed here."""
    of_index = engine.index.notes
    return [note for note in engine.notes if note not in of_index and not note.startswith("no generator")]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", FALLING)
def test_what_does_not_load_gives_way_to_the_next_place(kind: ModelKind, damage: str, index: Path) -> None:
    put("installed", kind, index)
    made = put("index", kind, index)
    whole = load_engine(index)
    assert (used(whole, kind, index), notes(whole)) == ("index", [])
    DAMAGE[damage](made)
    engine = load_engine(index)
    (note,) = notes(engine)
    assert used(engine, kind, index) == "installed"
    assert str(made) in note
    assert f"or delete {made}; " in note
    assert note.endswith(f"; {folder('installed', kind, index)} is used instead")


@pytest.mark.parametrize("kind", FALLING)
def test_each_place_is_passed_over_with_a_note_of_its_own(kind: ModelKind, index: Path) -> None:
    order = ("chosen", "index", "installed")
    for place in order:
        of_another_version(put(place, kind, index))
    engine = load_engine(index, index.parent / "chosen")
    last = "ships" if kind in SHIPPED else "none"
    instead = f"{SHIPPED[kind]} is used instead" if kind in SHIPPED else WITHOUT[kind]
    assert used(engine, kind, index) == last
    assert [note.endswith(f"; {instead}") for note in notes(engine)] == [True] * len(order)
    for place, note in zip(order, notes(engine), strict=True):
        assert str(folder(place, kind, index)) in note
    assert ["put a whole one there" in note for note in notes(engine)] == [True, True, False]
    assert f"`deepcodeseek models remove {kind}`" in notes(engine)[2]


def test_a_directory_that_is_named_twice_is_looked_in_once(index: Path) -> None:
    of_another_version(put("index", "fusion", index))
    assert len(notes(load_engine(index, index / ADAPTED))) == 1


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", FALLING)
@pytest.mark.parametrize("place", ["index", "installed"])
def test_the_mark_changes_with_what_is_damaged_and_with_what_is_mended(
    place: str, kind: ModelKind, damage: str, index: Path
) -> None:
    marks = [mark_of(index)]
    made = put(place, kind, index)
    marks.append(mark_of(index))
    whole = shutil.copytree(made, index.parent / "whole")
    DAMAGE[damage](made)
    marks.append(mark_of(index))
    shutil.rmtree(made)
    shutil.copytree(whole, made, copy_function=shutil.copyfile)  # as what is trained again: the same bytes
    marks.append(mark_of(index))
    assert all(before != after for before, after in pairwise(marks))
    assert mark_of(index) == marks[-1]
    if place == "index":
        shutil.move(made, folder("installed", kind, index))
        assert mark_of(index) != marks[-1]


def test_the_mark_changes_with_what_stands_in(index: Path) -> None:
    """Behind one that is damaged."""
    DAMAGE["card"](put("index", "fusion", index))
    before = mark_of(index)
    put("installed", "fusion", index)
    assert mark_of(index) != before


ITS = read_card(SHIPPED["encoder"] / CARD)["sha256"]["model.onnx"]  # `put` makes encoders of questions of it
BOTH: tuple[ModelKind, ...] = ("query", "fusion")
STATED: list[tuple[dict[str, Any] | None, dict[str, Any], tuple[ModelKind, ...]]] = [
    # what the cards of encoder, or none, and fusion state; which of them are used
    ({}, {}, BOTH),
    ({"text_version": TEXT_VERSION}, {}, BOTH),
    ({"text_version": "0"}, {}, ("fusion",)),
    ({}, {"query": ITS}, BOTH),
    ({}, {"query": ""}, ("query",)),
    ({}, {"query": "another"}, ("query",)),
    ({"text_version": "0"}, {"query": ITS}, ()),
    (None, {"query": ""}, ("fusion",)),
    (None, {"query": ITS}, ()),
]


@pytest.mark.parametrize(("of_encoder", "of_fusion", "expected"), STATED)
def test_encoder_and_fusion_are_used_with_what_they_learned_with(
    of_encoder: dict[str, Any] | None, of_fusion: dict[str, Any], expected: tuple[ModelKind, ...], index: Path
) -> None:
    made = {"fusion": put("index", "fusion", index, adapted={}, **of_fusion)}
    if of_encoder is not None:
        made["query"] = put("index", "query", index, adapted={})
        change(made["query"], **of_encoder)
    engine = load_engine(index)
    assert tuple(kind for kind in BOTH if used(engine, kind, index) == "index") == expected
    assert engine.fusion
    refused = [place for kind, place in made.items() if kind not in expected]
    assert len(notes(engine)) == len(refused)
    for place in refused:
        assert any(f"again, or delete {place}; " in note for note in notes(engine))


LEARNED: tuple[ModelKind, ...] = ("fusion", "query", "reranker")
UNADAPTED = [
    # what a card states, the place, whether it is used to measure
    ({"adapted": {}}, "index", False),
    ({"adapted": {}}, "installed", False),
    ({"name": "adapted"}, "installed", False),
    ({"name": "of corpora"}, "installed", True),
    ({"adapted": {}}, "chosen", True),
    ({"name": "adapted"}, "chosen", True),
]


@pytest.mark.parametrize(("about", "place", "is_used"), UNADAPTED)
@pytest.mark.parametrize("kind", LEARNED)
def test_what_was_adapted_measures_nothing_unless_it_is_named(
    kind: ModelKind, about: dict[str, Any], place: str, is_used: bool, index: Path
) -> None:
    made = put(place, kind, index, **about)
    chosen = made.parent if place == "chosen" else None
    assert used(load_engine(index, chosen), kind, index) == place
    engine = load_engine(index, chosen, adapted=False)
    otherwise = "ships" if kind in SHIPPED else "none"
    assert used(engine, kind, index) == (place if is_used else otherwise)
    is_noted = [str(made) in note and f"--models {made.parent}`" in note for note in notes(engine)]
    assert is_noted == [True] * (place == "installed" and not is_used)


def test_the_installed_models_can_be_named_too(index: Path) -> None:
    put("installed", "fusion", index, adapted={})
    engine = load_engine(index, data_directory(), adapted=False)
    assert (used(engine, "fusion", index), notes(engine)) == ("installed", [])


@pytest.mark.parametrize("kind", LEARNED)
def test_adapting_does_not_start_from_what_was_adapted(kind: ModelKind, index: Path) -> None:
    """It would be judged by answers that it has seen."""
    made = put("chosen", kind, index, name="adapted")
    adapt = ["train", "adapt", "--index", str(index), "--models", str(made.parent), "--no-encoder"]
    done = CliRunner().invoke(main, adapt)
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert line.startswith(f"Error: {made} ")
    assert "leave --models out" in line
    assert not (index / ADAPTED).exists()


def test_adapting_tells_what_it_does_not_start_from(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, damaged = put("installed", "fusion", index, adapted={}), put("chosen", "reranker", index)
    DAMAGE["weights"](damaged)

    def adapt(engine: Engine, *_: Any) -> None:
        assert (used(engine, "fusion", index), used(engine, "reranker", index)) == ("ships", "ships")
        raise AdaptProblem("that was all")

    monkeypatch.setattr(adapting, "adapt", adapt)
    options = ["--index", str(index), "--models", str(damaged.parent), "--no-encoder"]
    done = CliRunner().invoke(main, ["train", "adapt", *options])
    first, second, last = (line for line in done.output.splitlines() if "base layer" not in line)
    assert first.startswith(f"{made} has learned from a code base and is left out")
    assert second.startswith(f"{damaged / 'model.onnx'} is damaged")
    assert last == "Error: that was all"
