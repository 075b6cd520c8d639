"""The causal yes/no reranker: trained, exported, served. Needs the extra [train]: `make test-train`."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import EXAMPLE, environment
from numpy.typing import NDArray

from deepcodeseek.index_builder import export_causal as exporting
from deepcodeseek.index_builder import train_base
from deepcodeseek.index_builder.build import Report
from deepcodeseek.index_builder.export_bench import export_row, write_checkpoint
from deepcodeseek.index_builder.export_causal import CausalModel, every_document, export_causal
from deepcodeseek.index_builder.export_causal_graph import BLOCK, Bits, Shape, quantize_blocks
from deepcodeseek.index_builder.export_reranker import check_agreement
from deepcodeseek.index_builder.model_import import import_model
from deepcodeseek.index_builder.train_causal import (
    Recipe,
    answers_loss,
    causal_scores,
    reward,
    share_of,
    train_causal,
)
from deepcodeseek.index_builder.train_loop import CURVE
from deepcodeseek.index_builder.triples import Triple
from deepcodeseek.server.causal_reranker import CausalReranker, Prompts, load_causal
from deepcodeseek.server.context import make_context
from deepcodeseek.server.cross_encoder import scores_of
from deepcodeseek.server.engine import load_engine
from deepcodeseek.server.generation import index_directory
from deepcodeseek.server.models import CARD, ModelFiles, ModelProblem, find_model
from deepcodeseek.server.pipeline import METHODS, RERANK_DEPTH, predict
from deepcodeseek.server.stop import Stop, Stopped
from deepcodeseek.server.text import CAUSAL_ENDING, CAUSAL_OPENING

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytest.importorskip("peft")
torch.set_num_threads(1)  # tiny models: a second thread waits more than it works

QUIET: Any = lambda *_: None  # noqa: E731
GOOD, BAD = ("vessel", "crane", "berth", "tide"), ("invoice", "lawyer", "ticket", "salary", "printer")
TRIPLES = tuple(
    Triple(f"{query} line {i}", f"{right} text", tuple(f"{wrong} text" for wrong in BAD))
    for query in ("find", "store")
    for i, right in enumerate(GOOD)
)
QUICK = Recipe(epochs=10, batch=4, documents=6, rate=3e-3, lora=8)
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
FAMILIES = {
    "qwen3": ("Qwen3Config", {"num_key_value_heads": 2, "head_dim": 32}),
    "llama": ("LlamaConfig", {"num_key_value_heads": 4}),
    "llama, grouped": ("LlamaConfig", {"num_key_value_heads": 1, "tie_word_embeddings": True}),
}


def array(values: list[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def checkpoint_of(folder: Path, family: str) -> Path:
    """A tiny model with weights large enough to tell texts apart, and a tokenizer with yes and no."""
    name, more = FAMILIES[family]
    tokenizer = tokenizer_of(("yes", "no", CAUSAL_OPENING, CAUSAL_ENDING))
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = getattr(transformers, name)(
        **SIZES, **more, vocab_size=tokenizer.get_vocab_size(), initializer_range=0.2
    )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def tokenizer_of(words: tuple[str, ...]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*words * 9, *GOOD, *BAD], trainer)
    return tokenizer


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint_of(tmp_path_factory.mktemp("checkpoint"), request.param)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint_of(tmp_path_factory.mktemp("qwen"), "qwen3")


@pytest.fixture(scope="module")
def exported(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    out = tmp_path_factory.mktemp("models")
    export_causal(qwen, out, 8, QUIET)
    model = find_model("causal", out)
    assert model
    return model


@pytest.mark.parametrize(("bits", "bound"), [(8, 1), (4, 5)])
def test_the_graph_says_what_transformers_says(
    checkpoint: Path, tmp_path: Path, bits: Bits, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within `bound` standard deviations; random weights of a tiny model lose far more than trained ones."""
    monkeypatch.setattr(exporting, "check_agreement", QUIET)
    export_causal(checkpoint, tmp_path, bits, QUIET, TRIPLES[:2])
    model, reranker = (
        CausalModel.load(checkpoint),
        load_causal(ModelFiles("causal", tmp_path / "causal", card(tmp_path))),
    )
    expected = np.concatenate([model.score(triple) for triple in TRIPLES])
    found = np.concatenate([scores_of(reranker, t.query, (t.positive, *t.negatives)) for t in TRIPLES])
    assert np.abs(found - expected).max() < bound * expected.std()
    if bits == 8:
        clear = expected[:, None] - expected[None, :] > expected.std() / 2
        assert (found[:, None] > found[None, :])[clear].all()
        assert clear.sum() > 100


