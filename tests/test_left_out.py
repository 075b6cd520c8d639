"""What is learned from: calls, documents and candidates, without those of the files that are left out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import EXAMPLE, QUIET

from deepcodeseek.index_builder import adapt as adapting
from deepcodeseek.index_builder.adapt import AdaptProblem, adapt, is_below, left_out, mined
from deepcodeseek.index_builder.build import Report, build_index
from deepcodeseek.index_builder.candidates import candidate_lists
from deepcodeseek.index_builder.cli import main
from deepcodeseek.index_builder.evaluate import Asked
from deepcodeseek.index_builder.evidence import gather
from deepcodeseek.index_builder.layers import read_bases, remove_base
from deepcodeseek.index_builder.train_query import documents_of, questions_of
from deepcodeseek.server.engine import Engine, load_engine
from deepcodeseek.server.generation import base_directory, index_directory
from deepcodeseek.server.models import Encoder

pytestmark = pytest.mark.usefixtures("few_questions")


def test_what_is_left_out_is_no_question(example_report: Report) -> None:
    index = index_directory(EXAMPLE)
    every = mined(index, EXAMPLE, frozenset(), QUIET, QUIET)
    hidden = frozenset({every[0]["file"], every[-1]["file"], every[0]["target_file"]})
    left = mined(index, EXAMPLE, hidden, QUIET, QUIET)
    assert {sample["file"] for sample in every} | {sample["target_file"] for sample in every} >= hidden
    assert {sample["file"] for sample in left}.isdisjoint(hidden)
    assert {sample["target_file"] for sample in left}.isdisjoint(hidden)
    assert len(left) > len(every) / 2


FILE, FOLDER = "apps/cargo/a.js", "apps/quay"
LISTS = [
    # what --leave-out names, which files that are, which lines say nothing
    (b"apps/cargo/a.js\n", {FILE}, ()),
    (b"\n  ./apps/cargo/a.js  \r\n\n", {FILE}, ()),
    (b"apps\\cargo\\a.js", {FILE}, ()),
    (b"apps/quay/../cargo/a.js", {FILE}, ()),
    (b"WORKSPACE/apps/cargo/a.js", {FILE}, ()),
    ("\ufeffapps/cargo/a.js\napps/quay/b.js".encode(), {FILE, f"{FOLDER}/b.js"}, ()),
    ("apps/cargo/a.js\n".encode("utf-16"), {FILE}, ()),
    (b"apps/quay/", {f"{FOLDER}/b.js", f"{FOLDER}/c.js"}, ()),
    (b"apps/none.js\n# a.js\napps/cargo/a.js", {FILE}, ("apps/none.js", "# a.js")),
    (b"/elsewhere/a.js\napps/cargo/a.js", {FILE}, ("/elsewhere/a.js",)),
    (b"LINK/apps/cargo/a.js", {FILE}, ()),
    (b"", set(), ()),
]


@pytest.fixture(scope="module")
def quay(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace `w` of three files, and its index `i`."""
    folder = tmp_path_factory.mktemp("quay")
    for name in (FILE, f"{FOLDER}/b.js", f"{FOLDER}/c.js"):
        (folder / "w" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "w" / name).write_text(f"export class {Path(name).stem.upper()} {{}}\n", encoding="utf-8")
    build_index(folder / "w", folder / "i", encoder, QUIET)
    return folder


