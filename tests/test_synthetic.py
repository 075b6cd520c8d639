"""Made-up contexts of documented APIs."""

from __future__ import annotations

import random
from itertools import islice
from typing import Any

import pytest

from deepcodeseek.index_builder.mine import tells
from deepcodeseek.index_builder.parse import parse
from deepcodeseek.index_builder.synthetic import (
    AGREED,
    _half,
    _samples,
    documented_calls,
    sizes_of,
    synthetic_triples,
)
from deepcodeseek.server.engine import Engine
from deepcodeseek.server.models import ModelFiles, ModelProblem
from deepcodeseek.server.types import Prompt

QUIET: Any = lambda *_: None  # noqa: E731


class Writing:
    """Writes the same line each time."""

    files: ModelFiles
    state = "loaded"

    def __init__(self, line: str) -> None:
        self._line = line
        self.asked = 0

    def start(self) -> None: ...

    def generate(self, prompt: Prompt, max_tokens: int, timeout_ms: float, stop: object = None) -> str:
        self.asked += 1
        return self._line

    def rest(self) -> None: ...

    def close(self) -> None: ...


def test_contexts_are_code_that_does_not_tell_its_api(engine: Engine) -> None:
    samples = list(islice(_samples(engine, 0, None), 60))
    assert len({sample["code_before"] for sample in samples}) > 40
    for sample in samples:
        code = sample["code_before"] + sample["code_middle"] + sample["code_after"]
        assert not parse(code.encode()).has_error, code
        assert not tells(sample["code_before"], (sample["target_name"],))
        assert sample["target_name"] in sample["code_middle"]


@pytest.mark.parametrize(("words", "kept"), [(0, 0), (1, 1), (4, 2), (5, 3)])
def test_a_caller_says_half_of_the_documentation_in_its_order(words: int, kept: int) -> None:
    found = _half(list("abcde"[:words]), random.Random(0))
    assert len(found) == kept
    assert found == sorted(found)


def test_only_what_is_documented_is_asked_for(engine: Engine) -> None:
    calls = documented_calls(engine)
    assert {call.api.api_name for call in calls} <= {
        api.api_name
        for api in map(engine.index.api, range(engine.index.count))
        if api.doc or any(method.doc for method in api.methods)
    }
    assert not [call for call in calls if call.method and call.method.is_private]
    assert all(len(call.sentence.split()) >= 2 and "@" not in call.sentence for call in calls)


def test_the_retriever_agrees_and_the_seed_decides(engine: Engine) -> None:
    made = synthetic_triples(engine, 20, 0, QUIET)
    assert len(made) == 20
    assert all(sum(p > t.priors[0] for p in t.priors[1:]) < AGREED for t in made)
    assert synthetic_triples(engine, 20, 0, QUIET) == made
    assert synthetic_triples(engine, 10, 0, QUIET) == made[:10]
    assert synthetic_triples(engine, 20, 1, QUIET) != made


@pytest.mark.parametrize(
    ("line", "is_kept"), [("current.update();", True), ("current.upd", False), ("}); run(;", False)]
)
def test_a_generator_writes_whole_statements(engine: Engine, line: str, is_kept: bool) -> None:
    generator = Writing(line)
    samples = list(islice(_samples(engine, 0, generator), 80))
    assert generator.asked
    assert any(f"    {line}\n" in sample["code_before"] for sample in samples) is is_kept


def test_a_generator_that_fails_is_said(engine: Engine) -> None:
    class Broken(Writing):
        def generate(self, *_: Any, **__: Any) -> str:
            raise ModelProblem("the expander ended")

    with pytest.raises(ModelProblem):
        list(islice(_samples(engine, 0, Broken("")), 80))


@pytest.mark.parametrize(("corpora", "size", "expected"), [(3, 10, [4, 3, 3]), (2, 1, [1, 0]), (1, 5, [5])])
def test_each_corpus_contributes_alike(corpora: int, size: int, expected: list[int]) -> None:
    assert sizes_of(corpora, size) == expected
