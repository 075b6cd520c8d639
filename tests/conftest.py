"""Shared by the tests: the example workspace and its index, built once a run with the real models."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepcodeseek.index_builder import adapt
from deepcodeseek.index_builder.build import Report, build_index
from deepcodeseek.index_builder.train_fusion import Recipe, _initial, as_fusion
from deepcodeseek.server.engine import Engine, load_engine
from deepcodeseek.server.generation import index_directory
from deepcodeseek.server.models import SHIPPED, Encoder, ModelFiles, data_directory, find_model, load_encoder

DATA = Path(__file__).parent / "data"
EXAMPLE = DATA / "example"
DRAFT = "apps/berth-planning/drafts/x_hbr_berth/sys_script/Assign berth on arrival.script.js"
WIDTH = 32  # of the tiny sentence encoder
DRAFT_LINE, DRAFT_COLUMN = 15, 5  # 1-based: where the next statement belongs
QUICK = Recipe(epochs=2, rate=5e-3)  # of a fusion
QUIET: Any = lambda *_: None  # noqa: E731  # a progress, or what is said, that nobody looks at


class StandIn:
    """What every stand-in for a reranker has beside its scores."""

    files = ModelFiles("reranker", Path(), {})
    state = "loaded"
    query_ms = 0.0
    pair_ms = 1.0

    def start(self) -> None: ...

    def rest(self) -> None: ...


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Indexes and base layers of a test run are its own, also in the processes it starts."""
    patch = pytest.MonkeyPatch()
    patch.setenv("DEEPCODESEEK_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    home = tmp_path_factory.mktemp("data")
    (home / "models").symlink_to(data_directory())  # the user's models, but not their base layers
    patch.setenv("DEEPCODESEEK_DATA_HOME", str(home))
    patch.setenv("PYTHONWARNINGS", "ignore")
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _interrupts() -> None:
    """A shell's job in the background ignores them, and so would the processes that tests interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    files = find_model("encoder")
    assert files
    return load_encoder(files)


@pytest.fixture(scope="session")
def example_report(encoder: Encoder, _own_cache: None) -> Report:
    """The example's index, where the server looks for it."""
    return build_index(EXAMPLE, index_directory(EXAMPLE), encoder, lambda task, done, total: None)


@pytest.fixture(scope="session")
def engine(example_report: Report) -> Iterator[Engine]:
    engine = load_engine(index_directory(EXAMPLE))
    yield engine
    if engine.generator:
        engine.generator.close()
    engine.index.close()


@pytest.fixture(scope="session")
def untrained(engine: Engine) -> Engine:
    """The example's, with a fusion by chance."""
    return replace(engine, fusion=as_fusion(_initial(16, np.random.default_rng(0))))


@pytest.fixture
def few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an API, for adapting to its callers."""
    monkeypatch.setattr(adapt, "PER_TARGET", 2)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence encoder of two layers with the vocabulary of the real one, to train from."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    config = BertConfig(hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    shutil.copyfile(SHIPPED["encoder"] / "tokenizer.json", folder / "tokenizer.json")
    return folder


def environment(**changes: str) -> dict[str, str]:
    """For a process of a test: this one's environment with some variables changed."""
    return {**os.environ, **changes}
