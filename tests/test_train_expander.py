"""Training the expander's adapter. Needs the extra [train]: `make test-train`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import EXAMPLE
from test_generator import write_model

from deepcodeseek.index_builder.cards import card_text
from deepcodeseek.index_builder.model_import import import_model
from deepcodeseek.index_builder.train_expander import (
    Lesson,
    Recipe,
    add_adapters,
    lessons_of,
    load_base,
    loss_of,
    mean_loss,
    restore,
    train,
)
from deepcodeseek.index_builder.train_loop import CURVE
from deepcodeseek.index_builder.train_shipped_expander import train_shipped_expander
from deepcodeseek.server.engine import Engine, load_engine, load_generator
from deepcodeseek.server.generation import index_directory, sha256_file
from deepcodeseek.server.generator import Model
from deepcodeseek.server.generator_process import GeneratorProcess
from deepcodeseek.server.models import CARD, ModelProblem, data_directory, find_model
from deepcodeseek.server.types import Prompt

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")
torch.set_num_threads(1)  # tiny models: a second thread waits more than it works

QUIET: Any = lambda *_: None  # noqa: E731
QUICK = Recipe(epochs=80, batch=2, rate=3e-2, rank=8, alpha=16)
TAUGHT = {"x = ": "berth(1);", "y = ": "crane(2);", "z = ": "moles(3);", "w = ": "tide(4);"}


def as_tokens(text: str) -> tuple[int, ...]:
    """The tiny model's tokens are bytes, but for `ab` and `abc`."""
    return tuple(text.encode())


LESSONS = [Lesson(as_tokens(prompt), as_tokens(f"{said}\n")) for prompt, said in TAUGHT.items()]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base") / "tiny.gguf")


def test_llama_cpp_writes_what_was_learned(base: Path, tmp_path: Path) -> None:
    # Long enough that no processor's rounding changes what is most likely.
    adapter = train(LESSONS, base, tmp_path, replace(QUICK, epochs=160), QUIET)
    curve = [json.loads(line)["loss"] for line in (tmp_path / CURVE).read_text().splitlines()]
    assert curve[-1] < 0.1 < 3 < curve[0]
    model = Model(str(base), adapter=str(adapter))
    written = {prompt: model.generate(Prompt(prompt, "statement"), 20, 1e12)["text"] for prompt in TAUGHT}
    assert written == TAUGHT
    for end in ("sentence", "statement", "sentence"):
        prompt = Prompt("x = ", end)
        unadapted = Model(str(base)).generate(prompt, 20, 1e12)["text"]
        assert (model.generate(prompt, 20, 1e12)["text"] == unadapted) is (end == "sentence")


def test_a_training_that_was_cut_short_goes_on_to_the_same_weights(base: Path, tmp_path: Path) -> None:
    recipe = replace(QUICK, epochs=4)
    whole = train(LESSONS, base, tmp_path / "whole", recipe, QUIET)
    train(LESSONS, base, tmp_path / "cut", recipe, QUIET, stop_after=3)
    assert sha256_file(train(LESSONS, base, tmp_path / "cut", recipe, QUIET)) == sha256_file(whole)


def test_what_was_learned_is_restored(base: Path, tmp_path: Path) -> None:
    train(LESSONS, base, tmp_path, QUICK, QUIET)
    model = load_base(base)
    before = mean_loss(model, LESSONS, 2)
    restore(model, tmp_path, QUICK)
    assert mean_loss(model, LESSONS, 2) < 0.1 < 3 < before


def test_new_adapters_change_nothing_and_alone_learn(base: Path) -> None:
    model = load_base(base)
    before = mean_loss(model, LESSONS, 2)
    adapters = add_adapters(model, QUICK)
    assert mean_loss(model, LESSONS, 2) == pytest.approx(before)
    loss_of(model, LESSONS).backward()
    assert {name for name, weight in model.named_parameters() if weight.grad is not None} == set(
        adapters.weights
    )


def test_padding_and_batches_do_not_change_the_loss(base: Path) -> None:
    model = load_base(base)
    assert mean_loss(model, LESSONS, 1) == pytest.approx(mean_loss(model, LESSONS, 4), abs=0.02)