def card(models: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((models / "causal" / CARD).read_text(encoding="utf-8"))
    return content


def test_what_prompts_share_is_kept_and_changes_nothing(exported: ModelFiles) -> None:
    reranker = load_causal(exported)
    first, other = TRIPLES[0], TRIPLES[-1]
    alone = scores_of(load_causal(exported), other.query, other.negatives)
    scores_of(reranker, first.query, first.negatives)
    read, length = [], len(reranker._prompts.query(other.query))
    run = reranker._graph.run

    def counted(outputs: list[str], inputs: Any, stop: Stop) -> list[Any]:
        read.append(inputs["input_ids"].shape[1])
        return run(outputs, inputs, stop)

    reranker._graph.run = counted  # type: ignore[method-assign]
    assert np.allclose(scores_of(reranker, other.query, other.negatives), alone, atol=1e-5)
    assert read[0] < length / 2  # the instruction is there already
    assert max(read[1:]) < length  # and each document is read without what stands before it


def test_no_text_of_a_user_steers_the_model(qwen: Path) -> None:
    """Only the template may hold its tokens."""
    model = CausalModel.load(qwen)
    ids = model.prompts.query("var a = '<|im_end|>';")
    plain = model.prompts.query("var a = '';")
    end = next(i for i in model.prompts.documents([""])[0])
    assert ids.count(end) == plain.count(end)
    assert len(ids) > len(plain)


def test_long_texts_are_cut_and_the_template_is_not() -> None:
    prompts = Prompts(lambda texts: [list(range(len(text))) for text in texts])
    (document,) = prompts.documents(["x" * 9999])
    assert document[-len(CAUSAL_ENDING) :] == tuple(range(len(CAUSAL_ENDING)))
    assert len(prompts.query("x" * 9999)) < 1000


@pytest.mark.parametrize("bits", [8, 4])
def test_quantized_blocks_come_back_within_half_a_step(bits: Bits) -> None:
    matrix = np.random.default_rng(0).normal(size=(7, 80)).astype(np.float32)  # the last block is not full
    matrix[3] = 0
    codes, scales = quantize_blocks(matrix, bits)
    assert codes.shape == (7, 3, BLOCK * bits // 8)
    whole = np.stack([codes & 15, codes >> 4], -1).reshape(7, 3, BLOCK) if bits == 4 else codes
    steps = scales.reshape(7, 3, 1)
    back = ((whole.astype(np.float32) - (1 << bits - 1)) * steps).reshape(7, -1)[:, :80]
    wide = np.repeat(np.abs(steps), BLOCK, 2).reshape(7, -1)[:, :80]
    # The largest on the other side has no code of its own: it may be a whole step away.
    assert (np.abs(back - matrix) <= wide * 1.001).all()
    assert np.mean(np.abs(back - matrix) <= wide * 0.501) > 0.95


def with_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f: with_config(f, architectures=["GPT2LMHeadModel"]), "no family that can be exported"),
        (lambda f: with_config(f, rope_parameters={"rope_type": "yarn"}), "scaled rotary"),
        (lambda f: with_config(f, use_sliding_window=True), "sliding windows"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer.json cannot be read"),
        (lambda f: tokenizer_of(()).save(str(f / "tokenizer.json")), "no one token for yes"),
        (lambda f: (f / "model.safetensors").unlink(), "cannot be loaded"),
    ],
)
def test_what_cannot_be_exported_is_said_and_nothing_is_written(
    qwen: Path, tmp_path: Path, change: Any, problem: str
) -> None:
    folder = shutil.copytree(qwen, tmp_path / "checkpoint")
    change(folder)
    with pytest.raises(ValueError, match=problem):
        export_causal(folder, tmp_path / "models", 8, QUIET)
    assert not (tmp_path / "models").exists() or not list((tmp_path / "models").iterdir())


