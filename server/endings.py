"""Where what a generator writes is whole: a statement of JavaScript, or a sentence."""

from __future__ import annotations

import re

from .lexer import CONDITION, at_end, code_of, opening_of

_SENTENCE = re.compile(r"\S[^\n]*?(?:\.(?=\s)|(?=\n))")
_GOES_ON = re.compile(r"(?:[=*/%,.&|?:<>^!~]|(?<!\+)\+|(?<!-)-)\s*\Z")


def sentence_end(text: str) -> int:
    """Where the first sentence or line that holds anything ends, -1 where it does not."""
    found = _SENTENCE.search(text)
    return found.end() if found else -1


def statement_end(before: str, statement: str) -> int:
    """How much of `statement` is the statement that begins there, -1 where its end is not reached.

    It ends behind a semicolon, at a line end, or before a bracket that closes what was opened `before`.
    """
    text = before + statement
    code = code_of(text).text[len(before) :]
    depth = 0
    for at, character in enumerate(code):
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return at
        if depth == 0 and character == ";":
            return at + 1
        if depth == 0 and character == "\n" and _is_whole(code[:at]) and _is_code(text, len(before) + at):
            return at
    return -1


def _is_whole(code: str) -> bool:
    """Whether a line may end a statement: it holds code, and nothing that asks for more."""
    code = code.rstrip()
    if not code or _GOES_ON.search(code):
        return False
    opening = opening_of(code, len(code) - 1) if code.endswith(")") else -1
    return opening < 0 or at_end(CONDITION, code, opening) is None


def _is_code(text: str, at: int) -> bool:
    """Whether a line end stands in code: there are some in templates and comments."""
    return code_of(text[: at + 1]).state == "code"
