"""Train a causal yes/no reranker (the Qwen3 or Llama family): supervised (SFT), then by reinforcement (GRPO).

On one device or several: every process that accelerate or torchrun starts takes its part of each batch, and
the first one writes. A list of candidates is one text that holds the query once; a batch is several lists
whose gradients are added up before a step. What learns is the whole model, or low-rank matrices beside its
projections (LoRA, arXiv 2106.09685) that are added to the weights at the end. Needs the extra [train].

    torchrun --nproc-per-node 4 --no-python deepcodeseek train reranker --base DIR --corpora DIR --out DIR

Objectives, by the difference s of the logits of yes and no at the last position:

- listwise: cross entropy of the right document among its list, by s plus the retriever's score;
- pointwise: binary cross entropy of sigmoid(s), softmax over the two logits, as Qwen3-Reranker learns;
- grpo (arXiv 2402.03300): a group of answers to each document is drawn from that softmax, an answer's reward
  is 1 where it is right, its advantage how far that is above the mean of its group, in standard deviations.
  Unlike there the divergence from the model it began as is summed over both answers, not estimated, and each
  group is used for one step, so that no ratio needs to be clipped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .export_causal import CausalModel
from .progress import Progress
from .train_loop import Place, Processes, batches, fingerprint_of, run_steps
from .train_reranker import Objective, drawn_list, list_loss
from .triples import Triple, longest

if TYPE_CHECKING:
    from torch import Tensor

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
COPIED = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training depends on, but for its data."""

    objective: Objective = "listwise"
    epochs: int = 1
    batch: int = 8  # lists whose gradients are added up
    documents: int = 8  # of a list
    rate: float = 1e-4  # the highest
    lora: int = 16  # rank; 0: all weights learn
    group: int = 16  # answers to a document (grpo)
    divergence: float = 0.05  # weight of the divergence from the model it began as (grpo)
    seed: int = 0


def train_causal(
    triples: Sequence[Triple],
    base: Path,
    out: Path,
    recipe: Recipe,
    progress: Progress,
    stop_after: int | None = None,
) -> Path:
    """Train from the Hugging Face folder `base`; a folder of the same shape, in `out`.

    Goes on from the checkpoint there if it is one of the same training. `stop_after` so many steps it ends
    with a checkpoint. Raises ValueError where there is nothing to learn from, or no such model.
    """
    import torch
    from accelerate import Accelerator

    if not triples:
        raise ValueError("there is no list of candidates to learn from")
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    accelerator = Accelerator(mixed_precision="bf16")
    checkpoint = CausalModel.load(base)
    model = _learning(checkpoint.model.float(), recipe)
    began = CausalModel.load(base).model.to(accelerator.device) if recipe.objective == "grpo" else None
    moving = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(moving, lr=recipe.rate, weight_decay=0.01)
    scorer, optimizer = accelerator.prepare(_scorer(model, checkpoint), optimizer)
    reader = _scorer(began, checkpoint)

    def losses(batch: Sequence[Triple]) -> Iterator[Tensor]:
        mine = share_of(batch, accelerator.process_index, accelerator.num_processes)
        for triple in (drawn_list(each, recipe.documents, recipe.seed) for each in mine):
            inputs = inputs_of(checkpoint, triple, accelerator.device)
            start = None
            if began is not None:
                with torch.no_grad():
                    start = reader(*inputs)
            yield _loss(scorer(*inputs), start, triple, recipe) / len(mine)

    fingerprint = fingerprint_of(recipe, base, *triples)
    steps = batches(triples, longest, recipe.batch, recipe.epochs, recipe.seed)
    processes = Processes(accelerator.backward, accelerator.is_main_process)
    modules = {"moving": Moving(model)}
    run_steps(steps, losses, modules, optimizer, Place(out, fingerprint), progress, stop_after, processes)
    if accelerator.is_main_process:
        _save(model, base, out / "weights")
    accelerator.wait_for_everyone()
    return out / "weights"


def causal_scores(folder: Path) -> Callable[[Triple], Any]:
    """What a checkpoint says of each document of a list [documents], the right one first."""
    import torch

    checkpoint = CausalModel.load(folder)
    scorer = _scorer(checkpoint.model, checkpoint)

    def scores(triple: Triple) -> Any:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            return scorer(*inputs_of(checkpoint, triple, "cpu")).float().numpy()

    return scores


