"""Fine-tune the encoder of questions: what stands before a cursor moves towards what was called there.

The documents keep the vectors they have in the index: no index is made anew, and every document of it is a
negative at each step, where in-batch negatives would be a few dozen (van den Oord et al., 2018, has the loss;
Karpukhin et al., 2020, the two towers of which here only one moves). A question is drawn to the documentation
and to the code of what was called, and to the contexts of its calls in other files, of which any will do.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepcodeseek.server.engine import Engine
from deepcodeseek.server.generation import TABLES
from deepcodeseek.server.models import Vectors
from deepcodeseek.server.text import encoder_query
from deepcodeseek.server.types import ExpandedQuery

from .evaluate import Asked, context_of
from .progress import Progress
from .train_loop import Place, batches, fingerprint_of, freeze, run_steps, writing

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training depends on, but for its data."""

    epochs: int = 2
    batch: int = 32
    rate: float = 5e-5  # the highest, after a tenth of the steps; it then falls to nothing
    temperature: float = 0.05
    tokens: int = 192  # of a question
    frozen: int = 0  # of the six layers, from below; the token embeddings always are
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Documents:
    """What a project's questions are to find; vectors of length 1."""

    doc: Vectors  # [apis, d]
    code: Vectors  # [apis, d]
    usage: Vectors  # [usages, d]
    usage_api: NDArray[np.int64]  # [usages]
    usage_file: NDArray[np.int64]  # [usages]

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        return self.doc, self.code, self.usage, self.usage_api, self.usage_file


@dataclass(frozen=True, slots=True)
class Question:
    """What stood before a call."""

    project: str
    text: str
    api: int  # that was called
    files: tuple[int, ...]  # whose usages say nothing: its own


def questions_of(
    engine: Engine, samples: Sequence[Mapping[str, Any]], project: str, seed: int = 0
) -> list[Question]:
    """A question for each sample whose target is in the index, about half with nothing after the cursor.

    Most code is written from top to bottom: a model must not rely on what comes after.
    """
    rng, made = random.Random(seed), []
    apis = engine.index.apis
    own = range(engine.index.own_count)
    ids = {apis.api_name[i]: i for i in own if apis.live[i]}
    for sample in samples:
        context = context_of(engine, sample, Asked(after=rng.random() < 0.5))
        if context is not None and sample["target"] in ids:
            text = encoder_query(ExpandedQuery(context))
            made.append(Question(project, text, ids[sample["target"]], engine.index.file_ids(context.file)))
    return made


def documents_of(engine: Engine, hidden: Collection[str] = (), unheard: Collection[str] = ()) -> Documents:
    """The vectors of an index's own layer, whose ids come first, without those of its base layers.

    Of what stands in files `hidden` zeros, and no usages; no usages either from files `unheard`.
    """
    # As the engine has them open: what lies in the index directory may be newer, and ids mean other things.
    doc, code, usage = (engine.index.own_vectors(table).copy() for table in TABLES)
    usages, own = engine.index.usages, len(usage)
    api, file, live = usages.api[:own], usages.file[:own], usages.live[:own]
    told = live & (api < len(doc))
    told &= ~np.isin(file, [i for path in {*hidden, *unheard} for i in engine.index.file_ids(path)])
    for path in hidden:
        its = np.flatnonzero(engine.index.apis.source.equal(path)[: len(doc)])
        doc[its] = code[its] = 0.0
        told &= ~np.isin(api, its)
    return Documents(doc, code, usage[told], api[told], file[told])


