"""Training on one's own code: what is learned from, what decides, and what is left as it was."""

from __future__ import annotations

import errno
import json
import re
import shutil
import sys
import tomllib
from collections.abc import Collection
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import EXAMPLE

from deepcodeseek.index_builder import ablate_adapted, adapt_encoder, adapt_files, adapt_reranker
from deepcodeseek.index_builder import adapt as adapting
from deepcodeseek.index_builder.adapt import AdaptProblem, adapt, fold_of, is_below, left_out, mined
from deepcodeseek.index_builder.adapt_files import NAMES
from deepcodeseek.index_builder.atomic import write_lines
from deepcodeseek.index_builder.build import Report, build_index
from deepcodeseek.index_builder.candidates import candidate_lists
from deepcodeseek.index_builder.cli import main
from deepcodeseek.index_builder.evaluate import Asked, context_of
from deepcodeseek.index_builder.layers import read_bases, remove_base
from deepcodeseek.index_builder.train_fusion import (
    Recipe,
    _initial,
    as_fusion,
    gain_of,
    is_gain,
    ranks,
    train,
    write_fusion,
)
from deepcodeseek.index_builder.train_libraries import EXTRA
from deepcodeseek.index_builder.train_query import documents_of
from deepcodeseek.index_builder.train_shipped import train_shipped
from deepcodeseek.server.engine import Engine, load_engine, mark_of
from deepcodeseek.server.fusion import load_fusion
from deepcodeseek.server.generation import ADAPTED, base_directory, index_directory
from deepcodeseek.server.models import Encoder, ModelProblem, find_model, read_model
from deepcodeseek.server.text import encoder_query
from deepcodeseek.server.types import ExpandedQuery

QUIET: Any = lambda *_: None  # noqa: E731
QUICK = Recipe(epochs=2, rate=5e-3)


@pytest.fixture(autouse=True)
def _few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapting, "PER_TARGET", 2)


@pytest.fixture(scope="module")
def untrained(engine: Engine) -> Engine:
    return replace(engine, fusion=as_fusion(_initial(16, np.random.default_rng(0))))


def test_what_is_left_out_is_no_question(example_report: Report) -> None:
    index = index_directory(EXAMPLE)
    every = mined(index, EXAMPLE, frozenset(), QUIET, QUIET)
    hidden = frozenset({every[0]["file"], every[-1]["file"], every[0]["target_file"]})
    left = mined(index, EXAMPLE, hidden, QUIET, QUIET)
    assert {sample["file"] for sample in every} | {sample["target_file"] for sample in every} >= hidden
    assert {sample["file"] for sample in left}.isdisjoint(hidden)
    assert {sample["target_file"] for sample in left}.isdisjoint(hidden)
    assert len(left) > len(every) / 2


FILE, FOLDER = "apps/cargo/a.js", "apps/quay"
LISTS = [
    # what --leave-out names, which files that are, which lines say nothing
    (b"apps/cargo/a.js\n", {FILE}, ()),
    (b"\n  ./apps/cargo/a.js  \r\n\n", {FILE}, ()),
    (b"apps\\cargo\\a.js", {FILE}, ()),
    (b"apps/quay/../cargo/a.js", {FILE}, ()),
    (b"WORKSPACE/apps/cargo/a.js", {FILE}, ()),
    ("\ufeffapps/cargo/a.js\napps/quay/b.js".encode(), {FILE, f"{FOLDER}/b.js"}, ()),
    ("apps/cargo/a.js\n".encode("utf-16"), {FILE}, ()),
    (b"apps/quay/", {f"{FOLDER}/b.js", f"{FOLDER}/c.js"}, ()),
    (b"apps/none.js\n# a.js\napps/cargo/a.js", {FILE}, ("apps/none.js", "# a.js")),
    (b"/elsewhere/a.js\napps/cargo/a.js", {FILE}, ("/elsewhere/a.js",)),
    (b"LINK/apps/cargo/a.js", {FILE}, ()),
    (b"", set(), ()),
]


