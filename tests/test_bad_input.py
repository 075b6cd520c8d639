"""Bad input: one clear line with the path, the rest of the work goes on, nothing is lost."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import environment

from deepcodeseek.index_builder.build import build_index
from deepcodeseek.index_builder.sources import read_workspace
from deepcodeseek.server.generation import IndexProblem, read_manifest
from deepcodeseek.server.index import open_index
from deepcodeseek.server.models import Encoder

INCLUDE = """<?xml version="1.0" encoding="UTF-8"?><record_update table="sys_script_include">
<sys_script_include action="INSERT_OR_UPDATE"><access>public</access>
<api_name>global.{0}</api_name><name>{0}</name>
<script>var {0} = Class.create(); {0}.prototype = {{ run: function(a) {{ return a; }} }};</script>
</sys_script_include></record_update>"""
USE = "(function() {\n\tvar text = read();\n\tnew Alpha().run(text.replace(/[/]/g, ''));\n})();\n"
GOOD = {
    "update/sys_script_include_1.xml": INCLUDE.format("Alpha"),
    "global/sys_script/Use.script.js": USE,
    "lib/plain.js": "export function plain() {}",
    "update/sys_script_include_z.xml": INCLUDE.format("Omega"),
}
USED_IN = "global/sys_script/Use.script.js"
NOT_ROOT = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]  # what lets root read everything
FEW_BYTES = 30_000


class Good(NamedTuple):
    """A data directory with the encoder alone, a workspace, and its index."""

    home: Path
    workspace: Path
    index: Path


@pytest.fixture(scope="module")
def good(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Good:
    found = Good(*(tmp_path_factory.mktemp(name) for name in Good._fields))
    (found.home / "models").mkdir()
    (found.home / "models/encoder").symlink_to(encoder.files.directory)
    write(found.workspace, GOOD)
    build_index(found.workspace, found.index, encoder, lambda task, done, total: None)
    return found


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def run(home: Path, *arguments: object, prefix: Sequence[str] = (), **options: Any) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the command; nobody ever sees a traceback."""
    command = [*prefix, sys.executable, "-I", "-m", "deepcodeseek.index_builder.cli", *map(str, arguments)]
    variables = environment(DEEPCODESEEK_DATA_HOME=str(home))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=variables, **options)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def query(good: Good, *options: str, file: str = USED_IN) -> tuple[int, str, str]:
    place = ("--line", 3, "--column", 2, "--workspace", good.workspace, "--index", good.index)
    return run(good.home, "query", good.workspace / file, *place, *options)


