"""Train the compact cross-encoder: supervised (SFT), then by reinforcement (GRPO).

It begins as the sentence encoder it is made of: query and document go through the layers together, and the
score is the product of their two means, weighed by dimension, plus what the first token says. At the
start that is their similarity, and not chance. What the retriever already knows is not learned again: its
score, where a triple has it, is added before the loss, as it is when the server ranks.

Objectives over the candidates of a question, of which the first is the right one:
- "pointwise": binary cross-entropy of each score (Nogueira and Cho, 2019), the retriever's left out.
- "listwise": cross-entropy of a softmax over the list (ListNet's top-one probability; Cao et al., 2007).
- "grpo": group relative policy optimization (Shao et al., 2024). The policy picks one of the list, by the
  softmax of the scores; the reward is 1 where it picks the right one, and the advantage how many standard
  deviations that is above the mean of its group. Unlike there: an action is one choice and not a text; the
  divergence from the model it began as is summed over the list and not estimated from the samples; each group
  is used for one step, so that no ratio needs to be clipped.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .candidates import NEGATIVES
from .progress import Progress
from .train_fusion import Ranks, rank_at, top
from .train_loop import Place, batches, fingerprint_of, freeze, run_steps, writing
from .triples import Triple, longest

if TYPE_CHECKING:
    from torch import Tensor

Objective = Literal["pointwise", "listwise", "grpo"]
HEAD = "head.safetensors"
START_SCALE = 5.0  # of the similarity: as wide as the scores of the fusion differ
HEAD_RATE = 20  # times the rate of the layers: it is one row of weights
REACH = NEGATIVES  # others that a list holds; the server reads pipeline.RERANK_DEPTH


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training depends on, but for its data."""

    objective: Objective = "listwise"
    epochs: int = 1
    batch: int = 4  # questions
    documents: int = 8  # of a question
    rate: float = 5e-5  # the highest
    tokens: int = 192  # of a pair
    frozen: int = 2  # of the six layers, from below; the token embeddings always are
    group: int = 32  # choices for each question (grpo)
    divergence: float = 0.05  # weight of the divergence from the model it began as (grpo)
    dropout: bool = True  # while supervised; without it attention is one kernel
    seed: int = 0


