"""Files of a workspace -> scripts: the code, with what its record or its path states about it.

Reading is in two steps. Each file by itself gives drafts; then those of all files decide together which of
them count, since one file may delete, replace, or name the scope of what another file brings. What cannot
be read is a `Problem`, never an exception: its neighbours are read all the same.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deepcodeseek.server.places import FLUENT

from .decoding import TooLarge, read_chunks, read_text
from .fluent import read_fluent
from .layouts import file_draft, is_module, record_draft, too_long
from .manifests import Manifests, read_manifests, with_packages
from .packages import INSTALLED, find_packages
from .progress import Progress, silent
from .records import read_records
from .scripts import SCRIPT_INCLUDE, Draft, Found, Problem, Script, is_declaration, with_scope
from .walk import Walk, relative, walk

MAX_BYTES = 5_000_000  # hand-written scripts stay far below; bundles and data dumps do not
TOO_LARGE = "too large"
GENERATED = "generated"

_APPLICATIONS = ("sys_app", "sys_scope", "sys_store_app")
_MINIFIED_LINE = 300  # characters in an average line: nobody writes so, and long tables stay below
_MINIFIED_SIZE = 2_000  # a short file may well be one long line
_BANNER_LINES = 10
_BANNER = re.compile(r"^\s*(?:/[/*]|\*|#|<!--).*(?:@generated\b|\bDO NOT EDIT\b)", re.M)
_BUNDLE = re.compile(
    r"^\s*//[#@] sourceMappingURL=|^/\*+/ \(\(?function\(modules\)|\bwebpackBootstrap\b", re.M
)
_BUNDLE_ENDS = 2_000  # characters at the beginning and at the end of a file in which bundlers say so


@dataclass(frozen=True, slots=True)
class Source:
    """What reading any one file of a workspace needs to know of the others."""

    workspace: Path
    manifests: Manifests
    max_bytes: int = MAX_BYTES

    @property
    def home(self) -> str:
        """The workspace's own name; `.` has none."""
        return self.workspace.resolve().name

    def name(self, path: Path) -> str:
        """As scripts and problems name a file."""
        return relative(path, self.workspace)


@dataclass(frozen=True, slots=True)
class Workspace:
    """All that was read, and what was not."""

    scripts: tuple[Script, ...]
    problems: tuple[Problem, ...]
    skipped: Mapping[str, int]  # reason -> scripts left out on purpose


def survey(
    workspace: Path, skip: frozenset[Path], packages: bool = False, max_bytes: int = MAX_BYTES
) -> tuple[Walk, Source]:
    """The files that there are to read. `skip` names folders that are no source.

    With `packages`, then those of the installed packages that the workspace's package.json files name.
    """
    walked = walk(workspace, skip)
    installed = find_packages(walked.manifests, workspace) if packages else ()
    names = {relative(package.folder, workspace): package.name for package in installed}
    manifests = with_packages(read_manifests(walked.manifests, workspace), names)
    files = [*walked.files, *(path for package in installed for path in package.files)]
    return replace(walked, files=files), Source(workspace, manifests, max_bytes)


def read_workspace(
    workspace: Path,
    skip: frozenset[Path] = frozenset(),
    progress: Progress = silent,
    max_bytes: int = MAX_BYTES,
    packages: bool = False,
) -> Workspace:
    """Every script below a folder, in the order of the walk. `skip` names folders that are no source."""
    walked, source = survey(workspace, skip, packages, max_bytes)
    found: list[Found] = []
    for done, path in enumerate(walked.files):
        progress("reading", done, len(walked.files))
        found.append(read_source(path, source))
    skipped = Counter((*walked.skipped, *(reason for item in found for reason in item.skipped)))
    problems = (*walked.problems, *(problem for item in found for problem in item.problems))
    return Workspace(settle(found, source.manifests), problems, dict(sorted(skipped.items())))


# One file


def read_source(path: Path, source: Source) -> Found:
    """What one file gives; what cannot be read of it is a problem."""
    name, home, manifests, max_bytes = source.name(path), source.home, source.manifests, source.max_bytes
    try:
        if path.suffix == ".xml":
            return _read_records(path, name, home, manifests, max_bytes)
        code = read_text(path, max_bytes)
    except TooLarge as error:
        return Found(problems=(Problem(name, str(error)),), skipped=(TOO_LARGE,))
    except ValueError as error:
        return Found(problems=(Problem(name, str(error)),))
    except OSError as error:
        return Found(problems=(Problem(name, f"cannot be read: {error.strerror or error}"),))
    if name.endswith(FLUENT):
        return read_fluent(code, name, home, manifests)
    draft = file_draft(code, name, home, manifests)
    reason = _made_by_a_tool(code) if is_module(draft) and not is_declaration(name) else ""
    if reason == GENERATED and INSTALLED in path.parts:  # of most packages a bundle is all there is
        reason = ""
    return Found(skipped=(reason,)) if reason else Found((draft,))


