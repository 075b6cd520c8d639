"""Fine-tune the expander to write the statement that comes next: low-rank adapters (LoRA) over a GGUF model.

The weights of the GGUF file, as they are after its quantization, stay as they are; beside each matrix of the
layers two thin ones learn (Hu et al., 2021). What is learned from are mined calls: the prompt as the server
makes it, read by the model's own tokenizer, and behind it the statement, whose tokens alone are in the loss.
What comes of it is a GGUF adapter of a few megabytes, which llama.cpp adds to the file that it was made for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepcodeseek.server.engine import Engine
from deepcodeseek.server.text import expander_prompt

from .evaluate import Asked, context_of
from .export_adapter import Adapter, write_adapter
from .progress import Progress
from .train_loop import CHECKPOINT, Place, batches, fingerprint_of, run_steps

if TYPE_CHECKING:
    from torch import Tensor

PROMPT_TOKENS = 128  # of a lesson: more have lines that are very long
LAYERS = ("q_proj", "v_proj", "o_proj", "down_proj")
"""All seven kinds of matrices would take twice as much of the rate that prompts are read at (see LOG.md)."""

Tokenize = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training depends on, but for its data."""

    epochs: int = 1
    batch: int = 8  # lessons
    rate: float = 1e-3  # the highest
    rank: int = 8
    alpha: int = 16  # over the rank: how much the adapters count
    statement_tokens: int = 32  # of a statement, that are learned
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Lesson:
    """What stands before a call, and the statement that was written there."""

    prompt: tuple[int, ...]
    statement: tuple[int, ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        return self.prompt + self.statement


def lessons_of(
    engine: Engine, samples: Iterable[Mapping[str, Any]], tokenize: Tokenize, most: int
) -> list[Lesson]:
    """A lesson for each sample, its statement cut to `most` tokens."""
    made = []
    for sample in samples:
        context = context_of(engine, sample, Asked())
        statement = str(sample.get("code_middle") or "").strip()
        if context is not None and statement:
            prompt = tokenize(expander_prompt(context).text)[-PROMPT_TOKENS:]
            made.append(Lesson(tuple(prompt), tuple(tokenize(f"{statement}\n")[:most])))
    return made


def train(
    lessons: Sequence[Lesson],
    base: Path,
    out: Path,
    recipe: Recipe,
    progress: Progress,
    stop_after: int | None = None,
) -> Path:
    """Train over the GGUF file `base`; the file of the adapter, in `out`.

    Goes on from the checkpoint in `out` if it is one of the same training. `stop_after` so many steps it ends
    with a checkpoint. Raises ValueError where there is nothing to learn from.
    """
    import torch

    if not lessons:
        raise ValueError("there is no call to learn from")
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = load_base(base)
    adapters = add_adapters(model, recipe)
    optimizer = torch.optim.AdamW(list(adapters.weights.values()), lr=recipe.rate, weight_decay=0.0)
    fingerprint = fingerprint_of(recipe, base, *lessons)
    steps = batches(lessons, lambda lesson: len(lesson.tokens), recipe.batch, recipe.epochs, recipe.seed)
    modules = {"adapters": adapters}
    run_steps(
        steps,
        lambda batch: [loss_of(model, batch)],
        modules,
        optimizer,
        Place(out, fingerprint),
        progress,
        stop_after,
    )
    heads = (model.config.num_attention_heads, model.config.num_key_value_heads)
    return write_adapter(adapters.as_adapter(recipe.alpha), heads, out / "adapter.gguf")


def load_base(base: Path) -> Any:
    """The model of a GGUF file with its weights in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    return AutoModelForCausalLM.from_pretrained(
        base.parent,
        gguf_file=base.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )


def add_adapters(model: Any, recipe: Recipe) -> Adapters:
    """Put adapters that do nothing yet beside the matrices of a model's layers; nothing else learns."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=recipe.rank, lora_alpha=recipe.alpha, target_modules=list(LAYERS))
    inject_adapter_in_model(config, model)
    weights = {name: weight for name, weight in model.named_parameters() if "lora_" in name}
    for weight in weights.values():
        weight.data = weight.data.float()  # small steps are lost in bfloat16
    return Adapters(weights)


@dataclass(frozen=True, slots=True)
class Adapters:
    """All weights that learn, by their names in the model; a part of a checkpoint."""

    weights: dict[str, Any]

    def state_dict(self) -> dict[str, Tensor]:
        return {name: weight.detach() for name, weight in self.weights.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, weight in self.weights.items():
            weight.data.copy_(state[name])

    def as_adapter(self, alpha: float) -> Adapter:
        """Both matrices of each, without what the library puts into their names."""
        pairs: dict[str, Any] = {}
        for name, weight in self.weights.items():
            layer, _, part = name.removesuffix(".default.weight").rpartition(".lora_")
            pairs.setdefault(layer, {})[part] = weight.detach().numpy().astype(np.float32)
        return Adapter(alpha, {layer: (pair["A"], pair["B"]) for layer, pair in pairs.items()})


def loss_of(model: Any, lessons: Sequence[Lesson]) -> Tensor:
    """Mean over the tokens of the statements of how far they are from being written, in nats."""
    import torch

    longest = max(len(lesson.tokens) for lesson in lessons)
    # What is padded stands behind all that is read: no token sees it.
    rows = [lesson.tokens + (0,) * (longest - len(lesson.tokens)) for lesson in lessons]
    places = [
        (row, len(lesson.prompt) - 1 + number)
        for row, lesson in enumerate(lessons)
        for number in range(len(lesson.statement))
    ]
    states = model.model(input_ids=torch.tensor(rows)).last_hidden_state
    row, column = torch.tensor(places).T
    wanted = torch.tensor([token for lesson in lessons for token in lesson.statement])
    return torch.nn.functional.cross_entropy(model.lm_head(states[row, column]).float(), wanted)


def mean_loss(model: Any, lessons: Sequence[Lesson], batch: int) -> float:
    """`loss_of` without learning, over any number of lessons."""
    import torch

    with torch.inference_mode():
        ordered = sorted(lessons, key=lambda lesson: len(lesson.tokens))
        parts = [ordered[start : start + batch] for start in range(0, len(ordered), batch)]
        losses = [float(loss_of(model, part)) for part in parts]
    counts = [sum(len(lesson.statement) for lesson in part) for part in parts]
    return float(np.average(losses, weights=counts))


def restore(model: Any, trained: Path, recipe: Recipe) -> None:
    """Put the adapters of the last checkpoint in the folder `trained` beside a model's matrices."""
    import torch

    content = torch.load(trained / CHECKPOINT, weights_only=True)
    add_adapters(model, recipe).load_state_dict(content["adapters"])
