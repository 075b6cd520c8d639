"""The language server as editors see it: the real process over stdio."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DRAFT, DRAFT_COLUMN, DRAFT_LINE, EXAMPLE, environment
from lsprotocol import types as lsp
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

from deepcodeseek.index_builder.build import build_index
from deepcodeseek.index_builder.train_fusion import Recipe, _initial, write_fusion
from deepcodeseek.server.generation import sha256_file
from deepcodeseek.server.models import Encoder

CLIENTS = ("visual_studio_code", "neovim")
READY_SECONDS = 90


@asynccontextmanager
async def connect(
    workspace: Path, client: str = "visual_studio_code", options: object = None, **variables: str
) -> AsyncIterator[LanguageClient]:
    """A client of the given editor's capabilities, connected to a server on a workspace."""
    config = ClientServerConfig(
        [sys.executable, "-I", "-m", "deepcodeseek.server", "--stdio"], server_env=environment(**variables)
    )
    editor = await config.start()
    assert isinstance(editor, LanguageClient)
    folder = lsp.WorkspaceFolder(workspace.as_uri(), workspace.name)
    await editor.initialize_session(
        lsp.InitializeParams(
            capabilities=client_capabilities(client),
            workspace_folders=[folder],
            root_uri=workspace.as_uri(),
            initialization_options=options,
        )
    )
    try:
        yield editor
    finally:
        await editor.shutdown_session()
        await editor.stop()


async def status(editor: LanguageClient) -> dict[str, Any]:
    answer = await editor.workspace_execute_command_async(lsp.ExecuteCommandParams("deepcodeseek.status"))
    return dict(answer)


async def ready(editor: LanguageClient) -> dict[str, Any]:
    """Wait until the server has its index and models."""
    for _ in range(READY_SECONDS * 10):
        now = await status(editor)
        if now["state"] == "ready":
            return now
        await asyncio.sleep(0.1)
    raise AssertionError(f"not ready: {now['state']}")


def open_document(editor: LanguageClient, path: Path, text: str | None = None) -> str:
    uri = path.as_uri()
    content = path.read_text(encoding="utf-8") if text is None else text
    item = lsp.TextDocumentItem(uri, lsp.LanguageKind.JavaScript, 1, content)
    editor.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
    return uri


async def complete(editor: LanguageClient, uri: str, line: int, character: int) -> lsp.CompletionList:
    answer = await editor.text_document_completion_async(
        lsp.CompletionParams(lsp.TextDocumentIdentifier(uri), lsp.Position(line, character))
    )
    assert isinstance(answer, lsp.CompletionList)
    return answer


async def hover(editor: LanguageClient, uri: str, line: int, character: int) -> str:
    answer = await editor.text_document_hover_async(
        lsp.HoverParams(lsp.TextDocumentIdentifier(uri), lsp.Position(line, character))
    )
    assert answer
    assert isinstance(answer.contents, lsp.MarkupContent)
    return answer.contents.value


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
@pytest.mark.parametrize("client", CLIENTS)
async def test_predicts_the_needed_api_first(client: str) -> None:
    async with connect(EXAMPLE, client) as editor:
        await ready(editor)
        uri = open_document(editor, EXAMPLE / DRAFT)
        answer = await complete(editor, uri, DRAFT_LINE - 1, DRAFT_COLUMN - 1)
        assert answer.is_incomplete
        assert answer.items[0].label == "BerthAllocator"
        assert answer.items[0].preselect
        assert [item.sort_text for item in answer.items] == sorted(
            item.sort_text or "" for item in answer.items
        )
        resolved = await editor.completion_item_resolve_async(answer.items[0])
        assert isinstance(resolved.documentation, lsp.MarkupContent)
        assert "findFree" in resolved.documentation.value
        assert "Why" in resolved.documentation.value


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
@pytest.mark.parametrize("client", CLIENTS)
async def test_hover_documents_the_api_and_says_where_it_is_from(client: str) -> None:
    async with connect(EXAMPLE, client) as editor:
        await ready(editor)
        uri = open_document(editor, EXAMPLE / "new.js", "var a = new x_hbr_berth.BerthAllocator();\n")
        text = await hover(editor, uri, 0, 28)
        assert "findFree(arrival: " in text
        assert "sys_script_include_04b414bd623dd2ba3202bf81b27ac0c6.xml:" in text


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
@pytest.mark.parametrize(
    ("before", "items"),
    [("// a new ", False), ("/* the new ", False), ("var a = new ", True), ("renew ", False)],
)
async def test_a_trigger_character_asks_only_where_an_api_can_stand(before: str, items: bool) -> None:
    async with connect(EXAMPLE) as editor:
        await ready(editor)
        uri = open_document(editor, EXAMPLE / "trigger.js", before)
        answer = await editor.text_document_completion_async(
            lsp.CompletionParams(
                lsp.TextDocumentIdentifier(uri),
                lsp.Position(0, len(before)),
                lsp.CompletionContext(lsp.CompletionTriggerKind.TriggerCharacter, " "),
            )
        )
        assert isinstance(answer, lsp.CompletionList)
        assert bool(answer.items) is items


