"""Build an index: read, resolve, write a new generation, then name it `current`.

A generation is written under a name of its own and never touched again. Only when all its files and the
manifest with their hashes are on disk does `current` change, in one rename: a reader sees the old index or
the new one, whole, whatever happens in between. What a build works out is kept by content beside the
generations: the next one reads, parses and embeds what changed.
"""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from deepcodeseek.server import text
from deepcodeseek.server.models import Encoder, Generator
from deepcodeseek.server.places import module_name
from deepcodeseek.server.types import Api

from .atomic import alone
from .cache import Cache, digest
from .database import Content, Options, Usage, api_terms
from .extract import Extracted
from .generations import make_current, new_generation, remember_source, unless_equal
from .graph import Names, find_exports, resolve_calls, unique_apis, with_tails
from .layers import Base
from .packages import INSTALLED
from .parts import Part, read_parts
from .progress import Progress
from .scripts import Problem
from .summarize import summarize
from .synthesize import with_example
from .write import write_generation

NO_OPTIONS = Options()
LOCK = "build.lock"
EXAMPLE_CHARS = 20  # of a call: shorter ones show nothing
MAX_USAGES = 500
"""Of one API that are kept, spread evenly: a class that is called everywhere is told by fewer."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a build made and what it could not read."""

    generation: str
    files: int
    apis: int
    methods: int
    usages: int
    seconds: float
    problems: tuple[Problem, ...]
    skipped: Mapping[str, int]  # reason -> scripts left out on purpose


def build_index(
    workspace: Path,
    out: Path,
    encoder: Encoder,
    progress: Progress,
    bases: Sequence[Base] = (),
    options: Options = NO_OPTIONS,
    generator: Generator | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Report:
    """Index `workspace` into a new generation of `out` and make it the current one.

    `bases` are the layers below it; a `generator` summarizes what nobody documented, where `options` say
    so. A second build of the same index waits for the first, and says so. Raises OSError or sqlite3.Error
    where `out` cannot be written; the generation in use stays as it was.
    """
    start = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out, say), Cache(out) as cache:
        progress("reading", 0, 1)
        workspace = workspace.resolve()  # `.` has no name
        parts = read_parts(workspace, frozenset({out.resolve()}), options, cache, progress)
        progress("resolving", 0, 1)
        content = _content(_below(options.below, parts.every), bases, options)
        if generator and options.summarize:
            apis = summarize(content.apis, generator, cache, progress, say)
            content = replace(content, apis=apis, terms=tuple(map(api_terms, apis)))
        made = new_generation(out)
        try:
            write_generation(made, content, encoder, cache, progress)
            generation = unless_equal(out, made)
            make_current(out, generation)
            remember_source(out, workspace)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    methods = sum(len(api.methods) for api in content.apis)
    counts = (len(content.files), len(content.apis), methods, len(content.usages))
    seconds = round(time.monotonic() - start, 3)
    return Report(generation.name, *counts, seconds, parts.problems, parts.skipped)


def read_content(
    workspace: Path, out: Path, options: Options, progress: Progress, say: Callable[[str], None]
) -> tuple[Content, tuple[Problem, ...]]:
    """What an index of `workspace` would hold, without writing one; `out` keeps what was worked out."""
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out, say), Cache(out) as cache:
        parts = read_parts(workspace.resolve(), frozenset({out.resolve()}), options, cache, progress)
        return _content(parts.every, (), options), parts.problems


def _alone(out: Path, say: Callable[[str], None]) -> AbstractContextManager[None]:
    """A lock on an index directory."""
    return alone(out / LOCK, f"another build of {out} is under way", say)


def _below(folder: str, parts: Sequence[Part]) -> Sequence[Part]:
    """The same with sources named as in that folder: a library's must not be taken for a workspace's own."""
    if not folder:
        return parts
    moved = []
    for part in parts:
        script, path = part.extracted.script, f"{folder}/{part.extracted.script.path}"
        apis = tuple(replace(api, source=path) for api in part.extracted.apis)
        extracted = replace(part.extracted, script=replace(script, path=path), apis=apis)
        moved.append(replace(part, extracted=extracted))
    return moved


def _content(parts: Sequence[Part], bases: Sequence[Base], options: Options) -> Content:
    """Resolve what the scripts say of one another."""
    terms_by_api = {
        id(api): terms for part in parts for api, terms in zip(part.extracted.apis, part.terms, strict=True)
    }
    extracted = tuple(part.extracted for part in parts)
    scoped = any(item.script.scope for item in extracted)
    bases = [base for base in bases if base.serves(scoped)]
    apis = unique_apis(api for item in extracted for api in item.apis)
    files = tuple(dict.fromkeys(item.script.path for item in extracted))
    names = Names((*apis, *(api for base in bases for api in base.apis)))
    below = {key: name for base in bases for key, name in base.exports.items()}
    exports = with_tails({**below, **find_exports(extracted)})
    terms = tuple(terms_by_api[id(api)] for api in apis)
    usages = _spread(_usages(extracted, files, names, exports))
    if options.documentation != "written":
        apis = _with_examples(apis, usages)
    layers = tuple(base.name for base in bases)
    return Content(apis, terms, extracted, files, usages, names, layers, options)


def _with_examples(apis: Sequence[Api], usages: Sequence[Usage]) -> tuple[Api, ...]:
    """The shortest known call that says anything is an API's example."""
    shortest: dict[str, str] = {}
    for usage in usages:
        name, statement = usage.edge.api_name, usage.statement
        if len(statement) >= EXAMPLE_CHARS and len(statement) < len(shortest.get(name, statement + " ")):
            shortest[name] = statement
    return tuple(with_example(api, shortest.get(api.api_name, "")) for api in apis)


def _usages(
    extracted: Sequence[Extracted], files: Sequence[str], names: Names, exports: Mapping[tuple[str, str], str]
) -> Iterator[Usage]:
    file_ids = {path: i for i, path in enumerate(files)}
    for item in extracted:
        if INSTALLED in item.script.path.split("/"):  # how a package uses itself is no news to its users
            continue
        for edge in resolve_calls(item, names, exports):
            before = text.window_before(item.script.code[: edge.call.start])
            path = item.script.path
            caller = item.script.record_name or module_name(path)
            yield Usage(file_ids[path], path, caller, edge, before)


def _spread(usages: Iterator[Usage]) -> tuple[Usage, ...]:
    """At most MAX_USAGES of each API, chosen by hash: always the same, and from anywhere."""
    by_api: defaultdict[str, list[tuple[bytes, int]]] = defaultdict(list)
    every = tuple(usages)
    for i, usage in enumerate(every):
        place = digest(usage.file, str(usage.edge.call.line))
        by_api[usage.edge.api_name].append((place, i))
    kept = sorted(i for places in by_api.values() for _, i in sorted(places)[:MAX_USAGES])
    return tuple(every[i] for i in kept)