def _read_records(path: Path, name: str, home: str, manifests: Manifests, max_chars: int) -> Found:
    drafts: list[Draft] = []
    problems: list[Problem] = []
    skipped: list[str] = []
    scopes: dict[str, str] = {}
    try:
        for record in read_records(read_chunks(path), max_chars):
            for what in too_long(record):
                skipped.append(TOO_LARGE)
                problems.append(_problem(name, f"skipped: {what}, the limit is {max_chars:,} characters"))
            if record.problem:
                problems.append(_problem(name, record.problem))
            if record.table in _APPLICATIONS and record.text("scope") and record.text("sys_id"):
                scopes[record.text("sys_id")] = record.text("scope")
            drafts.append(record_draft(record, name, home, manifests))
    except ValueError as error:
        problems.append(Problem(name, str(error)))
    return Found(tuple(drafts), tuple(problems), tuple(skipped), scopes)


def _problem(path: str, message: str) -> Problem:
    """In one line, whatever a record's name holds."""
    return Problem(path, " ".join(message.split()))


def _made_by_a_tool(code: str) -> str:
    """Why this is nobody's source, or nothing."""
    if len(code) >= _MINIFIED_SIZE and len(code) > _MINIFIED_LINE * len(code.splitlines()):
        return "minified"
    top = "\n".join(code[:_BUNDLE_ENDS].splitlines()[:_BANNER_LINES])
    ends = code if len(code) < 2 * _BUNDLE_ENDS else f"{code[:_BUNDLE_ENDS]}\n{code[-_BUNDLE_ENDS:]}"
    return GENERATED if _BANNER.search(top) or _BUNDLE.search(ends) else ""


# All files together


def settle(found: Sequence[Found], manifests: Manifests) -> tuple[Script, ...]:
    """The scripts that count, with what one file says about another's."""
    included: dict[str, Script] = {}
    scopes = dict(manifests.applications)
    for item in found:
        scopes.update(item.scopes)
        for path, record in item.included.items():
            included.setdefault(path, record)
    drafts = [_as_included(draft, included) for item in found for draft in item.drafts]
    return _fill_scopes(script for draft in _standing(drafts) for script in _in_application(draft, scopes))


def _as_included(draft: Draft, included: Mapping[str, Script]) -> Draft:
    """A file that a record includes is that record's script."""
    if not (is_module(draft) and draft.scripts[0].path in included):
        return draft
    (module,) = draft.scripts
    record = included[module.path]
    return Draft((replace(record, path=module.path, code=module.code, language=module.language),))


def _standing(drafts: Sequence[Draft]) -> Iterator[Draft]:
    """Without what is deleted, and of each record one version: the last, or else the first that was read."""
    deleted: dict[tuple[str, str], str] = {}
    versions: defaultdict[tuple[str, str], list[Draft]] = defaultdict(list)
    for draft in drafts:
        key = (draft.table, draft.sys_id)
        if draft.is_deleted:
            deleted[key] = max(deleted.get(key, ""), draft.updated)
        elif draft.sys_id:
            versions[key].append(draft)
    last = {key: max(every, key=lambda draft: draft.updated) for key, every in versions.items()}
    for draft in drafts:
        key = (draft.table, draft.sys_id)
        # What was changed after its deletion has been made again.
        is_gone = key in deleted and not draft.updated > deleted[key] > ""
        if not draft.sys_id or (last.get(key) is draft and not is_gone):
            yield draft


def _in_application(draft: Draft, scopes: Mapping[str, str]) -> Iterator[Script]:
    scope = scopes.get(draft.application, "")
    yield from (with_scope(script, scope) if scope else script for script in draft.scripts)


def _fill_scopes(scripts: Iterable[Script]) -> tuple[Script, ...]:
    """Give records without a scope the one that most Script Includes of their application state."""
    every = tuple(scripts)
    stated: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for script in every:
        if script.record_type == SCRIPT_INCLUDE and script.scope:
            stated[script.app][script.scope] += 1
    usual = {app: min(counts, key=lambda s: (-counts[s], s)) for app, counts in stated.items()}
    return tuple(
        with_scope(script, usual.get(script.app, ""), inferred=True)
        if script.record_type and not script.scope
        else script
        for script in every
    )