def train(
    triples: Sequence[Triple],
    weights: Path,
    out: Path,
    recipe: Recipe,
    progress: Progress,
    stop_after: int | None = None,
) -> Path:
    """Train from the folder `weights`, a sentence encoder or a cross-encoder; the folder of what came of it.

    It lies in `out`. Goes on from the checkpoint there if it is one of the same training. `stop_after` so
    many steps it ends with a checkpoint. Raises ValueError where there is nothing to learn from.
    """
    import torch

    if not triples:
        raise ValueError("there is no list of candidates to learn from")
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model, reader = CrossEncoder.load(weights, sdpa=not recipe.dropout), None
    if recipe.objective == "grpo":
        reader = CrossEncoder.load(weights, model.sdpa)
        take_first_layers(reader.bert, model.bert, recipe.frozen)
    freeze(model.bert, recipe.frozen)
    is_varied = recipe.dropout and recipe.objective != "grpo"  # where chance enters by the choices alone
    model.bert.train(is_varied)

    def losses(batch: Sequence[Triple]) -> Iterator[Tensor]:
        lists = [drawn_list(triple, recipe.documents, recipe.seed) for triple in batch]
        scores = model.score(lists, recipe.tokens)
        start = _without_gradient(reader, lists, recipe.tokens)
        yield torch.stack(
            [
                _loss(each, began, triple, recipe)
                for each, began, triple in zip(scores, start, lists, strict=True)
            ]
        ).mean()

    moving = [weight for weight in model.bert.parameters() if weight.requires_grad]
    groups = [{"params": moving, "lr": recipe.rate}, {"params": [model.head], "lr": recipe.rate * HEAD_RATE}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    fingerprint = fingerprint_of(recipe, weights, HEAD_RATE, START_SCALE, *triples)
    steps = batches(triples, longest, recipe.batch, recipe.epochs, recipe.seed)
    modules = {"bert": model.bert, "head": _Weights(model.head)}
    run_steps(steps, losses, modules, optimizer, Place(out, fingerprint), progress, stop_after)
    return model.save(weights, out / "weights")


def top_of_lists(ranks: Ranks) -> dict[int, float]:
    """Percent of the ranks among the first 1, 5: a list holds few more."""
    return {k: share for k, share in top(ranks).items() if k <= REACH}


def ranks_of(score: Callable[[Triple], NDArray[Any]], triples: Sequence[Triple]) -> NDArray[np.int64]:
    """The rank [n] of the right one in its list, by retriever and `score` together; 0 where out of reach."""
    return np.array([_rank(triple, score(triple)) for triple in triples], np.int64)


def ranks_with(
    weights: Path, triples: Sequence[Triple], tokens: int, progress: Progress, sdpa: bool = False
) -> NDArray[np.int64]:
    """The same by the retriever and the weights in a folder."""
    model, done = CrossEncoder.load(weights, sdpa), count()

    def reads(triple: Triple) -> NDArray[np.float32]:
        progress("measuring", next(done), len(triples))
        return model.reads(triple, tokens)

    return ranks_of(reads, triples)


def ranks_before(triples: Sequence[Triple]) -> NDArray[np.int64]:
    """The same by the retriever alone."""
    return ranks_of(lambda triple: np.zeros(1 + len(triple.negatives)), triples)


def _rank(triple: Triple, scores: NDArray[Any]) -> int:
    totals = scores + np.array(triple.priors or [0.0] * len(scores))
    return rank_at(totals, 0) if is_within_reach(triple) else 0


def is_within_reach(triple: Triple) -> bool:
    """Whether the retriever had put the right one among those that the list holds."""
    return not triple.priors or sum(prior > triple.priors[0] for prior in triple.priors[1:]) < REACH


@dataclass(frozen=True, slots=True)
class CrossEncoder:
    """A BERT model, the weights [2d] of its score, and its tokenizer."""

    bert: Any
    head: Any
    tokenizer: Any
    sdpa: bool = False

    @classmethod
    def load(cls, weights: Path, sdpa: bool = False) -> CrossEncoder:
        """From a folder that `save` has written, or of a sentence encoder.

        `sdpa`: attention in one kernel and single precision, which is faster where there is no dropout;
        else eager and in mixed precision, as what ships was trained.
        """
        import torch
        from safetensors.torch import load_file
        from transformers import BertModel, PreTrainedTokenizerFast

        attention = "sdpa" if sdpa else "eager"
        bert = BertModel.from_pretrained(weights, add_pooling_layer=False, attn_implementation=attention)
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(weights / "tokenizer.json"),
            pad_token="[PAD]",
            model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        )
        width = bert.config.hidden_size
        head = torch.cat([torch.full((width,), START_SCALE), torch.zeros(width)])
        if (weights / HEAD).is_file():
            head = load_file(weights / HEAD)["head"]
        return cls(bert.eval(), torch.nn.Parameter(head), tokenizer, sdpa)

    def save(self, base: Path, out: Path) -> Path:
        """Write a folder that `load` reads; what is not weights comes from the folder `base`."""
        from safetensors.torch import save_file

        out.mkdir(exist_ok=True)
        with writing(out):
            self.bert.save_pretrained(out)
            save_file({"head": self.head.detach()}, out / HEAD)
        for name in ("tokenizer.json", "config.json"):
            shutil.copyfile(base / name, out / name)
        return out

    def reads(self, triple: Triple, tokens: int) -> NDArray[np.float32]:
        """Scores [documents] of a list, the right one first, without gradients."""
        import torch

        with torch.inference_mode():
            scores: NDArray[np.float32] = self.score([triple], tokens)[0].numpy()
        return scores

    def score(self, lists: Sequence[Triple], tokens: int) -> list[Tensor]:
        """Scores [documents] of each list, the right one first."""
        import torch

        documents = [(t.positive, *t.negatives) for t in lists]
        queries = [t.query for t, texts in zip(lists, documents, strict=True) for _ in texts]
        inputs = self.tokenizer(
            queries,
            [text for texts in documents for text in texts],
            padding=True,
            truncation="longest_first",
            max_length=tokens,
            return_tensors="pt",
        )
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not self.sdpa):
            states = self.bert(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            ).last_hidden_state
        parts = self.head.chunk(2)
        scores = score_of(states.float(), inputs["attention_mask"], inputs["token_type_ids"], *parts)
        return list(scores.split([len(texts) for texts in documents]))


