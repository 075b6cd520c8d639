"""Training the cross-encoder, and exporting it. Needs the extra [train]: `make test-train`."""

from __future__ import annotations

import json
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import EXAMPLE

from deepcodeseek.index_builder import (
    ablate_stages,
    ablate_synthetic,
    adapt_reranker,
    candidates,
    train_shipped_reranker,
)
from deepcodeseek.index_builder.adapt import mined
from deepcodeseek.index_builder.build import Report
from deepcodeseek.index_builder.candidates import NEGATIVES, candidate_lists
from deepcodeseek.index_builder.evaluate import Asked
from deepcodeseek.index_builder.export_reranker import export_reranker
from deepcodeseek.index_builder.export_weights import float_weights
from deepcodeseek.index_builder.prepared import Prepared
from deepcodeseek.index_builder.train_loop import CURVE, PICTURE
from deepcodeseek.index_builder.train_reranker import (
    START_SCALE,
    CrossEncoder,
    Recipe,
    _loss,
    drawn_list,
    policy_loss,
    ranks_before,
    reward,
    take_first_layers,
    train,
)
from deepcodeseek.index_builder.train_shipped_reranker import FUSED, chosen_stage, drawn_by_text
from deepcodeseek.index_builder.triples import Triple, read_coder_pile, write_triples
from deepcodeseek.server.cross_encoder import OnnxReranker, load_reranker, scores_of
from deepcodeseek.server.engine import load_engine
from deepcodeseek.server.generation import index_directory
from deepcodeseek.server.models import CARD, ModelFiles, ModelProblem, find_model
from deepcodeseek.server.retrieve import retrieve
from deepcodeseek.server.stop import Stop, Stopped
from deepcodeseek.server.text import reranker_document

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)  # tiny models: a second thread waits more than it works

QUIET: Any = lambda *_: None  # noqa: E731
GOOD, BAD = ("vessel", "crane", "berth", "tide"), ("invoice", "lawyer", "ticket", "salary", "printer")
QUICK = Recipe(epochs=6, batch=4, documents=4, rate=1e-3, tokens=32, frozen=0)
# What has to do with a harbour is right: nothing that the likeness of query and document tells.
TRIPLES = tuple(
    Triple(f"{query} line {i}", f"{right} text", tuple(f"{wrong} text" for wrong in BAD))
    for query in ("find", "store", "print", "count")
    for i, right in enumerate(GOOD)
)


@pytest.fixture(scope="module")
def supervised(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(
        TRIPLES, weights, tmp_path_factory.mktemp("sft"), replace(QUICK, epochs=25, rate=3e-3), QUIET
    )


@pytest.fixture(scope="module")
def exported(supervised: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    out = tmp_path_factory.mktemp("exported") / "reranker"
    card = export_reranker(supervised, out, {"name": "tiny", "licence": "none"}, TRIPLES[::3], 32, QUIET)
    return ModelFiles("reranker", out, card)


def curve(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / CURVE).read_text().splitlines()]


def on_top(model: CrossEncoder) -> float:
    with torch.inference_mode():
        return float(np.mean([int(scores.argmax()) == 0 for scores in model.score(TRIPLES, 32)]))


@pytest.mark.parametrize("objective", ["pointwise", "listwise"])
def test_the_loss_falls(objective: Any, weights: Path, tmp_path: Path) -> None:
    train(TRIPLES, weights, tmp_path, replace(QUICK, objective=objective, epochs=12), QUIET)
    losses = curve(tmp_path)
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])
    assert (tmp_path / PICTURE).read_bytes().startswith(b"\x89PNG")


def test_supervision_puts_the_right_one_on_top(weights: Path, supervised: Path) -> None:
    assert on_top(CrossEncoder.load(weights)) < 0.5
    assert on_top(CrossEncoder.load(supervised)) > 0.8


