"""A workspace -> what each of its scripts says, read and parsed anew only where something changed."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TypeVar

import msgspec

from deepcodeseek.server.generation import sha256_file

from .cache import Cache, code_digest, digest
from .comments import without_documentation
from .database import Documentation, Options, Terms, api_terms
from .extract import Extracted, extract
from .manifests import Manifests
from .progress import Progress
from .scripts import Found, Problem, Script
from .sources import Source, read_source, settle, survey

FOUND, PART = "found", "part"
_AT_ONCE = 300  # fewer items are done sooner than a second process starts
_CHUNK = 32
_LOST = "skipped: the process that read it died"


A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Part:
    """What one script says, and what each of its APIs is searched by."""

    extracted: Extracted
    terms: tuple[Terms, ...] = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """All that a workspace says, and what could not be read."""

    every: tuple[Part, ...]
    files: int
    problems: tuple[Problem, ...]
    skipped: Mapping[str, int]  # reason -> scripts left out on purpose


def read_parts(
    workspace: Path, skip: frozenset[Path], options: Options, cache: Cache, progress: Progress
) -> Parts:
    """Every script of a workspace; `skip` names folders that are no source."""
    walked, source = survey(workspace, skip, options.packages)
    found = tuple(_found(walked.files, source, cache, progress))
    scripts = settle(found, source.manifests)
    if options.documentation == "stripped":
        scripts = tuple(map(without_documentation, scripts))
    parts = tuple(_parts(scripts, options.documentation, cache, progress))
    problems = (
        *walked.problems,
        *(problem for item in found for problem in item.problems),
        *(problem for part in parts for problem in part.extracted.problems),
    )
    skipped = Counter((*walked.skipped, *(reason for item in found for reason in item.skipped)))
    files = len({part.extracted.script.path for part in parts})
    return Parts(parts, files, problems, dict(sorted(skipped.items())))


# Files


def _found(paths: Sequence[Path], source: Source, cache: Cache, progress: Progress) -> Iterator[Found]:
    around = digest(code_digest(), source.home, _plain(source.manifests), str(source.max_bytes))
    keys = {path: _file_key(path, source, around) for path in paths}
    known = cache.get(FOUND, keys.values())
    missing = [path for path in paths if keys[path] not in known]
    fresh: dict[Path, bytes] = {}
    for path, encoded in _each(
        partial(_read, source), missing, partial(_unread, source), partial(progress, "reading")
    ):
        fresh[path] = encoded
    # A file that changed while it was read is read again by the next build, so is one that killed a process.
    kept = (p for p in missing if fresh[p] != _unread(source, p) and keys[p] == _file_key(p, source, around))
    cache.put(FOUND, {keys[path]: fresh[path] for path in kept})
    cache.keep_only(FOUND, keys.values())
    decoder = msgspec.msgpack.Decoder(Found)
    for path in paths:
        yield decoder.decode(fresh[path] if path in fresh else known[keys[path]])


def _file_key(path: Path, source: Source, around: bytes) -> bytes:
    try:
        content = sha256_file(path)
    except OSError as error:
        content = f"unreadable: {error.errno}"
    return digest(around, source.name(path), content)


def _read(source: Source, path: Path) -> bytes:
    return msgspec.msgpack.encode(read_source(path, source))


def _unread(source: Source, path: Path) -> bytes:
    return msgspec.msgpack.encode(Found(problems=(Problem(source.name(path), _LOST),)))


# Scripts


def _parts(
    scripts: Sequence[Script], documentation: Documentation, cache: Cache, progress: Progress
) -> Iterator[Part]:
    keys = [digest(code_digest(), documentation, _plain(script)) for script in scripts]
    known = cache.get(PART, keys)
    missing = [script for script, key in zip(scripts, keys, strict=True) if key not in known]
    fresh = list(_each(partial(_extract, documentation), missing, _unparsed, partial(progress, "parsing")))
    wanted = [key for key in keys if key not in known]
    made = {key: encoded for key, (_, encoded) in zip(wanted, fresh, strict=True)}
    lost = {key for key, (script, encoded) in zip(wanted, fresh, strict=True) if encoded == _unparsed(script)}
    cache.put(PART, {key: encoded for key, encoded in made.items() if key not in lost})
    cache.keep_only(PART, keys)
    decoder = msgspec.msgpack.Decoder(Part)
    for script, key in zip(scripts, keys, strict=True):
        yield _whole(decoder.decode(made[key] if key in made else known[key]), script)


def _extract(documentation: Documentation, script: Script) -> bytes:
    extracted = extract(script, synthesize=documentation != "written")
    terms = tuple(map(api_terms, extracted.apis))
    # A Script Include's code is its script's: once is enough.
    apis = tuple(replace(api, code="") if api.code == script.code else api for api in extracted.apis)
    return msgspec.msgpack.encode(Part(replace(extracted, script=Script("", ""), apis=apis), terms))


def _unparsed(script: Script) -> bytes:
    problem = Problem(script.path, _LOST)
    return msgspec.msgpack.encode(Part(Extracted(Script("", ""), problems=(problem,))))


def _whole(part: Part, script: Script) -> Part:
    apis = tuple(api if api.code else replace(api, code=script.code) for api in part.extracted.apis)
    return replace(part, extracted=replace(part.extracted, script=script, apis=apis))


def _plain(value: Manifests | Script) -> bytes:
    """The same bytes for the same value in every process: the order of a set is not."""
    return msgspec.msgpack.encode(value, order="deterministic")


# Processes


def _each(
    work: Callable[[A], bytes],
    items: Sequence[A],
    lost: Callable[[A], bytes],
    progress: Callable[[int, int], None],
) -> Iterator[tuple[A, bytes]]:
    """Each item with its result, in order, on all cores if there are many; `lost` if it kills a process."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    is_serial = len(items) < _AT_ONCE or workers == 1
    results = map(work, items) if is_serial else _on_all_cores(work, items, lost, workers)
    for done, (item, made) in enumerate(zip(items, results, strict=True)):
        progress(done, len(items))
        yield item, made


def _on_all_cores(
    work: Callable[[A], bytes], items: Sequence[A], lost: Callable[[A], bytes], workers: int
) -> Iterator[bytes]:
    done = 0
    while done < len(items):
        try:
            with ProcessPoolExecutor(workers, get_context("spawn"), _end_with_parent) as pool:
                for made in pool.map(work, items[done:], chunksize=_CHUNK):
                    done += 1
                    yield made
        except BrokenProcessPool:  # it does not say by which item: by one of the next
            doubtful = items[done : done + _CHUNK * workers]
            yield from _one_by_one(work, doubtful, lost)
            done += len(doubtful)


def _end_with_parent() -> None:
    """Workers wait for work for ever where the process that gives it was killed."""
    parent = parent_process()
    assert parent

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _one_by_one(
    work: Callable[[A], bytes], items: Sequence[A], lost: Callable[[A], bytes]
) -> Iterator[bytes]:
    """In a process of their own, a new one after each item that kills it."""
    waiting = iter(items)
    for first in waiting:
        item = first
        with ProcessPoolExecutor(1, get_context("spawn"), _end_with_parent) as pool:
            try:
                for item in chain([first], waiting):
                    yield pool.submit(work, item).result()
            except BrokenProcessPool:
                yield lost(item)