@pytest.mark.parametrize(("content", "files", "unknown"), LISTS)
def test_files_are_left_out_however_they_are_written(
    content: bytes, files: set[str], unknown: tuple[str, ...], encoder: Encoder, quay: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(quay / "w", target_is_directory=True)
    places = content.replace(b"WORKSPACE", bytes(quay / "w")).replace(b"LINK", bytes(tmp_path / "link"))
    (tmp_path / "list.txt").write_bytes(places)
    engine = load_engine(quay / "i")
    hidden, lines = left_out(tmp_path / "list.txt", quay / "w", engine.index)
    assert {path for path in hidden if engine.index.file_ids(path)} == files
    assert lines == unknown


def test_a_list_that_names_nothing_is_refused(quay: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("apps/none.js\nother/\n", encoding="utf-8")
    with pytest.raises(AdaptProblem, match=r"no file that it names, such as apps/none\.js"):
        left_out(tmp_path / "list.txt", quay / "w", load_engine(quay / "i").index)


def test_a_list_of_no_files_is_said(
    example_report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever made it may have meant some."""

    def refuse(*_: Any) -> None:
        raise AdaptProblem("asked")

    monkeypatch.setattr(adapting, "adapt", refuse)
    (tmp_path / "none.txt").write_text("\n", encoding="utf-8")
    options = ["--index", index_directory(EXAMPLE), "--leave-out", tmp_path / "none.txt", "--no-encoder"]
    done = CliRunner().invoke(main, ["train", "adapt", *map(str, options)])
    assert done.stderr.splitlines()[-2:] == [
        f"{tmp_path / 'none.txt'} names no file: all of them are learned from",
        "Error: asked",
    ]


PLACES = [
    # a file, what is left out, whether it is
    ("apps/a.js", {"apps/a.js"}, True),
    ("apps/new/a.js", {"apps/new"}, True),
    ("apps/new/deep/a.js", {"apps/new"}, True),
    ("apps/newer/a.js", {"apps/new"}, False),
    ("apps/a.js", set(), False),
]


@pytest.mark.parametrize(("path", "places", "is_left_out"), PLACES)
def test_what_is_below_a_folder(path: str, places: set[str], is_left_out: bool) -> None:
    assert is_below(path, places) == is_left_out


def test_documents_are_those_of_the_own_layer(encoder: Encoder, tmp_path: Path) -> None:
    """An API of a base layer is no document, a call of one no usage to learn from, and none a wrong answer:
    calls of these are never asked about, so that all would be learned to be wrong."""
    base = "export class Tug { pull() {} }\nexport class Buoy {}\n"
    own = "export class Crane { lift() {} }\n"
    use = "import { Crane } from './crane';\nimport { Tug } from 'base';\nnew Crane().lift(new Tug());\n"
    for name, content in (("base/package.json", '{"name": "base"}'), ("base/index.js", base),
                          ("w/crane.js", own), ("w/use.js", use)):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    try:
        build_index(tmp_path / "base", base_directory("base"), encoder, QUIET)
        bases, _ = read_bases(None)
        build_index(tmp_path / "w", tmp_path / "i", encoder, QUIET, bases)
        engine = load_engine(tmp_path / "i")
    finally:
        remove_base("base")
    assert engine.index.count == 3
    call = {"file": "new.js", "code_before": "var a;\n"}
    calls = [call | {"target": name} for name in engine.index.apis.api_name]
    assert gather(engine, calls, Asked(), QUIET).sizes.tolist() == [1, 1, 1]
    assert [triple.negatives for triple in candidate_lists(engine, calls, Asked(), QUIET)] == [()]
    assert [question.api for question in questions_of(engine, calls, "w")] == [0]
    every = documents_of(engine)
    assert (every.doc.shape, every.code.shape, every.usage_api.tolist()) == ((1, 384), (1, 384), [0])
    hidden = documents_of(engine, ["crane.js"])
    assert not hidden.doc.any()
    assert not hidden.usage_api.size


def test_documents_are_those_of_the_engine_whatever_is_built_meanwhile(
    encoder: Encoder, tmp_path: Path
) -> None:
    (tmp_path / "w").mkdir()
    for names in (("Crane", "Tug"), ("Anchor", "Crane", "Tug"), ("Anchor", "Buoy", "Crane", "Tug")):
        (tmp_path / "w" / "a.js").write_text(
            "".join(f"export class {name} {{ own{name}() {{}} }}\n" for name in names), encoding="utf-8"
        )
        build_index(tmp_path / "w", tmp_path / "i", encoder, QUIET)
        if len(names) == 2:
            engine = load_engine(tmp_path / "i")
            before = documents_of(engine)
    after = documents_of(engine)
    assert before.doc.shape == (2, 384)
    assert all(np.array_equal(old, new) for old, new in zip(before.arrays, after.arrays, strict=True))


def test_of_many_calls_some_are_drawn(example_report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_directory(EXAMPLE)
    every = mined(index, EXAMPLE, frozenset(), QUIET, QUIET)
    monkeypatch.setattr(adapting, "MOST_QUESTIONS", len(every) // 2)
    some, again = (mined(index, EXAMPLE, frozenset(), QUIET, QUIET) for _ in range(2))
    assert some == again == [sample for sample in every if sample in some]
    assert len(some) == len(every) // 2


def test_what_is_left_out_is_no_candidate(engine: Engine, example_report: Report) -> None:
    samples = mined(index_directory(EXAMPLE), EXAMPLE, frozenset(), QUIET, QUIET)[:20]

    def named(hidden: Collection[str]) -> set[str]:
        lists = list(candidate_lists(engine, samples, Asked(), QUIET, hidden))
        return {text.partition(". ")[0] for each in lists for text in (each.positive, *each.negatives)}

    some = named(())
    wrong = min(some - {sample["target_name"] for sample in samples})
    apis = engine.index.apis
    hidden = [path for path, name in zip(apis.source, apis.name, strict=True) if name == wrong]
    defined = {name for path, name in zip(apis.source, apis.name, strict=True) if path in hidden}
    assert wrong in defined
    assert named(hidden).isdisjoint(defined)


def test_what_is_left_out_says_nothing(
    untrained: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def spy(engine: Engine, samples: Any, asked: Any, progress: Any, hidden: Any) -> Any:
        seen.append(hidden)
        raise AdaptProblem("seen enough")

    monkeypatch.setattr(adapting, "ask", spy)
    hidden = frozenset({"apps/berth-planning/update/x.xml"})
    with pytest.raises(AdaptProblem, match="seen enough"):
        adapt(untrained, index_directory(EXAMPLE), tmp_path, EXAMPLE, hidden, QUIET, QUIET)
    assert seen == [hidden]