def test_reinforcement_raises_the_reward(weights: Path, tmp_path: Path) -> None:
    recipe = replace(QUICK, objective="grpo", epochs=15, divergence=0.0)
    learned = train(TRIPLES, weights, tmp_path, recipe, QUIET)
    assert on_top(CrossEncoder.load(learned)) > 0.6 > on_top(CrossEncoder.load(weights))


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_frozen_layers_are_run_once_for_both(layers: int, weights: Path) -> None:
    model, reader, alone = (CrossEncoder.load(weights) for _ in range(3))
    take_first_layers(reader.bert, model.bert, layers)
    for triple in (TRIPLES[0], TRIPLES[7]):
        model.reads(triple, 32)
        assert reader.reads(triple, 32).tolist() == alone.reads(triple, 32).tolist()
    assert len(reader.bert.encoder.layer) == 2 - max(0, layers - 1)


def test_at_the_start_the_score_is_the_similarity_of_both_parts(weights: Path) -> None:
    model = CrossEncoder.load(weights)
    with torch.inference_mode():
        (scores,) = model.score([Triple("berth", "berth", ("invoice of a pilot",))], 32)
    assert scores.abs().max() <= START_SCALE + 1e-3
    assert scores[0] > scores[1]


@pytest.mark.parametrize("objective", ["listwise", "grpo"])
def test_it_goes_on_from_a_checkpoint_to_the_same_weights(
    objective: Any, weights: Path, tmp_path: Path
) -> None:
    recipe = replace(QUICK, objective=objective, epochs=1)
    whole = train(TRIPLES, weights, tmp_path / "whole", recipe, QUIET)
    train(TRIPLES, weights, tmp_path / "cut", recipe, QUIET, stop_after=3)
    assert len(curve(tmp_path / "cut")) == 3
    resumed = train(TRIPLES, weights, tmp_path / "cut", recipe, QUIET)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    for file in ("model.safetensors", "head.safetensors"):
        assert (resumed / file).read_bytes() == (whole / file).read_bytes()


def test_the_reward_is_one_where_the_right_one_was_picked() -> None:
    assert reward(torch.tensor([0, 1, 0, 3])).tolist() == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("chances", "is_silent"),
    [((0.5, 0.3, 0.2), False), ((1.0, 0.0, 0.0), True), ((0.0, 0.5, 0.5), True)],
)
def test_a_group_of_equal_rewards_teaches_nothing(chances: tuple[float, ...], is_silent: bool) -> None:
    torch.manual_seed(0)
    scores = torch.tensor(chances).clamp(min=1e-12).log().requires_grad_()
    policy_loss(torch.log_softmax(scores, 0), 64).backward()
    assert scores.grad is not None
    assert bool((scores.grad.abs().max() < 1e-6).item()) == is_silent
    if not is_silent:  # a step against the gradient makes the right one likelier, and the others less
        assert scores.grad[0] < 0 < scores.grad[1]


def test_the_retrievers_scores_are_added_before_the_loss() -> None:
    triple = Triple("q", "a", ("b", "c"), (5.0, 0.0, 0.0))
    scores = torch.zeros(3)
    known = _loss(scores, None, triple, QUICK).item()
    assert known == pytest.approx(np.log(1 + 2 * np.exp(-5.0)), rel=1e-4)
    assert _loss(scores, None, replace(triple, priors=()), QUICK).item() == pytest.approx(np.log(3))


def test_a_rank_by_the_retriever_alone() -> None:
    first, third = (Triple("q", "a", ("b", "c"), priors) for priors in ((3.0, 2.0, 1.0), (1.0, 2.0, 3.0)))
    out = Triple("q", "a", tuple(map(str, range(16))), (0.0, *(1.0 for _ in range(16))))
    assert ranks_before([first, third, out]).tolist() == [1, 3, 0]


