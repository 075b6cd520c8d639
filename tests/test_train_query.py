"""Training the encoder of questions. Needs the extra [train]: `make test-train`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import EXAMPLE, WIDTH, environment

from deepcodeseek.index_builder import adapt as adapting
from deepcodeseek.index_builder import prepared, train_shipped
from deepcodeseek.index_builder.build import Report
from deepcodeseek.index_builder.evidence import gather
from deepcodeseek.index_builder.train_fusion import Recipe as FusionRecipe
from deepcodeseek.index_builder.train_fusion import _initial, write_fusion
from deepcodeseek.index_builder.train_loop import CHECKPOINT, CURVE, batches, fingerprint_of
from deepcodeseek.index_builder.train_query import (
    Documents,
    Question,
    Recipe,
    documents_of,
    loss,
    mean_weights,
    train,
)
from deepcodeseek.index_builder.train_shipped import train_query_encoder
from deepcodeseek.server.engine import Engine, load_engine
from deepcodeseek.server.generation import index_directory
from deepcodeseek.server.models import Encoder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)  # tiny models: a second thread waits more than it works

QUIET: Any = lambda *_: None  # noqa: E731
WORDS = ("vessel", "crane", "berth", "invoice", "harbour", "tide", "cargo", "pilot")
length: Any = lambda question: len(question.text)  # noqa: E731
QUICK = Recipe(epochs=4, batch=8, rate=3e-3, tokens=16)


def unit(rows: int, seed: int) -> Any:
    vectors = np.random.default_rng(seed).standard_normal((rows, WIDTH)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def documents() -> dict[str, Documents]:
    """One API a word, each used in two files."""
    n = len(WORDS)
    api = np.repeat(np.arange(n), 2)
    return {"": Documents(unit(n, 1), unit(n, 2), unit(2 * n, 3), api, np.arange(2 * n))}


def questions() -> list[Question]:
    return [
        Question("", f"{word} line {i}", api, (2 * api,)) for api, word in enumerate(WORDS) for i in range(4)
    ]


def curve(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / CURVE).read_text().splitlines()]


def test_the_loss_falls(weights: Path, documents: dict[str, Documents], tmp_path: Path) -> None:
    train(questions(), documents, weights, tmp_path, replace(QUICK, epochs=12), QUIET)
    losses = curve(tmp_path)
    assert np.mean(losses[-4:]) < 0.7 * np.mean(losses[:4])


def test_it_goes_on_from_a_checkpoint_to_the_same_weights(
    weights: Path, documents: dict[str, Documents], tmp_path: Path
) -> None:
    whole = train(questions(), documents, weights, tmp_path / "whole", QUICK, QUIET)
    train(questions(), documents, weights, tmp_path / "cut", QUICK, QUIET, stop_after=5)
    assert len(curve(tmp_path / "cut")) == 5
    resumed = train(questions(), documents, weights, tmp_path / "cut", QUICK, QUIET)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_a_checkpoint_of_another_training_is_not_gone_on_from(
    weights: Path, documents: dict[str, Documents], tmp_path: Path
) -> None:
    other = {"": replace(documents[""], usage_file=documents[""].usage_file + 1)}
    train(questions(), documents, weights, tmp_path / "one", QUICK, QUIET, stop_after=2)
    for number, (recipe, learned) in enumerate([(replace(QUICK, seed=1), documents), (QUICK, other)]):
        shutil.copytree(tmp_path / "one", tmp_path / f"after{number}")
        for folder in (f"after{number}", f"alone{number}"):
            train(questions(), learned, weights, tmp_path / folder, recipe, QUIET, stop_after=3)
        assert curve(tmp_path / f"after{number}") == curve(tmp_path / f"alone{number}")
        states = [
            torch.load(tmp_path / f"{kind}{number}" / CHECKPOINT, weights_only=True)["model"]
            for kind in ("after", "alone")
        ]
        assert all(torch.equal(states[0][name], weight) for name, weight in states[1].items())


def test_a_fingerprint_stands_for_all_that_is_learned_from(tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(content)
    asked, vectors = questions(), unit(4, 1)
    same = fingerprint_of(QUICK, tmp_path / "a", *asked, vectors)
    assert fingerprint_of(QUICK, tmp_path / "a", *questions(), vectors.copy()) == same
    others = (
        fingerprint_of(replace(QUICK, rate=1.0), tmp_path / "a", *asked, vectors),
        fingerprint_of(QUICK, tmp_path / "b", *asked, vectors),
        fingerprint_of(
            QUICK, tmp_path / "a" / "model.safetensors", *asked[:2], asked[3], asked[2], *asked[4:], vectors
        ),
        fingerprint_of(QUICK, tmp_path / "a", *asked, vectors * 0),
        fingerprint_of(QUICK, tmp_path / "a", *asked[:5], replace(asked[5], files=()), *asked[6:], vectors),
    )
    assert len({same, *others}) == 1 + len(others)


def test_what_does_not_move_stays(weights: Path, documents: dict[str, Documents], tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    made = train(questions(), documents, weights, tmp_path, replace(QUICK, frozen=1), QUIET)
    before, after = (load_file(folder / "model.safetensors") for folder in (weights, made))
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("encoder.layer.1.") for name in moved)


def test_usages_in_the_questions_own_file_say_nothing() -> None:
    doc, code, usage = (torch.from_numpy(unit(4, seed)) for seed in (1, 2, 3))
    vector = torch.from_numpy(unit(1, 4))
    api, file = torch.tensor([0, 0, 1, 2]), torch.tensor([5, 6, 7, 5])
    every = (doc, code, usage, api, file)
    some = (doc, code, usage[1:3], api[1:3], file[1:3])
    asked = [Question("", "", 0, (5,))]
    assert loss(vector, asked, every, 0.05) == pytest.approx(loss(vector, asked, some, 0.05).item())
    unused = loss(vector, [Question("", "", 3, ())], every, 0.05)
    assert unused == pytest.approx(
        loss(vector, [Question("", "", 3, (5, 6, 7))], every, 0.05).item()
    )  # an API without usages


def test_the_loss_of_several_is_that_of_each() -> None:
    """Also where there are no usages at all, or none that counts; and so are the gradients."""
    made = [unit(4, 1), unit(4, 2), unit(6, 3), np.array([0, 0, 1, 2, 2, 2]), np.array([5, 6, 7, 5, 6, 8])]
    asked = [Question("", "", api, files) for api in range(4) for files in ((), (5,), (5, 6, 7))]
    for rows in (6, 0):
        arrays = (*made[:2], *(array[:rows] for array in made[2:]))
        vectors = torch.from_numpy(unit(len(asked), 4)).requires_grad_()
        found = loss(vectors, asked, [torch.from_numpy(array) for array in arrays], 0.05)
        expected = [one_loss(v, q, arrays) for v, q in zip(unit(len(asked), 4), asked, strict=True)]
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4)
        found.sum().backward()
        assert vectors.grad.isfinite().all()


def one_loss(vector: Any, question: Question, arrays: Any) -> float:
    """The loss of one question as its definition reads."""
    doc, code, usage, api, file = arrays

    def surprise(scores: Any, right: Any) -> float:
        powers = np.exp(scores.astype(np.float64) / 0.05)
        return float(-np.log(powers[right].sum() / powers.sum()))

    seen = ~np.isin(file, question.files)
    right = (api == question.api)[seen]
    total = sum(surprise(rows @ vector, question.api) for rows in (doc, code))
    return total + (surprise((usage @ vector)[seen], right) if right.any() else 0.0)


def test_batches_ask_all_once_an_epoch() -> None:
    made = batches(questions(), length, 8, 2, seed=0)
    assert sorted(q.text for batch in made for q in batch) == sorted(2 * [q.text for q in questions()])
    assert made == batches(questions(), length, 8, 2, seed=0)
    assert made != batches(questions(), length, 8, 2, seed=1)


def test_the_mean_of_weights(weights: Path, documents: dict[str, Documents], tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    folders = [
        train(questions(), documents, weights, tmp_path / str(seed), replace(QUICK, seed=seed), QUIET)
        for seed in (0, 1)
    ]
    mean = load_file(mean_weights(folders, tmp_path / "mean") / "model.safetensors")
    first, second = (load_file(folder / "model.safetensors") for folder in folders)
    for name, values in mean.items():
        assert np.allclose(values, (first[name] + second[name]) / 2, atol=1e-6)


def test_nothing_to_learn_from(weights: Path, documents: dict[str, Documents], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no call to learn from"):
        train([], documents, weights, tmp_path, QUICK, QUIET)


def test_hidden_files_are_no_documents(engine: Engine) -> None:
    defined = engine.index.apis.source
    hidden = list(dict.fromkeys(defined))[:3]
    its = np.array([source in hidden for source in defined])
    every, some = documents_of(engine), documents_of(engine, hidden)
    assert len(some.usage) < len(every.usage) == len(every.usage_file)
    assert set(some.usage_file.tolist()).isdisjoint(i for path in hidden for i in engine.index.file_ids(path))
    assert not its[some.usage_api].any()
    for before, after in ((every.doc, some.doc), (every.code, some.code)):
        assert not after[its].any()
        assert np.array_equal(after[~its], before[~its])


def test_files_may_be_documents_and_say_nothing(engine: Engine) -> None:
    every = documents_of(engine)
    file = int(every.usage_file[0])
    unheard = next(path for path in engine.index.files_in("apps") if engine.index.file_ids(path) == (file,))
    some = documents_of(engine, unheard=[unheard])
    assert 0 < len(some.usage) < len(every.usage)
    assert file not in some.usage_file
    assert np.array_equal(some.doc, every.doc)
    assert np.array_equal(some.code, every.code)


QUICKLY = """
import sys
from dataclasses import replace
from deepcodeseek.index_builder import adapt, adapt_encoder, adapt_reranker, cli, train_libraries
sys.modules |= dict.fromkeys(set(train_libraries.EXTRA) - set(train_libraries.ADAPTING))  # none is needed
adapt.PER_TARGET, adapt.MOST_QUESTIONS, adapt.gain_of = 2, 100, lambda *_: (0.1, 0.01)
adapt_encoder.RECIPE = replace(adapt_encoder.RECIPE, epochs=1, tokens=64)
adapt_reranker.RECIPE = replace(adapt_reranker.RECIPE, epochs=1, tokens=48, documents=3)
adapt_reranker.is_gain, adapt_reranker.LEAST_JUDGED = lambda *_: True, 1
cli.main(sys.argv[1:])
"""


@pytest.mark.timeout(1200)
def test_an_adapted_encoder_is_written_and_loads(example_report: Report, tmp_path: Path) -> None:
    """By the command, whose stderr holds nothing but JSON lines, whatever the libraries have to say."""
    index = index_directory(EXAMPLE)
    write_fusion(_initial(16, np.random.default_rng(0)), tmp_path / "from" / "fusion", {}, FusionRecipe())
    places = ["--index", str(index), "--models", str(tmp_path / "from"), "--out", str(tmp_path)]
    options = ["--encoder", "--progress", "jsonl", "--json", *places]
    done = subprocess.run(
        [sys.executable, "-c", QUICKLY, "train", "adapt", *options],
        env=environment(PYTHONWARNINGS="default"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = [json.loads(line) for line in done.stderr.splitlines()]
    parts = {f"{part} {number} of 2" for part in ("encoder", "fusion", "cross-encoder") for number in (1, 2)}
    judged = {f"judging cross-encoder {number} of 2" for number in (1, 2)}
    assert {line["task"] for line in said if "task" in line} >= parts | judged
    assert [line for line in said if "message" in line]
    result = json.loads(done.stdout)
    assert result["is_better"]
    assert result["minutes"] > 0
    adapted = load_engine(index, tmp_path)
    assert not [note for note in adapted.notes if "query" in note]
    assert adapted.query_encoder
    assert adapted.encoder
    assert adapted.query_encoder.files.sha256 != adapted.encoder.files.sha256
    assert not (tmp_path / ".adapting").exists()
    card = json.loads((tmp_path / "query" / "model.json").read_text(encoding="utf-8"))
    (tmp_path / "query" / "model.json").write_text(json.dumps(card | {"documents": "other"}))
    assert load_engine(index, tmp_path).query_encoder is None


@pytest.mark.timeout(1200)
def test_an_encoder_from_corpora_and_a_fusion_on_top(
    encoder: Encoder, example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Evidence of a corpus is gathered with the encoder that has not seen it, the mean is what ships."""
    monkeypatch.setattr(adapting, "PER_TARGET", 1)
    samples = adapting.mined(index_directory(EXAMPLE), EXAMPLE, frozenset(), QUIET, QUIET)
    for name, kind in (("a", "train"), ("bb", "train"), ("c", "eval-only")):
        folder = tmp_path / "corpora" / name
        shutil.copytree(index_directory(EXAMPLE), folder / "index")
        lines = "\n".join(json.dumps(sample) for sample in samples[len(name) % 2 :: 2])
        (folder / "samples.jsonl").write_text(lines, encoding="utf-8")
        about = {"name": name, "list": kind, "packages": []}
        (folder / "corpus.json").write_text(json.dumps({"corpus": about}), encoding="utf-8")
    out = tmp_path / "m"
    train_query_encoder(tmp_path / "corpora", out, Recipe(tokens=64, batch=16), QUIET)
    first, second, mean = (
        json.loads((out / place / "model.json").read_text())["sha256"]["model.onnx"]
        for place in ("query-training/0/query", "query-training/1/query", "query")
    )
    assert len({first, second, mean}) == 3
    used = []

    def spy(engine: Engine, *arguments: Any) -> Any:
        assert engine.query_encoder
        used.append(engine.query_encoder.files.sha256)
        return gather(engine, *arguments)

    monkeypatch.setattr(prepared, "gather", spy)
    train_shipped.train_shipped(tmp_path / "corpora", out, FusionRecipe(epochs=1), QUIET)
    assert used == [second, second, first, first, mean, mean]
    assert load_engine(tmp_path / "corpora" / "a" / "index", out).fusion
    (tmp_path / "corpora" / "a").rename(tmp_path / "corpora" / "bbb")  # another order, other parity
    about = {"name": "aa", "list": "train", "packages": []}
    shutil.copytree(tmp_path / "corpora" / "c", tmp_path / "corpora" / "aa")
    (tmp_path / "corpora" / "aa" / "corpus.json").write_text(json.dumps({"corpus": about}))
    for evidence in (tmp_path / "corpora").glob("*/evidence-*.npz"):
        evidence.unlink()
    used.clear()
    train_shipped.train_shipped(tmp_path / "corpora", out, FusionRecipe(epochs=1), QUIET)
    assert used == [first, first, first, first, second, second, mean, mean]  # aa, bb, bbb: which is a, and c
    shutil.rmtree(out / "query-training" / "1")
    with pytest.raises(ValueError, match="no half of the encoder of questions is known not to have learned"):
        train_shipped.train_shipped(tmp_path / "corpora", out, FusionRecipe(epochs=1), QUIET)
