"""The lock file of the corpora, and the command that makes indexes and samples of them."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import tarfile
from collections.abc import Mapping
from hashlib import sha512
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deepcodeseek.index_builder import corpora as preparing
from deepcodeseek.index_builder import npm, train_shipped, train_shipped_reranker
from deepcodeseek.index_builder.candidates import NEGATIVES
from deepcodeseek.index_builder.corpora import (
    LICENCES,
    LOCK,
    Asked,
    Corpus,
    CorpusProblem,
    Package,
    chosen,
    prepare_all,
    read_lock,
    summary,
)
from deepcodeseek.index_builder.evaluate import read_samples
from deepcodeseek.index_builder.prepared import Prepared, evidence, lists, prepared
from deepcodeseek.index_builder.readme import CORPORA
from deepcodeseek.index_builder.train_shipped import unseen_fusions
from deepcodeseek.index_builder.train_shipped_reranker import gathered
from deepcodeseek.index_builder.triples import Triple
from deepcodeseek.server import models as installed
from deepcodeseek.server.engine import load_engine
from deepcodeseek.server.fusion import FEATURES, Fusion
from deepcodeseek.server.generation import IndexProblem, read_manifest, sha256_file
from deepcodeseek.server.models import SHIPPED, Encoder, read_card

TIDE = "/** The tide at a place. */\nexport class Tide {\n  /** In metres. */\n  height(place) {}\n}\n"
USE = "import {Tide} from './tide.js';\nconst a = 1;\nconst b = 2;\nconst c = 3;\nnew Tide().height(a);\n"
FILES = {
    "package/package.json": '{"name": "@sea/tide"}',
    "package/src/tide.js": TIDE,
    "package/src/use.js": USE,
    "package/build/tide.js": TIDE,
    "package/readme.md": "no source",
}
NPM = """#!/bin/sh
echo "$2" >> '{log}'
cp '{folder}'/"$(echo "$2" | tr -d '@/')".tgz made.tgz 2>/dev/null && exit
echo 'npm error none such' >&2
exit 1
"""


def tarball(files: Mapping[str, str], *links: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
        for name in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    return made.getvalue()


def package(content: bytes, name: str = "@sea/tide", **changes: Any) -> Package:
    integrity = f"sha512-{base64.b64encode(sha512(content).digest()).decode()}"
    return Package(**{"name": name, "version": "1.2.3", "licence": "MIT", "integrity": integrity, **changes})


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose tarballs an npm gives, by name and version; what it was asked is in `npm.log` there."""
    folder = tmp_path / "registry"
    (folder / "bin").mkdir(parents=True)
    script = folder / "bin/npm"
    script.write_text(NPM.format(log=folder / "npm.log", folder=folder), encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    return folder


def asked_of(registry: Path) -> list[str]:
    log = registry / "npm.log"
    return log.read_text().split() if log.exists() else []


# The lock file


def test_the_lock_file_keeps_to_the_rules() -> None:
    corpora = read_lock(LOCK)
    packages = {
        name: [p for c in corpora if c.list == name for p in c.packages] for name in ("train", "eval-only")
    }
    assert {p.name for p in packages["eval-only"]} == {"phaser", "@openui5/sap.ui.core", "@openui5/sap.m"}
    assert {p.licence for found in packages.values() for p in found} <= LICENCES | {"Apache-2.0 AND MIT"}
    related = [p.name for p in packages["train"] if "phaser" in p.name or "ui5" in p.name]
    assert related == []
    assert 10 <= len([c for c in corpora if c.list == "train"]) <= 40


def test_the_counts_are_those_of_the_lock_file_and_of_several_domains() -> None:
    made = json.loads(CORPORA.read_text(encoding="utf-8"))["corpora"]
    locked = [(c.name, c.list, [f"{p.name} {p.version}" for p in c.packages]) for c in read_lock(LOCK)]
    assert [(c["name"], c["list"], c["packages"]) for c in made] == locked
    samples = [c["balanced"] for c in made if c["list"] == "train"]
    assert sum(samples) >= 10_000
    assert max(samples) <= sum(samples) / 4


GOOD = {"name": "tide", "version": "1.2.3", "licence": "MIT", "integrity": f"sha512-{'a' * 86}=="}
LOCKS = [
    # what of a lock file is otherwise, what is said
    (
        {"licence": "GPL-3.0"},
        "the licence GPL-3.0 of tide is none of Apache-2.0, BSD-2-Clause, BSD-3-Clause, MIT",
    ),
    ({"licence": "MIT AND GPL-3.0"}, "the licence MIT AND GPL-3.0"),
    ({"version": "^1.2.3"}, r"'\^1.2.3' is no version"),
    ({"version": "latest"}, "'latest' is no version"),
    ({"integrity": "sha1-abc"}, "'sha1-abc' is no integrity"),
    ({"folders": ["../x"]}, "'../x' is no folder"),
    ({"name": "../tide"}, "'../tide' is no name"),
    ({"name": "--pack"}, "'--pack' is no name"),
    ({"size": 3}, "is no lock file of corpora: TypeError"),
]


@pytest.mark.parametrize(("changes", "message"), LOCKS)
def test_a_bad_entry_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    lock = {"train": [{"name": "tide", "packages": [{**GOOD, **changes}]}], "eval-only": []}
    (tmp_path / "lock.json").write_text(json.dumps(lock))
    with pytest.raises(CorpusProblem, match=message):
        read_lock(tmp_path / "lock.json")


def test_no_package_is_in_both_lists(tmp_path: Path) -> None:
    lock = {"train": [{"name": "a", "packages": [GOOD]}], "eval-only": [{"name": "b", "packages": [GOOD]}]}
    (tmp_path / "lock.json").write_text(json.dumps(lock))
    with pytest.raises(CorpusProblem, match="tide as a package is there twice"):
        read_lock(tmp_path / "lock.json")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"train": [], "eval-only": [{"name": 3}]}'])