@pytest.mark.asyncio
async def test_a_newer_index_is_picked_up(tmp_path: Path, encoder: Encoder) -> None:
    workspace, index = tmp_path / "work", tmp_path / "index"
    workspace.mkdir()
    (workspace / "a.js").write_text("export function first() {}", encoding="utf-8")
    build_index(workspace, index, encoder, lambda task, done, total: None)
    async with connect(workspace, options={"indexDirectory": str(index)}) as editor:
        await ready(editor)
        (workspace / "b.js").write_text("export function second() {}", encoding="utf-8")
        build_index(workspace, index, encoder, lambda task, done, total: None)
        uri = open_document(editor, workspace / "c.js", "sec")
        for _ in range(50):
            answer = await complete(editor, uri, 0, 3)
            if answer.items:
                break
            await asyncio.sleep(0.2)
        assert [item.label for item in answer.items] == ["second"]


@pytest.mark.asyncio
async def test_an_item_of_an_index_that_was_replaced_is_documented_by_the_newer(
    tmp_path: Path, encoder: Encoder
) -> None:
    workspace, index = tmp_path / "work", tmp_path / "index"
    workspace.mkdir()
    (workspace / "a.js").write_text("/** As it was. */\nexport function first() {}", encoding="utf-8")
    build_index(workspace, index, encoder, lambda task, done, total: None)
    async with connect(workspace, options={"indexDirectory": str(index)}) as editor:
        await ready(editor)
        uri = open_document(editor, workspace / "c.js", "fir")
        (item,) = (await complete(editor, uri, 0, 3)).items
        (workspace / "a.js").write_text("/** As it is now. */\nexport function first() {}", encoding="utf-8")
        build_index(workspace, index, encoder, lambda task, done, total: None)
        while (await complete(editor, uri, 0, 3)).items[0].data["index"] == item.data["index"]:
            await asyncio.sleep(0.2)  # the suite's time limit ends it
        resolved = await editor.completion_item_resolve_async(item)
        assert isinstance(resolved.documentation, lsp.MarkupContent)
        assert "As it is now." in resolved.documentation.value


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
async def test_adapted_weights_are_picked_up(tmp_path: Path) -> None:
    async with connect(EXAMPLE, options={"modelsDirectory": str(tmp_path)}) as editor:
        await ready(editor)
        write_fusion(_initial(4, np.random.default_rng(0)), tmp_path / "fusion", {}, Recipe())
        made = sha256_file(tmp_path / "fusion" / "fusion.npz")
        uri = open_document(editor, EXAMPLE / "new.js", "")
        for _ in range(50):
            await complete(editor, uri, 0, 0)
            loaded = {model["kind"]: model["sha256"] for model in (await status(editor))["models"]}
            if loaded.get("fusion") == made:
                break
            await asyncio.sleep(0.2)
        assert loaded["fusion"] == made


