"""The rules of the design, one assertion each."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVER = sorted((ROOT / "server").glob("*.py"))
BUILDER = sorted((ROOT / "index_builder").glob("*.py"))
STAGES = {"context", "expand", "retrieve", "rerank"}
NATIVE = {"llama_cpp", "hnswlib", "onnxruntime", "tokenizers"}
TRAINING = {"torch", "transformers", "onnx", "peft", "accelerate"}
NETWORK = {"socket", "http", "urllib", "ssl", "ftplib", "requests", "httpx", "aiohttp", "huggingface_hub"}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Each imported module (relative ones as `.name`), and whether it is imported with the file itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level
            if node.module:
                yield prefix + node.module, id(node) in top
            else:
                yield from ((prefix + alias.name, id(node) in top) for alias in node.names)


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name, _ in imports(path) if not name.startswith(".")}


def ids(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("path", SERVER, ids=ids)
def test_server_imports_nothing_of_the_builder(path: Path) -> None:
    assert not any("index_builder" in name for name, _ in imports(path))


@pytest.mark.parametrize("path", [p for p in SERVER if p.stem in STAGES], ids=ids)
def test_no_stage_imports_another(path: Path) -> None:
    assert {name.lstrip(".") for name, _ in imports(path)}.isdisjoint(STAGES - {path.stem})


@pytest.mark.parametrize("path", SERVER + BUILDER, ids=ids)
def test_only_lsp_knows_that_an_editor_exists(path: Path) -> None:
    assert (path in SERVER and path.stem.startswith("lsp")) or roots(path).isdisjoint({"pygls", "lsprotocol"})


@pytest.mark.parametrize("path", SERVER, ids=ids)
def test_native_libraries_are_loaded_in_three_files(path: Path) -> None:
    assert path.stem in {"models", "vectors", "generator"} or roots(path).isdisjoint(NATIVE)


@pytest.mark.parametrize("path", SERVER + BUILDER, ids=ids)
def test_native_and_training_libraries_are_loaded_when_an_object_is_made(path: Path) -> None:
    assert {name.split(".")[0] for name, is_top in imports(path) if is_top}.isdisjoint(NATIVE | TRAINING)


@pytest.mark.parametrize("path", SERVER + BUILDER, ids=ids)
def test_training_libraries_only_in_training_and_export(path: Path) -> None:
    assert path.stem.startswith(("train_", "export")) or roots(path).isdisjoint(TRAINING)


@pytest.mark.parametrize("path", SERVER, ids=ids)
def test_the_server_opens_no_socket(path: Path) -> None:
    assert roots(path).isdisjoint(NETWORK)


@pytest.mark.parametrize("path", BUILDER, ids=ids)
def test_only_the_hub_opens_a_connection(path: Path) -> None:
    """What else is fetched is fetched by the user's own pip and npm."""
    assert path.stem == "hub" or roots(path).isdisjoint(NETWORK)


@pytest.mark.parametrize("path", SERVER + BUILDER, ids=ids)
def test_nothing_is_pickled(path: Path) -> None:
    assert roots(path).isdisjoint({"pickle", "shelve", "dill", "joblib"})


@pytest.mark.parametrize("path", SERVER + BUILDER, ids=ids)
def test_no_mutable_state_at_module_level(path: Path) -> None:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    values = [node.value for node in body if isinstance(node, ast.Assign | ast.AnnAssign) and node.value]
    assert not [ast.unparse(value) for value in values if isinstance(value, ast.List | ast.Dict | ast.Set)]


@pytest.mark.parametrize("path", SERVER, ids=ids)
def test_model_input_is_made_in_text_alone(path: Path) -> None:
    """What is encoded, generated from or scored is made nowhere else."""
    ask = r"(?:encoder|generator|reranker)\.(?:encode|generate|score)\(\s*\[?f?[\"']"
    made = re.findall(ask, path.read_text(encoding="utf-8"))
    assert path.stem == "generator" or not made


@pytest.mark.parametrize("path", [p for p in BUILDER if p.stem.startswith("cli")], ids=ids)
def test_commands_import_when_they_run(path: Path) -> None:
    tops = {name for name, is_top in imports(path) if is_top and not name.startswith(".cli")}
    roots = {name.partition(".")[0] for name in tops - {"deepcodeseek.server"}}
    assert roots - sys.stdlib_module_names == {"click"}


@pytest.mark.parametrize("path", [p for p in BUILDER if not p.stem.startswith("cli")], ids=ids)
def test_nothing_but_commands_imports_commands(path: Path) -> None:
    assert not [
        name for name, _ in imports(path) if name.startswith((".cli", "deepcodeseek.index_builder.cli"))
    ]


def test_there_is_no_utils_module() -> None:
    assert not [path for path in SERVER + BUILDER if path.stem in {"utils", "helpers", "common"}]


def test_help_is_instant() -> None:
    """`--help` loads nothing native: no numpy, no tree-sitter, no editor."""
    code = (
        "import sys, deepcodeseek.index_builder.cli as c; sys.argv=['x','--help']\n"
        "try: c.main()\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy','tree_sitter','pygls','rich','sqlite_utils') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("module", ["server.fusion", "index_builder.evidence", "index_builder.train_loop"])
def test_numpy_and_onnxruntime_find_their_environment_set_whatever_is_imported_first(module: str) -> None:
    code = f"""
import os, sys
for name in (set_before := ("OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY")):
    os.environ.pop(name, None)
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            print([os.environ.get(each) for each in set_before])
sys.meta_path.insert(0, Watch())
import deepcodeseek.{module}
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['1', '1']"]
