"""The encoder that ships: whole, right about its golden queries, the same alone and among others."""

from __future__ import annotations

import numpy as np
import pytest

from deepcodeseek.server.models import SHIPPED, Encoder, ModelFiles, find_model, load_encoder, verify


@pytest.fixture(scope="module")
def files() -> ModelFiles:
    found = find_model("encoder", SHIPPED["encoder"].parent / "none")
    assert found
    return found


def test_the_shipped_files_are_whole_and_have_a_card(files: ModelFiles) -> None:
    verify(files)
    card = files.path("README.md").read_text(encoding="utf-8")
    for name, digest in files.card["sha256"].items():
        assert digest in card
        assert f"{files.path(name).stat().st_size:,}" in card


def test_golden_queries_rank_their_documents(files: ModelFiles) -> None:
    encoder = load_encoder(files)
    for golden in files.card["golden"]:
        query = encoder.encode([golden["query"]])[0]
        scores = encoder.encode(golden["documents"]) @ query
        assert np.argsort(-scores).tolist() == golden["order"], golden["query"]


def test_vectors_have_length_one_and_do_not_depend_on_their_neighbours(encoder: Encoder) -> None:
    texts = ["a", "var gr = new GlideRecord('incident');", "word " * 1000, ""]
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    assert np.array_equal(together, alone)
    assert encoder.encode([]).shape == (0, encoder.dimension)