@pytest.mark.parametrize(("content", "files", "unknown"), LISTS)
def test_files_are_left_out_however_they_are_written(
    content: bytes, files: set[str], unknown: tuple[str, ...], encoder: Encoder, quay: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(quay / "w", target_is_directory=True)
    places = content.replace(b"WORKSPACE", bytes(quay / "w")).replace(b"LINK", bytes(tmp_path / "link"))
    (tmp_path / "list.txt").write_bytes(places)
    engine = load_engine(quay / "i")
    hidden, lines = left_out(tmp_path / "list.txt", quay / "w", engine.index)
    assert {path for path in hidden if engine.index.file_ids(path)} == files
    assert lines == unknown


def test_a_list_that_names_nothing_is_refused(quay: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("apps/none.js\nother/\n", encoding="utf-8")
    with pytest.raises(AdaptProblem, match=r"no file that it names, such as apps/none\.js"):
        left_out(tmp_path / "list.txt", quay / "w", load_engine(quay / "i").index)


PLACES = [
    # a file, what is left out, whether it is
    ("apps/a.js", {"apps/a.js"}, True),
    ("apps/new/a.js", {"apps/new"}, True),
    ("apps/new/deep/a.js", {"apps/new"}, True),
    ("apps/newer/a.js", {"apps/new"}, False),
    ("apps/a.js", set(), False),
]


@pytest.mark.parametrize(("path", "places", "is_left_out"), PLACES)
def test_what_is_below_a_folder(path: str, places: set[str], is_left_out: bool) -> None:
    assert is_below(path, places) == is_left_out


@pytest.fixture(scope="module")
def quay(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace `w` of three files, and its index `i`."""
    folder = tmp_path_factory.mktemp("quay")
    for name in (FILE, f"{FOLDER}/b.js", f"{FOLDER}/c.js"):
        (folder / "w" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "w" / name).write_text(f"export class {Path(name).stem.upper()} {{}}\n", encoding="utf-8")
    build_index(folder / "w", folder / "i", encoder, QUIET)
    return folder


def test_documents_are_those_of_the_own_layer(encoder: Encoder, tmp_path: Path) -> None:
    """An API of a base layer is no document, and a call of one is no usage to learn from."""
    base = "export class Tug { pull() {} }\nexport class Buoy {}\n"
    own = "export class Crane { lift() {} }\n"
    use = "import { Crane } from './crane';\nimport { Tug } from 'base';\nnew Crane().lift(new Tug());\n"
    for name, content in (("base/package.json", '{"name": "base"}'), ("base/index.js", base),
                          ("w/crane.js", own), ("w/use.js", use)):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    try:
        build_index(tmp_path / "base", base_directory("base"), encoder, QUIET)
        bases, _ = read_bases(None)
        build_index(tmp_path / "w", tmp_path / "i", encoder, QUIET, bases)
        engine = load_engine(tmp_path / "i")
    finally:
        remove_base("base")
    assert engine.index.count == 3
    every = documents_of(engine)
    assert (every.doc.shape, every.code.shape, every.usage_api.tolist()) == ((1, 384), (1, 384), [0])
    hidden = documents_of(engine, ["crane.js"])
    assert not hidden.doc.any()
    assert not hidden.usage_api.size


def test_documents_are_those_of_the_engine_whatever_is_built_meanwhile(
    encoder: Encoder, tmp_path: Path
) -> None:
    (tmp_path / "w").mkdir()
    for names in (("Crane", "Tug"), ("Anchor", "Crane", "Tug"), ("Anchor", "Buoy", "Crane", "Tug")):
        (tmp_path / "w" / "a.js").write_text(
            "".join(f"export class {name} {{ own{name}() {{}} }}\n" for name in names), encoding="utf-8"
        )
        build_index(tmp_path / "w", tmp_path / "i", encoder, QUIET)
        if len(names) == 2:
            engine = load_engine(tmp_path / "i")
            before = documents_of(engine)
    after = documents_of(engine)
    assert before.doc.shape == (2, 384)
    assert all(np.array_equal(old, new) for old, new in zip(before.arrays, after.arrays, strict=True))


def test_what_cannot_be_learned_from_is_told(
    untrained: Engine, example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index = index_directory(EXAMPLE)
    with pytest.raises(AdaptProblem, match="does not know: name what it was built from"):
        adapt(untrained, index, tmp_path, EXAMPLE / "apps", frozenset(), QUIET, QUIET)
    every = mined(index, EXAMPLE, frozenset(), QUIET, QUIET)
    other = [sample | {"target": f"other.{sample['target']}"} for sample in every]
    monkeypatch.setattr(adapting, "mined", lambda *_: other)
    with pytest.raises(AdaptProblem, match="are of APIs that"):
        adapt(untrained, index, tmp_path, EXAMPLE, frozenset(), QUIET, QUIET)
    some = [sample | ({"file": "moved.js"} if number % 4 == 0 else {}) for number, sample in enumerate(every)]
    monkeypatch.setattr(adapting, "mined", lambda *_: some)
    monkeypatch.setattr(adapting, "RECIPE", QUICK)
    said: list[str] = []
    result = adapt(untrained, index, tmp_path, EXAMPLE, frozenset(), QUIET, said.append)
    unknown = len(every[::4])
    assert result.questions == len(every) - unknown
    assert said[0].startswith(f"{unknown} of {len(every)} calls stand in files that")
    one = [sample for sample in every if fold_of([sample["file"]])[0] == fold_of([every[0]["file"]])[0]]
    monkeypatch.setattr(adapting, "mined", lambda *_: one)
    monkeypatch.setattr(adapting, "LEAST_QUESTIONS", 1)
    with pytest.raises(AdaptProblem, match="too few to learn from some"):
        adapt(untrained, index, tmp_path, EXAMPLE, frozenset(), QUIET, QUIET)


def test_files_of_one_half_are_enough_for_the_fusion(
    untrained: Engine, example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index = index_directory(EXAMPLE)
    every = mined(index, EXAMPLE, frozenset(), QUIET, QUIET)
    half = [sample for sample in every if adapting.half_of(sample["file"])]
    monkeypatch.setattr(adapting, "mined", lambda *_: half)
    monkeypatch.setattr(adapting, "RECIPE", QUICK)
    assert adapt(untrained, index, tmp_path, EXAMPLE, frozenset(), QUIET, QUIET).questions == len(half)
    with pytest.raises(AdaptProblem, match="`--no-encoder` learns from them"):
        adapt(untrained, index, tmp_path, EXAMPLE, frozenset(), QUIET, QUIET, encoder=True)


def test_of_many_calls_some_are_drawn(example_report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_directory(EXAMPLE)
    every = mined(index, EXAMPLE, frozenset(), QUIET, QUIET)
    monkeypatch.setattr(adapting, "MOST_QUESTIONS", len(every) // 2)
    some, again = (mined(index, EXAMPLE, frozenset(), QUIET, QUIET) for _ in range(2))
    assert some == again == [sample for sample in every if sample in some]
    assert len(some) == len(every) // 2


def test_what_is_left_out_is_no_candidate(engine: Engine, example_report: Report) -> None:
    samples = mined(index_directory(EXAMPLE), EXAMPLE, frozenset(), QUIET, QUIET)[:20]

    def named(hidden: Collection[str]) -> set[str]:
        lists = list(candidate_lists(engine, samples, Asked(), QUIET, hidden))
        return {text.partition(". ")[0] for each in lists for text in (each.positive, *each.negatives)}

    some = named(())
    wrong = min(some - {sample["target_name"] for sample in samples})
    apis = engine.index.apis
    hidden = [path for path, name in zip(apis.source, apis.name, strict=True) if name == wrong]
    defined = {name for path, name in zip(apis.source, apis.name, strict=True) if path in hidden}
    assert wrong in defined
    assert named(hidden).isdisjoint(defined)


def test_what_is_left_out_says_nothing(
    untrained: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def spy(engine: Engine, samples: Any, asked: Any, progress: Any, hidden: Any) -> Any:
        seen.append(hidden)
        raise AdaptProblem("seen enough")

    monkeypatch.setattr(adapting, "ask", spy)
    hidden = frozenset({"apps/berth-planning/update/x.xml"})
    with pytest.raises(AdaptProblem, match="seen enough"):
        adapt(untrained, index_directory(EXAMPLE), tmp_path, EXAMPLE, hidden, QUIET, QUIET)
    assert seen == [hidden]


def test_what_predicts_better_is_written_and_loads(
    untrained: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(adapting, "RECIPE", QUICK)
    for kind, name in (
        ("query", "adapted"),
        ("reranker", "my own"),
    ):  # nobody judged the first beside a new fusion
        (tmp_path / kind).mkdir()
        card = {"name": name, "sha256": {"model.onnx": "0"}}
        (tmp_path / kind / "model.json").write_text(json.dumps(card), encoding="utf-8")
    result = adapt(untrained, index_directory(EXAMPLE), tmp_path, EXAMPLE, frozenset(), QUIET, QUIET)
    assert result.is_better
    assert {path.name for path in tmp_path.iterdir()} == {"fusion", "reranker"}
    assert result.after[5] > result.before[5]
    assert result.gained > result.lost
    assert result.cut_after[40] > result.cut_before[40]
    assert result.cut_before != result.before
    fusion = load_fusion(find_model("fusion", tmp_path))  # type: ignore[arg-type]
    card = json.loads((tmp_path / "fusion" / "model.json").read_text(encoding="utf-8"))
    assert card["adapted"]["questions"] == result.questions
    again = adapt(
        replace(untrained, fusion=fusion),
        index_directory(EXAMPLE),
        tmp_path / "b",
        EXAMPLE,
        frozenset(),
        QUIET,
        QUIET,
    )
    assert again.before[1] > result.before[1]


def test_what_is_no_better_leaves_all_as_it_was(
    untrained: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(adapting, "RECIPE", Recipe(epochs=1, rate=0.0, decay=0.0))
    result = adapt(untrained, index_directory(EXAMPLE), tmp_path, EXAMPLE, frozenset(), QUIET, QUIET)
    assert not result.is_better
    assert result.before == result.after
    assert not list(tmp_path.iterdir())


def test_what_an_earlier_run_learned_goes_where_it_is_no_better(
    untrained: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It may have learned from what is left out now; what somebody else put there stays."""
    assert untrained.fusion
    monkeypatch.setattr(adapting, "RECIPE", Recipe(epochs=1, rate=0.0, decay=0.0))
    for name, about in (("earlier", {"adapted": {}}), ("mine", {})):
        write_fusion(untrained.fusion.parameters, tmp_path / name / "fusion", about, QUICK)
        said: list[str] = []
        adapt(untrained, index_directory(EXAMPLE), tmp_path / name, EXAMPLE, frozenset(), QUIET, said.append)
        assert (tmp_path / name / "fusion").is_dir() == (name == "mine")
        removed = "the fusion that an earlier run had learned is removed"
        assert any(line.startswith(removed) for line in said) == (name == "earlier")


@pytest.mark.parametrize("kind", NAMES)
def test_what_is_no_model_is_not_replaced(
    kind: str, untrained: Engine, example_report: Report, tmp_path: Path
) -> None:
    """A folder of the user's project may have the name of a model."""
    mine = tmp_path / kind / "mine.sql"
    mine.parent.mkdir()
    mine.write_text("SELECT", encoding="utf-8")
    with pytest.raises(AdaptProblem, match=f"{kind} is no model, and would be replaced: choose another"):
        adapt(untrained, index_directory(EXAMPLE), tmp_path, EXAMPLE, frozenset(), QUIET, QUIET)
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


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Encoders:
    """What stands in for the trainings that take minutes: the encoder learns nothing, the rest may fail."""

    def __init__(self, patch: pytest.MonkeyPatch, encoder: str = "", reranker: BaseException | None = None):
        patch.setattr(adapting, "MOST_QUESTIONS", 60)
        patch.setattr(adapting, "RECIPE", QUICK)
        patch.setattr(adapting, "is_gain", lambda *_: True)
        patch.setattr(adapting, "gain_of", lambda *_: (0.1, 0.01))
        patch.setattr(adapting, "adapt_encoder", self.encoder)
        patch.setattr(adapting, "adapt_reranker", self.reranker)
        self.refused, self.raised = encoder, reranker

    def encoder(self, engine: Engine, halves: Any, leave_out: Any, work: Path, out: Path, *_: Any) -> Any:
        if self.refused:
            raise ValueError(self.refused)
        assert engine.fusion
        write_fusion(engine.fusion.parameters, out, {"kind": "query", "name": "adapted"}, QUICK)
        return [engine, engine]

    def reranker(self, lists: Any, model: Any, work: Path, out: Path, *_: Any) -> Any:
        if self.raised:
            raise self.raised
        write_fusion(_initial(4, np.random.default_rng(3)), out, {"kind": "reranker"}, QUICK)
        return adapt_reranker.Reranked(len(lists[0]), {1: 50.0}, {1: 60.0}, True)


class ByHeart:
    """An encoder that knows the right document for the questions it has learned, and nothing of others."""

    def __init__(self, engine: Engine, samples: Collection[dict[str, Any]]) -> None:
        assert engine.encoder
        self.files, self.dimension, self.state = engine.encoder.files, engine.encoder.dimension, "loaded"
        documents, self._known = engine.index.own_vectors("doc"), {}
        for sample, after in product(samples, (True, False)):
            context = context_of(engine, sample, Asked(after=after))
            (api,) = np.flatnonzero([name == sample["target"] for name in engine.index.apis.api_name])
            if context:
                self._known[encoder_query(ExpandedQuery(context))] = documents[api]

    def encode(self, texts: Collection[str], stop: Any = None) -> Any:
        by_chance = (
            np.random.default_rng(crc32(text.encode())).normal(size=self.dimension) for text in texts
        )
        vectors = [self._known.get(text, other) for text, other in zip(texts, by_chance, strict=True)]
        return np.array([vector / np.linalg.norm(vector) for vector in vectors], np.float32)


@pytest.mark.parametrize(("known", "is_useful"), [("what it learned", False), ("the other half", True)])
def test_an_encoder_is_judged_by_files_that_it_has_not_seen(
    known: str, is_useful: bool, untrained: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What knows its own half by heart would look best, were it asked about that."""
    monkeypatch.setattr(adapting, "MOST_QUESTIONS", 100)
    monkeypatch.setattr(adapting, "RECIPE", QUICK)

    def stand_in(engine: Engine, halves: Any, leave_out: Any, work: Any, out: Path, *_: Any) -> list[Engine]:
        assert engine.fusion
        write_fusion(engine.fusion.parameters, out, {"kind": "query", "name": "adapted"}, QUICK)
        parts = halves if known == "what it learned" else halves[::-1]
        return [replace(engine, query_encoder=ByHeart(engine, part)) for part in parts]

    monkeypatch.setattr(adapting, "adapt_encoder", stand_in)
    engine = replace(untrained, reranker=None)
    result = adapt(
        engine, index_directory(EXAMPLE), tmp_path, EXAMPLE, frozenset(), QUIET, QUIET, encoder=True
    )
    encoded = result.encoded
    assert encoded
    assert (encoded.gain > 3 * encoded.error) == is_useful
    assert encoded.is_better == (encoded.gain > 0)
    assert result.is_better
    assert {path.name for path in tmp_path.iterdir()} == {"fusion", *["query"] * encoded.is_better}
    assert result.after == (encoded.after if encoded.is_better else encoded.before)


@pytest.mark.parametrize(("alone", "beside", "is_better"), [([1, 2], [1, 1], True), ([1, 2], [1, 3], False)])
def test_an_encoder_that_gains_nothing_is_not_written(
    alone: list[int],
    beside: list[int],
    is_better: bool,
    untrained: Engine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Nor is a fusion that learned with it."""
    of_whom = {False: "alone", True: "beside"}

    def judged(calls: Any, engines: Any, start: Any) -> Any:
        found = np.array(2 * (beside if engines[0].query_encoder else alone), np.int64)
        return adapting._Judged(of_whom[bool(engines[0].query_encoder)], ["a", "b"] * 2, found + 4, found)  # type: ignore[arg-type]

    def learn(engine: Engine, halves: Any, leave_out: Any, work: Any, out: Path, *_: Any) -> list[Engine]:
        assert engine.fusion
        write_fusion(engine.fusion.parameters, out, {"kind": "query", "name": "adapted"}, QUICK)
        return [replace(engine, query_encoder=engine.encoder)] * 2

    learned: list[str] = []

    def train_on(few: str, *_: Any) -> Any:
        learned.append(few)
        return untrained.fusion.parameters, []  # type: ignore[union-attr]

    monkeypatch.setattr(adapting, "_judged", judged)
    monkeypatch.setattr(adapting, "adapt_encoder", learn)
    monkeypatch.setattr(adapting, "train", train_on)
    monkeypatch.setattr(adapting, "is_gain", lambda *_: True)
    engine = replace(untrained, reranker=None, query_encoder=None)
    result = adapt(
        engine, index_directory(EXAMPLE), tmp_path, EXAMPLE, frozenset(), QUIET, QUIET, encoder=True
    )
    assert result.encoded
    assert result.encoded.is_better == is_better
    assert {path.name for path in tmp_path.iterdir()} == {"fusion", *["query"] * is_better}
    assert learned == [of_whom[is_better]]


def test_each_half_teaches_an_encoder_that_hears_nothing_of_the_other(
    untrained: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard: list[Any] = []
    taught: list[Any] = []
    monkeypatch.setattr(adapt_encoder, "documents_of", lambda engine, *given: heard.append(given))
    monkeypatch.setattr(adapt_encoder, "questions_of", lambda engine, samples, name: taught.append(samples))
    monkeypatch.setattr(adapt_encoder, "train", lambda questions, documents, base, folder, *_: folder)
    monkeypatch.setattr(adapt_encoder, "export_encoder", lambda *_: {})
    monkeypatch.setattr(adapt_encoder, "mean_weights", lambda *_: tmp_path)
    monkeypatch.setattr(adapt_encoder, "base_weights", lambda: tmp_path)
    monkeypatch.setattr(adapt_encoder, "load_encoder", lambda files: files.directory)
    halves = [[{"file": "a.js"}, {"file": "b.js"}], [{"file": "c.js"}]]
    hidden = frozenset({"x.js"})
    engines = adapt_encoder.adapt_encoder(
        untrained, halves, hidden, tmp_path / "w", tmp_path / "out", QUIET, QUIET
    )
    assert taught == halves
    assert heard == [(hidden, {"c.js"}), (hidden, {"a.js", "b.js"})]
    assert [engine.query_encoder for engine in engines] == [tmp_path / "w" / n / "query" for n in "01"]


@pytest.fixture
def adapted_before(tmp_path: Path) -> Path:
    """A models directory that an earlier run has written."""
    for seed, kind in enumerate(NAMES):
        parameters = _initial(4, np.random.default_rng(seed))
        write_fusion(parameters, tmp_path / "m" / kind, {"adapted": {}}, QUICK)
    return tmp_path / "m"


def test_what_lies_there_stays_until_all_is_made(
    untrained: Engine, adapted_before: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Encoders(monkeypatch, reranker=KeyboardInterrupt())
    before = contents(adapted_before)
    arguments = (untrained, index_directory(EXAMPLE), adapted_before, EXAMPLE, frozenset(), QUIET, QUIET)
    with pytest.raises(KeyboardInterrupt):
        adapt(*arguments, encoder=True)
    assert {name: content for name, content in contents(adapted_before).items() if name in before} == before
    Encoders(monkeypatch)
    result = adapt(*arguments, encoder=True)
    assert {path.name for path in adapted_before.iterdir()} == set(NAMES)
    after = contents(adapted_before)
    assert not [name for name in before if after[name] == before[name]]
    said = [json.loads(after[f"{kind}/model.json"])["adapted"] for kind in NAMES]
    assert said == 3 * [json.loads(json.dumps(asdict(result)))]


def test_a_full_disk_leaves_every_model_as_it_was(
    adapted_before: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A fusion must not be parted from the encoder of questions that it learned with."""
    before = contents(adapted_before)
    for kind in NAMES:
        write_fusion(_initial(4, np.random.default_rng(9)), tmp_path / "made" / kind, {}, QUICK)
    written: list[Path] = []

    def write(path: Path, lines: Collection[str]) -> int:
        written.append(path)
        if len(written) == len(NAMES):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_lines(path, lines)

    monkeypatch.setattr(adapt_files, "write_lines", write)
    with pytest.raises(OSError, match="No space"):
        adapt_files.put_in_place(tmp_path / "made", adapted_before, {"adapted": {}}, is_owned=True)
    assert contents(adapted_before) == before
    monkeypatch.undo()
    assert not adapt_files.put_in_place(tmp_path / "made", adapted_before, {"adapted": {}}, is_owned=True)
    assert all(contents(adapted_before)[name] != content for name, content in before.items())


REFUSED = [
    # what fails: the encoder of questions, the cross-encoder; what is written; what is said
    ("the bounds", None, {"fusion", "reranker"}, ["the encoder of questions learns nothing: the bounds"]),
    *(
        ("", error, {"query", "fusion"}, ["the cross-encoder learns nothing: 0.9"])
        for error in (ValueError("0.9"), ModelProblem("0.9"), RuntimeError("0.9"))
    ),
    ("", None, {"query", "fusion", "reranker"}, []),
]


@pytest.mark.parametrize(("refused", "failed", "kinds", "sentences"), REFUSED)
def test_what_fails_is_left_out_alone(
    refused: str,
    failed: Exception | None,
    kinds: set[str],
    sentences: list[str],
    untrained: Engine,
    adapted_before: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With nothing that learned beside it, nor what an earlier run made."""
    Encoders(monkeypatch, refused, failed)
    said: list[str] = []
    index = index_directory(EXAMPLE)
    result = adapt(untrained, index, adapted_before, EXAMPLE, frozenset(), QUIET, said.append, encoder=True)
    removed = [f"the {NAMES[kind]} that an earlier" for kind in NAMES if kind not in kinds]
    assert [line[: len(start)] for line, start in zip(said, sentences + removed, strict=True)] == [
        *sentences,
        *removed,
    ]
    assert {path.name for path in adapted_before.iterdir()} == kinds
    query = find_model("query", adapted_before)
    assert read_model("fusion", adapted_before / "fusion").card["query"] == (query.sha256 if query else "")
    assert (result.reranked is None) == ("reranker" not in kinds)


def test_fusions_judge_and_make_lists_of_what_they_have_not_seen(
    untrained: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(adapting, "MOST_LISTS", 7)
    Encoders(monkeypatch)
    learned: list[tuple[Any, set[str]]] = []
    listed: list[tuple[Any, list[str]]] = []
    judging: list[tuple[Any, str]] = []
    hidden = frozenset({"apps/berth-planning/update/x.xml"})

    def spy_train(questions: Any, *given: Any) -> Any:
        parameters, curve = train(questions, *given)
        learned.append((parameters, set(questions.files)))
        return parameters, curve

    def spy_ranks(fusion: Any, questions: Any) -> Any:
        judging.extend((fusion.parameters, str(file)) for file in questions.files)
        return ranks(fusion, questions)

    def spy_lists(engine: Engine, samples: Any, *given: Any) -> Any:
        assert engine.fusion
        assert given[-1] == hidden
        listed.append((engine.fusion.parameters, [sample["file"] for sample in samples]))
        return candidate_lists(engine, samples, *given)

    monkeypatch.setattr(adapting, "train", spy_train)
    monkeypatch.setattr(adapting, "candidate_lists", spy_lists)
    monkeypatch.setattr(adapting, "ranks", spy_ranks)
    monkeypatch.setattr(adapting, "_general", lambda fusion: {})
    adapt(untrained, index_directory(EXAMPLE), tmp_path, EXAMPLE, hidden, QUIET, QUIET, encoder=True)
    assert [len(files) for _, files in listed] == [4, 3, 4, 3]  # of each half as it stands, and cut
    for parameters, files in listed:
        (seen,) = (seen for its, seen in learned if np.array_equal(its[0], parameters[0]))
        assert seen.isdisjoint(files)
    start = untrained.fusion.parameters[0]  # type: ignore[union-attr]
    judged = [(its[0], file) for its, file in judging if not np.array_equal(its[0], start)]
    assert len(judged) == len(judging) / 2
    for weights, file in judged:
        (seen,) = {frozenset(seen) for its, seen in learned if np.array_equal(its[0], weights)}
        assert file not in seen


GAINS = [
    # ranks before and after, files, the gain and its error; whether it is more than chance gives
    ([], [], [], 0.0, 0.0, False),
    ([2, 2], [1, 1], ["a", "b"], 0.5, 0.0, True),
    ([2, 2, 1, 1], [1, 1, 1, 1], ["a", "b", "c", "d"], 0.25, 0.1443, True),
    ([2, 2, 1, 1], [1, 1, 1, 1], ["a", "a", "b", "b"], 0.25, 0.25, False),  # of one file: one opinion
    ([2, 2, 1, 1], [1, 1, 1, 1], [], 0.25, 0.1443, True),
    ([0, 1], [0, 2], ["a", "b"], -0.25, 0.25, False),
]


@pytest.mark.parametrize(("before", "after", "files", "gain", "error", "is_more"), GAINS)
def test_what_is_gained_and_by_how_many_files(
    before: list[int], after: list[int], files: list[str], gain: float, error: float, is_more: bool
) -> None:
    asked = np.array(before, np.int64), np.array(after, np.int64), files
    assert gain_of(*asked) == pytest.approx((gain, error), abs=1e-4)
    assert is_gain(*asked) == is_more


def test_folds_are_by_file() -> None:
    folds = fold_of(["a.js", "b.js", "a.js"] * 50)
    assert folds[0] == folds[2]
    assert set(fold_of(f"{i}.js" for i in range(100)).tolist()) == set(range(5))


def test_too_little_to_learn_from(encoder: Encoder, untrained: Engine, tmp_path: Path) -> None:
    source = tmp_path / "w"
    source.mkdir()
    (source / "a.js").write_text("export class A {}", encoding="utf-8")
    build_index(source, tmp_path / "i", encoder, QUIET)
    with pytest.raises(AdaptProblem, match="0 calls to learn from: at least 50"):
        adapt(untrained, tmp_path / "i", tmp_path / "m", None, frozenset(), QUIET, QUIET)
    shutil.rmtree(source)
    with pytest.raises(AdaptProblem, match="name it with --workspace"):
        adapt(untrained, tmp_path / "i", tmp_path / "m", None, frozenset(), QUIET, QUIET)
    with pytest.raises(AdaptProblem, match="reinstall"):
        adapt(
            replace(untrained, fusion=None), tmp_path / "i", tmp_path / "m", None, frozenset(), QUIET, QUIET
        )


def test_the_command(untrained: Engine, example_report: Report, tmp_path: Path) -> None:
    assert untrained.fusion
    write_fusion(untrained.fusion.parameters, tmp_path / "from" / "fusion", {}, QUICK)
    samples = mined(index_directory(EXAMPLE), EXAMPLE, frozenset(), QUIET, QUIET)
    (tmp_path / "left.txt").write_text(f"apps/nowhere.xml\n{samples[0]['file']}\n", encoding="utf-8")
    options = [
        "--models",
        str(tmp_path / "from"),
        "--leave-out",
        str(tmp_path / "left.txt"),
        "--progress",
        "jsonl",
        "--no-encoder",
    ]
    done = CliRunner().invoke(
        main,
        [
            "train",
            "adapt",
            "--index",
            str(index_directory(EXAMPLE)),
            "--out",
            str(tmp_path / "to"),
            *options,
        ],
    )
    assert done.exit_code == 0, done.output
    assert f"written to {tmp_path / 'to'}" in done.stdout
    assert "where the setting modelsDirectory names this folder" in done.stdout
    said, *lines = map(json.loads, done.stderr.splitlines())
    assert said["message"].endswith("left.txt: apps/nowhere.xml: the index has no such file")
    assert {line["task"] for line in lines} >= {"gathering", "fusion 1 of 5", "fusion"}
    assert (tmp_path / "to" / "fusion" / "fusion.npz").is_file()


def test_a_list_of_no_files_is_said(
    example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever made it may have meant some."""

    def refuse(*_: Any) -> None:
        raise AdaptProblem("asked")

    monkeypatch.setattr(adapting, "adapt", refuse)
    (tmp_path / "none.txt").write_text("\n", encoding="utf-8")
    options = ["--index", index_directory(EXAMPLE), "--leave-out", tmp_path / "none.txt", "--no-encoder"]
    done = CliRunner().invoke(main, ["train", "adapt", *map(str, options)])
    assert done.stderr.splitlines()[-2:] == [
        f"{tmp_path / 'none.txt'} names no file: all of them are learned from",
        "Error: asked",
    ]


def test_what_cannot_be_written_is_said_before_all_the_work(
    untrained: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr(adapting, "ask", lambda *_: pytest.fail("asked before"))
    with pytest.raises(NotADirectoryError):
        adapt(untrained, index_directory(EXAMPLE), tmp_path / "file/x", EXAMPLE, frozenset(), QUIET, QUIET)


def test_the_libraries_of_the_extra_are_those_that_are_looked_for() -> None:
    extra = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    names = (re.split("[<>=]", each)[0] for each in extra["project"]["optional-dependencies"]["train"])
    assert {name.replace("-", "_") for name in names} == set(EXTRA)


TRAININGS: dict[str, list[str]] = {
    "adapt": ["--index", "INDEX", "--encoder"],
    "query": ["--corpora", "INDEX", "--out", "OUT"],
    "reranker": ["--corpora", "INDEX", "--out", "OUT"],
    "expander": ["--corpora", "INDEX", "--out", "OUT"],
}


@pytest.mark.parametrize("command", TRAININGS)
def test_without_the_extra_a_training_does_not_begin(
    command: str, example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # as if it were not installed
    places = {"INDEX": str(index_directory(EXAMPLE)), "OUT": str(tmp_path / "m")}
    options = [places.get(option, option) for option in TRAININGS[command]]
    done = CliRunner().invoke(main, ["train", command, *options])
    assert done.exit_code == 1
    assert "onnxscript" in done.stderr
    assert "pip install 'deepcodeseek[train]'" in done.stderr
    assert not (tmp_path / "m").exists()


# What ships


def test_training_on_corpora(encoder: Encoder, tmp_path: Path) -> None:
    samples = "\n".join(
        json.dumps(sample) for sample in mined(index_directory(EXAMPLE), EXAMPLE, frozenset(), QUIET, QUIET)
    )
    for name, kind in (("one", "train"), ("two", "eval-only")):
        folder = tmp_path / "corpora" / name
        build_index(EXAMPLE, folder / "index", encoder, QUIET)
        (folder / "samples.jsonl").write_text(samples, encoding="utf-8")
        about = {
            "name": name,
            "list": kind,
            "packages": [{"name": name, "version": "1.0.0", "licence": "MIT"}],
        }
        (folder / "corpus.json").write_text(json.dumps({"corpus": about}), encoding="utf-8")
    about = train_shipped(tmp_path / "corpora", tmp_path / "m", QUICK, QUIET)
    assert about["trained_on"] == [{"name": "one", "packages": ["one@1.0.0 (MIT)"]}]
    assert about["loss"][-1] < about["loss"][0]
    assert set(about["top_k_percent"]) == {"two"}
    first = (tmp_path / "m" / "fusion" / "fusion.npz").read_bytes()
    tasks: list[str] = []
    train_shipped(tmp_path / "corpora", tmp_path / "m", QUICK, lambda task, *_: tasks.append(task))
    assert (tmp_path / "m" / "fusion" / "fusion.npz").read_bytes() == first
    assert "gathering" not in tasks  # what was gathered is kept
    with pytest.raises(ValueError, match="holds no corpus"):
        train_shipped(tmp_path / "m", tmp_path / "n", QUICK, QUIET)


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
    for _ in range(2):
        arguments = [*options, "--out", tmp_path / "adapted.json", "--stage", "again", tmp_path / "none"]
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


def test_folds_of_other_code_are_made_anew_and_installed_models_are_refused(
    example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[Path] = []
    monkeypatch.setattr(ablate_adapted, "adapt", lambda *arguments: made.append(arguments[2]))
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
    engine = load_engine(index, adapted=False)
    monkeypatch.setattr(ablate_adapted, "load_engine", lambda *_, **__: replace(engine, fusion=None))
    refused = run()
    assert refused.exit_code == 1
    assert "instead of what ships (fusion): `deepcodeseek models list`" in refused.output