def score_of(states: Tensor, mask: Tensor, types: Tensor, likeness: Tensor, first: Tensor) -> Tensor:
    """Scores [n] of pairs by the states [n, tokens, d] of their tokens; `types` is 1 in the document.

    `likeness` [d] weighs the product of both means, `first` [d] the state of the first token.
    """
    import torch

    means = []
    for part in (mask * (1 - types), mask * types):
        means.append(torch.nn.functional.normalize((states * part[:, :, None]).sum(1), dim=-1))
    # Summed and not multiplied as a matrix, which would be quantized to 8 bits.
    return (means[0] * means[1] * likeness).sum(1) + (states[:, 0] * first).sum(1)


@dataclass(frozen=True, slots=True)
class _Weights:
    """A tensor as a part of a checkpoint."""

    tensor: Any

    def state_dict(self) -> dict[str, Tensor]:
        return {"tensor": self.tensor.detach()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.tensor.data.copy_(state["tensor"])


def drawn_list(triple: Triple, documents: int, seed: int) -> Triple:
    """A list of so many documents: half of it are the retriever's first negatives, the others drawn."""
    hardest, wanted = documents // 2, documents - 1
    numbers = list(range(len(triple.negatives)))
    rest = numbers[hardest:]
    rng = random.Random(f"{seed} {triple.query}")
    kept = numbers[:hardest] + rng.sample(rest, min(len(rest), wanted - hardest))
    priors = triple.priors and (triple.priors[0], *(triple.priors[1 + i] for i in kept))
    return Triple(triple.query, triple.positive, tuple(triple.negatives[i] for i in kept), priors)


def take_first_layers(reader: Any, bert: Any, layers: int) -> None:
    """`reader`, a BERT model, goes on from the states that `bert` had after so many layers when it last read.

    Both have the same weights there, so they are run once for both.
    """
    import torch

    if not layers:
        return

    taken: dict[str, Any] = {}

    def keep(_: Any, __: Any, states: Any) -> None:
        taken["states"] = states

    bert.encoder.layer[layers - 1].register_forward_hook(keep)
    first, *others = reader.encoder.layer
    first.forward = lambda *_, **__: taken["states"]
    reader.encoder.layer = torch.nn.ModuleList([first, *others[layers - 1 :]])


def _without_gradient(
    reader: CrossEncoder | None, lists: Sequence[Triple], tokens: int
) -> Sequence[Tensor | None]:
    import torch

    if reader is None:
        return [None] * len(lists)
    with torch.no_grad():
        return reader.score(lists, tokens)


def _loss(scores: Tensor, start: Tensor | None, triple: Triple, recipe: Recipe) -> Tensor:
    """Of one list: scores [n], and those of the model it began as where the objective wants them."""
    import torch

    if recipe.objective != "grpo":
        return list_loss(scores, triple, recipe.objective)
    assert start is not None
    prior = torch.tensor(triple.priors or [0.0] * len(scores))
    policy, began = (torch.log_softmax(each + prior, 0) for each in (scores, start))
    divergence = (policy.exp() * (policy - began)).sum()
    return policy_loss(policy, recipe.group) + recipe.divergence * divergence


def list_loss(scores: Tensor, triple: Triple, objective: Objective) -> Tensor:
    """The supervised loss of a list by its scores [documents], the right document first."""
    import torch

    if objective == "pointwise":
        right = torch.zeros_like(scores)
        right[0] = 1.0
        return torch.nn.functional.binary_cross_entropy_with_logits(scores, right)
    prior = torch.tensor(triple.priors or [0.0] * len(scores), device=scores.device)
    return -torch.log_softmax(scores + prior, 0)[0]


def policy_loss(policy: Tensor, group: int) -> Tensor:
    """Of a group of choices by the policy's logarithms [n]: what raises those with an advantage."""
    import torch

    choices = torch.multinomial(policy.detach().exp(), group, replacement=True)
    rewards = reward(choices)
    advantages = (rewards - rewards.mean()) / (rewards.std(correction=0) + 1e-6)
    return -(advantages * policy[choices]).mean()


def reward(choices: Tensor) -> Tensor:
    """1 for each choice of the API that was needed, which stands first."""
    return (choices == 0).float()