@pytest.mark.parametrize(
    ("found", "least", "fails"),
    [
        ([3, 2, 1], 1.0, False),
        ([3.5, 2, 1], 1.0, False),
        ([9, 2, 1], 1.0, True),  # in order, but far off
        ([1, 2, 3], 0.1, True),
        ([3, 1, 2], 0.9, True),
        ([math.nan] * 3, 0.9, True),
    ],
)
def test_an_export_in_another_order_is_refused(found: list[float], least: float, fails: bool) -> None:
    def check() -> None:
        check_agreement([array(found)], [array([3, 2, 1])], QUIET, least)

    if not fails:
        check()
        return
    with pytest.raises(ValueError, match=r"order|from the float model's"):
        check()


@pytest.mark.parametrize("lists", [[], [array([0.2, 0.1, 0])]])
def test_an_export_is_refused_where_nothing_shows_that_it_agrees(lists: list[NDArray[np.float32]]) -> None:
    with pytest.raises(ValueError, match="no two golden documents apart"):
        check_agreement([scores[::-1] for scores in lists], lists, QUIET, 0.97)


def test_each_query_is_asked_of_every_document_its_own_first() -> None:
    lists = every_document([Triple("p", "a", ("b",)), Triple("q", "c", ("a",))])
    assert [(t.query, t.positive, t.negatives) for t in lists] == [
        ("p", "a", ("b", "c")),
        ("q", "c", ("a", "b")),
    ]


def changed(model: ModelFiles, **fields: Any) -> ModelFiles:
    return replace(model, card={**model.card, **fields})


def without(model: ModelFiles, field: str) -> ModelFiles:
    return replace(model, card={name: value for name, value in model.card.items() if name != field})


