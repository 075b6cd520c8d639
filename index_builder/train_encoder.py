"""Contrastive fine-tuning of the encoder: a question near to what answers it, far from what answers others.

InfoNCE over in-batch negatives (van den Oord et al., 2018; Karpukhin et al., 2020). A batch comes from one
project, so that its negatives are of the kind that a real index offers; texts of the same API are never
negatives of each other. Deviations from the textbook: each question has one text of each sort (documentation
or code, a known usage) and both losses are added; the temperature is fixed.

A checkpoint holds everything that the next step depends on: a training that was cut short goes on from it, to
the same weights bit for bit (on the same processor, with the same number of threads).
"""

from __future__ import annotations

import json
import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .pairs import Pair

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT = "checkpoint.pt"
CURVE = "curve.jsonl"
SAVE_SECONDS_STEPS = 50  # steps between two checkpoints

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training depends on, but for its data."""

    epochs: int = 1
    batch: int = 32
    rate: float = 3e-5  # the highest, after a tenth of the steps; it then falls to nothing
    temperature: float = 0.05
    tokens: int = 192  # of a text; longer ones are cut
    seed: int = 0
    per_target: int = 8  # pairs of an API in an epoch: a class called everywhere must not fill the batches


def train(
    pairs: Sequence[Pair],
    weights: Path,
    out: Path,
    recipe: Recipe,
    progress: Progress,
    stop_after: int | None = None,
) -> Path:
    """Fine-tune the float encoder in the folder `weights`; the folder of the best weights, in `out`.

    Goes on from the checkpoint in `out` if there is one of the same recipe and data. `stop_after` ends it
    after so many steps, with a checkpoint. Raises ValueError where there is nothing to learn from.
    """
    import torch
    from transformers import BertModel, BertTokenizerFast

    steps = list(batches(pairs, recipe))
    if not steps:
        raise ValueError("no project has two APIs with a call each: there is nothing to learn from")
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = BertModel.from_pretrained(weights, add_pooling_layer=False, attn_implementation="eager")
    tokenizer = BertTokenizerFast(
        tokenizer_file=str(weights / "tokenizer.json"), model_max_length=recipe.tokens
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=0.01)
    warm = max(1, len(steps) // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (len(steps) - step) / max(1, len(steps) - warm))
    )
    state = {"model": model, "optimizer": optimizer, "schedule": schedule}
    fingerprint = json.dumps([asdict(recipe), len(pairs), len(steps)])
    first = _resume(out / CHECKPOINT, state, fingerprint)
    model.train()
    for number in range(first, len(steps)):
        progress("training", number, len(steps))
        batch = steps[number]
        loss = contrastive_loss(*_vectors(model, tokenizer, batch, recipe, number), _same(batch), recipe)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with (out / CURVE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": number, "loss": round(loss.item(), 4)}) + "\n")
        is_last = number + 1 in (len(steps), stop_after)
        if is_last or (number + 1) % SAVE_SECONDS_STEPS == 0:
            _save(out / CHECKPOINT, state, fingerprint, number + 1)
        if number + 1 == stop_after:
            break
    return _write_weights(model, weights, out)


def batches(pairs: Sequence[Pair], recipe: Recipe) -> Iterator[list[Pair]]:
    """All epochs' batches, each of one project and with as many targets as pairs, in an order by seed."""
    for epoch in range(recipe.epochs):
        rng = random.Random(f"{recipe.seed} {epoch}")
        made = []
        for members in _by_project(pairs).values():
            queues = _by_target(members, recipe.per_target, rng)
            while len(queues) > 1:
                targets = sorted(queues, key=lambda target: (-len(queues[target]), target))
                chosen = rng.sample(targets, min(recipe.batch, len(targets)))
                made.append([queues[target].pop() for target in chosen])
                queues = {target: queue for target, queue in queues.items() if queue}
        rng.shuffle(made)
        yield from (batch for batch in made if len(batch) > recipe.batch // 4 or len(made) < 4)


def _by_project(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    projects: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        projects[pair.project].append(pair)
    return dict(sorted(projects.items()))


def _by_target(pairs: Sequence[Pair], most: int, rng: random.Random) -> dict[str, list[Pair]]:
    queues: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in rng.sample(list(pairs), len(pairs)):
        if len(queues[pair.target]) < most:
            queues[pair.target].append(pair)
    return dict(queues)


def contrastive_loss(queries: Tensor, answers: Sequence[Tensor], same: Tensor, recipe: Recipe) -> Tensor:
    """Cross-entropy of each question [n, d] picking its own row of each `answers` [n, d].

    Unit vectors; `same` [n, n] is true where two rows have the same API and must not repel each other.
    """
    import torch
    from torch.nn.functional import cross_entropy

    n = len(queries)
    wanted = torch.arange(n)
    hidden = same & ~torch.eye(n, dtype=torch.bool)
    losses = [
        cross_entropy((queries @ rows.T / recipe.temperature).masked_fill(hidden, -1e4), wanted)
        for rows in answers
    ]
    return torch.stack(losses).sum()


def _vectors(
    model: Any, tokenizer: Any, batch: Sequence[Pair], recipe: Recipe, number: int
) -> tuple[Tensor, list[Tensor]]:
    """Unit vectors of the questions, and of one document and one usage each; a document where no usage is."""
    rng = random.Random(f"{recipe.seed} {number}")
    documents = [rng.choice(pair.documents) for pair in batch]
    others = [rng.choice(pair.usages or pair.documents) for pair in batch]
    queries = _encode(model, tokenizer, [pair.query for pair in batch])
    return queries, [_encode(model, tokenizer, documents), _encode(model, tokenizer, others)]


def _encode(model: Any, tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """[n, d]: the mean over the tokens, of length 1, as the exported graph makes it."""
    import torch

    inputs = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=torch.backends.mkldnn.is_available()):
        states = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"][:, :, None].float()
    vectors: Tensor = torch.nn.functional.normalize((states.float() * mask).sum(1), dim=-1)
    return vectors


def _same(batch: Sequence[Pair]) -> Tensor:
    import torch

    return torch.tensor([[a.target == b.target for b in batch] for a in batch])


# Checkpoints


def _save(path: Path, state: dict[str, Any], fingerprint: str, step: int) -> None:
    import torch

    part = path.with_suffix(".part")
    content = {name: each.state_dict() for name, each in state.items()}
    torch.save({**content, "rng": torch.get_rng_state(), "fingerprint": fingerprint, "step": step}, part)
    part.replace(path)


def _resume(path: Path, state: dict[str, Any], fingerprint: str) -> int:
    """The step to go on with: 0 where there is no checkpoint of this training."""
    import torch

    if not path.is_file():
        return 0
    content = torch.load(path, weights_only=True)
    if content["fingerprint"] != fingerprint:
        return 0
    for name, each in state.items():
        each.load_state_dict(content[name])
    torch.set_rng_state(content["rng"])
    return int(content["step"])


def _write_weights(model: Any, weights: Path, out: Path) -> Path:
    made = out / "weights"
    made.mkdir(exist_ok=True)
    model.save_pretrained(made, safe_serialization=True)
    for name in ("tokenizer.json", "config.json"):
        shutil.copyfile(weights / name, made / name)
    return made
