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
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from deepcodeseek.server import text
from deepcodeseek.server.models import Encoder

from .cache import Cache, digest
from .database import Content, Options, Usage
from .extract import Extracted
from .generations import make_current, new_generation, unless_equal
from .graph import Names, find_exports, resolve_calls, unique_apis
from .layers import Base
from .packages import INSTALLED
from .parts import Part, Progress, read_parts
from .scripts import Problem
from .write import write_generation

NO_OPTIONS = Options()
LOCK = "build.lock"
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
    say: Callable[[str], None] = lambda message: None,
) -> Report:
    """Index `workspace` into a new generation of `out` and make it the current one.

    `bases` are the layers below it. A second build of the same index waits for the first, and says so. Raises
    OSError or sqlite3.Error where `out` cannot be written; the generation in use stays as it was.
    """
    start = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out, say), Cache(out) as cache:
        progress("reading", 0, 1)
        workspace = workspace.resolve()  # `.` has no name
        parts = read_parts(workspace, frozenset({out.resolve()}), options.packages, cache, progress)
        progress("resolving", 0, 1)
        content = _content(parts.every, bases, options)
        made = new_generation(out)
        try:
            write_generation(made, content, encoder, cache, progress)
            generation = unless_equal(out, made)
            make_current(out, generation)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    methods = sum(len(api.methods) for api in content.apis)
    counts = (len(content.files), len(content.apis), methods, len(content.usages))
    seconds = round(time.monotonic() - start, 3)
    return Report(generation.name, *counts, seconds, parts.problems, parts.skipped)


def _alone(out: Path, say: Callable[[str], None]) -> FileLock:
    """A lock on an index directory; it goes with the process, however that ends."""
    lock = FileLock(out / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say(f"another build of {out} is under way: waiting for it")
        lock.acquire()
    return lock


def _content(parts: Sequence[Part], bases: Sequence[Base], options: Options) -> Content:
    """Resolve what the scripts say of one another."""
    terms = {
        id(api): counts for p in parts for api, counts in zip(p.extracted.apis, p.code_terms, strict=True)
    }
    extracted = tuple(part.extracted for part in parts)
    scoped = any(item.script.scope for item in extracted)
    bases = [base for base in bases if base.serves(scoped)]
    apis = unique_apis(api for item in extracted for api in item.apis)
    files = tuple(dict.fromkeys(item.script.path for item in extracted))
    names = Names((*apis, *(api for base in bases for api in base.apis)))
    exports = {
        **{key: name for base in bases for key, name in base.exports.items()},
        **find_exports(extracted),
    }
    usages = _spread(_usages(extracted, files, names, exports))
    code_terms = tuple(terms[id(api)] for api in apis)
    layers = tuple(base.name for base in bases)
    return Content(apis, code_terms, extracted, files, usages, names, layers, options)


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
            yield Usage(file_ids[path], path, item.script.record_name, edge, before)


def _spread(usages: Iterator[Usage]) -> tuple[Usage, ...]:
    """At most MAX_USAGES of each API, chosen by hash: always the same, and from anywhere."""
    by_api: defaultdict[str, list[tuple[bytes, int]]] = defaultdict(list)
    every = tuple(usages)
    for i, usage in enumerate(every):
        place = digest(usage.file, str(usage.edge.call.line))
        by_api[usage.edge.api_name].append((place, i))
    kept = sorted(i for places in by_api.values() for _, i in sorted(places)[:MAX_USAGES])
    return tuple(every[i] for i in kept)
