"""The doctor: each check as a table of what was measured and what is said, and the command as a process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from conftest import DRAFT, EXAMPLE, StandIn, environment

from deepcodeseek.index_builder.doctor import (
    Check,
    Report,
    State,
    check_encoder,
    check_generator,
    check_index,
    check_llama,
    check_model,
    check_note,
    check_python,
    check_reranker,
    check_silence,
    check_space,
    check_speed,
    examine,
)
from deepcodeseek.index_builder.model_store import ModelState, list_models
from deepcodeseek.index_builder.stage_times import Timing, timing
from deepcodeseek.server.generation import ADAPTED, index_directory
from deepcodeseek.server.models import CARD, SHIPPED, Encoder, ModelFiles, ModelProblem, read_card
from deepcodeseek.server.stop import Stop

LAPTOP = frozenset(["sse4_2", "avx", "avx2", "bmi2", "fma", "f16c"])
SERVER = LAPTOP | frozenset(["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "avx512_vnni"])
PORTABLE = "CPU : SSE3 = 1 | AVX = 1 | AVX2 = 1 | F16C = 1 | FMA = 1 | BMI2 = 1 | OPENMP = 1 | REPACK = 1 | "
WIDE = PORTABLE + "AVX512 = 1 | AVX512_VNNI = 1 | "
WITH_AMX = WIDE + "AMX_INT8 = 1 | "
BARE = "CPU : SSE3 = 1 | AVX2 = 0 | REPACK = 1 | "


@pytest.mark.parametrize(
    ("version", "state", "command"),
    [((3, 11, 0), "ok", ""), ((3, 14, 2), "ok", ""), ((3, 10, 9), "broken", "pipx reinstall")],
)
def test_python(version: tuple[int, ...], state: State, command: str) -> None:
    said(check_python(version, "/usr/bin/python3"), state, ".".join(map(str, version)), command)


@pytest.mark.parametrize(
    ("version", "system", "flags", "state", "found"),
    [
        ("0.3.36", PORTABLE, LAPTOP, "ok", "AVX2"),
        ("0.3.36", WIDE, SERVER, "ok", "AVX512_VNNI"),
        ("0.3.36", WIDE, LAPTOP, "broken", "lacks AVX512, AVX512_VNNI"),
        ("0.3.36", WITH_AMX, SERVER | {"amx_int8"}, "note", "AMX, which crashes"),
        ("0.3.36", BARE, LAPTOP, "note", "without AVX2, FMA it is slower"),
        ("0.3.36", PORTABLE, frozenset(), "ok", "AVX2"),  # where the system does not name the features
        ("", "ended with status -4", LAPTOP, "broken", "status -4"),
        ("", "No module named 'llama_cpp'", LAPTOP, "broken", "No module"),
    ],
)
def test_llama(version: str, system: str, flags: frozenset[str], state: State, found: str) -> None:
    said(check_llama(version, system, flags), state, found, "CMAKE_ARGS=" if state != "ok" else "")


@pytest.mark.parametrize(
    ("model", "state", "found", "command"),
    [
        (ModelState("encoder", "m", "/m", 23.3, "whole"), "ok", "m, 23.3 MB, whole", ""),
        (ModelState("encoder", "", "", 0, "not installed"), "broken", "not installed", "--force-reinstall"),
        (ModelState("generator", "", "", 0, "not installed"), "note", "lite mode", "deepcodeseek models get"),
        (ModelState("generator", "", "", 0, "x is damaged"), "broken", "damaged", "deepcodeseek models get"),
        (ModelState("fusion", "", "", 0, "x is damaged"), "broken", "damaged", "--force-reinstall"),
        (
            ModelState("reranker", "", "", 0, "x is damaged: `deepcodeseek models remove reranker`"),
            "broken",
            "damaged",
            "deepcodeseek models remove reranker",
        ),
        (ModelState("reranker", "", "", 0, "not installed"), "ok", "not needed", ""),
    ],
)
def test_models(model: ModelState, state: State, found: str, command: str) -> None:
    said(check_model(model), state, found, command)


@pytest.mark.parametrize(
    ("told", "given"),
    [
        ('{"url": "file:///dist/d.whl", "archive_info": {}}', "--no-deps file:///dist/d.whl"),
        ('{"url": "file:///work", "dir_info": {"editable": true}}', "--no-deps --editable file:///work"),
        (None, "--no-deps deepcodeseek"),
    ],
)
def test_what_ships_is_installed_anew_from_where_it_came(
    told: str | None, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PathDistribution, "read_text", lambda *_: told)
    assert check_model(ModelState("encoder", "", "", 0, "not installed")).mend.endswith(given)


@pytest.mark.parametrize(
    ("disk", "memory", "state", "found"),
    [
        (40_000, 8_000, "ok", "40,000 MB free"),
        (40_000, None, "ok", "40,000 MB free"),
        (100, 8_000, "broken", "too little disk"),
        (40_000, 300, "note", "without the expander"),
    ],
)
def test_space(disk: int, memory: int | None, state: State, found: str) -> None:
    said(check_space(disk, memory, Path("/cache/indexes/x")), state, found, "" if state == "ok" else " ")


@pytest.mark.parametrize(("p95", "state"), [(40.0, "ok"), (200.0, "ok"), (201.0, "note")])
def test_speed(p95: float, state: State) -> None:
    said(
        check_speed([Timing("encode", 20, 1, 2), Timing("first list", 20, 10, p95)]),
        state,
        f"p95 {p95:.0f} ms",
        "",
    )


@pytest.mark.parametrize(
    ("events", "state", "found"),
    [
        ([], "ok", "silent"),
        (["socket.connect", "socket.__new__", "socket.connect"], "broken", "socket.__new__, socket.connect"),
    ],
)
def test_silence(events: list[str], state: State, found: str) -> None:
    said(check_silence(events, True), state, found, "" if state == "ok" else "pip install")


@pytest.mark.parametrize(("written", "state"), [(" second;\n}", "ok"), ("", "note"), (" first;", "note")])
def test_what_the_expander_writes(written: str, state: State) -> None:
    said(check_generator(written), state, "return first +", "")


@pytest.mark.parametrize(
    ("note", "command"),
    [
        (
            "the base layer glide is left out: run `deepcodeseek base get glide`",
            "deepcodeseek base get glide",
        ),
        ("/models/reranker/model.onnx is damaged", "--force-reinstall"),
        (
            "/i/models/fusion is damaged: run `deepcodeseek train adapt` again, or delete /i/models/fusion; "
            "/ships is used instead",
            'deepcodeseek train adapt --index "/i"',
        ),
        (
            "/chosen/fusion is damaged: run `deepcodeseek train adapt` again, or delete /chosen/fusion; "
            "/ships is used instead",
            'deepcodeseek train adapt --index "/i" --out "/chosen"',
        ),
        (
            "/own/models/query is damaged: import it again, or `deepcodeseek models remove query`; none is",
            "deepcodeseek models remove query",
        ),
        (
            "/chosen/causal is damaged: put a whole one there, or delete /chosen/causal; the order stands",
            "delete /chosen/causal",
        ),
    ],
)
def test_what_could_not_be_loaded(note: str, command: str) -> None:
    check = check_note(note, Path("/i"), Path("/chosen"))
    said(check, "note", note, command)
    assert check.mend.endswith(command) or command == "--force-reinstall"


@pytest.mark.parametrize(
    ("folder", "command"),
    [
        (Path("/i/models/reranker"), 'deepcodeseek train adapt --index "/i"'),
        (Path("/chosen/reranker"), 'deepcodeseek train adapt --index "/i" --out "/chosen"'),
        (SHIPPED["reranker"], "--force-reinstall"),
    ],
)
def test_a_cross_encoder_that_does_not_load(folder: Path, command: str) -> None:
    class Broken(StandIn):
        files = ModelFiles("reranker", folder, {"adapted": {}})

        def each(self, query: str, documents: Sequence[str], stop: Stop) -> Iterator[float]:
            raise ModelProblem("its golden lists come out otherwise")

    check = check_reranker(Broken(), Path("/i"), Path("/chosen"))
    said(check, "broken", "golden lists", command)
    assert check.mend.endswith(command) or command == "--force-reinstall"


@pytest.mark.usefixtures("example_report")
def test_the_mend_of_a_damaged_adapted_fusion_is_to_adapt_again(tmp_path: Path) -> None:
    index = shutil.copytree(index_directory(EXAMPLE), tmp_path / "i")
    fusion = shutil.copytree(SHIPPED["fusion"], index / ADAPTED / "fusion")
    (fusion / "fusion.npz").write_bytes(b"x")
    card = read_card(fusion / CARD) | {"adapted": {}}
    (fusion / CARD).write_text(json.dumps(card), encoding="utf-8")
    checks = {check.name: check for check in examine(EXAMPLE, index).checks}
    found = f"or delete {fusion}; {SHIPPED['fusion']} is used instead"
    said(checks["loading"], "note", found, f'deepcodeseek train adapt --index "{index}"')


def test_the_mend_of_an_installed_model_whose_card_is_damaged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEEPCODESEEK_DATA_HOME", str(tmp_path))
    (tmp_path / "models" / "fusion").mkdir(parents=True)
    states = {state.kind: state for state in list_models()}
    said(check_model(states["fusion"]), "broken", "model.json", "deepcodeseek models remove fusion")


def test_the_encoder_that_ships_passes(encoder: Encoder) -> None:
    assert check_encoder(encoder).state == "ok"


def test_a_percentile_of_few_values_is_the_largest() -> None:
    assert timing("x", [1.0, 9.0, 2.0]) == Timing("x", 3, 2.0, 9.0)
    assert timing("x", [float(n) for n in range(1, 101)]).p95 == pytest.approx(96, abs=1)


@pytest.mark.usefixtures("example_report")
def test_an_index_that_is_whole_damaged_and_not_there(tmp_path: Path) -> None:
    said(check_index(index_directory(EXAMPLE), EXAMPLE), "ok", "apis", "")
    copy = tmp_path / "index"
    shutil.copytree(index_directory(EXAMPLE), copy)
    next(copy.glob("gen-*/doc.npy")).write_bytes(b"damaged")
    said(check_index(copy, EXAMPLE), "broken", "doc.npy", f'deepcodeseek index "{EXAMPLE}"')
    said(check_index(tmp_path / "none", EXAMPLE), "note", "no index", f'deepcodeseek index "{EXAMPLE}"')


@pytest.mark.usefixtures("example_report")
def test_the_example_is_well_and_measured() -> None:
    report = examine(EXAMPLE, index_directory(EXAMPLE))
    states = {check.name: check.state for check in report.checks}
    assert report.is_well
    for name in ("index", "network", "golden: encoder", "golden: reranker"):
        assert states[name] == "ok", name
    timings = {timing.stage: timing for timing in report.timings}
    assert timings["first list"].n == 20
    assert all(0 < timing.p50 <= timing.p95 for timing in report.timings)


NATIVE = "ctypes.CDLL(None).socket(2, 2, 0)"  # past Python's own module


@pytest.mark.parametrize(
    ("opened", "heard"),
    [
        ("None", "ok 0"),
        ("socket.socket()", "broken socket.__new__"),
        (NATIVE, "broken a socket of native code"),
    ],
)
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not list open files here")
def test_an_opened_socket_is_heard(opened: str, heard: str) -> None:
    """In a process of its own: an audit hook stays."""
    code = (
        "import ctypes, socket, time\n"
        "from deepcodeseek.index_builder.doctor import check_silence\n"
        "from deepcodeseek.index_builder.machine import recorded_network\n"
        f"with recorded_network() as events:\n  opened = {opened}; time.sleep(0.3)\n"
        "print(check_silence(events, True).state, events[0] if events else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == heard


@pytest.mark.usefixtures("example_report")
def test_nothing_that_is_loaded_keeps_notes_of_its_use(tmp_path: Path) -> None:
    """Where the native runtime would report its use, it writes an identifier below HOME first."""
    draft = ["query", str(EXAMPLE / DRAFT), "--workspace", str(EXAMPLE), "--line", "15", "--column", "5"]
    command = [sys.executable, "-I", "-m", "deepcodeseek.index_builder.cli", *draft]
    own = dict.fromkeys(("XDG_CACHE_HOME", "XDG_DATA_HOME"), "")
    subprocess.run(command, env=environment(HOME=str(tmp_path), **own), capture_output=True, check=True)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(("broken", "status"), [(False, 0), (True, 1)])
def test_the_command_says_it_as_json(broken: bool, status: int, tmp_path: Path) -> None:
    if broken:
        (tmp_path / "index").mkdir()
    command = [
        sys.executable,
        "-I",
        "-m",
        "deepcodeseek.index_builder.cli",
        "doctor",
        str(tmp_path),
        "--json",
    ]
    done = subprocess.run(
        [*command, "--index", str(tmp_path / "index")], capture_output=True, text=True, check=False
    )
    report = json.loads(done.stdout)
    index = next(check for check in report["checks"] if check["name"] == "index")
    assert (done.returncode, report["is_well"]) == (status, not broken)
    assert (index["state"], index["mend"]) == (
        "broken" if broken else "note",
        f'deepcodeseek index "{tmp_path}"',
    )


def test_a_note_is_no_illness() -> None:
    assert Report((Check("a", "ok", ""), Check("b", "note", "", "c"))).is_well
    assert not Report((Check("a", "broken", "", "c"),)).is_well


def said(check: Check, state: State, found: str, command: str) -> None:
    """The state, a part of what was found, and a part of the command; one that is ok needs none."""
    assert (check.state, found in check.found, command in check.mend) == (state, True, True), check
    assert check.state != "ok" or not check.mend
    assert check.state == "ok" or check.mend
