"""The learned fusion: what it sees, that it learns, and that without it reciprocal ranks stand in."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import EXAMPLE, QUICK, QUIET

from deepcodeseek.index_builder import train_fusion
from deepcodeseek.index_builder.adapt import mined
from deepcodeseek.index_builder.build import Report, build_index
from deepcodeseek.index_builder.corpora import LOCK, read_lock
from deepcodeseek.index_builder.evaluate import Asked
from deepcodeseek.index_builder.evidence import GENERAL, LOST, Questions, ask, gather
from deepcodeseek.index_builder.progress import Progress
from deepcodeseek.index_builder.train_fusion import Recipe, as_fusion, ranks, top, train, write_fusion
from deepcodeseek.index_builder.train_libraries import missing
from deepcodeseek.index_builder.train_loop import CURVE, PICTURE
from deepcodeseek.index_builder.train_shipped import train_shipped
from deepcodeseek.server.context import make_context
from deepcodeseek.server.engine import Engine, load_engine
from deepcodeseek.server.fusion import FEATURES, OF_A_SIGNAL, Fusion, _is_shadowed, features, load_fusion
from deepcodeseek.server.generation import index_directory, sha256_file
from deepcodeseek.server.models import SHIPPED, Encoder, ModelFiles, ModelProblem, find_model
from deepcodeseek.server.pipeline import METHODS, predict
from deepcodeseek.server.retrieve import rank, view_of
from deepcodeseek.server.signals import SIGNALS
from deepcodeseek.server.types import ExpandedQuery
from deepcodeseek.server.view import Ranking, View

SMALL = Recipe(epochs=3, hidden=8)


def column(signal: str, feature: str) -> int:
    return FEATURES.index(f"{signal}: {feature}")


@pytest.fixture(scope="module")
def view(engine: Engine) -> View:
    context = make_context("var x = 1;\n", "", {"file": "apps/berth-planning/update/new.js"})
    return view_of(engine.index, ExpandedQuery(context), None)


def ranking(scores: dict[int, float]) -> Ranking:
    return Ranking(np.array(list(scores), np.int64), np.array(list(scores.values()), np.float32))


RANKINGS = [
    # scores of APIs, best first; the API looked at; what each feature says of it
    ({3: 8.0, 1: 4.0, 2: 0.0}, 3, {"reciprocal rank": 1.0, "rank": 1.0, "share": 1.0, "deviation": 0.204}),
    ({3: 8.0, 1: 4.0, 2: 0.0}, 1, {"reciprocal rank": 5 / 6, "rank": 0.869, "share": 0.5, "deviation": 0.0}),
    ({3: 8.0, 1: 4.0, 2: 0.0}, 2, {"share": 0.0, "deviation": -0.204, "lead": 0.5, "is silent": 0.0}),
    ({3: 800.0, 1: 400.0, 2: 0.0}, 2, {"share": 0.0, "deviation": -0.204, "lead": 0.5}),
    ({3: 2.0}, 3, {"reciprocal rank": 1.0, "share": 1.0, "deviation": 0.0, "lead": 1.0}),
    ({}, 0, {"reciprocal rank": 0.0, "rank": 0.0, "share": 0.0, "lead": 0.0, "is silent": 1.0}),
    ({3: 2.0}, 0, {"reciprocal rank": 0.0, "rank": 0.0, "share": 0.0, "lead": 1.0, "is silent": 0.0}),
]


@pytest.mark.parametrize(("scores", "api", "expected"), RANKINGS)
def test_a_signal_says_how_an_api_stands_to_the_others(
    view: View, scores: dict[int, float], api: int, expected: dict[str, float]
) -> None:
    other = ranking({0: 1.0, 1: 0.5})
    ids, matrix = features(view, {"names": ranking(scores), "popularity": other})
    assert ids.tolist() == sorted({*scores, 0, 1})
    assert matrix.shape == (len(ids), len(FEATURES))
    row = matrix[ids.tolist().index(api)]
    said = {name: row[column("names", name)] for name in expected}
    assert said == pytest.approx(expected, abs=1e-3)
    assert row[column("co-use", "is silent")] == 1.0


SHADOWED = [
    # number of the name, nearness; whether a nearer one has the same name
    ([0, 0, 1], [1.0, 0.5, 0.2], [False, True, False]),
    ([0, 0, 0], [0.5, 0.5, 0.5], [False, False, False]),
    ([2, 1], [0.1, 1.0], [False, False]),
    ([], [], []),
]


@pytest.mark.parametrize(("names", "nearness", "expected"), SHADOWED)
def test_a_nearer_namesake_shadows(names: list[int], nearness: list[float], expected: list[bool]) -> None:
    assert _is_shadowed(np.array(names, np.int32), np.array(nearness)).tolist() == expected


def test_an_api_is_extended_where_another_one_extends_it(engine: Engine) -> None:
    apis = engine.index.apis
    extending = {name: engine.index.api(api).extends for api, name in enumerate(apis.name)}
    parents = set(filter(None, extending.values()))
    assert parents
    for api, name in enumerate(apis.name):
        assert apis.extends[api] == bool(extending[name])
        assert apis.extended[api] == (name in parents or apis.api_name[api] in parents)


def test_without_any_signal_there_are_no_candidates(view: View) -> None:
    ids, matrix = features(view, {})
    assert [len(ids), *matrix.shape] == [0, 0, len(FEATURES)]
    fusion = as_fusion(train_fusion._initial(4, np.random.default_rng(0)))
    assert fusion.score(matrix).shape == (0,)


def test_files_that_are_not_to_be_seen_say_nothing(engine: Engine) -> None:
    context = make_context("", "", {"file": "apps/berth-planning/update/new.js"})
    every = [path for path, ids in engine.index._files.items() if ids]
    hidden = view_of(engine.index, ExpandedQuery(context), None, unseen=every)
    assert not hidden.usages.any()
    assert not hidden.apis.any()
    said = rank(
        hidden,
        (
            *("usages, lexical", "usages, last lines", "popularity", "co-use", "like-named", "nearby"),
            *("code alike", "files alike", "neighbours"),
        ),
    )
    assert {name: len(each.ids) for name, each in said.items()} == dict.fromkeys(said, 0)
    assert rank(view_of(engine.index, ExpandedQuery(context), None), ["popularity"])["popularity"].ids.size


def test_what_a_file_that_is_not_to_be_seen_calls_counts_for_nothing(engine: Engine) -> None:
    """What it calls is defined elsewhere, and stays a candidate."""
    index, query = engine.index, ExpandedQuery(make_context("", "", {"file": "apps/new.js"}))
    whole = view_of(index, query, None)
    calls = {
        path: np.isin(index.uses.file, ids) & whole.uses
        for path, ids in index._files.items()
        if not np.isin(index.file_of, ids).any()
    }
    path = max(calls, key=lambda path: int(calls[path].sum()))
    assert calls[path].sum() > 2
    hidden = view_of(index, query, None, unseen=[path])
    assert (hidden.apis == whole.apis).all()
    assert (hidden.uses == (whole.uses & ~calls[path])).all()
    (before, after) = (
        dict(zip(*(each.tolist() for each in (said.ids, said.scores)), strict=True))
        for said in (rank(view, ["popularity"])["popularity"] for view in (whole, hidden))
    )
    for api, count in zip(*np.unique(index.uses.api[calls[path]], return_counts=True), strict=True):
        assert after.get(int(api), 0.0) == before[int(api)] - count


# Training


def planted(n: int, seed: int = 0) -> Questions:
    """Questions whose right candidate is the one that `names` and `co-use` rank first together."""
    rng = np.random.default_rng(seed)
    matrix = rng.random((n * 20, len(FEATURES))).astype(np.float16) * 0.2
    wanted = rng.integers(0, 20, n)
    rows = np.arange(n) * 20 + wanted
    for signal in ("names", "co-use"):
        matrix[rows, column(signal, "reciprocal rank")] = 0.9
        decoys = np.arange(n) * 20 + (wanted + (3 if signal == "names" else 7)) % 20
        matrix[decoys, column(signal, "reciprocal rank")] = 1.0
    return Questions(matrix, np.full(n, 20), wanted, np.array([f"{i % 5}.js" for i in range(n)]))


def test_it_learns_what_no_signal_says_alone() -> None:
    learned, curve = train(
        planted(200), Recipe(epochs=30, hidden=16, rate=1e-2, silence=0.0), lambda *_: None
    )
    assert curve[-1] < 0.3 * curve[0]
    assert top(ranks(as_fusion(learned), planted(100, seed=1)))[1] > 90


def test_what_was_never_seen_says_nothing() -> None:
    questions, unseen = planted(50), FEATURES.index("platform")
    questions.features[:, unseen] = 0.0
    (hidden, _, _), _ = train(questions, SMALL, lambda *_: None)
    assert not hidden[unseen].any()
    assert hidden[unseen - 1].any()


def test_the_same_questions_give_the_same_weights() -> None:
    first, second = (train(planted(50), SMALL, lambda *_: None) for _ in range(2))
    assert first[1] == second[1]
    assert all(np.array_equal(a, b) for a, b in zip(first[0], second[0], strict=True))
    further, _ = train(planted(50), SMALL, lambda *_: None, start=first[0])
    assert not np.array_equal(further[0], first[0][0])


def cut_after(steps: int) -> Progress:
    """Kills a training at a step."""

    def progress(task: str, done: int, total: int) -> None:
        if task == "training" and done == steps:
            raise KeyboardInterrupt

    return progress


A_START = train_fusion._initial(8, np.random.default_rng(1))


@pytest.mark.parametrize("start", [None, A_START], ids=["from nothing", "from weights"])
def test_it_goes_on_from_a_checkpoint_to_the_same_weights(
    start: train_fusion.Parameters | None, tmp_path: Path
) -> None:
    questions, epoch = planted(50), 4  # steps of 16 questions
    whole, curve = train(questions, SMALL, QUIET, start)
    with pytest.raises(KeyboardInterrupt):
        train(questions, SMALL, cut_after(2 * epoch + 1), start, tmp_path)
    assert not (tmp_path / CURVE).exists()
    steps: list[int] = []
    resumed, its_curve = train(questions, SMALL, lambda _, done, __: steps.append(done), start, tmp_path)
    assert steps == list(range(2 * epoch, 3 * epoch))
    assert its_curve == curve
    assert [part.tobytes() for part in resumed] == [part.tobytes() for part in whole]
    (tmp_path / CURVE).unlink()  # as where a disk was full after the last checkpoint
    again, _ = train(questions, SMALL, cut_after(0), start, tmp_path)
    assert [part.tobytes() for part in again] == [part.tobytes() for part in whole]
    losses = [json.loads(line)["loss"] for line in (tmp_path / CURVE).read_text().splitlines()]
    assert np.mean(np.reshape(losses, (3, epoch)), axis=1) == pytest.approx(curve, abs=1e-4)
    assert (tmp_path / PICTURE).is_file() != bool(missing(["matplotlib"]))


def test_a_curve_that_cannot_be_written_costs_no_weights(tmp_path: Path) -> None:
    (tmp_path / CURVE).mkdir()
    with pytest.raises(OSError, match=CURVE):
        train(planted(50), SMALL, QUIET, None, tmp_path)
    (tmp_path / CURVE).rmdir()
    again, _ = train(planted(50), SMALL, cut_after(0), None, tmp_path)  # nothing is trained twice
    assert np.array_equal(again[0], train(planted(50), SMALL, QUIET)[0][0])
    assert (tmp_path / CURVE).is_file()


def test_what_cannot_be_drawn_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    drawn, _ = train(planted(50), SMALL, QUIET, None, tmp_path)
    assert np.array_equal(drawn[0], train(planted(50), SMALL, QUIET)[0][0])
    assert {path.name for path in tmp_path.iterdir()} == {train_fusion.CHECKPOINT, CURVE}


OTHERS = {
    "recipe": (planted(50), replace(SMALL, seed=1), None),
    "questions": (planted(50, seed=1), SMALL, None),
    "right answers": (replace(planted(50), wanted=(planted(50).wanted + 1) % 20), SMALL, None),
    "weights to start from": (planted(50), SMALL, A_START),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_checkpoint_of_another_training_is_not_gone_on_from(what: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(planted(50), SMALL, cut_after(5), None, tmp_path)
    questions, recipe, start = OTHERS[what]
    alone, curve = train(questions, recipe, QUIET, start)
    after, its_curve = train(questions, recipe, QUIET, start, tmp_path)
    assert its_curve == curve
    assert [part.tobytes() for part in after] == [part.tobytes() for part in alone]


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "empty": lambda path: path.write_bytes(b""),
    "no archive": lambda path: path.write_bytes(b"nothing of numpy"),
    "a part missing": lambda path: np.savez(path, **dict(list(np.load(path).items())[1:])),
    "objects": lambda path: np.savez(path, fingerprint=np.array([object()])),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_checkpoint_is_said_and_none(
    what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(planted(50), SMALL, cut_after(5), None, tmp_path)
    path = tmp_path / train_fusion.CHECKPOINT
    DAMAGE[what](path)
    whole, _ = train(planted(50), SMALL, QUIET)
    again, _ = train(planted(50), SMALL, QUIET, None, tmp_path)
    (said,) = (record.getMessage() for record in caplog.records if record.name == "deepcodeseek")
    assert said.startswith(f"{path} is no whole checkpoint, the training begins anew: ")
    assert "\n" not in said
    assert "trust" not in said
    assert [part.tobytes() for part in again] == [part.tobytes() for part in whole]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    part = (tmp_path / train_fusion.CHECKPOINT).with_suffix(".part")
    part.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as raised:
        train(planted(50), SMALL, QUIET, None, tmp_path)
    assert raised.value.filename == str(tmp_path / train_fusion.CHECKPOINT)
    assert not list(tmp_path.iterdir())


def test_its_gradients_are_those_of_its_loss() -> None:
    rng = np.random.default_rng(0)
    questions = planted(4)
    matrices = [questions.of(i) for i in range(4)]
    weights = [w.astype(np.float64) for w in train_fusion._initial(6, rng)]

    def loss() -> float:
        return train_fusion._loss(weights, matrices, questions.wanted, 0.0, rng)[0]  # type: ignore[arg-type]

    _, gradients = train_fusion._loss(weights, matrices, questions.wanted, 0.0, rng)  # type: ignore[arg-type]
    for weight, gradient in zip(weights, gradients, strict=True):
        for place in list(np.ndindex(weight.shape))[:: max(1, weight.size // 20)]:
            kept, step = weight[place], 1e-5
            weight[place] = kept + step
            above = loss()
            weight[place] = kept - step
            slope = (above - loss()) / (2 * step)
            weight[place] = kept
            assert gradient[place] == pytest.approx(slope, abs=1e-4)


def test_silent_signals_look_as_they_do_when_they_find_nothing() -> None:
    matrix = train_fusion._silenced(np.ones((3, len(FEATURES)), np.float32), 1.0, np.random.default_rng(0))
    of_signals = matrix[:, : len(SIGNALS) * len(OF_A_SIGNAL)].reshape(3, len(SIGNALS), -1)
    assert np.array_equal(of_signals, np.broadcast_to([0, 0, 0, 0, 0, 1], of_signals.shape))
    assert (matrix[:, of_signals[0].size :] == 1).all()


def test_nothing_to_learn_from() -> None:
    questions = replace(planted(3), wanted=np.full(3, LOST))
    with pytest.raises(ValueError, match="no question has its right answer"):
        train(questions, SMALL, lambda *_: None)


def test_questions_are_kept_and_joined(tmp_path: Path) -> None:
    questions = planted(10)
    questions.save(tmp_path / "q.npz")
    again = Questions.load(tmp_path / "q.npz")
    both = Questions.joined([again.chosen(again.files == "0.js"), again.chosen(again.files != "0.js")])
    assert sorted(both.wanted.tolist()) == sorted(questions.wanted.tolist())
    assert both.features.shape == questions.features.shape
    assert np.array_equal(both.of(0), questions.of(0))
    assert np.array_equal(both.of(2), questions.of(1))


# On an index


def samples() -> list[dict[str, str]]:
    return [
        {
            "id": "1",
            "file": "apps/berth-planning/update/new.js",
            "code_before": "var plan = allocate(berth);\n",
            "code_after": "",
            "target": "x_hbr_berth.BerthAllocator",
        }
    ]


def test_evidence_is_gathered_as_the_server_gathers_it(engine: Engine) -> None:
    every = gather(engine, samples(), Asked(), lambda *_: None)
    few = every.few()
    assert every.wanted[0] != LOST
    assert few.wanted.tolist() == [0]
    assert np.array_equal(few.of(0)[0], every.of(0)[every.wanted[0]])
    first, second = ask(engine, samples() * 2, Asked(), lambda *_: None)
    assert np.array_equal(first.features, every.features)
    assert np.array_equal(Questions.joined([first, second]).of(1), every.of(0))
    nothing = gather(engine, [], Asked(), lambda *_: None)
    assert not len(nothing.sizes)
    assert not len(nothing.few().sizes)


def test_the_order_is_the_networks(engine: Engine, tmp_path: Path) -> None:
    """One that only looks at names puts first what the signal `names` does."""
    hidden = np.zeros((len(FEATURES), 1), np.float32)
    hidden[column("names", "share")] = 1.0
    ones = np.ones(1, np.float32)
    write_fusion((hidden, np.zeros(1, np.float32), ones), tmp_path / "fusion", {}, SMALL)
    fusion = load_fusion(find_model("fusion", tmp_path))  # type: ignore[arg-type]
    context = make_context("var a;\n", "", {"file": "a.js", "record_name": "crane scheduler"})
    learned = predict(replace(engine, fusion=fusion), context, METHODS["fused"])
    assert learned.ranked[0].api.name == "CraneScheduler"
    without = predict(replace(engine, fusion=None), context, METHODS["fused"])
    assert [i.api for i in without.ranked] == [i.api for i in predict(engine, context, METHODS["rrf"]).ranked]


@pytest.mark.parametrize("weight", [0.0, np.nan, np.inf])
def test_what_tells_nothing_apart_is_last_and_never_written(weight: float, tmp_path: Path) -> None:
    parameters = tuple(
        np.full_like(part, weight) for part in train_fusion._initial(4, np.random.default_rng(0))
    )
    with np.errstate(invalid="ignore"):
        assert ranks(as_fusion(parameters), planted(3)).tolist() == [20] * 3
    if weight:
        with pytest.raises(ValueError, match="no numbers"):
            write_fusion(parameters, tmp_path / "fusion", {}, SMALL)
        assert not list(tmp_path.iterdir())


def test_a_fusion_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    first, second = (train_fusion._initial(4, np.random.default_rng(seed)) for seed in (0, 1))
    folder = tmp_path / "fusion"
    write_fusion(first, folder, {}, SMALL)
    (folder / "README.md").write_text("of the card", encoding="utf-8")
    with pytest.raises(TypeError):  # between the weights and their card
        write_fusion(second, folder, {"no JSON": object()}, SMALL)
    assert {path.name for path in tmp_path.iterdir()} == {"fusion"}
    kept = load_fusion(find_model("fusion", tmp_path))  # type: ignore[arg-type]
    assert np.array_equal(kept.parameters[0], first[0])
    write_fusion(second, folder, {}, SMALL, planted(3))
    assert {path.name for path in folder.iterdir()} == {
        "fusion.npz",
        "model.json",
        "general.npz",
        "README.md",
    }
    assert len(Questions.load(folder / "general.npz").sizes) == 3


BROKEN = {
    "other features": lambda folder: np.savez(
        folder / "fusion.npz",
        features=np.array(["x"]),
        hidden=np.zeros((1, 1), np.float32),
        bias=np.zeros(1, np.float32),
        output=np.zeros(1, np.float32),
    ),
    "no weights": lambda folder: np.savez(folder / "fusion.npz", features=np.array(FEATURES)),
    "not a file of numpy": lambda folder: (folder / "fusion.npz").write_bytes(b"x"),
    "half of a file": lambda folder: (folder / "fusion.npz").write_bytes(
        (folder / "fusion.npz").read_bytes()[:500]
    ),
    "missing": lambda folder: (folder / "fusion.npz").unlink(),
}


@pytest.mark.parametrize("case", [*BROKEN, "damaged"])
def test_a_fusion_that_does_not_fit_is_a_note(case: str, tmp_path: Path, example_report: Report) -> None:
    folder = tmp_path / "fusion"
    write_fusion(train_fusion._initial(4, np.random.default_rng(0)), folder, {}, SMALL)
    if case == "damaged":
        (folder / "fusion.npz").write_bytes(b"x")
    else:
        BROKEN[case](folder)
        if case != "missing":
            card = json.loads((folder / "model.json").read_text())
            card["sha256"]["fusion.npz"] = train_fusion.sha256_file(folder / "fusion.npz")
            (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(ModelProblem):
        load_fusion(find_model("fusion", tmp_path))  # type: ignore[arg-type]
    engine = load_engine(index_directory(EXAMPLE), tmp_path)
    assert engine.fusion  # the next one
    assert any(str(folder) in note for note in engine.notes)


def test_made_for_these_features_only() -> None:
    hidden, bias, output = train_fusion._initial(4, np.random.default_rng(0))
    with pytest.raises(ValueError, match="other evidence"):
        Fusion(FEATURES[:-1], hidden[:-1], bias, output)
    with pytest.raises(ValueError, match="other evidence"):
        Fusion(FEATURES, hidden, bias[:-1], output)


# What ships


def shipped() -> ModelFiles:
    folder = SHIPPED["fusion"]
    return ModelFiles("fusion", folder, json.loads((folder / "model.json").read_text(encoding="utf-8")))


def test_the_shipped_files_are_whole_and_have_a_card() -> None:
    files = shipped()
    load_fusion(files)
    card = files.path("README.md").read_text(encoding="utf-8")
    for name in ("fusion.npz", "general.npz"):
        assert sha256_file(files.path(name)) in card
        assert f"{files.path(name).stat().st_size:,}" in card


def test_nothing_that_is_measured_was_trained_on() -> None:
    lock = {corpus.name: corpus for corpus in read_lock(LOCK)}
    trained, measured = (shipped().card[key] for key in ("trained_on", "top_k_percent"))
    assert {lock[corpus["name"]].list for corpus in trained} == {"train"}
    assert {lock[name].list for name in measured} == {"eval-only"}
    for corpus in trained:
        packages = lock[corpus["name"]].packages
        assert corpus["packages"] == [f"{p.name}@{p.version} ({p.licence})" for p in packages]


def test_what_ships_is_better_than_reciprocal_ranks() -> None:
    """On questions from projects that it has not seen, by the numbers that lie beside it."""
    files = shipped()
    questions = Questions.load(files.path(GENERAL))
    learned = top(ranks(load_fusion(files), questions))
    hidden = np.zeros((len(FEATURES), 1), np.float32)
    for signal in METHODS["rrf"].weights:
        hidden[column(signal, "reciprocal rank")] = METHODS["rrf"].weights[signal]
    plain = top(ranks(as_fusion((hidden, np.zeros(1, np.float32), np.ones(1, np.float32))), questions))
    assert learned[1] > plain[1] + 5
    assert learned[5] > plain[5] + 5


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
    shown: list[tuple[str, int]] = []
    epoch = -(-about["questions"] // QUICK.batch)
    with pytest.raises(KeyboardInterrupt):
        train_shipped(tmp_path / "corpora", tmp_path / "cut", QUICK, cut_after(epoch + 1))
    assert not (tmp_path / "cut" / "fusion").exists()
    train_shipped(
        tmp_path / "corpora", tmp_path / "cut", QUICK, lambda task, done, _: shown.append((task, done))
    )
    assert (tmp_path / "cut" / "fusion" / "fusion.npz").read_bytes() == first
    work = tmp_path / "cut" / "fusion-training"
    assert {path.name for path in work.iterdir()} - {PICTURE} == {CURVE}  # the next one begins anew
    assert "gathering" not in dict(shown)  # what was gathered is kept
    assert ("training", epoch) in shown
    assert ("training", 0) not in shown
    with pytest.raises(ValueError, match="holds no corpus"):
        train_shipped(tmp_path / "m", tmp_path / "n", QUICK, QUIET)