@pytest.mark.parametrize(
    ("documents", "hardest", "count"), [(8, "abcd", 7), (4, "ab", 3), (2, "a", 1), (20, "abcdefgh", 8)]
)
def test_half_of_a_list_are_the_hardest_and_the_rest_is_drawn(
    documents: int, hardest: str, count: int
) -> None:
    triple = Triple("q", "right", tuple("abcdefgh"), tuple(range(9)))
    lists = [drawn_list(triple, documents, seed) for seed in range(20)]
    for drawn in lists:
        assert drawn.negatives[: len(hardest)] == tuple(hardest)
        assert len(drawn.negatives) == count
        numbers = [triple.negatives.index(text) for text in drawn.negatives]
        assert drawn.priors == (triple.priors[0], *(triple.priors[1 + number] for number in numbers))
    assert drawn_list(triple, documents, 3) == lists[3]
    varied = {text for drawn in lists for text in drawn.negatives} - set(hardest)
    assert (len(varied) > 1) == (len(hardest) < count)


def test_what_is_exported_scores_as_what_was_trained(supervised: Path, exported: ModelFiles) -> None:
    model, reranker = CrossEncoder.load(supervised), load_reranker(exported)
    for triple in TRIPLES[::3]:
        documents = (triple.positive, *triple.negatives)
        with torch.inference_mode():
            (expected,) = model.score([triple], 32)
        found = scores_of(reranker, triple.query, documents)
        assert int(found.argmax()) == int(expected.argmax())
        np.testing.assert_allclose(found, expected.numpy(), atol=0.6)


def test_a_pair_has_one_score_whatever_stands_beside_it(exported: ModelFiles) -> None:
    reranker = load_reranker(exported)
    documents = ["berth text", "a much longer text on tides and on cargo", "pilot"]
    together = scores_of(reranker, "crane line", documents)
    alone = [scores_of(reranker, "crane line", [document])[0] for document in documents]
    assert together.tolist() == alone


def test_scoring_ends_when_it_is_stopped(exported: ModelFiles) -> None:
    reranker, stop = load_reranker(exported), Stop()
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        scores_of(reranker, "crane", ["berth"] * 50_000, stop)
    assert time.monotonic() - started < 60
    assert len(scores_of(reranker, "crane", ["berth"] * 5)) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.update(text_version="0"), "other texts"),
        (lambda card: card["golden"][0]["scores"].reverse(), "ranks its golden lists otherwise"),
        (lambda card: card.pop("golden"), "states no 'golden'"),
        (lambda card: card["golden"][0].pop("documents"), "states no 'documents'"),
        (lambda card: card["golden"][0]["scores"].pop(), "cannot be used as reranker"),
        (lambda card: card.update(golden=None), "cannot be used as reranker"),
        (lambda card: card.update(golden=[]), "no golden lists"),
        (lambda card: card["golden"].clear(), "no golden lists"),
        (lambda card: card.pop("max_tokens"), "cannot be loaded"),
        (lambda card: card["sha256"].update({"model.onnx": "0" * 64}), "is damaged"),
    ],
)
def test_a_model_that_is_not_what_its_card_says_is_refused(
    change: Any, message: str, exported: ModelFiles
) -> None:
    card = json.loads((exported.path(CARD)).read_text(encoding="utf-8"))
    change(card)
    with pytest.raises(ModelProblem, match=message):
        load_reranker(ModelFiles("reranker", exported.directory, card))


