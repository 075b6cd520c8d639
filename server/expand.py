"""Expand a context into hypothetical code: what could stand at the cursor, written by a local GGUF model."""

from __future__ import annotations

from .models import Generator, ModelProblem
from .text import expander_prompt, expansion_code
from .types import Context, ExpandedQuery


def expand(
    context: Context, generator: Generator | None, max_tokens: int, timeout_ms: float
) -> tuple[ExpandedQuery, str]:
    """The expanded query and a note; without a generator, or where it fails, the context as it is."""
    if generator is None:
        return ExpandedQuery(context), "no generator installed: run `deepcodeseek models get`"
    try:
        generated = generator.generate(expander_prompt(context), max_tokens, timeout_ms)
    except ModelProblem as problem:
        return ExpandedQuery(context), str(problem)
    code = expansion_code(generated)
    if not code:
        return ExpandedQuery(context), "nothing was generated"
    return ExpandedQuery(context, code, "llm"), " ".join(code.split())
