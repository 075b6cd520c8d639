"""The corpora of the training data: npm packages at pinned versions, each indexed and mined.

    python -m deepcodeseek.index_builder.corpora --out DIR [--list train|eval-only] [--sources DIR] [NAME ...]

Reads the lock file corpora.json beside this module, or the one that --lock names, and makes of each corpus
`DIR/NAME/index`, `DIR/NAME/samples.jsonl` (its balanced samples, with all flags; mine.py) and, last,
`DIR/NAME/corpus.json`: what it was made of and the counts. What is there and whole is not made again, also
where other code made it, which is said. A corpus is one project: whoever trains splits by corpus, and lets
`eval-only` out of all weights.
"""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deepcodeseek.server.generation import IndexProblem, damaged_files, read_manifest
from deepcodeseek.server.models import Encoder, load_encoder, shipped

from . import npm
from .atomic import write_lines
from .build import build_index, read_content
from .cache import code_digest
from .database import Options
from .graph import find_exports, with_tails
from .mine import Sample, mine, write_samples
from .progress import Progress
from .scripts import LANGUAGES
from .terminal import progress_reporter

LOCK = Path(__file__).with_name("corpora.json")
LISTS = ("train", "eval-only")
LICENCES = frozenset(("MIT", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0"))  # what may go into weights
PER_TARGET: Mapping[str, int] = MappingProxyType({"train": 10, "eval-only": 5})
"""Balanced samples that an API has at most: of what is measured as many as `eval mine` takes."""

MADE = "corpus.json"
NO_BASES = Options(bases=())

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_PACKAGE = re.compile(r"(?:@[a-z0-9-]+/)?[a-z0-9][a-z0-9._-]*")
_VERSION = re.compile(r"\d+\.\d+\.\d+[\w.-]*")
_INTEGRITY = re.compile(r"sha512-[A-Za-z0-9+/]{86}==")
_FOLDER = re.compile(r"(?:\w[\w.-]*(?:/\w[\w.-]*)*)?")


class CorpusProblem(Exception):
    """A lock file that cannot be used, or a corpus that nobody asked for."""


@dataclass(frozen=True, slots=True)
class Package:
    """An npm package, or the folders of it that hold the source."""

    name: str
    version: str
    licence: str  # SPDX; of a choice, what was chosen
    integrity: str  # as npm says it: sha512- and base64
    folders: tuple[str, ...] = ("",)

    def has(self, path: str) -> bool:
        """Whether a file of the package is a source that is asked for, or says how the package is called."""
        is_inside = any(not folder or path.startswith(f"{folder}/") for folder in self.folders)
        return path == "package.json" or (is_inside and Path(path).suffix in LANGUAGES)


@dataclass(frozen=True, slots=True)
class Corpus:
    """One project: a package, or several that call one another."""

    name: str
    list: str
    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """How samples are chosen."""

    per_target: int | None = None  # as PER_TARGET says
    seed: int = 0


def main() -> None:
    """Prepare all corpora, or those named; exit status 1 where one failed."""
    given = _arguments()
    try:
        corpora = chosen(read_lock(given.lock), given.list, given.names)
    except (CorpusProblem, OSError) as problem:
        sys.exit(f"Error: {problem}")
    asked = Asked(given.per_target, given.seed)
    failed = prepare_all(corpora, given.out, load_encoder(shipped("encoder")), asked, given.sources)
    if given.json:
        content = {"corpora": [summary(given.out / c.name) for c in corpora if c.name not in failed]}
        write_lines(given.json, [json.dumps(content, indent=1)])
    sys.exit(1 if failed else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of corpora; default: all of the list")
    parser.add_argument("--out", type=Path, required=True, help="the folder that has one for each corpus")
    parser.add_argument("--list", choices=LISTS, help="default: both")
    parser.add_argument("--json", type=Path, help="keep what was made, without hashes, in this file")
    parser.add_argument(
        "--sources", type=Path, help="unpack the packages below this folder too, and keep them"
    )
    parser.add_argument("--lock", type=Path, default=LOCK, help="the lock file")
    parser.add_argument(
        "--per-target", type=int, help="balanced samples an API has; default: train 10, else 5"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of balanced samples")
    return parser.parse_args()


def prepare_all(
    corpora: Iterable[Corpus], out: Path, encoder: Encoder, asked: Asked, sources: Path | None = None
) -> list[str]:
    """Prepare one after the other; the names of those that failed, each of which was told in one line.

    What the packages hold is kept below the folder `sources`, where one is named.
    """
    failed = []
    for corpus in corpora:
        start = time.monotonic()
        try:
            if sources:
                fetch_all(corpus, sources / corpus.name)
            with progress_reporter("auto") as progress:
                made = prepare(corpus, out / corpus.name, encoder, asked, progress)
        except (IndexProblem, OSError, sqlite3.Error) as problem:
            print(f"{corpus.name}: {problem}", file=sys.stderr, flush=True)
            failed.append(corpus.name)
            continue
        counts = f"{made['apis']:,} APIs, {made['balanced']:,} balanced samples, {made['clean']:,} clean"
        print(f"{corpus.name}: {counts}, {time.monotonic() - start:.0f} s", flush=True)
        if made.get("code") != code_digest().hex():
            print(
                f"{corpus.name}: made by other code; to make it anew, remove {out / corpus.name}", flush=True
            )
    return failed


# The lock file


def read_lock(path: Path) -> tuple[Corpus, ...]:
    """The corpora of a lock file, `train` first; raises CorpusProblem or OSError."""
    try:
        content = json.loads(path.read_bytes())
        corpora = tuple(
            Corpus(entry["name"], name, tuple(map(_package, entry["packages"])))
            for name in LISTS
            for entry in content[name]
        )
    except (ValueError, TypeError, KeyError) as error:
        raise CorpusProblem(f"{path} is no lock file of corpora: {error!r}") from None
    for problem in _problems(corpora):
        raise CorpusProblem(f"{path}: {problem}")
    return corpora


def _package(entry: Mapping[str, Any]) -> Package:
    return Package(**{**entry, "folders": tuple(entry.get("folders", ("",)))})


def _problems(corpora: Sequence[Corpus]) -> Iterator[str]:
    seen: set[str] = set()
    for corpus in corpora:
        for key in (corpus.name, *(f"{package.name} as a package" for package in corpus.packages)):
            if key in seen:
                yield f"{key} is there twice: no code may be in two corpora"
            seen.add(key)
        if not _NAME.fullmatch(corpus.name):
            yield f"{corpus.name!r} cannot name a folder"
        for package in corpus.packages:
            yield from (f"{corpus.name}: {problem}" for problem in _package_problems(package))


def _package_problems(package: Package) -> Iterator[str]:
    if not LICENCES.issuperset(package.licence.split(" AND ")):
        yield f"the licence {package.licence} of {package.name} is none of {', '.join(sorted(LICENCES))}"
    for what, pattern, value in (
        ("name", _PACKAGE, package.name),
        ("version", _VERSION, package.version),
        ("integrity", _INTEGRITY, package.integrity),
        *(("folder", _FOLDER, folder) for folder in package.folders),
    ):
        if not pattern.fullmatch(value):
            yield f"{value!r} is no {what} of a package"


def chosen(corpora: Sequence[Corpus], list_name: str | None, names: Sequence[str]) -> tuple[Corpus, ...]:
    """Those of a list, or those named in it, in the order of the names; raises CorpusProblem."""
    listed = {corpus.name: corpus for corpus in corpora if list_name in (None, corpus.list)}
    for name in names:
        if name not in listed:
            raise CorpusProblem(f"no corpus {name!r}: {', '.join(listed)}")
    return tuple(listed[name] for name in names) if names else tuple(listed.values())


# One corpus


def prepare(
    corpus: Corpus, place: Path, encoder: Encoder, asked: Asked, progress: Progress
) -> Mapping[str, Any]:
    """Fetch, index and mine a corpus into `place`, unless it is there; what `corpus.json` then says of it.

    Raises IndexProblem, OSError or sqlite3.Error.
    """
    chosen_by = {"per_target": asked.per_target or PER_TARGET[corpus.list], "seed": asked.seed}
    recipe = json.loads(json.dumps({"corpus": asdict(corpus), "asked": chosen_by}))  # as it is read
    if (kept := _kept(place, recipe, encoder)) is not None:
        return kept
    (place / MADE).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        sources = Path(scratch) / corpus.name
        progress("fetching", 0, len(corpus.packages))
        fetch_all(corpus, sources)
        report = build_index(sources, place / "index", encoder, progress, options=NO_BASES)
        samples = _mine(sources, place / "index", progress, **chosen_by)
    balanced = [sample for sample in samples if sample.balanced]
    write_samples(balanced, place / "samples.jsonl")
    counts = {"files": report.files, "apis": report.apis, "usages": report.usages, "mined": len(samples)}
    flags = {"balanced": len(balanced), "clean": sum(sample.clean for sample in balanced)}
    made = {**recipe, "code": code_digest().hex(), **counts, **flags}
    write_lines(place / MADE, [json.dumps(made, indent=1)])
    return made


def summary(place: Path) -> dict[str, Any]:
    """What a prepared corpus is made of, and its counts; raises OSError."""
    made = json.loads((place / MADE).read_bytes())
    packages = [f"{package['name']} {package['version']}" for package in made["corpus"]["packages"]]
    licences = sorted({package["licence"] for package in made["corpus"]["packages"]})
    counts = {key: made[key] for key in ("files", "apis", "usages", "mined", "balanced", "clean")}
    told = {"name": made["corpus"]["name"], "list": made["corpus"]["list"]}
    return {**told, "packages": packages, "licences": licences, **counts}


def _kept(place: Path, recipe: Mapping[str, Any], encoder: Encoder) -> Mapping[str, Any] | None:
    """What was made before of the same, where it is whole."""
    try:
        made: dict[str, Any] = json.loads((place / MADE).read_bytes())
        generation, manifest = read_manifest(place / "index")
    except (OSError, ValueError, IndexProblem):
        return None
    is_same = {key: made.get(key) for key in recipe} == recipe
    is_ours = manifest["encoder"].get("sha256") == encoder.files.sha256
    is_whole = (place / "samples.jsonl").is_file() and not damaged_files(generation, manifest)
    return made if is_same and is_ours and is_whole else None


def fetch_all(corpus: Corpus, sources: Path) -> None:
    """Unpack what is asked of each package into a folder of `sources` named after it; raises OSError."""
    for package in corpus.packages:
        folder = package.name.replace("/", "-").removeprefix("@")
        with tempfile.TemporaryDirectory() as tarballs:
            fetched = npm.fetch(package.name, package.version, Path(tarballs))
            npm.unpack(npm.checked(fetched, package.integrity), sources / folder, package.has)


def _mine(
    sources: Path, index: Path, progress: Progress, *, per_target: int, seed: int
) -> tuple[Sample, ...]:
    content, _ = read_content(sources, index, NO_BASES, progress, lambda message: None)
    exports = with_tails(find_exports(content.extracted))
    return mine(content.extracted, content.apis, exports, per_target, seed)


if __name__ == "__main__":
    main()
