"""Base layers: a workspace's own index over a team's, and how one is handed on without trust."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from deepcodeseek.index_builder.archive import export_index, import_index
from deepcodeseek.index_builder.build import build_index
from deepcodeseek.index_builder.layers import installed_bases, read_bases, remove_base
from deepcodeseek.server import retrieve, signals
from deepcodeseek.server.context import make_context
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.fusion import load_fusion
from deepcodeseek.server.generation import IndexProblem, base_directory, read_manifest
from deepcodeseek.server.index import open_index
from deepcodeseek.server.models import Encoder, find_model
from deepcodeseek.server.pipeline import METHODS, predict
from deepcodeseek.server.retrieve import PLATFORM_WEIGHT

CLASS = "var {0} = Class.create();\n{0}.prototype = {{\n\t/** {1} */\n\t{2}: function(a) {{}}\n}};\n"
TEAM = {
    "global/sys_script_include/Pilot.script.js": CLASS.format("Pilot", "Guides a vessel.", "guide"),
    "global/sys_script_include/Tug.script.js": CLASS.format("Tug", "The team's tug.", "pull"),
    "global/sys_script/Use.script.js": "var vessel = next();\nvar p = new Pilot();\np.guide(vessel);\n",
}
OWN = {
    "x_own/sys_script_include/Tug.script.js": CLASS.format("Tug", "Another scope's tug.", "push"),
    "global/sys_script_include/Tug.script.js": CLASS.format("Tug", "The workspace's tug.", "haul"),
    "global/sys_script/Call.script.js": "var ship = arrivals.next();\nnew Pilot().guide(ship);\nnew Tug();\n",
}


def silent(task: str, done: int, total: int) -> None:
    """Shows nothing."""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _no_bases_left() -> Iterator[None]:
    """What is indexed after a test stands on none of its layers."""
    yield
    for name in installed_bases():
        remove_base(name)


@pytest.fixture
def team(encoder: Encoder, tmp_path: Path) -> Path:
    """The team's index, exported."""
    build_index(write(tmp_path / "team", TEAM), tmp_path / "team-index", encoder, silent)
    export_index(tmp_path / "team-index", tmp_path / "team.tar.zst")
    return tmp_path / "team.tar.zst"


def build(encoder: Encoder, folder: Path, files: dict[str, str]) -> Path:
    bases, problems = read_bases(None)
    assert not problems
    build_index(write(folder / "own", files), folder / "index", encoder, silent, bases)
    return folder / "index"


def test_a_workspace_is_answered_from_both_layers(encoder: Encoder, team: Path, tmp_path: Path) -> None:
    import_index(team, "team", encoder.files.sha256)
    index = open_index(build(encoder, tmp_path, OWN), encoder.files.sha256)
    engine = Engine(index, encoder)
    answer = predict(
        engine, make_context("var vessel = next();\n", "", {"scope": "global"}), METHODS["fused"]
    )
    ranked = {item.api.api_name: item for item in answer.ranked}
    assert set(ranked) == {"global.Pilot", "global.Tug", "x_own.Tug"}
    assert ranked["global.Tug"].api.methods[0].name == "haul"  # the workspace's hides the team's
    usage = ranked["global.Pilot"].usage
    assert usage
    assert usage.file == "global/sys_script/Use.script.js"
    (pilot,) = index.find("Pilot")
    callers = {index.usage(i).file for i, api in enumerate(index.usages.api.tolist()) if api == pilot}
    assert callers == {"global/sys_script/Use.script.js", "global/sys_script/Call.script.js"}


def test_two_layers_rank_as_one_corpus(encoder: Encoder, team: Path, tmp_path: Path) -> None:
    import_index(team, "team", encoder.files.sha256)
    own = {name: text for name, text in OWN.items() if not name.startswith("global/sys_script_include")}
    layered = open_index(build(encoder, tmp_path, own), encoder.files.sha256)
    build_index(write(tmp_path / "all", TEAM | own), tmp_path / "flat", encoder, silent)
    flat = open_index(tmp_path / "flat", encoder.files.sha256)
    for method in ("bm25-docs", "bm25-raw", "dense-docs", "fused"):
        context = make_context("var ship = guide(vessel);\npull(tug);\n", "", {})
        both = [
            [
                (item.api.api_name, round(item.score, 4))
                for item in predict(Engine(i, encoder), context, METHODS[method]).ranked
            ]
            for i in (layered, flat)
        ]
        assert both[0] == both[1], method


