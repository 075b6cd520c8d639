"""Synthetic triples: calling contexts that nobody wrote, for APIs that somebody documented.

Templates write them, and a local generator some of a template's lines: half of what the documentation says of
an API becomes a caller's name and comment, its parameters become variables, and a real call of another API
stands beside it. Half, as callers seldom say all that the documentation says, and word for word. A context is
kept where it parses, does not tell the API by its name, and the retriever, which saw none of this, agrees by
a margin of places: it puts the API among its first AGREED candidates. Of one that does not lead there nothing
is learned.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from deepcodeseek.server.engine import Engine
from deepcodeseek.server.models import Generator
from deepcodeseek.server.text import lexical_tokens, method_heading
from deepcodeseek.server.types import Api, Method, Prompt

from .candidates import candidate_lists
from .evaluate import Asked
from .mine import tells
from .parse import TooSlow, parse
from .progress import Progress, silent
from .triples import Triple

TEMPLATES_VERSION = "2"
"""Changes whenever other contexts come of the same index: what was kept of an older one is written anew."""

AGREED = 8
CHUNK = 32  # contexts that are looked up together
ROUNDS = 60  # contexts of an API at most
WRITTEN_SHARE = 0.125  # of the contexts has lines of a generator, which takes 50 times as long
WRITTEN_TOKENS, WRITTEN_MS = 40, 5_000.0
SENTENCE_CHARS, BESIDE_CHARS = 120, 100
_VALUES = ("this.options.{}", "config.{}", "event.{}", "params.{}", "this._{}", "data.{}")
_NAME = re.compile(r"[A-Za-z_$][\w$]*\Z")


@dataclass(frozen=True, slots=True)
class Call:
    """What is called, and what its documentation says of it."""

    api: Api
    method: Method | None
    sentence: str


def synthetic_triples(
    engine: Engine, size: int, seed: int, progress: Progress, generator: Generator | None = None
) -> list[Triple]:
    """So many lists of candidates for contexts made up from an index; fewer where its documentation is soon
    used up."""
    made: list[Triple] = []
    samples = _samples(engine, seed, generator)
    while len(made) < size and (some := list(islice(samples, CHUNK))):
        lists = candidate_lists(engine, some, Asked(), silent)
        made += (triple for triple in lists if _is_agreed(triple))
        progress("writing contexts", min(len(made), size), size)
    return made[:size]


def documented_calls(engine: Engine) -> list[Call]:
    """Each API and each public method that has a sentence of its own."""
    calls = []
    for api_id in range(engine.index.count):
        api = engine.index.api(api_id)
        sentence = _sentence(api.doc)
        if sentence:
            calls.append(Call(api, None, sentence))
        for method in api.methods:
            heading = _sentence(method_heading(method)) if method.doc and not method.is_private else ""
            if heading:
                calls.append(Call(api, method, heading))
    return calls


def _samples(engine: Engine, seed: int, generator: Generator | None) -> Iterator[dict[str, Any]]:
    """Samples as mine.py makes them, round by round over all that is documented."""
    calls = documented_calls(engine)
    for turn in range(ROUNDS):
        rng = random.Random(f"{seed} {turn}")
        for number, call in enumerate(rng.sample(calls, len(calls))):
            sample = _sample(engine, call, rng, generator if rng.random() < WRITTEN_SHARE else None)
            if sample:
                yield {**sample, "id": f"{turn}-{number}"}


def _sample(
    engine: Engine, call: Call, rng: random.Random, generator: Generator | None
) -> dict[str, Any] | None:
    """A context, or None where it would tell the API or is no code."""
    name = call.api.name.rpartition(".")[2]
    words = _half(call.sentence.split(), rng)
    before = f"{_head(words, _params(call)[:2], rng)}\n{_lines(engine, call, rng)}"
    if generator:
        before += _written(generator, before)
    middle, after = _statement(call), f"\n{rng.choice(('', '    return result;'))}\n}}\n"
    if tells(before, (name,)) or not _parses(f"{before}    {middle}{after}"):
        return None
    return {
        "code_before": f"{before}    ",
        "code_middle": middle,
        "code_after": after,
        "target": call.api.api_name,
        "target_name": name,
        "record_name": " ".join(lexical_tokens(" ".join(words))[:3]),
    }


def _half(words: Sequence[str], rng: random.Random) -> list[str]:
    """Half of them, in their order."""
    return [words[i] for i in sorted(rng.sample(range(len(words)), (len(words) + 1) // 2))]


def _head(words: Sequence[str], params: Sequence[str], rng: random.Random) -> str:
    """A function whose purpose is that of the call: its name says it, and in half of them a comment."""
    named = [word for word in lexical_tokens(" ".join(words))[:3] if word.isascii()]
    name = (named[0] + "".join(word.capitalize() for word in named[1:])) if named else "run"
    purpose = " ".join(words)
    comment = rng.choice(("", "", f"// {purpose}\n", f"/**\n * {purpose}\n */\n"))
    return f"{comment}function {name}({', '.join(params)}) {{"


def _lines(engine: Engine, call: Call, rng: random.Random) -> str:
    """Variables by the names of parameters, and a real statement that calls another API."""
    given = _params(call)
    lines = [f"    var {name} = {rng.choice(_VALUES).format(name)};" for name in given[2:4]]
    beside = _beside(engine, call, rng)
    if beside:
        lines.insert(rng.randrange(len(lines) + 1), f"    {beside}")
    if given and rng.random() < 0.5:
        lines.append(f"    if (!{given[0]}) return;")
    return "".join(f"{line}\n" for line in lines)


def _beside(engine: Engine, call: Call, rng: random.Random) -> str:
    """One line with a call from a file that uses the API, or from any."""
    uses = engine.index.uses
    every = np.ones(len(uses.api), np.bool_)
    files = uses.files_of(call.api.id, every)
    near = np.flatnonzero(np.isin(engine.index.usages.file, files)) if len(files) else np.array([], np.int64)
    pool = near if len(near) and rng.random() < 0.7 else np.flatnonzero(engine.index.usages.live)
    if not len(pool):
        return ""
    usage = engine.index.usage(int(pool[rng.randrange(len(pool))]))
    statement = " ".join(usage.statement.split())
    is_plain = statement.endswith(";") and not statement.startswith("return")
    is_fit = is_plain and usage.api_id != call.api.id and len(statement) < BESIDE_CHARS
    return statement if is_fit else ""


def _written(generator: Generator, before: str) -> str:
    """The statement that a generator goes on with, where it comes to its end."""
    text = generator.generate(Prompt(f"{before}    ", "statement"), WRITTEN_TOKENS, WRITTEN_MS).strip()
    return f"    {text}\n" if text.endswith(";") else ""


def _statement(call: Call) -> str:
    name = call.api.name
    arguments = ", ".join(_params(call))
    if call.method is None:
        return f"{name}({arguments});" if call.api.kind == "function" else f"new {name}({arguments});"
    return f"{name}.{call.method.name}({arguments});"


def _params(call: Call) -> list[str]:
    params = call.method.params if call.method else call.api.params
    return [name for name in params if _NAME.match(name)]


def _sentence(doc: str) -> str:
    """The first sentence, without tags; "" where it says nothing."""
    text = " ".join(re.split(r"(?:^|\s)@\w", doc, maxsplit=1)[0].split())
    sentence = text.partition(". ")[0].rstrip(".")[:SENTENCE_CHARS].replace("*/", "")
    return sentence if len(lexical_tokens(sentence)) >= 3 else ""


def _parses(code: str) -> bool:
    try:
        return not parse(code.encode(errors="replace")).has_error
    except TooSlow:
        return False


def _is_agreed(triple: Triple) -> bool:
    return sum(prior > triple.priors[0] for prior in triple.priors[1:]) < AGREED


def sizes_of(corpora: int, size: int) -> Sequence[int]:
    """How many each of several corpora contributes."""
    return [size // corpora + (number < size % corpora) for number in range(corpora)]
