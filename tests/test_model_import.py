"""`models import`: what is taken of a folder, what is refused, and that a failure changes nothing."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from checkpoint_files import CONFIG, EMBEDDING, PARAMETERS, SHAPES, checkpoint, header, in_two, safetensors
from conftest import environment

from deepcodeseek.index_builder.checkpoints import checkpoints_directory, verify_checkpoint
from deepcodeseek.index_builder.model_import import import_model
from deepcodeseek.index_builder.model_store import list_checkpoints, list_models, remove_model
from deepcodeseek.server.models import (
    SHIPPED,
    ModelFiles,
    ModelKind,
    ModelProblem,
    data_directory,
    find_model,
    verify,
)

TAKEN = {"config.json", "tokenizer.json", "tokenizer_config.json", "model.json"}
ONE = {"model.safetensors"}
TWO = {f"model-0000{part}-of-00002.safetensors" for part in (1, 2)} | {"model.safetensors.index.json"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of its own."""
    monkeypatch.setenv("DEEPCODESEEK_DATA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; nothing where there is none."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def installed(home: Path) -> dict[str, bytes]:
    return contents(home / "models")


# Checkpoints


@pytest.mark.parametrize(("make", "weights"), [(checkpoint, ONE), (in_two, TWO)])
def test_a_checkpoint_is_taken_in(make: Callable[[Path], Path], weights: set[str], tmp_path: Path) -> None:
    source = make(tmp_path / "Tiny-Qwen3")
    place = import_model(source)
    assert place == checkpoints_directory() / "Tiny-Qwen3"
    assert {path.name for path in place.iterdir()} == TAKEN | weights
    for name in (TAKEN | weights) - {"model.json"}:
        assert (place / name).read_bytes() == (source / name).read_bytes()
    card = verify_checkpoint(place)
    about = {key: card[key] for key in ("kind", "name", "architecture", "parameters", "licence")}
    assert about == {
        "kind": "checkpoint",
        "name": "Tiny-Qwen3",
        "architecture": "Qwen3ForCausalLM",
        "parameters": PARAMETERS,
        "licence": "apache-2.0",
    }
    assert card["sha256"] == {
        name: sha256((source / name).read_bytes()).hexdigest() for name in (TAKEN | weights) - {"model.json"}
    }


def test_the_name_is_the_repositorys_in_the_cache_of_hugging_face(tmp_path: Path) -> None:
    blobs = checkpoint(tmp_path / "blobs")
    snapshot = tmp_path / "models--Owner--Tiny-0.6B/snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for path in blobs.iterdir():
        (snapshot / path.name).symlink_to(path)
    place = import_model(snapshot)
    assert place.name == "Tiny-0.6B"
    assert not any(path.is_symlink() for path in place.iterdir())
    assert import_model(snapshot, name="other").name == "other"


def test_a_checkpoint_that_is_carried_on_keeps_its_origin(tmp_path: Path, home: Path) -> None:
    """From the data directory of a machine with a network to one without."""
    origin = {"licence": "mit", "source": "https://hub/owner/Tiny", "revision": "0" * 40}
    carried = import_model(checkpoint(tmp_path / "Tiny"), origin=origin).rename(tmp_path / "carried")
    place = import_model(carried, "again")
    assert verify_checkpoint(place).items() >= origin.items()
    _weights(WHOLE[:-1] + b"?")(carried)
    with pytest.raises(ModelProblem, match="is damaged"):
        import_model(carried, "once-more")


def _config(**changes: Any) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))