def test_what_a_file_says_in_a_lower_layer_is_hidden_too(
    encoder: Encoder, team: Path, tmp_path: Path
) -> None:
    """Nothing mined from the caller's own file counts, in whichever layer."""
    import_index(team, "team", encoder.files.sha256)
    own = {"global/sys_script/Use.script.js": "var vessel = next();\n"}
    index = open_index(build(encoder, tmp_path, own), encoder.files.sha256)
    assert not index.usages.live.any()
    context = make_context(
        "var vessel = next();\n", "", {"file": "global/sys_script_include/Pilot.script.js"}
    )
    answer = predict(Engine(index, encoder), context, METHODS["fused"])
    assert [item.api.name for item in answer.ranked] == ["Tug"]


@pytest.mark.parametrize(("files", "bases"), [(OWN, ["team"]), ({"lib/a.js": "export function a() {}"}, [])])
def test_platform_layers_are_for_scripts_of_the_platform(
    files: dict[str, str], bases: list[str], encoder: Encoder, team: Path, tmp_path: Path
) -> None:
    import_index(team, "team", encoder.files.sha256)
    assert read_manifest(build(encoder, tmp_path, files))[1]["bases"] == bases


def test_a_missing_or_damaged_base_layer_weakens_the_answer(
    encoder: Encoder, team: Path, tmp_path: Path
) -> None:
    import_index(team, "team", encoder.files.sha256)
    directory = build(encoder, tmp_path, OWN)
    (read_manifest(base_directory("team"))[0] / "doc.npy").write_bytes(b"damaged")
    for _ in ("damaged", "missing"):
        index = open_index(directory, encoder.files.sha256)
        assert [note for note in index.notes if "base layer team is left out" in note]
        assert index.find("Tug")
        assert not index.find("Pilot")
        index.close()
        remove_base("team")


GLIDE = {
    "package.json": '{"name": "@servicenow/glide"}',
    "src/types/GlideVessel.d.ts": "export declare class GlideVessel { sail(): void }\n",
}
SAILS = "var vessel = next();\nvar glide = new GlideVessel();\nglide.sail();\nnew Pilot().guide(vessel);\n"


def test_the_platform_is_found_by_what_speaks_for_it_here(
    encoder: Encoder, team: Path, tmp_path: Path
) -> None:
    """Not by its popularity: everybody calls it, beside everything."""
    import_index(team, "team", encoder.files.sha256)
    build_index(write(tmp_path / "glide", GLIDE), base_directory("glide"), encoder, silent)
    calls = {f"global/sys_script/Sail{i}.script.js": SAILS for i in range(5)}
    engine = Engine(open_index(build(encoder, tmp_path, OWN | calls), encoder.files.sha256), encoder)
    context = make_context("new Tug();\nnew GlideVessel();\nvar vessel = next();\n", "", {"scope": "global"})
    ranked = {item.api.name: item for item in predict(engine, context, METHODS["fused"]).ranked}
    vessel = ranked["GlideVessel"]
    weights = METHODS["fused"].weights
    found = {
        evidence.signal: weights[evidence.signal] * 5 / (4 + evidence.rank) for evidence in vessel.evidence
    }
    assert found.keys().isdisjoint({"popularity", "co-use", "in file"})
    assert found.keys() >= {"usages, lexical", "usages, dense", "documents, dense"}
    assert vessel.score == pytest.approx(PLATFORM_WEIGHT * sum(found.values()))
    assert "popularity" in {evidence.signal for evidence in ranked["Pilot"].evidence}


def test_a_platform_class_is_within_reach_of_every_package(
    encoder: Encoder, team: Path, tmp_path: Path
) -> None:
    build_index(write(tmp_path / "glide", GLIDE), base_directory("glide"), encoder, silent)
    index = open_index(build(encoder, tmp_path, OWN), encoder.files.sha256)
    facts = {"scope": "x_own", "package": "x_own", "record_type": "sys_script"}
    answer = predict(
        Engine(index, encoder), make_context("vessel.sail();\nnew ", "", facts), METHODS["fused"]
    )
    assert "GlideVessel" in {item.api.name for item in answer.ranked}


