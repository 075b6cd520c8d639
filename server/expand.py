"""Expand a context by what a local GGUF model writes: hypothetical code at the cursor, or a description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from .models import Generator, ModelProblem
from .stop import Stop
from .text import description_prompt, description_sentence, expander_prompt, expansion_code
from .types import Context, ExpandedQuery, Prompt, QueryForm


def expand(
    context: Context,
    generator: Generator | None,
    max_tokens: int,
    timeout_ms: float,
    form: QueryForm = "code",
    stop: Stop | None = None,
) -> tuple[ExpandedQuery, str]:
    """The expanded query and a note; without a generator, or where it fails, the context as it is."""
    if generator is None:
        return ExpandedQuery(context), "no generator installed: run `deepcodeseek models get`"
    ask, read = _FORMS[form]
    try:
        generated = generator.generate(ask(context), max_tokens, timeout_ms, stop)
    except ModelProblem as problem:
        return ExpandedQuery(context), str(problem)
    code = read(generated)
    if not code:
        return ExpandedQuery(context), "nothing was generated"
    return ExpandedQuery(context, code, "llm"), " ".join(code.split())


_FORMS: Mapping[QueryForm, tuple[Callable[[Context], Prompt], Callable[[str], str]]] = MappingProxyType(
    {
        "code": (expander_prompt, expansion_code),
        "description": (description_prompt, description_sentence),
    }
)
"""Of each form, what is asked and what is taken of the answer."""
