"""Prompts as the tokens of a GGUF model: plain text, a turn of a chat, or text with a gap to fill in.

Which of them a model is made for, it says itself: its metadata hold the tokens around a gap and the template
of a chat. What a developer wrote is never read as special tokens, whatever stands in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .types import Prompt, PromptForm

PROMPT_TOKENS = 512  # the last ones are kept: they stand next to the cursor
AFTER_TOKENS = 96  # the first ones are kept, for the same reason
FENCE = "```javascript\n"

Tokenize = Callable[[str, bool], list[int]]
"""A text to tokens; special ones are read as such only where the second argument says so."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """Makes the prompts of one model, in the form wanted where the model can.

    Unless a form is wanted, models that have tokens for it fill in gaps, and all others go on behind plain
    text, which small ones do better than answer (see LOG.md).
    """

    tokenize: Tokenize
    begin: tuple[int, ...] = ()  # what every text of the model begins with
    gap: tuple[int, int, int] | None = None  # before the text, before what follows it, and for the gap
    turn: Callable[[str], str] | None = None  # a chat that says what is wanted, up to the answer
    wanted: str = "auto"  # or one of PromptForm

    def form_of(self, prompt: Prompt) -> PromptForm:
        """The form wanted, where model and prompt have what it takes."""
        if self.wanted in ("auto", "fim") and self.gap and prompt.after:
            return "fim"
        return "instruct" if self.wanted == "instruct" and self.turn and prompt.task else "plain"

    def tokens(self, prompt: Prompt) -> list[int]:
        """What the model reads; too long a text loses its beginning."""
        form = self.form_of(prompt)
        text = self.tokenize(prompt.text, False)[-PROMPT_TOKENS:]
        if form == "fim" and self.gap:
            before, after, gap = self.gap
            following = self.tokenize(prompt.after, False)[:AFTER_TOKENS]
            return [*self.begin, before, *text, after, *following, gap]
        if form == "instruct" and self.turn:
            # The answer is begun with the code: who may choose how to begin explains itself.
            return [*self.tokenize(self.turn(prompt.task), True), *self.tokenize(FENCE, False), *text]
        return [*self.begin, *text]