def test_a_library_is_no_folder_of_the_workspace(encoder: Encoder, team: Path, tmp_path: Path) -> None:
    """Even where both have a file of the same name."""
    library = write(
        tmp_path / "sea", {"src/a.js": "/** Ties a vessel up. */\nexport function moor(vessel) {}\n"}
    )
    add = [sys.executable, "-I", "-m", "deepcodeseek.index_builder.cli", "base", "add", "sea", str(library)]
    subprocess.run(add, check=True, capture_output=True, timeout=60)
    own = {"package.json": '{"name": "own"}', "src/a.js": "import {moor} from 'sea';\nmoor(1);\n"}
    index = open_index(build(encoder, tmp_path, own), encoder.files.sha256)
    assert index.api(index.find("moor")[0]).source == "sea/src/a.js"
    answer = predict(Engine(index, encoder), make_context("", "", {"file": "src/a.js"}), METHODS["fused"])
    assert [item.api.name for item in answer.ranked] == ["moor"]
    assert not answer.ranked[0].usage


# Handing on


def test_an_export_is_imported_whole_and_is_the_same_each_time(
    encoder: Encoder, team: Path, tmp_path: Path
) -> None:
    directory = import_index(team, "team", encoder.files.sha256)
    assert read_manifest(directory)[1] == read_manifest(tmp_path / "team-index")[1]
    export_index(directory, tmp_path / "again.tar.zst")
    assert (tmp_path / "again.tar.zst").read_bytes() == team.read_bytes()


def unpacked(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with zstandard.open(path) as stream, tarfile.open(fileobj=io.BytesIO(stream.read())) as archive:
        return [(member, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]


def packed(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], kind: int = tarfile.PAX_FORMAT) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=kind) as archive:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    path.write_bytes(zstandard.compress(made.getvalue()))


def _file(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), content


def _link(name: str) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member, b""


def _with(members: list[Any], **changes: object) -> list[Any]:
    manifest = json.loads(members[0][1]) | changes
    return [_file("manifest.json", json.dumps(manifest).encode()), *members[1:]]


def _vouched(members: list[Any], name: str, content: bytes) -> list[Any]:
    """With another content of a file, or one more, and a manifest that says so."""
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    files = json.loads(members[0][1])["files"] | {name: entry}
    others = [member for member in members if member[0].name != name]
    return [*_with(others, files=files), _file(name, content)]


def _saved(vectors: Any) -> bytes:
    made = io.BytesIO()
    np.save(made, vectors)
    return made.getvalue()


class _Behind(tarfile.TarInfo):
    """A file behind headers of a kind, each of which says the same of it."""

    before = b""

    def tobuf(self, *options: Any) -> bytes:
        return self.before + super().tobuf(*options)


def _behind(kind: bytes, said: bytes, count: int = 1) -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo("header")
    header.type, header.size = kind, len(said)
    member = _Behind("x")
    member.before = (header.tobuf() + said.ljust(len(said) + -len(said) % 512, b"\0")) * count
    return member, b""


