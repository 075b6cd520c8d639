"""Export a causal yes/no reranker (a Hugging Face folder of the Qwen3 or Llama family) for the server.

The graph keeps one row of the output head, `w_yes - w_no`, weights of 8 or 4 bits, and takes the keys and
values of the prompt that all candidates share (export_causal_graph.py). Nothing is written unless it puts the
golden documents in the order in which the float model does, wherever that one is sure. Needs the extra
[train].
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from deepcodeseek.server.causal_reranker import CausalReranker, Prompts, Tokens
from deepcodeseek.server.cross_encoder import check_golden, scores_of
from deepcodeseek.server.generation import sha256_file
from deepcodeseek.server.lexical import Scores
from deepcodeseek.server.models import CARD, ModelFiles
from deepcodeseek.server.text import CAUSAL_TEXT_VERSION

from .atomic import model_folder
from .export_causal_graph import DATA, GRAPH, Bits, Shape, write_graph
from .export_graph import made_with, write_tokenizer
from .export_reranker import GOLDEN_LISTS, check_agreement, golden_entries
from .triples import Triple

MIN_AGREEMENT: Mapping[Bits, float] = MappingProxyType({8: 0.97, 4: 0.9})
"""Of the pairs of documents that the float model tells apart: 4 bits cost more than 8."""
FOLDER = "causal"


def export_causal(
    checkpoint: Path,
    out: Path,
    bits: Bits,
    say: Callable[[str], None],
    golden: Sequence[Triple] = GOLDEN_LISTS,
    weight: float = 1.0,
) -> dict[str, Any]:
    """Write the model directory `out`/causal from a checkpoint; its card.

    `weight` is what a logit counts beside the score of the stages before. Raises ValueError, and writes
    nothing, where the checkpoint is of another family, cannot say yes or no in one token, or the graph does
    not agree with the float model; ModelProblem where it would not load.
    """
    shape = Shape.of(json.loads((checkpoint / "config.json").read_text(encoding="utf-8")))
    model = CausalModel.load(checkpoint)
    say(f"{shape.parameters / 1e6:,.0f} million parameters, {shape.layers} layers")
    asked = every_document(golden)
    reference = [model.score(triple) for triple in asked]
    with model_folder(out / FOLDER) as staged:
        write_tokenizer(checkpoint, staged)
        write_graph(shape, model.weights, model.head(), bits, staged)
        card = {
            "kind": "causal",
            "name": f"{checkpoint.name}-{bits}bit",
            "layers": shape.layers,
            "kv_heads": shape.kv_heads,
            "head_dim": shape.head_dim,
            "bits": bits,
            "weight": weight,
            "max_tokens": 1024,  # of a text, before it is cut for the prompt
            "text_version": CAUSAL_TEXT_VERSION,
            "parameters": shape.parameters,
            "source_sha256": {path.name: sha256_file(path) for path in _weight_files(checkpoint)},
            "made_with": made_with(),
            "file": GRAPH,
            "sha256": {name: sha256_file(staged / name) for name in (GRAPH, DATA, "tokenizer.json")},
        }
        reranker = CausalReranker(ModelFiles("causal", staged, card))
        found = [scores_of(reranker, t.query, (t.positive, *t.negatives)) for t in asked]
        check_agreement([scores / weight for scores in found], reference, say, MIN_AGREEMENT[bits])
        # When it is loaded there is no time for more than each query's own documents.
        own = [scores[: 1 + len(t.negatives)] for scores, t in zip(found, golden, strict=True)]
        card["golden"] = golden_entries(golden, own)
        check_golden(reranker)
        (staged / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return card


def every_document(golden: Sequence[Triple]) -> list[Triple]:
    """Each query with its own documents first, and then with those of the others."""
    texts = dict.fromkeys(text for triple in golden for text in (triple.positive, *triple.negatives))
    return [
        replace(
            triple,
            negatives=(
                *triple.negatives,
                *(text for text in texts if text not in (triple.positive, *triple.negatives)),
            ),
        )
        for triple in golden
    ]


@dataclass(frozen=True, slots=True)
class CausalModel:
    """A float model of transformers, its prompts, and the tokens of the two answers."""

    model: Any
    prompts: Prompts
    yes: int
    no: int

    @classmethod
    def load(cls, folder: Path) -> CausalModel:
        """From a folder; raises ValueError where it holds no such model."""
        from tokenizers import Tokenizer
        from transformers import AutoModelForCausalLM

        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            tokenizer.no_truncation()
            tokenizer.no_padding()
        except Exception as error:  # the library raises nothing more precise
            raise ValueError(f"{folder / 'tokenizer.json'} cannot be read: {error}") from None

        def encode(texts: list[str]) -> list[list[int]]:
            return [each.ids for each in tokenizer.encode_batch(texts, add_special_tokens=False)]

        yes, no = encode(["yes", "no"])
        if len(yes) != 1 or len(no) != 1 or yes == no:
            raise ValueError(f"{folder}: its tokenizer has no one token for yes and for no")
        try:
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype="auto",
                attn_implementation="sdpa",  # takes a mask of its own for lists (train_causal.py)
            )
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder} cannot be loaded: {error}") from None
        return cls(model.eval(), Prompts(encode), yes[0], no[0])

    def weights(self, name: str) -> Any:
        """A weight by its name, float32."""
        return self.model.get_parameter(name).detach().float().numpy()

    def head(self) -> Any:
        """The row `w_yes - w_no` [width]."""
        rows = self.model.get_output_embeddings().weight
        return (rows[self.yes].float() - rows[self.no].float()).detach().numpy()

    def score(self, triple: Triple) -> Scores:
        """The logits of yes less those of no, for the right document and then the others."""
        import torch

        query = self.prompts.query(triple.query)
        documents = self.prompts.documents((triple.positive, *triple.negatives))
        with torch.inference_mode():
            return np.array([self._difference((*query, *document)) for document in documents], np.float32)

    def _difference(self, ids: Tokens) -> float:
        import torch

        logits = self.model(torch.tensor([ids])).logits[0, -1].float()
        return float(logits[self.yes] - logits[self.no])


def _weight_files(checkpoint: Path) -> list[Path]:
    return sorted(checkpoint.glob("*.safetensors"))