TYPED = [
    # text before the cursor, first label or None for no answer, text inserted
    ("var a = new BerthAl", "BerthAllocator", "x_hbr_berth.BerthAllocator()"),
    ("var log = new Harb", "HarbourLog", "HarbourLog(${1:source})"),
    ("var ga = new GlideAjax('Vessel", "VesselAjax", "x_hbr_berth.VesselAjax"),
    ("var log = new global.Harb", "HarbourLog", "HarbourLog(${1:source})"),
    ("var log = new x_hbr_berth.Harb", None, ""),
    ("record.Harb", None, ""),
    ("zzzzqqq", None, ""),
]


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
async def test_what_is_typed_narrows_the_list() -> None:
    async with connect(EXAMPLE) as editor:
        await ready(editor)
        for number, (before, label, inserted) in enumerate(TYPED):
            path = EXAMPLE / f"apps/harbour-core/update/typed{number}.js"
            answer = await complete(editor, open_document(editor, path, before), 0, len(before))
            labels = [item.label for item in answer.items]
            assert labels[:1] == ([label] if label else []), before
            if label:
                edit = answer.items[0].text_edit
                assert isinstance(edit, lsp.TextEdit)
                assert edit.new_text == inserted
                assert edit.range.end.character == len(before)


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
async def test_an_expansion_made_ahead_refines_the_next_answer() -> None:
    async with connect(EXAMPLE, options={"expand": True, "deadlineMs": 60_000}) as editor:
        await ready(editor)
        uri = open_document(editor, EXAMPLE / DRAFT)
        while "expand" not in await first_documentation(editor, uri):  # the suite's time limit ends it
            await asyncio.sleep(1)
        insert = lsp.TextDocumentContentChangePartial(
            lsp.Range(lsp.Position(14, 4), lsp.Position(14, 4)), "Harb"
        )
        version = lsp.VersionedTextDocumentIdentifier(2, uri)
        editor.text_document_did_change(lsp.DidChangeTextDocumentParams(version, [insert]))
        answer = await complete(editor, uri, 14, 8)  # the same lines, so the same expansion
        assert {item.label[:4] for item in answer.items} == {"Harb"}