def disk_full() -> None:
    """In a child process: no file may grow beyond a few bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FEW_BYTES, FEW_BYTES))


def one_line(done: tuple[int, str, str], status: int, *parts: object) -> None:
    assert done[0] == status, done
    assert len(done[2].splitlines()) == 1, done[2]
    assert all(str(part) in done[2] for part in parts), done[2]


def api_names(index: Path) -> set[str]:
    rows = sqlite3.connect(read_manifest(index)[0] / "graph.sqlite").execute("SELECT api_name FROM api")
    return {name for (name,) in rows}


# Sources


def _locked(path: Path) -> None:
    path.write_text("var a;")
    path.chmod(0)


BAD_FILES: dict[str, tuple[Callable[[Path], Any], str]] = {  # name -> how it comes about, what is said of it
    "update/sys_script_include_5.xml": (lambda p: p.write_text(INCLUDE.format("Half")[:200]), "broken XML"),
    "update/sys_script_include_6.xml": (lambda p: p.write_text("<!DOCTYPE a []><a/>"), "refused XML"),
    "update/sys_app_1.xml": (lambda p: p.write_bytes(b""), "broken XML"),
    "big.js": (lambda p: p.write_text("a();\n" * 1_000_001), "the limit is 5,000,000"),
    "junk.js": (lambda p: p.write_bytes(bytes(range(256)) * 9), "binary"),
    "pipe.js": (os.mkfifo, "not a file"),
    "locked.js": (_locked, "Permission denied"),
    "locked": (lambda p: p.mkdir(mode=0), "Permission denied"),
    "b\udcff.js": (lambda p: p.write_text("var a;"), "UTF-8"),
    "dangling.js": (lambda p: p.symlink_to("nowhere"), ""),
    "loop": (lambda p: p.symlink_to("."), ""),
    "folder.js": (lambda p: p.mkdir(), ""),
    "half.js": (lambda p: p.write_text("export function half() { if (a) { b("), ""),
    "package.json": (lambda p: p.write_text('{"name": "\\ud800"}'), ""),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named_and_the_others_are_indexed(name: str, good: Good, tmp_path: Path) -> None:
    make, message = BAD_FILES[name]
    workspace = write(tmp_path / "work", GOOD)
    make(workspace / name)
    prefix = NOT_ROOT if name.startswith("locked") and os.geteuid() == 0 else []
    if prefix and not shutil.which(prefix[0]):
        pytest.skip("root reads everything")
    status, _, said = run(good.home, "index", workspace, "--out", tmp_path / "out", prefix=prefix)
    line = f"{name.encode('ascii', 'backslashreplace').decode()}: "
    assert (status, [s.startswith(line) for s in said.splitlines()]) == (0, [True] * bool(message)), said
    assert message in said
    assert {"global.Alpha", "global.Omega"} <= api_names(tmp_path / "out")


def test_a_file_removed_while_reading_is_named(tmp_path: Path) -> None:
    *kept, last = sorted(GOOD)
    path = write(tmp_path, GOOD) / last
    found = read_workspace(tmp_path, progress=lambda *progress: path.unlink(missing_ok=True))
    assert [script.path for script in found.scripts] == kept
    assert [problem.path for problem in found.problems] == [last]


def test_the_output_directory_is_never_walked_and_a_dot_is_the_folder(good: Good, tmp_path: Path) -> None:
    workspace = write(tmp_path / "work", GOOD | {"lib/out/stray.js": "export function stray() {}"})
    for _ in range(2):
        assert run(good.home, "index", ".", "--out", "lib/out", cwd=workspace)[0] == 0
        assert api_names(workspace / "lib/out") == {"global.Alpha", "global.Omega", "work/lib/plain.plain"}


# Building


def test_what_cannot_be_written_is_named_and_the_old_index_stays(
    good: Good, encoder: Encoder, tmp_path: Path
) -> None:
    file, out = tmp_path / "file", shutil.copytree(good.index, tmp_path / "out")
    file.touch()
    status, _, said = run(good.home, "index", good.workspace, "--out", file)
    assert status
    assert str(file) in said.splitlines()[-1]
    one_line(run(good.home, "index", good.workspace, "--out", file / "out"), 1, file)
    before = sorted(out.glob("gen-*/*"))
    (out / "cache.sqlite").unlink()
    one_line(run(good.home, "index", good.workspace, "--out", out, preexec_fn=disk_full), 1, out)
    with pytest.raises(KeyboardInterrupt):
        build_index(good.workspace, out, encoder, _interrupt)
    assert sorted(out.glob("gen-*/*")) == before
    open_index(out, encoder.files.sha256).close()


def _interrupt(task: str, done: int, total: int) -> None:
    if task == "embedding":
        raise KeyboardInterrupt


# Index


def _manifest(**changes: object) -> Callable[[Path], Any]:
    def damage(path: Path) -> None:
        manifest = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in manifest.items() if value is not None}))

    return damage


def _text(content: str) -> Callable[[Path], Any]:
    return lambda path: path.write_text(content)


def _flip(path: Path, place: int = 999) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def _moved(current: Path) -> None:
    """Names a whole generation, but an outside one."""
    generation = current.parent / current.read_text().strip()
    generation.rename(current.parent.parent / "elsewhere")
    current.write_text("../elsewhere")


MANIFEST, VECTORS = "manifest.json", ["doc.npy", "code.npy", "usage.npy"]
DAMAGES: list[tuple[str, Callable[[Path], Any]]] = [  # file, and what happens to it
    *((MANIFEST, _manifest(**{key: 99})) for key in ("schema_version", "text_version", "encoder")),
    (MANIFEST, _manifest(encoder={"sha256": "0" * 64, "dimension": 384})),
    *((MANIFEST, _manifest(files=files)) for files in (None, {}, ["doc.npy"], {"graph.sqlite": "0" * 64})),
    (MANIFEST, _manifest(counts=None)),
    *((MANIFEST, _manifest(bases=bases)) for bases in (None, ["../etc"], [1], "team")),
    *((MANIFEST, _text(content)) for content in ("", "{", "[]", "[" * 100_000)),
    *(("current", _text(content)) for content in ("", "gen-1", "../../etc", "\0")),
    ("current", _moved),
    *((name, _flip) for name in ("graph.sqlite", *VECTORS)),
    *((name, Path.unlink) for name in ("current", MANIFEST, "graph.sqlite", *VECTORS)),
]


def damaged(index: Path, copy: Path, number: int) -> Path:
    name, happens = DAMAGES[number]
    shutil.copytree(index, copy)
    happens((copy if name == "current" else read_manifest(copy)[0]) / name)
    return copy


def test_a_damaged_index_is_refused_with_the_way_out(good: Good, encoder: Encoder, tmp_path: Path) -> None:
    for number in range(len(DAMAGES)):
        directory = damaged(good.index, tmp_path / f"{number}.", number)
        with pytest.raises(IndexProblem) as caught:
            open_index(directory, encoder.files.sha256)
        assert re.fullmatch(f".*{directory}.*`deepcodeseek index WORKSPACE`", str(caught.value))


@pytest.mark.parametrize("happens", [_flip, Path.unlink])
def test_exact_search_stands_in_for_a_damaged_hnsw_file(
    happens: Callable[[Path], Any],
    good: Good,
    encoder: Encoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("server.vectors", "index_builder.write"):
        monkeypatch.setattr(f"deepcodeseek.{module}.EXACT_ROWS", 0)
    build_index(good.workspace, tmp_path, encoder, lambda task, done, total: None)
    happens(read_manifest(tmp_path)[0] / "doc.hnsw")
    index = open_index(tmp_path, encoder.files.sha256)
    assert [note for note in index.notes if "doc.hnsw is damaged, exact search stands in" in note]
    ids, _ = index.nearest("doc", encoder.encode(["alpha"])[0], 2, np.ones(index.count, np.bool_))
    assert len(ids) == 2


def test_any_flipped_byte_of_the_manifest_is_refused_or_harmless(
    good: Good, encoder: Encoder, tmp_path: Path
) -> None:
    directory = shutil.copytree(good.index, tmp_path / "index")
    path = read_manifest(directory)[0] / MANIFEST
    whole = path.read_bytes()
    for place in range(len(whole)):
        _flip(path, place)
        with suppress(IndexProblem):
            open_index(directory, encoder.files.sha256).close()
        path.write_bytes(whole)


@pytest.mark.parametrize("number", [0, 4, -1])
def test_query_says_what_is_wrong_with_the_index(number: int, good: Good, tmp_path: Path) -> None:
    directory = damaged(good.index, tmp_path / "index", number)
    one_line(query(good._replace(index=directory)), 1, directory, "`deepcodeseek index WORKSPACE`")


# Models

JUNK = b"GGUF" + bytes(range(256)) * 9


def _card(**fields: object) -> str:
    return json.dumps({"kind": "generator", "name": "x", "file": "x.gguf"} | fields)


CARDS: dict[str, tuple[str | None, bool]] = {  # the card of a broken GGUF, and whether `verify` can tell
    "truncated": (_card(sha256={"x.gguf": "0" * 64}), True),
    "junk": (_card(sha256={"x.gguf": sha256(JUNK).hexdigest()}), False),
    "card missing": (None, True),
    "card no JSON": ("{", True),
    "card a list": ("[]", True),
    "card empty": ("{}", True),
    "card without hashes": (_card(), True),
    "card with bad hashes": (_card(sha256=["x.gguf"]), True),
}


@pytest.mark.parametrize("card", CARDS)
def test_a_broken_gguf_costs_the_expansion_alone(card: str, good: Good, tmp_path: Path) -> None:
    content, is_seen = CARDS[card]
    home = shutil.copytree(good.home, tmp_path / "home", symlinks=True)
    place = write(home / "models/generator", {"model.json": content or ""})
    (place / "x.gguf").write_bytes(JUNK)
    if content is None:
        (place / "model.json").unlink()
    status, answer, said = query(good._replace(home=home), "--json")
    assert (status, said) == (0, "")
    assert {item["api_name"] for item in json.loads(answer)["ranked"]} >= {"global.Alpha", "global.Omega"}
    assert str(place) in {stage["stage"]: stage["note"] for stage in json.loads(answer)["trace"]}["expand"]
    status, states, _ = run(home, "models", "verify")
    assert (status, str(place) in states) == (int(is_seen), is_seen)


@pytest.mark.parametrize("content", [b"no GGUF", JUNK, None])
def test_importing_garbage_leaves_the_installed_model(content: bytes | None, tmp_path: Path) -> None:
    installed = {"x.gguf": "the installed one", "model.json": "its card"}
    place, source = write(tmp_path / "models/generator", installed), tmp_path / "garbage.gguf"
    if content:
        source.write_bytes(content)
    one_line(run(tmp_path, "models", "import", source), 1, source)
    assert {path.name: path.read_text() for path in place.iterdir()} == installed
    assert [path.name for path in place.parent.iterdir()] == ["generator"]


@pytest.mark.parametrize("card", ["{", "{}"])
def test_without_an_encoder_there_is_one_clear_line(card: str, good: Good, tmp_path: Path) -> None:
    place = write(tmp_path / "models/encoder", {"model.json": card})
    one_line(run(tmp_path, "index", good.workspace, "--out", tmp_path / "out"), 1, place)
    one_line(query(good._replace(home=tmp_path)), 1, place)


# Answers


def test_brackets_are_no_markup(good: Good) -> None:
    write(good.workspace, {"new[/it].js": USE})
    status, shown, _ = query(good, file="new[/it].js")
    assert status == 0
    assert "new[/it].js" in shown
    assert "/[/]/g" in shown


SAMPLES = [  # line, and the id it is answered under, or None where it is named as bad
    (b'{"id": 1, "code_before": "new Al"}', 1),
    (b"not JSON", None),
    (b'{"id": 2}', None),
    (b"[" * 100_000, None),
    (b"\xff", None),
    ('{"id": 3, "code_before": "\u2028new ", "code_after": null, "file": 7}'.encode(), 3),
    (rb'{"id": 4, "code_before": "half of \ud83d", "file": "\ud83d.js"}', 4),
]


def test_bad_samples_are_named_by_line_and_the_others_answered(good: Good, tmp_path: Path) -> None:
    samples, out = tmp_path / "samples.jsonl", tmp_path / "out.jsonl"
    samples.write_bytes(b"\n".join([b"", *(line for line, _ in SAMPLES)]))
    command = ("predict", "--index", good.index, "--samples", samples, "--out", out)
    status, _, said = run(good.home, *command)
    assert status == 0, said
    answered = [json.loads(line)["id"] for line in out.read_text().splitlines()]
    assert answered == [number for _, number in SAMPLES if number]
    bad = [f"{samples}:{n}" for n, (_, number) in enumerate(SAMPLES, 2) if number is None]
    assert [line.partition(": ")[0] for line in said.splitlines()[:-1]] == bad
    samples.write_text("")
    assert run(good.home, *command)[0] == 0
    assert out.read_text() == ""


def test_predictions_appear_whole_or_not_at_all(good: Good, tmp_path: Path) -> None:
    samples, out, away = (tmp_path / name for name in ("samples.jsonl", "out.jsonl", "missing/out.jsonl"))
    samples.write_text(json.dumps({"id": "x" * FEW_BYTES, "code_before": ""}))
    out.write_text("earlier predictions")
    command = ("predict", "--index", good.index, "--samples", samples, "--out")
    one_line(run(good.home, *command, out, preexec_fn=disk_full), 1, out)
    one_line(run(good.home, *command, out, "--method", "guess"), 1, "guess", "bm25-docs")
    one_line(run(good.home, *command, away), 1, away)
    one_line(run(good.home, *command, samples / "out.jsonl"), 1, samples / "out.jsonl")
    assert out.read_text() == "earlier predictions"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "samples.jsonl"]


def test_only_generations_of_an_index_are_removed(good: Good, encoder: Encoder, tmp_path: Path) -> None:
    theirs = [tmp_path / name for name in ("gen-client", "gen-20200101T000000-abcdef")]
    for folder in theirs:
        write(folder, {"work.js": "var a;"})
    workspace, out = shutil.copytree(good.workspace, tmp_path / "work"), tmp_path
    for number in range(4):
        write(workspace, {"lib/plain.js": f"export function plain{number}() {{}}"})
        build_index(workspace, out, encoder, lambda task, done, total: None)
    assert all((folder / "work.js").is_file() for folder in theirs)
    assert len(list(tmp_path.glob("gen-2*"))) == 3  # theirs, the current one, the one before