def share_of(batch: Sequence[Triple], process: int, processes: int) -> list[Triple]:
    """The part of a process: as many for each, or the processes would wait for one another for ever."""
    most = -(-len(batch) // processes)
    return [batch[(process * most + at) % len(batch)] for at in range(most)]


def inputs_of(checkpoint: CausalModel, triple: Triple, device: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A list as one text: its query, then every document, each of which sees the query and itself alone.

    Token ids and positions [1, tokens], who sees whom [1, 1, tokens, tokens], and where each document ends
    [documents]. The query is the greater part of a prompt, and read once this way.
    """
    import torch

    query = checkpoint.prompts.query(triple.query)
    documents = checkpoint.prompts.documents((triple.positive, *triple.negatives))
    ids = torch.tensor([*query, *chain.from_iterable(documents)])
    owner = torch.tensor([-1] * len(query) + [n for n, each in enumerate(documents) for _ in each])
    places = [*range(len(query)), *(len(query) + at for each in documents for at in range(len(each)))]
    sees = ((owner[:, None] == owner) | (owner == -1)).tril()
    ends = torch.tensor(list(accumulate(map(len, documents)))) + len(query) - 1
    positions = torch.tensor(places)
    tensors = (ids[None], positions[None], sees[None, None], ends)
    ids, positions, sees, ends = (tensor.to(device) for tensor in tensors)
    return ids, positions, sees, ends


@dataclass(frozen=True, slots=True)
class Moving:
    """The weights of a model that learn, as a part of a checkpoint."""

    model: Any

    def state_dict(self) -> dict[str, Tensor]:
        return {name: weight.detach() for name, weight in self._weights()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, weight in self._weights():
            weight.data.copy_(state[name])

    def _weights(self) -> Iterator[tuple[str, Any]]:
        return ((name, weight) for name, weight in self.model.named_parameters() if weight.requires_grad)


def _learning(model: Any, recipe: Recipe) -> Any:
    """The model with low-rank matrices that learn, or as it is where all of it does."""
    if not recipe.lora:
        return model
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=recipe.lora, lora_alpha=2 * recipe.lora, target_modules=list(PROJECTIONS), task_type="CAUSAL_LM"
    )
    return get_peft_model(model, config)


def _scorer(model: Any, checkpoint: CausalModel) -> Any:
    """A module: what `inputs_of` makes of a list to the differences [documents] of the two logits.

    Of the head only two rows are multiplied, and only where documents end: the rest of the vocabulary would
    cost a third of the time.
    """
    import torch

    if model is None:
        return None

    class YesNo(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self, ids: torch.Tensor, positions: torch.Tensor, sees: torch.Tensor, ends: torch.Tensor
        ) -> torch.Tensor:
            causal = model.get_base_model() if hasattr(model, "get_base_model") else model
            states = causal.model(
                input_ids=ids, position_ids=positions, attention_mask=sees, use_cache=False
            ).last_hidden_state
            rows = causal.get_output_embeddings().weight
            return states[0, ends].float() @ (rows[checkpoint.yes] - rows[checkpoint.no]).float()

    return YesNo()


def _loss(scores: Tensor, start: Tensor | None, triple: Triple, recipe: Recipe) -> Tensor:
    """Of one list, by its scores [documents] and, for grpo, those of the model it began as."""
    import torch

    if recipe.objective != "grpo":
        return list_loss(scores, triple, recipe.objective)
    assert start is not None
    right = torch.zeros_like(scores)
    right[0] = 1.0
    began = torch.nn.functional.logsigmoid(torch.stack([start, -start]))
    policy = torch.nn.functional.logsigmoid(torch.stack([scores, -scores]))
    divergence = (policy.exp() * (policy - began)).sum(0).mean()
    return answers_loss(scores, right, recipe.group) + recipe.divergence * divergence


def answers_loss(scores: Tensor, right: Tensor, group: int) -> Tensor:
    """Of drawn answers to documents [n]: what raises those with an advantage. `right` is 1 where yes is."""
    import torch

    answers = torch.bernoulli(torch.sigmoid(scores.detach()).expand(group, -1))
    rewards = reward(answers, right)
    advantages = (rewards - rewards.mean(0)) / (rewards.std(0, correction=0) + 1e-6)
    chances = torch.nn.functional.logsigmoid(torch.where(answers > 0, scores, -scores))
    return -(advantages * chances).mean()


def reward(answers: Tensor, right: Tensor) -> Tensor:
    """1 for each answer [group, n] that is right: yes to the API that was needed, no to any other."""
    return (answers == right).float()


def _save(model: Any, base: Path, out: Path) -> None:
    """Write a Hugging Face folder, what was learned beside the weights added to them."""
    import torch

    whole = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    out.mkdir(parents=True, exist_ok=True)
    whole.to(torch.bfloat16).save_pretrained(out)
    for name in COPIED:
        if (base / name).is_file():
            shutil.copyfile(base / name, out / name)