async def first_documentation(editor: LanguageClient, uri: str) -> str:
    """What the first item at the example's cursor says, its trace last."""
    answer = await complete(editor, uri, DRAFT_LINE - 1, DRAFT_COLUMN - 1)
    resolved = await editor.completion_item_resolve_async(answer.items[0])
    assert isinstance(resolved.documentation, lsp.MarkupContent)
    return resolved.documentation.value


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
async def test_status_is_what_a_bug_report_needs() -> None:
    async with connect(EXAMPLE, options={"maxItems": 3, "deadlineMs": "soon", "nonsense": 1}) as editor:
        now = await ready(editor)
        text = "var s = 'a\u2028b\u0085c';\r\nvar t;"
        uri = open_document(editor, EXAMPLE / "odd.js", text)
        now = await status(editor)
        assert now["settings"]["max_items"] == 3
        assert now["settings"]["deadline_ms"] == 400
        assert now["index"]["counts"]["apis"] > 50
        assert {model["kind"] for model in now["models"]} == {"encoder", "fusion", "generator", "reranker"}
        (document,) = now["documents"]
        assert document == {"uri": uri, "version": 1, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        said = [message.message for message in editor.log_messages]
        assert any("deadlineMs" in line for line in said)
        assert any("nonsense" in line for line in said)


@pytest.mark.asyncio
async def test_a_workspace_without_an_index_is_indexed_with_progress(tmp_path: Path) -> None:
    workspace = tmp_path / "work"
    shutil.copytree(EXAMPLE / "apps", workspace / "apps")
    async with connect(workspace, DEEPCODESEEK_CACHE_HOME=str(tmp_path / "cache")) as editor:
        now = await ready(editor)
        assert now["index"]["counts"]["apis"] == 56
        shown = [value for values in editor.progress_reports.values() for value in values]
        messages = [getattr(value, "message", "") or "" for value in shown]
        assert any(re.fullmatch(r"embedding \d+ of \d+", message) for message in messages)
        uri = open_document(editor, workspace / DRAFT)
        answer = await complete(editor, uri, DRAFT_LINE - 1, DRAFT_COLUMN - 1)
        assert "BerthAllocator" in [item.label for item in answer.items[:3]]


QUAY = "var QuayLedger = Class.create();\nQuayLedger.prototype = {\n\tenter: function(line) {}\n};\n"


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["saved", "watched"])
async def test_a_changed_file_is_indexed_beside_the_requests(
    how: str, tmp_path: Path, encoder: Encoder
) -> None:
    workspace, index = tmp_path / "work", tmp_path / "index"
    shutil.copytree(EXAMPLE / "apps", workspace / "apps")
    build_index(workspace, index, encoder, lambda task, done, total: None)
    async with connect(workspace, options={"indexDirectory": str(index), "expand": False}) as editor:
        await ready(editor)
        path = workspace / "apps/shared/global/sys_script_include/QuayLedger.script.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(QUAY)
        uri = open_document(editor, path)
        if how == "saved":
            editor.text_document_did_save(lsp.DidSaveTextDocumentParams(lsp.TextDocumentIdentifier(uri)))
        else:
            event = lsp.FileEvent(uri, lsp.FileChangeType.Created)
            editor.workspace_did_change_watched_files(lsp.DidChangeWatchedFilesParams([event]))
        rule = open_document(editor, workspace / "apps/shared/Rule.js", "var ledger = new Quay")
        for _ in range(READY_SECONDS * 10):
            answer = await complete(editor, rule, 0, 21)
            if any(item.label == "QuayLedger" for item in answer.items):
                break
            await asyncio.sleep(0.1)
        assert [item.label for item in answer.items if item.label.startswith("Quay")] == ["QuayLedger"]


@pytest.mark.asyncio
@pytest.mark.usefixtures("example_report")
async def test_a_cancelled_completion_ends_with_the_right_error_and_hover_stays_instant() -> None:
    async with connect(EXAMPLE) as editor:
        await ready(editor)
        uri = open_document(editor, EXAMPLE / DRAFT)
        where = lsp.CompletionParams(lsp.TextDocumentIdentifier(uri), lsp.Position(14, 4))
        future = editor.protocol.send_request("textDocument/completion", where, msg_id="doomed")
        editor.cancel_request(lsp.CancelParams("doomed"))
        with pytest.raises(Exception, match="cancel") as caught:
            await asyncio.wrap_future(future)
        assert getattr(caught.value, "code", None) == -32800
        assert (await complete(editor, uri, 14, 4)).items


def test_the_server_ends_with_its_stdin() -> None:
    command = [sys.executable, "-I", "-m", "deepcodeseek.server", "--stdio"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    assert done.stdout == b""
    assert done.returncode == 1  # nobody said shutdown


def test_leaving_while_it_loads_is_quiet(tmp_path: Path) -> None:
    def message(body: dict[str, Any]) -> bytes:
        content = json.dumps({"jsonrpc": "2.0", **body}).encode()
        return f"Content-Length: {len(content)}\r\n\r\n".encode() + content

    capabilities = {"window": {"workDoneProgress": True}}
    params = {"processId": None, "rootUri": EXAMPLE.as_uri(), "capabilities": capabilities}
    said = b"".join(
        map(
            message,
            [
                {"id": 1, "method": "initialize", "params": params},
                {"method": "initialized", "params": {}},
                {"id": 2, "method": "shutdown"},
                {"method": "exit"},
            ],
        )
    )
    command = [sys.executable, "-I", "-m", "deepcodeseek.server", "--stdio"]
    done = subprocess.run(
        command,
        input=said,
        capture_output=True,
        timeout=20,
        check=False,
        env=environment(DEEPCODESEEK_CACHE_HOME=str(tmp_path)),
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert len(done.stderr) < 5_000
