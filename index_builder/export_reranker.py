"""Export a compact cross-encoder as one int8 ONNX graph: the tokens of a pair in, one score out.

The graph takes `input_ids`, `attention_mask` and `token_type_ids` (int64, [batch, sequence]; 1 marks the
document) and returns `score` (float32, [batch]). Nothing is written unless it puts the golden pairs in the
order in which the float model does, wherever that one is sure. Needs the extra [train].
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepcodeseek.server.cross_encoder import GOLDEN_MARGIN, OnnxReranker, check_golden, scores_of
from deepcodeseek.server.generation import sha256_file
from deepcodeseek.server.lexical import Scores
from deepcodeseek.server.models import CARD, ModelFiles
from deepcodeseek.server.text import RERANKER_TEXT_VERSION

from .atomic import model_folder
from .export_encoder import GOLDEN
from .export_graph import (
    attention_bias,
    export_graph,
    made_with,
    quantize,
    rename_values,
    scale_rows,
    write_tokenizer,
)
from .train_reranker import CrossEncoder, score_of
from .triples import Triple

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
GOLDEN_LISTS = tuple(Triple(query, texts[0], tuple(texts[1:])) for query, texts in GOLDEN.items())
MOST_APART = 1.0  # standard deviations of the float model's scores, that one of the graph may be off
MIN_AGREEMENT = 0.97  # of the pairs of documents that the float model tells apart by GOLDEN_MARGIN


def export_reranker(
    weights: Path,
    out: Path,
    about: Mapping[str, Any],
    golden: Sequence[Triple],
    tokens: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Write the model directory `out` from the float model in the folder `weights`; its card.

    `tokens` is the most of a pair. A README.md that lies in `out` is kept. Raises ValueError, and writes
    nothing, where the graph does not agree with the float model on the `golden` lists, and ModelProblem where
    it would not load.
    """
    import torch

    class Graph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = model.bert
            self.likeness, self.first = map(torch.nn.Parameter, model.head.detach().chunk(2))

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
        ) -> torch.Tensor:
            kinds = torch.zeros_like(input_ids)  # the layers were never told which part is which
            bias = attention_bias(attention_mask)
            states = self.bert(input_ids, attention_mask=bias, token_type_ids=kinds).last_hidden_state
            mask, types = attention_mask.float(), token_type_ids.float()
            return score_of(states, mask, types, self.likeness, self.first)

    model = CrossEncoder.load(weights)
    reference = [model.reads(triple, tokens) for triple in golden]
    with model_folder(out) as staged:
        write_tokenizer(weights, staged)
        scale_rows(model.bert)
        graph = export_graph(Graph(), INPUTS, "pair_score")
        rename_values(graph, {"score": "inner_score", "pair_score": "score"})
        quantize(graph, staged / "model.onnx")
        card = {
            "kind": "reranker",
            "max_tokens": tokens,
            "text_version": RERANKER_TEXT_VERSION,
            "source_sha256": sha256_file(weights / "model.safetensors"),
            "made_with": made_with(),
            "file": "model.onnx",
            "sha256": {name: sha256_file(staged / name) for name in ("model.onnx", "tokenizer.json")},
            **about,
        }
        reranker = OnnxReranker(ModelFiles("reranker", staged, card))
        found = [scores_of(reranker, triple.query, (triple.positive, *triple.negatives)) for triple in golden]
        check_agreement(found, reference, say, MIN_AGREEMENT)
        card["golden"] = golden_entries(golden, found)
        check_golden(reranker)
        (staged / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return card


def golden_entries(golden: Sequence[Triple], scores: Sequence[Scores]) -> list[dict[str, Any]]:
    """Golden lists as a card states them, for `check_golden` of the server."""
    return [
        {
            "query": triple.query,
            "documents": [triple.positive, *triple.negatives],
            "scores": [round(score, 3) for score in found.tolist()],
        }
        for triple, found in zip(golden, scores, strict=True)
    ]


def check_agreement(
    found: Sequence[Scores], reference: Sequence[Scores], say: Callable[[str], None], least: float
) -> None:
    """Raises ValueError where less than the share `least` stands in the float model's order, or where a score
    is further from the float model's than MOST_APART allows, or where it tells no documents apart."""
    agreed = total = 0
    for ours, theirs in zip(found, reference, strict=True):
        clear = theirs[:, None] - theirs[None, :] > GOLDEN_MARGIN
        agreed += int((clear & (ours[:, None] > ours[None, :])).sum())
        total += int(clear.sum())
    if not total:
        raise ValueError("the float model tells no two golden documents apart: nothing shows that they agree")
    share = agreed / total
    apart = max((float(np.abs(o - t).max()) for o, t in zip(found, reference, strict=True)), default=0.0)
    say(f"{share:.3f} of {total} pairs of documents in the same order, scores at most {apart:.2f} apart")
    if not share >= least:
        raise ValueError(f"{share:.3f} of the documents are in the float model's order, not {least}")
    spread = float(np.std(np.concatenate(list(reference)))) if len(reference) else 0.0
    if not apart <= MOST_APART * max(spread, GOLDEN_MARGIN):
        raise ValueError(
            f"a score is {apart:.2f} from the float model's, whose standard deviation is {spread:.2f}"
        )
