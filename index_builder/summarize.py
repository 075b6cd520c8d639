"""A sentence for each API that nobody documented, by the local GGUF model. Optional: it takes seconds an API.

What was written is kept by the content it was written for: a build that was cut short goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from deepcodeseek.server import text
from deepcodeseek.server.models import Generator, ModelProblem
from deepcodeseek.server.types import Api

from .cache import Cache, digest
from .progress import Progress

SUMMARY = "summary"
TOKENS = 40
TIMEOUT_MS = 30_000.0


def summarize(
    apis: Sequence[Api],
    generator: Generator,
    cache: Cache,
    progress: Progress,
    say: Callable[[str], None],
) -> tuple[Api, ...]:
    """The APIs, with a sentence before what was synthesized for those without written documentation.

    Where the generator fails, those that it came to have one, and `say` is told.
    """
    model, undocumented = generator.files.sha256, [api for api in apis if not api.doc]
    keys = {api.api_name: digest(model, text.summary_prompt(api).text) for api in undocumented}
    known = cache.get(SUMMARY, keys.values())
    missing = [api for api in undocumented if keys[api.api_name] not in known]
    for done, api in enumerate(missing):
        progress("summarizing", done, len(missing))
        try:
            written = generator.generate(text.summary_prompt(api), TOKENS, TIMEOUT_MS)
        except ModelProblem as problem:
            say(f"{len(missing) - done} APIs are left without a summary: {problem}")
            break
        known[keys[api.api_name]] = text.summary_sentence(written).encode()
        cache.put(SUMMARY, {keys[api.api_name]: known[keys[api.api_name]]})
    cache.keep_only(SUMMARY, keys.values())
    return tuple(_with_sentence(api, known.get(keys.get(api.api_name, b""), b"")) for api in apis)


def _with_sentence(api: Api, sentence: bytes) -> Api:
    if not sentence:
        return api
    return replace(api, synthesized=f"{sentence.decode()}\n{api.synthesized}".strip())