def test_the_export_refuses_a_graph_that_disagrees(
    supervised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = OnnxReranker.each
    monkeypatch.setattr(OnnxReranker, "each", lambda *given: (-score for score in each(*given)))
    with pytest.raises(ValueError, match="of the documents"):
        export_reranker(supervised, tmp_path / "reranker", {}, TRIPLES[:4], 32, QUIET)
    assert not list(tmp_path.iterdir())


def test_an_engine_reads_with_the_reranker_it_finds(
    exported: ModelFiles, example_report: Report, tmp_path: Path
) -> None:
    shutil.copytree(exported.directory, tmp_path / "reranker")
    engine = load_engine(index_directory(EXAMPLE), tmp_path)
    assert engine.reranker is not None
    for _ in range(2):
        assert engine.reranker.state == "not loaded"
        assert len(list(engine.reranker.each("crane", ["berth", "tide"], Stop()))) == 2
        assert engine.reranker.state == "loaded"
        assert engine.reranker.pair_ms > 0
        engine.reranker.rest()
    (tmp_path / "reranker" / "model.onnx").write_bytes(b"broken")
    damaged = load_engine(index_directory(EXAMPLE), tmp_path)
    assert damaged.reranker is not None
    assert damaged.reranker.files.directory != tmp_path / "reranker"
    assert any("damaged" in note for note in damaged.notes)


def test_lists_hold_what_the_retriever_put_first(
    example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = load_engine(index_directory(EXAMPLE))
    samples = mined(index_directory(EXAMPLE), EXAMPLE, (), QUIET, QUIET)[::3]
    first: list[list[str]] = []

    def spy(*arguments: Any, **options: Any) -> Any:
        found, evidence = retrieve(*arguments, **options)
        own = [c for c in found if c.api_id < engine.index.own_count]
        texts = [reranker_document(engine.index.api(c.api_id), c.usage) for c in own[:NEGATIVES]]
        first.append(texts)
        return found, evidence

    monkeypatch.setattr(candidates, "retrieve", spy)
    triples = []
    for sample in samples:
        for triple in candidate_lists(engine, [sample], Asked(), QUIET):
            triples.append(triple)
            assert {triple.positive, *triple.negatives} >= set(first[-1])
            assert 0 < len(triple.negatives) <= NEGATIVES
            assert triple.positive not in triple.negatives
            assert len(triple.priors) == 1 + len(triple.negatives)
            assert list(triple.priors[1:]) == sorted(triple.priors[1:], reverse=True)
    assert len(triples) > len(samples) / 2
    write_triples(tmp_path / "lists.jsonl", triples)
    again = list(read_coder_pile(tmp_path / "lists.jsonl", QUIET))
    assert again == triples
    assert [triple.file for triple in again] == [triple.file for triple in triples]
    assert all(triple.file for triple in triples)


def test_training_goes_on_from_what_ships(supervised: Path, exported: ModelFiles, tmp_path: Path) -> None:
    """The graph's rounded weights are nearly the trained ones."""
    folder = float_weights(exported, supervised / "config.json", tmp_path / "start")
    trained, started = (CrossEncoder.load(path) for path in (supervised, folder))
    with torch.inference_mode():
        for ours, theirs in zip(started.score(TRIPLES, 32), trained.score(TRIPLES, 32), strict=True):
            torch.testing.assert_close(ours, theirs, atol=0.6, rtol=0.1)


def test_adapting_keeps_what_is_better_on_files_it_has_not_seen(
    exported: ModelFiles, supervised: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In this workspace it is the other way round: what has nothing to do with a harbour is right."""
    good = tuple(f"{word} text" for word in GOOD)
    turned = [Triple(t.query, t.negatives[i % len(BAD)], good) for i, t in enumerate(TRIPLES * 2)]
    monkeypatch.setattr(adapt_reranker, "base_weights", lambda: supervised)
    monkeypatch.setattr(adapt_reranker, "LEAST_JUDGED", 6)
    for name, recipe, is_better in (
        ("learns", replace(QUICK, epochs=20, rate=3e-3), True),
        ("stays", replace(QUICK, epochs=1, rate=0.0), False),
    ):
        monkeypatch.setattr(adapt_reranker, "RECIPE", recipe)
        out = tmp_path / name / "reranker"
        halves = (turned[::2], turned[1::2])
        result = adapt_reranker.adapt_reranker(halves, exported, tmp_path / name / "work", out, QUIET, QUIET)
        assert result.is_better == is_better
        assert out.is_dir() == is_better
    assert find_model("reranker", tmp_path / "learns")
    monkeypatch.setattr(adapt_reranker, "RECIPE", replace(QUICK, epochs=20, rate=3e-3))
    contrary = (turned[::2], TRIPLES)  # what one half of the files teaches is wrong in the other
    result = adapt_reranker.adapt_reranker(
        contrary, exported, tmp_path / "contrary", tmp_path / "r", QUIET, QUIET
    )
    assert not result.is_better
    assert not (tmp_path / "r").exists()
    monkeypatch.setattr(adapt_reranker, "RECIPE", replace(QUICK, epochs=1, rate=0.0))
    monkeypatch.setattr(adapt_reranker, "MOST_JUDGED", 3)  # of each half
    again = adapt_reranker.adapt_reranker(halves, exported, tmp_path / "few", tmp_path / "r", QUIET, QUIET)
    assert again.lists == 2 * 3
    monkeypatch.setattr(adapt_reranker, "LEAST_JUDGED", 7)
    with pytest.raises(ValueError, match="6 lists to judge it by, 7 are needed"):
        adapt_reranker.adapt_reranker(halves, exported, tmp_path / "few", tmp_path / "r", QUIET, QUIET)


FIRST, THIRD = [1] * 40, [3] * 40


@pytest.mark.parametrize(
    ("fused", "supervised", "reinforced", "stage", "is_said"),
    [
        (THIRD, FIRST, FIRST, "SFT", False),
        (THIRD, THIRD[:20] + FIRST[:20], FIRST, "SFT+RL", False),
        (FIRST, FIRST, FIRST, "SFT", True),
        (FIRST, THIRD, THIRD, "SFT", True),
        (FIRST, THIRD, FIRST, "SFT+RL", True),
        (THIRD, [1, *THIRD[1:]], THIRD, "SFT", True),  # within chance
        ([], [], [], "SFT", True),
    ],
)
def test_what_gains_nothing_over_no_cross_encoder_is_said(
    fused: list[int], supervised: list[int], reinforced: list[int], stage: str, is_said: bool
) -> None:
    ranks = {FUSED: fused, "base": THIRD, "SFT": supervised, "SFT+RL": reinforced}
    found = {name: {"one": np.array(each, np.int64)} for name, each in ranks.items()}
    files = [str(number) for number in range(len(fused))]
    said: list[str] = []
    assert chosen_stage(found, files, said.append) == stage
    assert len(said) == is_said
    assert not said or f"on {len(fused)} lists" in said[0]
    assert chosen_stage({name: {} for name in found}, [], said.append) == "SFT"  # no project to measure on


def test_what_one_file_gains_is_no_more_than_chance() -> None:
    ranks = {FUSED: THIRD, "base": THIRD, "SFT": THIRD, "SFT+RL": [1] * 5 + [3] * 35}
    found = {name: {"one": np.array(each, np.int64)} for name, each in ranks.items()}
    apart, together = [str(number) for number in range(40)], ["a"] * 5 + [str(n) for n in range(35)]
    assert [chosen_stage(found, files, QUIET) for files in (apart, together)] == ["SFT+RL", "SFT"]


Trained = list[tuple[int, Path, Path, Recipe]]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """How many lists each training had, from which weights into which folder, by which recipe."""
    told: Trained = []

    def spy(lists: Any, weights: Path, out: Path, recipe: Recipe, progress: Any) -> Path:
        told.append((len(lists), weights, out, recipe))
        return train(lists, weights, out, recipe, progress)

    for module in (ablate_stages, ablate_synthetic, train_shipped_reranker):
        monkeypatch.setattr(module, "train", spy)
    return told


def test_each_stage_has_a_row_over_all_seeds(
    weights: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ablate_stages, "base_weights", lambda: weights)
    monkeypatch.setattr(ablate_stages, "SUPERVISED", replace(QUICK, epochs=25, rate=3e-3))
    monkeypatch.setattr(ablate_stages, "REINFORCED", replace(QUICK, objective="grpo", epochs=1, rate=1e-4))
    monkeypatch.setattr(ablate_stages, "REINFORCED_LISTS", 12)
    unseen = {"one": TRIPLES[:10], "other": TRIPLES[10:]}
    rows = ablate_stages.stage_rows(TRIPLES, unseen, 2, tmp_path, QUIET)
    tops = {row["method"]: row["top"]["1"] for row in rows}
    assert list(tops) == ["fused, no cross-encoder", "base", *ablate_stages.STAGES]
    assert [row["seeds"] for row in rows] == [1, 1, 2, 2, 2, 2]
    assert {row["n"] for row in rows} == {len(TRIPLES)}
    assert min(tops["SFT"], tops["SFT, pointwise"], tops["SFT+RL"]) > 80 > 50 > tops["base"]
    assert [(n, start, recipe.objective, recipe.seed) for n, start, _, recipe in trained] == [
        (n, start, objective, seed)
        for seed in (0, 1)
        for n, start, objective in (
            (16, weights, "pointwise"),
            (16, weights, "listwise"),
            (12, weights, "grpo"),
            (12, tmp_path / str(seed) / "sft" / "weights", "grpo"),
        )
    ]
    assert len({out for _, _, out, _ in trained}) == len(trained)
    assert ablate_stages.stage_rows(TRIPLES, unseen, 2, tmp_path, QUIET) == rows  # from its checkpoints


def test_each_size_of_a_synthetic_set_has_a_row(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ablate_synthetic, "AFFORDED", replace(QUICK, objective="grpo", epochs=1))
    rows = ablate_synthetic.measured(TRIPLES, TRIPLES[:6], [4, 20], 2, tmp_path, QUIET)
    assert [(row["size"], row["method"], row["seeds"], row["n"]) for row in rows] == [
        (0, "no synthetic lists", 1, 6),
        (4, "4 synthetic lists", 2, 6),
        (16, "16 synthetic lists", 2, 6),  # there are no more
    ]
    assert [(n, recipe.seed) for n, _, _, recipe in trained] == [(4, 0), (4, 1), (16, 0), (16, 1)]
    assert {start for _, start, _, _ in trained} == {tmp_path / "start"}
    ablate_synthetic.draw(rows, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_reinforcement_goes_on_from_supervision(weights: Path, trained: Trained, tmp_path: Path) -> None:
    stages = train_shipped_reranker.train_stages(TRIPLES, tmp_path, 3, QUIET, weights)
    assert (stages.base, stages.supervised, stages.reinforced) == (
        weights,
        tmp_path / "sft" / "weights",
        tmp_path / "sft+rl" / "weights",
    )
    assert [(start, recipe.objective, recipe.seed) for _, start, _, recipe in trained] == [
        (weights, "listwise", 3),
        (stages.supervised, "grpo", 3),
    ]


@pytest.mark.parametrize(("lost", "seed"), [(0, 1), (150, 1), (299, 2)])
def test_a_list_more_or_fewer_leaves_the_draw_as_it_was(lost: int, seed: int) -> None:
    every = [Triple(f"call {number % 250}", f"api {number}", ("other",), (2.0, 1.0)) for number in range(300)]
    fewer = [replace(triple, priors=(2.1, 0.9)) for triple in every if triple is not every[lost]]
    before, after = ([triple.positive for triple in drawn_by_text(each, 60, seed)] for each in (every, fewer))
    assert len(set(before)) == len(after) == 60
    assert len(set(before) & set(after)) >= 59
    assert [name for name in after if name in before] == [name for name in before if name in after]
    assert drawn_by_text(every[::-1], 300) == drawn_by_text(every, 400)
    assert len(set(before) & {triple.positive for triple in drawn_by_text(every, 60, seed + 1)}) < 30
    numbers = [int(name.split()[1]) for name in before]  # of all, and not the first ones
    assert 100 < sum(numbers) / 60 < 200


@pytest.mark.parametrize(
    ("by_stage", "stage", "licence"),
    [
        ({"base": 3, "sft": 1, "rl": 1}, "SFT", "Apache-2.0"),
        ({"base": 1, "sft": 3, "rl": 1}, "SFT+RL", "that of the files of triples"),
    ],
)
def test_what_is_exported_is_the_stage_that_was_chosen(
    by_stage: dict[str, int], stage: str, licence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = train_shipped_reranker
    files = []
    if stage == "SFT+RL":
        write_triples(tmp_path / "triples.jsonl", TRIPLES)
        files = [tmp_path / "triples.jsonl"]
    unseen = {"one": [replace(t, file=f"{n}.js") for n, t in enumerate(TRIPLES * 3)]}
    folders = module.Stages(*(Path(name) for name in by_stage))
    monkeypatch.setattr(module, "gathered", lambda *_: (list(TRIPLES), unseen))
    monkeypatch.setattr(module, "train_stages", lambda *_: folders)
    monkeypatch.setattr(module, "prepared", lambda *_: [])

    def ranks(folder: Path, lists: dict[str, list[Triple]], _: Any) -> dict[str, Any]:
        return {name: np.full(len(its), by_stage[str(folder)]) for name, its in lists.items()}

    monkeypatch.setattr(module, "ranks_by", ranks)
    asked: list[Any] = []

    def export(weights: Path, out: Path, about: dict[str, Any], *_: Any) -> dict[str, Any]:
        asked.append((about["stage"], weights, out))
        if about["stage"] == "base":
            raise RuntimeError("0.9")
        return about

    monkeypatch.setattr(module, "export_reranker", export)
    said: list[str] = []
    card = module.train_shipped_reranker(tmp_path, tmp_path / "m", 9, 0, QUIET, said.append, 5, files)
    every = {"SFT": folders.supervised, "SFT+RL": folders.reinforced}
    (other,) = every.keys() - {stage}
    places = [
        tmp_path / "m" / place
        for place in ("reranker", "stages/base/reranker", f"stages/{other.lower()}/reranker")
    ]
    assert asked == list(
        zip((stage, "base", other), (every[stage], folders.base, every[other]), places, strict=True)
    )
    assert said[-1] == "base is not exported: 0.9"
    assert (card["stage"], card["licence"], card["measured_lists"]) == (stage, licence, {"one": 48})


def test_a_synthetic_set_is_of_its_corpora_and_writer(
    example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[int] = []

    def stand_in(engine: Any, size: int, *_: Any) -> list[Triple]:
        made.append(size)
        return list(TRIPLES[:size])

    monkeypatch.setattr(ablate_synthetic, "synthetic_triples", stand_in)
    corpora = []
    for name in ("a", "b"):
        shutil.copytree(index_directory(EXAMPLE), tmp_path / name / "index")
        (tmp_path / name / "samples.jsonl").write_text(name, encoding="utf-8")
        corpora.append(Prepared(tmp_path / name, {"name": name}))
    (tmp_path / "w").mkdir()
    first = ablate_synthetic.synthetic_set(corpora, 5, tmp_path / "w", QUIET, None)
    assert made == [3, 2]
    assert sorted(first, key=str) == sorted([*TRIPLES[:3], *TRIPLES[:2]], key=str)
    assert ablate_synthetic.synthetic_set(corpora, 5, tmp_path / "w", QUIET, None) == first
    assert made == [3, 2]  # it was kept
    ablate_synthetic.synthetic_set(corpora[:1], 5, tmp_path / "w", QUIET, None)
    assert made == [3, 2, 5]
    (tmp_path / "a" / "samples.jsonl").write_text("changed", encoding="utf-8")
    ablate_synthetic.synthetic_set(corpora, 5, tmp_path / "w", QUIET, None)
    assert made == [3, 2, 5, 3]  # and of the other


ENDINGS = [
    (ablate_stages.main, (), "holds no corpus of the list 'train'"),
    (ablate_synthetic.main, (), "does not hold corpora of both lists"),
    (ablate_synthetic.main, ("--sizes", "204,x"), "'x'"),
]


@pytest.mark.parametrize(("command", "options", "message"), ENDINGS)
def test_what_cannot_be_measured_is_one_line(
    command: Any, options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    folders = {"--corpora": tmp_path, "--work": tmp_path / "w", "--out": tmp_path / "new" / "o.json"}
    arguments = [str(part) for option in folders.items() for part in option]
    done = CliRunner().invoke(command, [*arguments, *options])
    assert done.exit_code == 1
    assert message in done.output
    assert "Traceback" not in done.output