def test_what_is_no_lock_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "lock.json").write_text(content)
    with pytest.raises(CorpusProblem, match=r"lock.json is no lock file of corpora"):
        read_lock(tmp_path / "lock.json")


def test_corpora_are_chosen_by_list_and_name() -> None:
    every = (Corpus("a", "train", ()), Corpus("b", "train", ()), Corpus("c", "eval-only", ()))
    assert [c.name for c in chosen(every, None, ())] == ["a", "b", "c"]
    assert [c.name for c in chosen(every, "eval-only", ())] == ["c"]
    assert [c.name for c in chosen(every, "train", ("b", "a"))] == ["b", "a"]
    with pytest.raises(CorpusProblem, match="no corpus 'c': a, b"):
        chosen(every, "train", ("c",))


# The command


def test_a_corpus_is_made_once(registry: Path, encoder: Encoder, tmp_path: Path) -> None:
    content = tarball(FILES)
    (registry / "seatide1.2.3.tgz").write_bytes(content)
    corpus = Corpus("tide", "train", (package(content, folders=("src",)),))
    out = tmp_path / "corpora"
    for _ in range(2):
        assert prepare_all((corpus,), out, encoder, Asked()) == []
    assert asked_of(registry) == ["@sea/tide@1.2.3"]
    (sample,) = read_samples(out / "tide/samples.jsonl")
    assert sample["code_before"] == "const a = 1;\nconst b = 2;\nconst c = 3;\n"
    assert (sample["target"], sample["balanced"], sample["clean"]) == ("@sea/tide/src/tide.Tide", True, True)
    told = {"name": "tide", "list": "train", "packages": ["@sea/tide 1.2.3"], "licences": ["MIT"]}
    counts = {"files": 2, "apis": 1, "usages": 1, "mined": 1, "balanced": 1, "clean": 1}
    assert summary(out / "tide") == told | counts
    engine = load_engine(out / "tide/index")
    assert [engine.index.api(i).api_name for i in range(engine.index.count)] == [sample["target"]]
    assert sample["file"] == engine.index.api(0).source.replace("tide.js", "use.js")
    engine.index.close()
    sources = tmp_path / "sources"
    assert prepare_all((corpus,), out, encoder, Asked(), sources) == []
    assert (sources / "tide" / sample["file"]).is_file()