def _text(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def _without(*names: str) -> Callable[[Path], object]:
    return lambda folder: [(folder / name).unlink() for name in names]


def _weights(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.safetensors").write_bytes(content)


def _tensor(**changes: Any) -> Callable[[Path], object]:
    made = header()
    made[EMBEDDING] |= changes
    return _weights(safetensors(made))


WHOLE = safetensors(header())
HEADER = json.dumps(header()).encode()
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "another architecture": (
        _config(architectures=["BertModel"]),
        "not supported, 'BertModel': supported are Qwen3ForCausalLM and LlamaForCausalLM",
    ),
    "no architecture": (_config(architectures=None), "names no architecture"),
    "config missing": (_without("config.json"), "there is no config.json"),
    "config no JSON": (_text("config.json", "{"), "config.json is no JSON object"),
    "config deep": (_text("config.json", "[" * 100_000), "config.json is no JSON object"),
    "config a list": (_text("config.json", "[]"), "config.json is no JSON object"),
    "tokenizer missing": (_without("tokenizer.json"), "there is no tokenizer.json"),
    "tokenizer HTML": (_text("tokenizer.json", "<html>"), "tokenizer.json is no JSON object"),
    "tokenizer empty": (_text("tokenizer.json", "{}"), "is no tokenizer"),
    "optional no JSON": (_text("tokenizer_config.json", "<html>"), "tokenizer_config.json is no JSON"),
    "pickled alone": (_without("model.safetensors"), "holds pickled weights alone"),
    "no weights": (_without("model.safetensors", "pytorch_model.bin"), "there is neither model.safetensors"),
    "empty": (_weights(b""), "is no safetensors file, or cut off"),
    "HTML": (_weights(b"<!DOCTYPE html><html>"), "is no safetensors file, or cut off"),
    "cut off in the header": (_weights(WHOLE[:40]), "is no safetensors file, or cut off"),
    "cut off in the weights": (_weights(WHOLE[:-5]), "is cut off: 5 bytes are missing"),
    "bytes too many": (_weights(WHOLE + b"xx"), "2 bytes belong to no tensor"),
    "header too long": (_weights((1 << 40).to_bytes(8, "little") + HEADER), "its header has 1,099,511"),
    "header no JSON": (_weights(safetensors(b"{" + b"x" * 20)), "its header is no sound JSON object"),
    "header a list": (_weights(safetensors(b"[1, 2]")), "its header is no sound JSON object"),
    "a tensor twice": (_weights(safetensors(HEADER[:-1] + b"," + HEADER[1:])), "no sound JSON object"),
    "an unknown type": (_tensor(dtype="PICKLE"), "what it says of 'model.embed_tokens.weight' cannot be"),
    "a negative length": (_tensor(shape=[-7, -4]), "cannot be"),
    "a fraction": (_tensor(shape=[7.0, 4]), "cannot be"),
    "another size": (_tensor(shape=[7, 5]), "cannot be"),
    "places swapped": (_tensor(data_offsets=[56, 0]), "cannot be"),
    "no places": (_tensor(data_offsets=None), "cannot be"),
    "an overlap": (_tensor(data_offsets=[2, 58]), "overlap or leave gaps"),
    "another vocabulary": (_config(vocab_size=8), "are not those that config.json describes"),
    "a layer too few": (_config(num_hidden_layers=3), "are not those that config.json describes"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_checkpoint_leaves_nothing(what: str, tmp_path: Path, home: Path) -> None:
    make_bad, message = BAD[what]
    make_bad(checkpoint(tmp_path / "bad"))
    with pytest.raises(ModelProblem, match=message):
        import_model(tmp_path / "bad")
    assert installed(home) == {}


FIRST, SECOND = sorted(TWO - {"model.safetensors.index.json"})


def _index(weight_map: Any) -> Callable[[Path], object]:
    return _text("model.safetensors.index.json", json.dumps({"weight_map": weight_map}))


BAD_SHARDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a shard missing": (_without(SECOND), f"is not complete: {SECOND} is missing"),
    "a shard elsewhere": (_index({EMBEDDING: "../model.safetensors"}), "which is no name of weights"),
    "a shard pickled": (_index({EMBEDDING: "pytorch_model.bin"}), "which is no name of weights"),
    "no shards": (_index({}), "names no files"),
    "a tensor elsewhere": (_index(dict.fromkeys(SHAPES, FIRST)), "lacks 'model.layers.1"),
    "a tensor twice": (
        lambda folder: shutil.copyfile(folder / FIRST, folder / SECOND),
        "lacks 'model.layers.1|holds 'model.embed_tokens.weight' once more",
    ),
    "only the first in the index": (_index({EMBEDDING: FIRST}), "are not those that config.json describes"),
}


@pytest.mark.parametrize("what", BAD_SHARDS)
def test_bad_shards_leave_nothing(what: str, tmp_path: Path, home: Path) -> None:
    make_bad, message = BAD_SHARDS[what]
    make_bad(in_two(tmp_path / "bad"))
    with pytest.raises(ModelProblem, match=message):
        import_model(tmp_path / "bad")
    assert installed(home) == {}


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b", "x.part", "reranker", "ä", "x" * 97])
def test_a_name_is_never_a_path(name: str, tmp_path: Path, home: Path) -> None:
    with pytest.raises(ModelProblem, match="is no name for a checkpoint"):
        import_model(checkpoint(tmp_path / "good"), name)
    assert installed(home) == {}


def test_a_source_that_changes_while_it_is_copied(tmp_path: Path, home: Path) -> None:
    source = checkpoint(tmp_path / "Tiny")
    (source / "tokenizer.json").write_text(json.dumps({"model": {}, "more": "x" * (1 << 20)}))

    def change(task: str, done: int, total: int) -> None:
        (source / "model.safetensors").write_bytes(WHOLE[:-1] + b"?")

    with pytest.raises(ModelProblem, match="changed while it was copied: nothing was imported"):
        import_model(source, progress=change)
    assert installed(home) == {}


def test_a_new_one_takes_the_place_of_the_old_one_or_leaves_it(tmp_path: Path, home: Path) -> None:
    source = checkpoint(tmp_path / "Tiny")
    import_model(source)
    before = installed(home)
    left = checkpoints_directory() / "Tiny.0123ab.part"  # by a process that was killed
    left.mkdir()
    _weights(WHOLE[:-5])(source)
    with pytest.raises(ModelProblem):
        import_model(source)
    assert installed(home) == before
    in_two(source)
    place = import_model(source)
    assert {path.name for path in place.iterdir()} == TAKEN | TWO
    assert [path.name for path in place.parent.iterdir()] == ["Tiny"]


def test_checkpoints_are_listed_verified_and_removed(tmp_path: Path) -> None:
    place = import_model(checkpoint(tmp_path / "Tiny"))
    (state,) = list_checkpoints()
    assert (state.kind, state.name, state.state, state.place) == ("checkpoint", "Tiny", "whole", str(place))
    _weights(WHOLE[:-1] + b"?")(place)
    assert "is damaged (its SHA-256 differs from its card): import it again" in list_checkpoints()[0].state
    with pytest.raises(ModelProblem, match=r"no model 'tiny' is installed in .*: there are Tiny"):
        remove_model("tiny")
    assert remove_model("Tiny") == place
    assert list_checkpoints() == ()
    assert list(place.parent.iterdir()) == []


def test_what_has_no_room_is_not_begun(tmp_path: Path, home: Path) -> None:
    source = checkpoint(tmp_path / "Tiny")
    more = shutil.disk_usage(tmp_path).free + (1 << 30)
    made = header()
    made["more"] = {"dtype": "I8", "shape": [more], "data_offsets": [2 * PARAMETERS, 2 * PARAMETERS + more]}
    _weights(safetensors(made))(source)
    with (source / "model.safetensors").open("ab") as file:
        file.truncate(file.tell() + more)  # a hole, which takes no room
    with pytest.raises(ModelProblem, match="MB are free: nothing was imported"):
        import_model(source)
    assert installed(home) == {}


# Models that were exported here


@pytest.mark.parametrize("kind", [kind for kind in SHIPPED if kind != "adapter"])  # that takes a generator
def test_an_exported_model_is_tried_and_used(kind: Any, tmp_path: Path, home: Path) -> None:
    source = shutil.copytree(SHIPPED[kind], tmp_path / "exported")
    place = import_model(source)
    assert place == home / "models" / kind
    card = json.loads((source / "model.json").read_text())
    assert {path.name for path in place.iterdir()} == {*card["sha256"], "model.json", "README.md"}
    found = find_model(kind)
    assert found
    assert found.directory == place
    assert {state.kind: state.place for state in list_models()}[kind] == str(place)
    (place / found.file).write_bytes(b"damaged")
    states = {state.kind: state.state for state in list_models()}
    assert states[kind].endswith(f"import it again, or `deepcodeseek models remove {kind}`")
    remove_model(kind)
    found = find_model(kind)
    assert found
    assert found.directory == SHIPPED[kind]


def test_a_generator_is_carried_over_with_its_card(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEEPCODESEEK_DATA_HOME")
    real = find_model("generator")
    if real is None:
        pytest.skip("no generator is installed")
    monkeypatch.setenv("DEEPCODESEEK_DATA_HOME", str(home))
    assert import_model(real.directory) == home / "models/generator"
    found = find_model("generator")
    assert found
    assert found.card == real.card
    assert import_model(real.path(real.file)) == found.path(found.file)


def _card(**changes: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        card = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps(card | changes))

    return change


def _golden(folder: Path) -> None:
    card = json.loads((folder / "model.json").read_text())
    for golden in card["golden"]:
        golden["scores"] = [-10 * score for score in golden["scores"]]
    (folder / "model.json").write_text(json.dumps(card))


BAD_EXPORTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "damaged": (_text("model.onnx", "damaged"), "model.onnx is damaged"),
    "a file missing": (_without("tokenizer.json"), "tokenizer.json: No such file"),
    "card no JSON": (_text("model.json", "{"), "model card .* cannot be read"),
    "card without hashes": (_text("model.json", "{}"), "states no SHA-256"),
    "another kind": (_card(kind="oracle"), "of no kind that can be imported"),
    "a path": (_card(sha256={"model.onnx": "0", "../x": "0"}), "names '../x', which is no file beside it"),
    "other texts": (_card(text_version="0"), "was made for other texts"),
    "without golden pairs": (_card(golden=None), "cannot be used as reranker"),
    "another order": (_golden, "ranks its golden lists otherwise"),
    "not what it says": (_card(kind="fusion"), "the fusion in .* is left out"),
    "a graph for something else": (_card(kind="encoder", dimension=384), "cannot be used as encoder"),
    "of another encoder": (_card(kind="query"), "was trained for another encoder"),
}


@pytest.mark.parametrize("what", BAD_EXPORTS)
def test_a_bad_export_leaves_what_was_there(what: str, tmp_path: Path, home: Path) -> None:
    good = shutil.copytree(SHIPPED["reranker"], tmp_path / "good")
    import_model(good)
    before = installed(home)
    make_bad, message = BAD_EXPORTS[what]
    bad = shutil.copytree(good, tmp_path / "bad")
    make_bad(bad)
    with pytest.raises(ModelProblem, match=message) as said:
        import_model(bad)
    assert ".part" not in str(said.value)
    assert installed(home) == before


# The command


def run(*arguments: object, **options: Any) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `deepcodeseek models ...`; nobody ever sees a traceback."""
    command = [sys.executable, "-I", "-m", "deepcodeseek.index_builder.cli", "models", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(), **options)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def test_the_commands(tmp_path: Path, home: Path) -> None:
    source = checkpoint(tmp_path / "Tiny")
    assert run("import", source, "--name", "mine")[:2] == (
        0,
        f"imported: {checkpoints_directory() / 'mine'}\n",
    )
    status, states, _ = run("verify")
    assert (status, states.splitlines()[-1]) == (0, "checkpoint mine: whole")
    assert run("list")[1].splitlines()[-1].split()[:2] == ["checkpoint", "mine"]
    assert run("remove", "mine")[0] == 0
    for arguments, message in (
        (("remove", "mine"), "Error: no model 'mine' is installed"),
        (("import", tmp_path / "nowhere"), f"Error: {tmp_path / 'nowhere'} cannot be read"),
        (("import", tmp_path), f"Error: {tmp_path} is no checkpoint: there is no config.json"),
    ):
        status, out, err = run(*arguments)
        assert (status, out) == (1, "")
        assert err.startswith(message)
        assert len(err.splitlines()) == 1
    assert installed(home) == {}


def _disk_full() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def test_a_full_disk(tmp_path: Path, home: Path) -> None:
    status, _, err = run("import", checkpoint(tmp_path / "Tiny"), preexec_fn=_disk_full)
    assert status == 1
    assert err == f"Error: {home / 'models'}: File too large: nothing was imported\n"
    assert list(checkpoints_directory().iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "place", "about", "mend"),
    [
        ("fusion", "ships", {}, "reinstall deepcodeseek"),
        ("fusion", "installed", {}, "import it again, or `deepcodeseek models remove fusion`"),
        ("fusion", "chosen", {"adapted": {}}, "run `deepcodeseek train adapt` again, or delete {}"),
        ("fusion", "chosen", {"name": "mine"}, "put a whole one there, or delete {}"),
        ("query", "chosen", {"name": "adapted"}, "run `deepcodeseek train adapt` again, or delete {}"),
        ("reranker", "chosen", {"adapted": {}}, "run `deepcodeseek train adapt` again, or delete {}"),
        ("causal", "chosen", {}, "put a whole one there, or delete {}"),
        ("generator", "installed", {}, "run `deepcodeseek models get`"),
        ("generator", "chosen", {}, "put a whole one there, or delete {}"),
    ],
)
def test_the_way_out_fits_where_a_damaged_model_lies(
    kind: ModelKind, place: str, about: dict[str, Any], mend: str, home: Path, tmp_path: Path
) -> None:
    chosen = tmp_path / "index" / "models" / kind
    folder = {"ships": SHIPPED["fusion"], "installed": data_directory() / kind, "chosen": chosen}[place]
    with pytest.raises(ModelProblem) as raised:
        verify(ModelFiles(kind, folder, about | {"sha256": {"missing.npz": "0"}}))
    assert str(raised.value).endswith(f": {mend.format(folder)}")