def train(
    questions: Sequence[Question],
    documents: Mapping[str, Documents],
    weights: Path,
    out: Path,
    recipe: Recipe,
    progress: Progress,
    stop_after: int | None = None,
) -> Path:
    """Fine-tune the float encoder in the folder `weights`; a folder of the same shape, in `out`.

    Goes on from the checkpoint in `out` if it is one of the same training. `stop_after` so many steps it ends
    with a checkpoint. Raises ValueError where there is nothing to learn from.
    """
    import torch
    from transformers import BertModel, PreTrainedTokenizerFast

    if not questions:
        raise ValueError("there is no call to learn from")
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = BertModel.from_pretrained(weights, add_pooling_layer=False, attn_implementation="eager").train()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(weights / "tokenizer.json"), pad_token="[PAD]")
    freeze(model, recipe.frozen)
    tensors = {project: _tensors(each) for project, each in documents.items()}

    def losses(batch: Sequence[Question]) -> Iterator[Tensor]:
        vectors = _encode(model, tokenizer, [question.text for question in batch], recipe.tokens)
        by_project: dict[str, list[int]] = {}
        for row, question in enumerate(batch):
            by_project.setdefault(question.project, []).append(row)
        parts = [
            loss(vectors[rows], [batch[i] for i in rows], tensors[project], recipe.temperature)
            for project, rows in by_project.items()
        ]
        yield torch.cat(parts).mean()

    moving = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(moving, lr=recipe.rate, weight_decay=0.01)
    arrays = (array for project in documents for array in documents[project].arrays)
    fingerprint = fingerprint_of(recipe, weights, *questions, *documents, *arrays)
    steps = batches(questions, lambda question: len(question.text), recipe.batch, recipe.epochs, recipe.seed)
    run_steps(steps, losses, {"model": model}, optimizer, Place(out, fingerprint), progress, stop_after)
    return _write_weights(model, weights, out)


def loss(
    vectors: Tensor, questions: Sequence[Question], documents: Sequence[Tensor], temperature: float
) -> Tensor:
    """[n] of the vectors [n, d] of a project's questions: how far each is from picking its API's
    documentation, code, and any usage.

    `documents`: as in `Documents`, in its order.
    """
    import torch

    doc, code, usage, usage_api, usage_file = documents
    apis = torch.tensor([question.api for question in questions])
    total = vectors.new_zeros(len(questions))
    for rows in (doc, code):
        scores = vectors @ rows.T / temperature
        total = total + torch.logsumexp(scores, 1) - scores.gather(1, apis[:, None])[:, 0]
    files = [torch.tensor(question.files, dtype=usage_file.dtype) for question in questions]
    seen = ~torch.stack([torch.isin(usage_file, own) for own in files])
    right = seen & (usage_api == apis[:, None])
    used = right.any(1)
    if used.any():  # of what is used nowhere else the logarithm below is none
        scores = vectors[used] @ usage.T / temperature
        every, its = (torch.logsumexp(scores.where(mask[used], -torch.inf), 1) for mask in (seen, right))
        total = total.index_add(0, used.nonzero()[:, 0], every - its)
    return total


def _tensors(documents: Documents) -> tuple[Tensor, ...]:
    import torch

    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in documents.arrays)


def _encode(model: Any, tokenizer: Any, texts: Sequence[str], tokens: int) -> Tensor:
    """[n, d]: the mean over the tokens, of length 1, as the exported graph makes it."""
    import torch

    inputs = tokenizer(list(texts), padding=True, truncation=True, max_length=tokens, return_tensors="pt")
    mask = inputs["attention_mask"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = model(input_ids=inputs["input_ids"], attention_mask=mask).last_hidden_state
    means = (states.float() * mask[:, :, None]).sum(1)
    vectors: Tensor = torch.nn.functional.normalize(means, dim=-1)
    return vectors


def mean_weights(folders: Sequence[Path], out: Path) -> Path:
    """The folder `out` with the mean of the weights of several trainings that began alike."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folders[0], out, dirs_exist_ok=True)
    for file in sorted(path.name for path in out.glob("*.safetensors")):
        every = [load_file(folder / file) for folder in folders]
        mean = {name: sum(each[name] for each in every) / len(every) for name in every[0]}
        with writing(out / file):
            save_file(mean, out / file, metadata={"format": "pt"})
    return out


def _write_weights(model: Any, weights: Path, out: Path) -> Path:
    made = out / "weights"
    made.mkdir(exist_ok=True)
    with writing(made):
        model.save_pretrained(made)
    for name in ("tokenizer.json", "config.json"):
        shutil.copyfile(weights / name, made / name)
    return made