def test_what_other_code_made_is_kept_and_said(
    registry: Path,
    encoder: Encoder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    content = tarball(FILES)
    (registry / "seatide1.2.3.tgz").write_bytes(content)
    corpus = Corpus("tide", "train", (package(content),))
    for code, is_said in (("1", False), ("1", False), ("2", True)):
        monkeypatch.setattr(preparing, "code_digest", code.encode)
        assert prepare_all((corpus,), tmp_path, encoder, Asked()) == []
        said = capsys.readouterr().out
        assert (f"made by other code; to make it anew, remove {tmp_path / 'tide'}" in said) == is_said


def test_what_is_cut_off_damaged_or_asked_otherwise_is_made_again(
    registry: Path, encoder: Encoder, tmp_path: Path
) -> None:
    content = tarball(FILES)
    (registry / "seatide1.2.3.tgz").write_bytes(content)
    corpus = Corpus("tide", "train", (package(content),))
    out = tmp_path / "corpora"
    place = out / "tide"

    def damage() -> None:
        (read_manifest(place / "index")[0] / "doc.npy").write_bytes(b"damaged")

    changes = (
        lambda: None,
        (place / "corpus.json").unlink,
        (place / "samples.jsonl").unlink,
        damage,
    )
    for times, change in enumerate(changes, 1):
        if times > 1:
            change()
        assert prepare_all((corpus,), out, encoder, Asked()) == []
        assert len(asked_of(registry)) == times
    assert prepare_all((corpus,), out, encoder, Asked(per_target=3)) == []
    assert len(asked_of(registry)) == len(changes) + 1


def prepare_tide(registry: Path, encoder: Encoder, out: Path) -> None:
    content = tarball(FILES)
    (registry / "seatide1.2.3.tgz").write_bytes(content)
    prepare_all((Corpus("tide", "train", (package(content),)),), out, encoder, Asked())


def test_candidates_are_gathered_anew_only_where_what_finds_them_changed(
    registry: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_tide(registry, encoder, tmp_path)
    (corpus,) = prepared(tmp_path, "train")
    monkeypatch.setenv("DEEPCODESEEK_DATA_HOME", str(tmp_path / "home"))

    def times_made() -> int:
        lists(corpus, lambda task, done, total: None)
        return len(list(corpus.folder.glob("lists-*.jsonl")))

    assert times_made() == 1
    for models in (tmp_path / "home/models", corpus.folder / "index/models"):
        for kind in ("reranker", "query", "fusion", "encoder"):  # another one is installed, or adapted
            (models / kind).mkdir(parents=True)
            card = {"file": "x", "sha256": {"x": "0" * 64}}
            (models / kind / "model.json").write_text(json.dumps(card))
    engine = corpus.engine()
    assert engine.fusion
    assert engine.encoder
    assert engine.encoder.files.directory == SHIPPED["encoder"]
    assert times_made() == 1
    other = shutil.copytree(SHIPPED["fusion"], tmp_path / "fusion")
    weights = dict(np.load(SHIPPED["fusion"] / "fusion.npz"))
    np.savez_compressed(other / "fusion.npz", **{**weights, "output": 2 * weights["output"]})
    card = read_card(other / "model.json")
    card["sha256"] = {"fusion.npz": sha256_file(other / "fusion.npz")}
    (other / "model.json").write_text(json.dumps(card))
    monkeypatch.setattr(installed, "SHIPPED", {**SHIPPED, "fusion": other})
    assert times_made() == 2
    turned = Fusion(FEATURES, weights["hidden"], weights["bias"], -weights["output"])
    (as_it_ships,), (otherwise,) = (lists(corpus, lambda *_: None, fusion) for fusion in (None, turned))
    assert len(list(corpus.folder.glob("lists-*.jsonl"))) == 3
    assert otherwise.priors[0] == pytest.approx(-as_it_ships.priors[0] / 2)


@pytest.mark.parametrize(
    ("names", "learned"), [("abcde", ["bd", "ace", "bd", "ace", "bd"]), ("ab", ["b", "a"]), ("a", [None])]
)
def test_what_learns_on_top_of_a_fusion_sees_it_err_at_what_it_has_not_seen(
    names: str, learned: list[str | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The stand-in for a fusion names the corpora that it has learned from."""

    class Part(str):
        def few(self) -> str:
            return self

    monkeypatch.setattr(train_shipped, "evidence", lambda corpus, encoder, progress: [Part(corpus.name)])
    monkeypatch.setattr(train_shipped, "Questions", SimpleNamespace(joined="".join))
    monkeypatch.setattr(train_shipped, "train", lambda questions, recipe, progress: (questions, ()))
    monkeypatch.setattr(train_shipped, "as_fusion", str)
    corpora = [Prepared(tmp_path / name, {"name": name}) for name in names]
    assert unseen_fusions(corpora, lambda *_: None) == learned
    asked: list[tuple[str, object]] = []

    def listed(corpus: Prepared, progress: object, fusion: object = None) -> list[Triple]:
        asked.append((corpus.name, fusion))
        return [Triple("q", "a", ("b",), (1.0, 0.0))]

    others = [Prepared(tmp_path / "z", {"name": "z"})]
    monkeypatch.setattr(train_shipped_reranker, "lists", listed)
    monkeypatch.setattr(
        train_shipped_reranker, "prepared", lambda _, kind: {"train": corpora, "eval-only": others}[kind]
    )
    own, unseen = gathered(tmp_path, 100, 10, lambda *_: None, lambda _: None)
    assert asked == [*zip(names, learned, strict=True), ("z", None)]
    assert (len(own), list(unseen)) == (len(names), ["z"])


def test_a_list_out_of_reach_changes_no_other_list_to_learn_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fusions that differ by rounding reach a few lists more or fewer: what is drawn stays."""
    corpora = [Prepared(tmp_path, {"name": "a"})]
    monkeypatch.setattr(train_shipped_reranker, "prepared", lambda _, kind: corpora * (kind == "train"))
    monkeypatch.setattr(train_shipped_reranker, "unseen_fusions", lambda *_: [None])

    def queries(missed: int) -> list[str]:
        scores = [(float(number != missed), *[0.5] * NEGATIVES) for number in range(300)]
        made = [Triple(str(n), "a", ("b",) * NEGATIVES, its) for n, its in enumerate(scores)]
        monkeypatch.setattr(train_shipped_reranker, "lists", lambda *_: made)
        return [triple.query for triple in gathered(tmp_path, 60, 0, lambda *_: None, lambda _: None)[0]]

    every = queries(-1)
    missing = int(every[0])
    assert queries(missing)[:-1] == every[1:]
    assert str(missing) not in queries(missing)


def test_what_a_new_fusion_learns_from_needs_none(
    registry: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_tide(registry, encoder, tmp_path)
    (corpus,) = prepared(tmp_path, "train")
    monkeypatch.setattr(installed, "SHIPPED", {**SHIPPED, "fusion": tmp_path / "none"})
    parts = list(evidence(corpus, None, lambda task, done, total: None))
    assert [len(part.sizes) for part in parts] == [1, 1]


def test_lists_to_learn_from_come_from_corpora_and_files_of_triples(
    registry: Path, encoder: Encoder, tmp_path: Path
) -> None:
    prepare_tide(registry, encoder, tmp_path)
    file = tmp_path / "pile.jsonl"
    lines = ({"query": "q", "pos": ["a"], "neg": ["b"]}, {"query": "no negative", "pos": ["a"], "neg": []})
    file.write_text("\n".join([*map(json.dumps, lines), "no triple"]))
    said: list[str] = []
    own, _ = gathered(tmp_path, 100, 10, lambda task, done, total: None, said.append)
    both, _ = gathered(tmp_path, 100, 10, lambda task, done, total: None, said.append, [file])
    assert [triple.query for triple in both if triple not in own] == ["q"]
    assert len(both) == len(own) + 1
    assert [line.split(": passed over")[0] for line in said] == [f"{file}:3"]


def test_what_gives_nothing_to_learn_from_is_named(tmp_path: Path) -> None:
    file = tmp_path / "pile.jsonl"
    file.write_text("no triple")
    with pytest.raises(ValueError, match=r"pile\.jsonl holds no triple .*; .* no corpus of the list 'train'"):
        gathered(tmp_path, 100, 10, lambda task, done, total: None, lambda _: None, [file])


@pytest.mark.parametrize(
    "content",
    ["{", "{}", "[]", "3", '{"corpus": []}', '{"corpus": {"name": "a"}}', '{"corpus": {"list": "train"}}'],
)
def test_a_corpus_that_cannot_be_read_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "tide" / "corpus.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))} .*: prepare it again"):
        prepared(tmp_path, "train")


MANY = 12  # files that call the same API


@pytest.mark.parametrize(
    ("list_name", "asked", "samples"),
    [("train", Asked(), 10), ("eval-only", Asked(), 5), ("eval-only", Asked(per_target=7), 7)],
)
def test_an_api_has_only_so_many_samples(
    list_name: str, asked: Asked, samples: int, registry: Path, encoder: Encoder, tmp_path: Path
) -> None:
    uses = {f"package/src/use{n}.js": USE.replace("a = 1", f"a{n} = 1") for n in range(MANY)}
    content = tarball({"package/src/tide.js": TIDE, **uses})
    (registry / "seatide1.2.3.tgz").write_bytes(content)
    assert prepare_all((Corpus("tide", list_name, (package(content),)),), tmp_path, encoder, asked) == []
    assert len(read_samples(tmp_path / "tide/samples.jsonl")) == samples


def test_a_failure_is_one_line_and_the_rest_goes_on(
    registry: Path, encoder: Encoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = tarball(FILES)
    (registry / "good1.2.3.tgz").write_bytes(content)
    (registry / "changed1.2.3.tgz").write_bytes(content + b"x")
    corpora = tuple(
        Corpus(name, "train", (package(content, name),)) for name in ("missing", "changed", "good")
    )
    assert prepare_all(corpora, tmp_path, encoder, Asked()) == ["missing", "changed"]
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [
        "missing: npm could not fetch missing@1.2.3 (none such)",
        "changed: made.tgz is not the pinned package (its SHA-512 differs)",
    ]
    assert shown.out.startswith("good: 2 APIs, 1 balanced samples, 0 clean, ")
    assert sorted(path.name for path in (tmp_path / "good").iterdir()) == [
        "corpus.json",
        "index",
        "samples.jsonl",
    ]
    assert not (tmp_path / "changed").exists()


HOSTILE = [
    "package/../../evil.js",
    "/package/evil.js",
    "package/..\\evil.js",
    "package/a/.x/evil.js",
    "evil.js",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_source_that_would_lie_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(IndexProblem, match="does not belong in one"):
        npm.unpack(tarball({name: "x"}), tmp_path / "to", Package("", "", "", "").has)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_names_that_sources_have_are_no_hindrance(tmp_path: Path) -> None:
    names = ("lib/cast$expr.js", "lib/@x/a b-c+d_.e.js", "$.js")
    npm.unpack(tarball({f"package/{name}": "x" for name in names}), tmp_path)
    assert all((tmp_path / name).is_file() for name in names)


def test_a_link_is_refused_or_passed_over(tmp_path: Path) -> None:
    content = tarball({"package/a.js": "x"}, "package/b.js")
    with pytest.raises(IndexProblem, match=r"'package/b\.js', which does not belong in one"):
        npm.unpack(content, tmp_path / "one")
    npm.unpack(content, tmp_path / "two", lambda name: name == "a.js")
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["a.js"]
