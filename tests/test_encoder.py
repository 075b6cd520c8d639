"""The encoder that ships: whole, right about its golden queries, the same alone and among others."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from deepcodeseek.index_builder.export_encoder import _check_agreement, _check_golden
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


AGREEMENT = [
    # how far an exported graph's vectors are from the float model's, and whether it may be written
    (0.0, True),
    (0.0005, True),
    (0.02, False),
    (1.0, False),
    (np.nan, False),
]


@pytest.mark.parametrize(("noise", "agrees"), AGREEMENT)
def test_a_graph_that_disagrees_with_the_float_model_is_refused(noise: float, agrees: bool) -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(200, 384)).astype(np.float32)
    reference /= np.linalg.norm(reference, axis=1, keepdims=True)
    vectors = reference + noise * rng.normal(size=reference.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    said: list[str] = []
    with nullcontext() if agrees else pytest.raises(ValueError, match=r"bounds are cosine 0\.995"):
        _check_agreement(vectors, reference, said.append)
    assert said[0].startswith("mean cosine ")


GOLDEN = [
    # cosines of a golden query's documents, which ought to be best first, and whether it may be written
    ([0.9, 0.5, 0.4], True),
    ([0.9, 0.5, 0.48], False),
    ([0.5, 0.9, 0.1], False),
    ([0.9, np.nan, 0.1], False),
]


@pytest.mark.parametrize(("cosines", "agrees"), GOLDEN)
def test_a_graph_that_ranks_golden_documents_otherwise_is_refused(cosines: list[float], agrees: bool) -> None:
    vectors = np.array([[1.0], *([cosine] for cosine in cosines)], np.float32)
    with nullcontext() if agrees else pytest.raises(ValueError, match="'q' ranks its documents with"):
        _check_golden("q", vectors)


def test_what_ships_is_under_60_mb_together() -> None:
    files = [path for path in SHIPPED["encoder"].parent.rglob("*") if path.is_file()]
    assert files
    assert sum(path.stat().st_size for path in files) < 60e6
