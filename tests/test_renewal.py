"""A newer index takes the place of the one in use: with the models that are loaded, and without a trace."""

from __future__ import annotations

import gc
import shutil
import sqlite3
import weakref
from pathlib import Path

import pytest
from conftest import DRAFT, EXAMPLE, environment
from test_faults import eventually

from deepcodeseek.index_builder.build import build_index
from deepcodeseek.index_builder.lsp_client import Client
from deepcodeseek.server.context import make_context
from deepcodeseek.server.engine import Engine, load_engine, with_newer_index
from deepcodeseek.server.generation import index_directory
from deepcodeseek.server.index import open_index
from deepcodeseek.server.models import SHIPPED, Encoder
from deepcodeseek.server.pipeline import predict

QUAY = "var QuayLedger{0} = Class.create();\nQuayLedger{0}.prototype = {{ enter: function(line) {{}} }};\n"


def silent(*_: object) -> None:
    """Shows nothing."""


@pytest.mark.usefixtures("example_report")
def test_an_index_that_nobody_holds_is_closed_at_once(encoder: Encoder) -> None:
    index = open_index(index_directory(EXAMPLE), encoder.files.sha256)
    answer = predict(Engine(index, encoder), make_context("var log = new ", "", {"file": DRAFT}))
    assert answer.ranked
    (database, *_), gone = [layer.database for layer in index._layers], weakref.ref(index)
    gc.disable()
    try:
        del index
        assert gone() is None
    finally:
        gc.enable()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        database.execute("SELECT 1")


def test_a_newer_index_is_answered_from_with_the_models_that_are_loaded(
    encoder: Encoder, tmp_path: Path
) -> None:
    workspace, out, models = (tmp_path / name for name in ("work", "index", "models"))
    shutil.copytree(EXAMPLE / "apps", workspace)
    models.mkdir()
    build_index(workspace, out, encoder, silent)
    engine = load_engine(out, models)
    (workspace / "QuayLedger.script.js").write_text(QUAY.format(""))
    build_index(workspace, out, encoder, silent)
    newer = with_newer_index(engine, out, models)
    assert newer
    assert newer.index.find("QuayLedger")
    assert not engine.index.find("QuayLedger")
    assert newer.mark != engine.mark
    assert (newer.encoder, newer.reranker, newer.generator) == (
        engine.encoder, engine.reranker, engine.generator,
    )  # fmt: skip
    shutil.copytree(SHIPPED["fusion"], models / "fusion")
    assert with_newer_index(newer, out, models) is None  # the same weights, elsewhere
    (models / "fusion" / "model.json").write_text('{"file": "x", "sha256": {"x": "other"}}')
    assert with_newer_index(newer, out, models) is None


def test_renewing_leaves_no_descriptor_and_no_map_behind(tmp_path: Path) -> None:
    workspace = tmp_path / "work"
    shutil.copytree(EXAMPLE / "apps", workspace / "apps")
    with Client(environment(DEEPCODESEEK_CACHE_HOME=str(tmp_path / "cache"))) as client:
        client.initialize(workspace, initializationOptions={"expand": False})
        client.ready()
        uri = (workspace / DRAFT).as_uri()
        client.open(uri, (workspace / DRAFT).read_text(encoding="utf-8"))
        held = [_after_a_save(client, workspace, uri, number) for number in range(5)]
        assert held[-1] <= held[1]
        maps = Path(f"/proc/{client.process.pid}/maps").read_text(encoding="utf-8")
        assert "(deleted)" not in maps


def _after_a_save(client: Client, workspace: Path, uri: str, number: int) -> int:
    """Descriptors that the server holds once it knows one API more."""
    (workspace / f"QuayLedger{number}.script.js").write_text(QUAY.format(number))
    client.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
    eventually(lambda: client.request("workspace/symbol", {"query": f"QuayLedger{number}"}).result())
    return len(list(Path(f"/proc/{client.process.pid}/fd").iterdir()))


def test_what_is_saved_during_the_first_build_is_indexed_after_it(tmp_path: Path) -> None:
    workspace = tmp_path / "work"
    shutil.copytree(EXAMPLE / "apps", workspace / "apps")
    with Client(environment(DEEPCODESEEK_CACHE_HOME=str(tmp_path / "cache"))) as client:
        client.initialize(workspace, capabilities={"window": {"workDoneProgress": True}})
        eventually(lambda: any("embedding" in str(message.get("params")) for message in client.said))
        path = workspace / "QuayLedger.script.js"
        path.write_text(QUAY.format(""))
        client.notify("textDocument/didSave", {"textDocument": {"uri": path.as_uri()}})
        client.ready()
        eventually(lambda: client.request("workspace/symbol", {"query": "QuayLedger"}).result())