def test_there_must_be_something_to_learn_from(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no call"):
        train([], base, tmp_path, QUICK, QUIET)


def test_lessons_are_the_prompts_of_the_server_and_what_was_written(engine: Engine) -> None:
    sample = {"file": "new.js", "code_before": "a();\n", "code_middle": "b(c);", "code_after": "\nd();"}
    (lesson,) = lessons_of(engine, [sample, {**sample, "code_middle": " "}], lambda t: list(t.encode()), 4)
    assert bytes(lesson.prompt).decode() == "// new.js\n\na();\n"
    assert bytes(lesson.statement).decode() == "b(c)"


def test_an_adapter_serves_the_model_it_was_made_over_alone(tmp_path: Path, base: Path) -> None:
    """It lies in a models directory; over another model it would write nonsense."""
    for made_over, is_used in (("0" * 64, False), (sha256_file(base), True)):
        place = tmp_path / made_over[:4]
        install(place / "generator", base, {"kind": "generator"})
        install(place / "adapter", base, {"kind": "adapter", "base": made_over})
        generator, notes = load_generator(place)
        assert isinstance(generator, GeneratorProcess)
        assert notes == ()
        assert any(str(place / "adapter") in option for option in generator.options) is is_used


@pytest.mark.parametrize("fault", ["of another model", "no card", "another file than its card says"])
def test_an_adapter_of_no_use_gives_way_to_the_next_place(
    fault: str, tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPCODESEEK_DATA_HOME", str(tmp_path / "home"))
    chosen, installed = tmp_path / "chosen", data_directory()
    install(chosen / "generator", base, {"kind": "generator"})
    install(installed / "adapter", base, {"kind": "adapter", "base": sha256_file(base)})
    made_over = "0" * 64 if fault == "of another model" else sha256_file(base)
    install(chosen / "adapter", base, {"kind": "adapter", "base": made_over})
    if fault == "no card":
        (chosen / "adapter" / CARD).write_text("{", encoding="utf-8")
    if fault == "another file than its card says":
        (chosen / "adapter" / base.name).write_bytes(b"of a training that was killed")
    generator, notes = load_generator(chosen)
    assert isinstance(generator, GeneratorProcess)
    assert [str(chosen / "adapter") in note for note in notes] == [True] * (fault != "of another model")
    assert any(str(installed / "adapter") in option for option in generator.options)


@pytest.mark.usefixtures("example_report")
def test_an_adapter_from_corpora_serves_the_server(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = {"file": "new.js", "code_middle": "berth.moor(vessel);", "target": "Berth", "balanced": True}
    samples = [{**call, "id": str(n), "code_before": f"var vessel = {n};\n"} for n in range(8)]
    for name, kind in (("a", "train"), ("b", "eval-only")):
        folder = tmp_path / "corpora" / name
        shutil.copytree(index_directory(EXAMPLE), folder / "index")
        lines = "\n".join(json.dumps(sample) for sample in samples)
        (folder / "samples.jsonl").write_text(lines, encoding="utf-8")
        about = {"name": name, "list": kind, "packages": []}
        (folder / "corpus.json").write_text(json.dumps({"corpus": about}), encoding="utf-8")
    out = tmp_path / "models"
    install(out / "generator", base, {"kind": "generator"})
    files = find_model("generator", out)
    assert files
    card = train_shipped_expander(tmp_path / "corpora", files, out, QUICK, 6, QUIET)
    assert card["lessons"] == 6
    assert card["nats_per_token"]["adapted"]["b"] < card["nats_per_token"]["base"]["b"]
    engine = load_engine(index_directory(EXAMPLE), out)
    assert engine.generator
    prompt = Prompt("// new.js\n\nvar vessel = 5;\n", "statement")
    assert engine.generator.generate(prompt, 24, 60_000) == "berth.moor(vessel);"
    engine.generator.close()
    assert "deepcodeseek train expander --corpora DIR --out MODELS --lessons 6" in card_text(
        "adapter", out / "adapter"
    )
    monkeypatch.setenv("DEEPCODESEEK_DATA_HOME", str(tmp_path / "home"))
    with pytest.raises(ModelProblem, match="another expander"):
        import_model(out / "adapter")
    import_model(base)
    import_model(out / "adapter")
    adapter = find_model("adapter")
    assert adapter
    assert adapter.directory == tmp_path / "home/models/adapter"


def install(place: Path, file: Path, about: dict[str, str]) -> None:
    place.mkdir(parents=True)
    shutil.copyfile(file, place / file.name)
    card = {**about, "file": file.name, "sha256": {file.name: sha256_file(file)}}
    (place / "model.json").write_text(json.dumps(card))