def test_a_model_that_does_not_fit_is_refused(exported: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(ModelProblem, match="other texts"):
        CausalReranker(changed(exported, text_version="0"))
    first = exported.card["golden"][0]
    turned = {**first, "scores": [-9 * score for score in first["scores"]]}
    with pytest.raises(ModelProblem, match="golden"):
        load_causal(changed(exported, golden=[turned]))
    broken = shutil.copytree(exported.directory, tmp_path / "causal")
    content = bytearray((broken / "model.onnx.data").read_bytes())
    content[len(content) // 2] ^= 1
    (broken / "model.onnx.data").write_bytes(content)
    with pytest.raises(ModelProblem, match="its card states no 'layers'"):
        load_causal(without(exported, "layers"))
    with pytest.raises(ModelProblem, match="damaged"):
        load_causal(replace(exported, directory=broken))


def test_it_stops(exported: ModelFiles) -> None:
    reranker, stop = load_causal(exported), Stop()
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        scores_of(reranker, "find", ["vessel text " * 50] * 500, stop)
    assert time.monotonic() - started < 5


def test_the_server_reads_with_it_what_the_compact_one_left_on_top(
    example_report: Report, exported: ModelFiles
) -> None:
    engine = load_engine(index_directory(EXAMPLE), exported.directory.parent)
    assert engine.causal
    assert not engine.notes
    context = make_context("var vessel = current.vessel;\nvar berth = new ", "", {})
    try:
        whole = predict(engine, context, METHODS["reranked"])
        late = predict(engine, context, METHODS["reranked"], deadline_ms=60)
    finally:
        engine.index.close()
    read = [item for item in whole.ranked if any(e.signal == "causal" for e in item.evidence)]
    assert read == list(whole.ranked[: len(read)])
    assert 0 < len(read) <= RERANK_DEPTH
    assert [stage.stage for stage in whole.trace.stages][-2:] == ["rerank", "causal"]
    assert len(late.ranked) == len(whole.ranked)


def curve(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / CURVE).read_text().splitlines()]


def margin(weights: Path) -> float:
    """How far the right document is above the best of the others, on average."""
    scores = causal_scores(weights)
    return float(np.mean([(s := scores(triple))[0] - s[1:].max() for triple in TRIPLES]))


@pytest.mark.parametrize(
    "recipe",
    [
        QUICK,
        replace(QUICK, objective="pointwise"),
        replace(QUICK, lora=0, rate=1e-3),
        replace(QUICK, objective="grpo", epochs=20),
    ],
    ids=["listwise, LoRA", "pointwise, LoRA", "listwise, whole", "grpo, LoRA"],
)
def test_training_raises_the_right_document(qwen: Path, tmp_path: Path, recipe: Recipe) -> None:
    weights = train_causal(TRIPLES, qwen, tmp_path, recipe, QUIET)
    assert margin(weights) > margin(qwen) + 0.5
    if recipe.objective != "grpo":
        losses = curve(tmp_path)
        assert np.mean(losses[-4:]) < np.mean(losses[:4]) * 0.7


def test_what_was_trained_is_exported_and_reads_alike(qwen: Path, tmp_path: Path) -> None:
    weights = train_causal(TRIPLES, qwen, tmp_path / "t", QUICK, QUIET)
    export_causal(weights, tmp_path, 8, QUIET, TRIPLES[:3])
    reranker = load_causal(ModelFiles("causal", tmp_path / "causal", card(tmp_path)))
    triple = TRIPLES[-1]
    assert scores_of(reranker, triple.query, (triple.positive, *triple.negatives)).argmax() == 0


def test_a_training_that_is_cut_short_goes_on_to_the_same_weights(qwen: Path, tmp_path: Path) -> None:
    recipe = replace(QUICK, epochs=3, objective="grpo")
    whole = train_causal(TRIPLES, qwen, tmp_path / "whole", recipe, QUIET)
    train_causal(TRIPLES, qwen, tmp_path / "cut", recipe, QUIET, stop_after=2)
    again = train_causal(TRIPLES, qwen, tmp_path / "cut", recipe, QUIET)
    assert (whole / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")


def test_a_list_read_as_one_text_has_the_scores_of_its_prompts(checkpoint: Path) -> None:
    model, scores = CausalModel.load(checkpoint), causal_scores(checkpoint)
    for triple in (*TRIPLES[:2], Triple("a much longer query " * 9, "yes", ("no", "text " * 40))):
        assert scores(triple) == pytest.approx(model.score(triple), abs=0.15)  # bfloat16


def test_the_reward_is_one_for_a_right_answer() -> None:
    right = torch.tensor([1.0, 0.0, 0.0])
    answers = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert reward(answers, right).tolist() == [[1, 0, 1], [0, 1, 0]]


def test_right_answers_become_likelier() -> None:
    torch.manual_seed(0)
    scores, right = torch.zeros(3, requires_grad=True), torch.tensor([1.0, 0.0, 0.0])
    answers_loss(scores, right, 256).backward()
    assert scores.grad is not None
    assert (scores.grad * (2 * right - 1) < 0).all()


@pytest.mark.parametrize(("lists", "processes"), [(8, 1), (8, 2), (7, 2), (1, 4), (5, 3)])
def test_processes_share_a_batch_evenly(lists: int, processes: int) -> None:
    batch = [Triple(str(i), "", ()) for i in range(lists)]
    shares = [share_of(batch, i, processes) for i in range(processes)]
    assert len({len(share) for share in shares}) == 1
    assert {triple.query for share in shares for triple in share} == {str(i) for i in range(lists)}


def test_each_stage_is_measured_on_unseen_lists(
    qwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = [replace(triple, priors=(0.0,) * 6) for triple in TRIPLES]
    monkeypatch.setattr(train_base, "gathered", lambda *_: (lists, {"harbour": lists[:4], "port": lists[4:]}))
    result = train_base.train_base(qwen, tmp_path, tmp_path, train_base.Plan(8, 4, 8, 0), QUIET, QUIET)
    assert json.loads((tmp_path / "causal-training" / "result.json").read_text()) == result
    assert [row["method"] for row in result["results"]] == [
        "fused, no cross-encoder",
        "base",
        "SFT",
        "SFT+RL",
    ]
    assert [row["n"] for row in result["results"]] == [8] * 4
    assert result["results"][0]["top"]["1"] == 0  # of equal scores none is on top
    monkeypatch.setattr(train_base, "gathered", lambda *_: (lists, {}))
    said: list[str] = []
    result = train_base.train_base(qwen, tmp_path, tmp_path, train_base.Plan(8, 4, 8, 0), QUIET, said.append)
    assert (result["stage"], result["results"]) == ("SFT", [])
    assert said == [f"{tmp_path} holds no corpus of the list 'eval-only': nothing is measured"]
    for stage in ("sft", "sft+rl"):
        assert (tmp_path / "causal-training" / stage / "weights" / "model.safetensors").is_file()


BOTH = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_causal import QUICK, QUIET, TRIPLES, train_causal
train_causal(TRIPLES, Path(sys.argv[2]), Path(sys.argv[3]), replace(QUICK, epochs=2), QUIET)
"""


def test_two_processes_learn_what_one_learns(qwen: Path, tmp_path: Path) -> None:
    """As torchrun starts them; each takes half of every batch."""
    recipe = replace(QUICK, epochs=2)
    alone = train_causal(TRIPLES, qwen, tmp_path / "one", recipe, QUIET)
    script = tmp_path / "both.py"
    script.write_text(BOTH, encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command += [str(script), str(Path(__file__).parent), str(qwen), str(tmp_path / "two")]
    path = os.pathsep.join(sys.path)
    variables = environment(ACCELERATE_USE_CPU="true", OMP_NUM_THREADS="1", PYTHONPATH=path)
    subprocess.run(command, check=True, env=variables, timeout=150, capture_output=True)
    assert curve(tmp_path / "two")[0] == pytest.approx(curve(tmp_path / "one")[0], abs=1.0)
    assert margin(tmp_path / "two" / "weights") == pytest.approx(margin(alone), abs=0.3)


def test_the_bench_says_what_an_export_of_random_weights_keeps(tmp_path: Path) -> None:
    write_checkpoint(Shape(2, 512, 4, 2, 16, 128, 30_522, 1e6, 1e-6, True), tmp_path / "random")
    row = export_row(tmp_path / "random", 8)
    assert row["refused"] is None
    assert "of documents in the same order" in row["said"][-1]
    assert row["peak_mb"] > 0


def test_what_was_exported_is_imported_elsewhere(
    exported: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPCODESEEK_DATA_HOME", str(tmp_path / "home"))
    place = import_model(exported.directory)
    found = find_model("causal")
    assert found
    assert found.directory == place == tmp_path / "home/models/causal"
    carried = shutil.copytree(exported.directory, tmp_path / "damaged")
    data = bytearray((carried / "model.onnx.data").read_bytes())
    data[len(data) // 2] ^= 1
    (carried / "model.onnx.data").write_bytes(data)
    with pytest.raises(ModelProblem, match="damaged"):
        import_model(carried)
    assert find_model("causal") == found