HOSTILE: dict[str, tuple[Callable[[list[Any]], list[Any]], str]] = {
    "a path": (lambda m: [*m, _file("../../evil")], "does not vouch for"),
    "an absolute path": (lambda m: [*m, _file("/tmp/evil")], "does not vouch for"),
    "a link": (lambda m: [*m[:-1], _link(m[-1][0].name)], "does not vouch for"),
    "a file twice": (lambda m: [*m, m[-1]], "does not vouch for"),
    "a longer file": (lambda m: [*m[:-1], _file(m[-1][0].name, m[-1][1] + b"x")], "does not vouch for"),
    "another content": (lambda m: [*m[:-1], _file(m[-1][0].name, b"x" * len(m[-1][1]))], "SHA-256 differs"),
    "a missing file": (lambda m: m[:-1], "is missing"),
    "no manifest": (lambda m: m[1:], "does not begin with manifest.json"),
    "a manifest elsewhere": (lambda m: [*m[1:], m[0]], "does not begin with manifest.json"),
    "nothing": (lambda m: [], "does not begin with manifest.json"),
    "no JSON": (lambda m: [_file("manifest.json", b"{"), *m[1:]], "not JSON"),
    "another schema": (lambda m: _with(m, schema_version=1), "schema_version 1"),
    "another encoder": (lambda m: _with(m, encoder={"sha256": "0", "dimension": 384}), "another encoder"),
    "files elsewhere": (
        lambda m: _with(m, files={"../x": {"sha256": "0", "bytes": 1}}),
        "incomplete manifest",
    ),
    "a long name first": (lambda m: [_file("x" * 1_000_000), *m], "too much stands between"),
    "a long name at last": (lambda m: [*m, _file("x" * 1_000_000)], "too much stands between"),
    "many headers first": (
        lambda m: [_behind(tarfile.GNUTYPE_LONGNAME, b"x", 2_000), *m],
        "too much stands between",
    ),
    "many headers at last": (
        lambda m: [*m, _behind(tarfile.GNUTYPE_LONGNAME, b"x", 2_000)],
        "too much stands between",
    ),
    "a long number": (lambda m: [_behind(tarfile.XHDTYPE, b"1" * 5_000 + b" a=b\n"), *m], "is no exported"),
    "no vectors": (lambda m: _vouched(m, "doc.npy", b"junk"), "doc.npy holds no vectors"),
    "objects": (lambda m: _vouched(m, "doc.npy", b"\x93NUMPY\1\0\x40\0" + b"(" * 64), "doc.npy holds no"),
    "other numbers": (lambda m: _vouched(m, "doc.npy", _saved(np.ones((2, 384)))), "no vectors of 384"),
    "shorter vectors": (lambda m: _vouched(m, "doc.npy", _saved(np.ones((2, 9), "f4"))), "no vectors of 384"),
    "no numbers": (lambda m: _vouched(m, "doc.npy", _saved(np.full((2, 384), np.nan, "f4"))), "no number"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_export_is_refused_and_nothing_is_left(
    what: str, encoder: Encoder, team: Path, tmp_path: Path
) -> None:
    change, message = HOSTILE[what]
    packed(tmp_path / "hostile.tar.zst", change(unpacked(team)))
    with pytest.raises(IndexProblem, match=message):
        import_index(tmp_path / "hostile.tar.zst", "hostile", encoder.files.sha256)
    assert installed_bases() == ()
    assert not base_directory("hostile").exists()
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_header_takes_no_memory_whatever_it_says(
    kind: int, encoder: Encoder, team: Path, tmp_path: Path
) -> None:
    members = unpacked(team)
    packed(tmp_path / "x.tar.zst", [*members[:1], _file("x" * 30_000_000), *members[1:]], kind)
    tracemalloc.start()
    with pytest.raises(IndexProblem, match="too much stands between"):
        import_index(tmp_path / "x.tar.zst", "x", encoder.files.sha256)
    assert tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()


def test_a_graph_is_never_taken_from_an_export(
    encoder: Encoder, team: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where exact search does there is none, else the one that a build makes of the same vectors."""
    packed(tmp_path / "x.tar.zst", _vouched(unpacked(team), "doc.hnsw", b"crash"))
    used, manifest = read_manifest(import_index(tmp_path / "x.tar.zst", "x", encoder.files.sha256))
    assert not list(used.glob("*.hnsw"))
    assert manifest == read_manifest(tmp_path / "team-index")[1]
    for module in ("server.vectors", "index_builder.write"):
        monkeypatch.setattr(f"deepcodeseek.{module}.EXACT_ROWS", 0)
    build_index(tmp_path / "team", tmp_path / "linked", encoder, silent)
    used, manifest = read_manifest(import_index(tmp_path / "x.tar.zst", "x", encoder.files.sha256))
    assert {path.name for path in used.glob("*.hnsw")} == {"doc.hnsw", "code.hnsw", "usage.hnsw"}
    assert manifest == read_manifest(tmp_path / "linked")[1]
    index = open_index(base_directory("x"), encoder.files.sha256)
    assert not index.notes
    index.close()


@pytest.mark.parametrize("content", [b"", b"no archive", zstandard.compress(b"no tar at all" * 100)])
def test_what_is_no_export_is_refused(content: bytes, encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / "x.tar.zst").write_bytes(content)
    with pytest.raises(IndexProblem, match="is no exported index"):
        import_index(tmp_path / "x.tar.zst", "x", encoder.files.sha256)


@pytest.mark.parametrize("name", ["", "../x", "A", "a b", ".hidden", "x" * 99])
def test_a_base_layer_has_a_plain_name(name: str, encoder: Encoder, team: Path) -> None:
    with pytest.raises(IndexProblem, match="cannot name a base layer"):
        import_index(team, name, encoder.files.sha256)


def test_a_cut_off_export_is_refused_at_any_byte(encoder: Encoder, team: Path, tmp_path: Path) -> None:
    whole = team.read_bytes()
    for end in range(0, len(whole), len(whole) // 40):
        (tmp_path / "cut.tar.zst").write_bytes(whole[:end])
        with pytest.raises(IndexProblem):
            import_index(tmp_path / "cut.tar.zst", "cut", encoder.files.sha256)
    assert installed_bases() == ()


def test_the_graph_is_plain_sqlite(encoder: Encoder, team: Path, tmp_path: Path) -> None:
    database = sqlite3.connect(read_manifest(tmp_path / "team-index")[0] / "graph.sqlite")
    callers = (
        "SELECT file.path, usage.line, method FROM usage JOIN file ON file.id = file_id WHERE api_name = ?"
    )
    assert database.execute(callers, ("global.Pilot",)).fetchall() == [
        ("global/sys_script/Use.script.js", 2, "guide")
    ]


def test_calls_of_the_platform_crowd_out_no_other_usage(
    encoder: Encoder, team: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are many, and may lie nearer than the one usage of what is wanted."""
    monkeypatch.setattr(signals, "USAGE_POOL", 3)
    build_index(write(tmp_path / "glide", GLIDE), base_directory("glide"), encoder, silent)
    near = "var vessel = next();\nvar name = vessel.getName();\n"
    calls = {f"global/sys_script/Sail{i}.script.js": f"{near}new GlideVessel().sail();\n" for i in range(9)}
    once = {"global/sys_script/Pull.script.js": "var vessel = other();\nnew Tug().pull(vessel);\n"}
    engine = Engine(open_index(build(encoder, tmp_path, OWN | calls | once), encoder.files.sha256), encoder)
    answer = predict(engine, make_context(near, "", {"scope": "global"}), METHODS["fused"])
    told = {item.api.api_name: {e.signal for e in item.evidence} for item in answer.ranked}
    (platform,) = (item.api.api_name for item in answer.ranked if item.api.name == "GlideVessel")
    assert "usages, lexical" in told["global.Tug"]
    assert "usages, dense" in told["global.Tug"]
    assert "usages, dense" in told[platform]


def test_as_many_usages_as_apis_are_not_taken_for_them(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "USAGE_POOL", 1)
    build_index(write(tmp_path / "glide", GLIDE), base_directory("glide"), encoder, silent)
    near = "var vessel = next();\nvar name = vessel.getName();\n"
    own = {name: text for name, text in OWN.items() if "sys_script_include" in name}
    calls = {f"global/sys_script/Sail{i}.script.js": f"{near}new GlideVessel().sail();\n" for i in range(2)}
    once = {"global/sys_script/Pull.script.js": "var vessel = other();\nnew Tug().haul(vessel);\n"}
    index = open_index(build(encoder, tmp_path, own | calls | once), encoder.files.sha256)
    assert len(index.usages.api) == index.count == 3
    answer = predict(Engine(index, encoder), make_context(near, "", {"scope": "global"}), METHODS["fused"])
    told = {item.api.api_name: {e.signal for e in item.evidence} for item in answer.ranked}
    assert {"usages, lexical", "usages, dense"} <= told["global.Tug"]


def test_the_learned_fusion_prefers_a_platform_class_by_a_margin(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(write(tmp_path / "glide", GLIDE), base_directory("glide"), encoder, silent)
    calls = {f"global/sys_script/Sail{i}.script.js": SAILS for i in range(5)}
    index = open_index(build(encoder, tmp_path, OWN | calls), encoder.files.sha256)
    engine = Engine(index, encoder, fusion=load_fusion(find_model("fusion") or pytest.fail("none ships")))
    scores = []
    for margin in (0.0, 1.0):
        monkeypatch.setattr(retrieve, "PLATFORM_MARGIN", margin)
        ranked = predict(engine, make_context("var vessel = next();\n", "", {}), METHODS["fused"]).ranked
        scores.append({item.api.name: item.score for item in ranked})
    free, held = scores
    assert held["GlideVessel"] == pytest.approx(free["GlideVessel"] - 1.0, abs=1e-5)
    assert held["Tug"] == pytest.approx(free["Tug"], abs=1e-5)
