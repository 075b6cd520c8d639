"""Training on one's own code: what is learned from, what decides, and what is left as it was."""

from __future__ import annotations

import errno
import json
import re
import shutil
import sys
import tomllib
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import asdict, replace
from itertools import product
from math import inf
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import EXAMPLE, QUICK, QUIET

from deepcodeseek.index_builder import adapt as adapting
from deepcodeseek.index_builder import adapt_encoder, adapt_files, adapt_reranker
from deepcodeseek.index_builder.adapt import AdaptProblem, adapt, fold_of, mined
from deepcodeseek.index_builder.adapt_files import NAMES
from deepcodeseek.index_builder.atomic import write_lines
from deepcodeseek.index_builder.build import Report, build_index
from deepcodeseek.index_builder.candidates import candidate_lists
from deepcodeseek.index_builder.cli import main
from deepcodeseek.index_builder.evaluate import Asked, context_of
from deepcodeseek.index_builder.evidence import GENERAL
from deepcodeseek.index_builder.train_fusion import (
    Recipe,
    _initial,
    gain_of,
    is_gain,
    ranks,
    train,
    write_fusion,
)
from deepcodeseek.index_builder.train_libraries import EXTRA
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.fusion import load_fusion
from deepcodeseek.server.generation import index_directory
from deepcodeseek.server.models import SHIPPED, Encoder, ModelProblem, find_model, read_model
from deepcodeseek.server.text import encoder_query
from deepcodeseek.server.types import ExpandedQuery

pytestmark = pytest.mark.usefixtures("few_questions")


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
        self.refused, self.raised, self.ends = encoder, reranker, 0.0

    def encoder(self, engine: Engine, halves: Any, leave_out: Any, work: Path, out: Path, *_: Any) -> Any:
        if self.refused:
            raise ValueError(self.refused)
        assert engine.fusion
        write_fusion(engine.fusion.parameters, out, {"kind": "query", "name": "adapted"}, QUICK)
        return [engine, engine]

    def reranker(
        self, lists: Any, model: Any, work: Path, out: Path, progress: Any, say: Any, ends: float
    ) -> Any:
        self.ends = ends
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


LATE = "the cross-encoder learns nothing: no time is left for it"
REFUSED = [
    # what fails: the encoder of questions, the cross-encoder; minutes; what is written; what is said
    ("no", None, inf, {"fusion", "reranker"}, ["the encoder of questions learns nothing: no"]),
    *(
        ("", error, inf, {"query", "fusion"}, ["the cross-encoder learns nothing: 0.9"])
        for error in (ValueError("0.9"), ModelProblem("0.9"), RuntimeError("0.9"))
    ),
    ("", None, inf, {"query", "fusion", "reranker"}, []),
    ("", None, 0, {"query", "fusion"}, [LATE]),
]


@pytest.mark.parametrize(("refused", "failed", "minutes", "kinds", "sentences"), REFUSED)
def test_what_fails_is_left_out_alone(
    refused: str,
    failed: Exception | None,
    minutes: float,
    kinds: set[str],
    sentences: list[str],
    untrained: Engine,
    adapted_before: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With nothing that learned beside it, nor what an earlier run made."""
    learning = Encoders(monkeypatch, refused, failed)
    said: list[str] = []
    index = index_directory(EXAMPLE)
    arguments = (untrained, index, adapted_before, EXAMPLE, frozenset(), QUIET, said.append)
    result = adapt(*arguments, encoder=True, minutes=minutes)
    assert learning.ends == minutes
    why = "is removed: nobody judged it beside what is new"
    removed = [
        f"the {NAMES[kind]} that an earlier run had learned {why}" for kind in NAMES if kind not in kinds
    ]
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
    monkeypatch.setattr(adapting, "_general_questions", lambda say: None)
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


TIMES = [
    # seconds that a step takes, steps, seconds left; whether it learns: three trainings like it
    (1.0, 100, 300.0, True),
    (1.0, 100, 299.0, False),
    (0.0, 100, 0.0, True),
    (2.0, 10, 60.0, True),
    (2.0, 10, 59.0, False),
    (9.0, 4, 1.0, True),  # too few to tell
]


@pytest.mark.parametrize(("step", "steps", "left", "learns"), TIMES)
def test_a_cross_encoder_that_would_take_too_long_learns_nothing(
    step: float, steps: int, left: float, learns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(adapt_reranker.time, "monotonic", lambda: now[0])
    shown: list[tuple[str, int, int]] = []
    show = adapt_reranker.in_time(lambda *told: shown.append(told), 3, 1000.0 + left)
    with nullcontext() if learns else pytest.raises(ValueError, match="it would take about"):
        for done in range(steps):
            show("cross-encoder 1 of 2", done, steps)
            now[0] += step
    assert len(shown) == (steps if learns else adapt_reranker.TIMED_STEPS + 1)


@pytest.mark.parametrize(("before", "after", "files", "gain", "error", "is_more"), GAINS)
def test_what_is_gained_and_by_how_many_files(
    before: list[int], after: list[int], files: list[str], gain: float, error: float, is_more: bool
) -> None:
    asked = np.array(before, np.int64), np.array(after, np.int64), files
    assert gain_of(*asked) == pytest.approx((gain, error), abs=1e-4)
    assert is_gain(*asked) == is_more


DAMAGED = {
    "missing": None,
    "empty": lambda content: b"",
    "cut": lambda content: content[:-100],
    "one bit": lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    "no archive": lambda content: b"x" * 100,
    "another compression": lambda content: re.sub(
        rb"(PK\x01\x02.{6})..", lambda found: found[1] + b"c\0", content, flags=re.DOTALL
    ),
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_without_general_questions_it_is_said_what_cannot_be_shown(
    fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content, damage = (SHIPPED["fusion"] / GENERAL).read_bytes(), DAMAGED[fault]
    if damage:
        (tmp_path / GENERAL).write_bytes(damage(content))
    monkeypatch.setattr(adapting, "SHIPPED", {"fusion": tmp_path})
    said: list[str] = []
    assert adapting._general_questions(said.append) is None
    assert len(said) == 1
    assert re.fullmatch("what is forgotten cannot be shown: .+: reinstall deepcodeseek", said[0], re.DOTALL)


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


def test_the_command(
    untrained: Engine, example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
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
        "--minutes",
        "5",
    ]
    minutes: list[float] = []

    def spy(*arguments: Any) -> Any:
        minutes.append(arguments[-1])
        return adapt(*arguments)

    monkeypatch.setattr(adapting, "adapt", spy)
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
    assert minutes == [5.0]
    assert f"written to {tmp_path / 'to'}" in done.stdout
    assert "where the setting modelsDirectory names this folder" in done.stdout
    said, *lines = map(json.loads, done.stderr.splitlines())
    assert said["message"].endswith("left.txt: apps/nowhere.xml: the index has no such file")
    assert {line["task"] for line in lines} >= {"gathering", "fusion 1 of 5", "fusion"}
    assert (tmp_path / "to" / "fusion" / "fusion.npz").is_file()


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
