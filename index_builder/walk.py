"""The files of a workspace that may hold scripts, and those that say something about them.

What git ignores is no source, nor is what tools generate. A file that cannot be a source is left out in
silence; one that could, but cannot be read, is a `Problem`.
"""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pathspec import GitIgnoreSpec

from deepcodeseek.server.places import RECORD_FOLDERS

from .decoding import decode
from .records import is_record_file
from .scripts import DECLARATIONS, LANGUAGES, Problem

MANIFESTS = ("package.json", "now.config.json", "sinc.manifest.json", "scopes.json")

_RECORD_FILES = ("sys_app_", "sys_script_include_")  # read in any folder, whatever is in them
_FOREIGN_FOLDERS = frozenset(("node_modules", "bower_components", "__pycache__"))
_MINIFIED = (".min.js", ".min.mjs", ".min.cjs")
_MAX_IGNORE = 500_000  # bytes of one .gitignore
_MAX_STARS = 3  # in one part of a pattern: each is tried at every character of a name
_SNIFFED_BYTES = 1024  # the root element of an export stands in its first line


@dataclass(slots=True)
class Walk:
    """What there is to read, always in the same order."""

    files: list[Path] = field(default_factory=list)
    manifests: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # a reason for each script left out


def walk(workspace: Path, skip: frozenset[Path] = frozenset()) -> Walk:
    """Look at every folder but hidden, ignored and foreign ones. Links are not followed.

    `skip` names folders that are no source, such as the index's own inside the workspace.
    """
    found = Walk()
    for folder, names in _folders(workspace, frozenset(path.resolve() for path in skip), found.problems):
        found.manifests += (folder / name for name in MANIFESTS if name in names)
        for path in (folder / name for name in names):
            if reason := _why_left_out(path.name, names):
                found.skipped.append(reason)
            elif (path.suffix == ".xml" or path.suffix in LANGUAGES) and not path.is_symlink():
                if problem := _why_unreadable(path, workspace):
                    found.problems.append(problem)
                elif _holds_scripts(path):
                    found.files.append(path)
    return found


def _why_left_out(name: str, beside: Collection[str]) -> str:
    """Declarations are made from the source where it lies beside them, and only there."""
    if name.endswith(_MINIFIED):
        return "minified"
    stem = next((name.removesuffix(ends) for ends in DECLARATIONS if name.endswith(ends)), "")
    has_source = bool(stem) and any(stem + suffix in beside for suffix in LANGUAGES)
    return "type declarations" if has_source else ""


def relative(path: Path, workspace: Path) -> str:
    """As scripts and problems name it."""
    name, home = path.as_posix(), workspace.as_posix()
    # Path.relative_to takes ten times as long, which thousands of files make felt.
    return "." if name == home else name.removeprefix(home.rstrip("/") + "/")


# Folders


def _folders(
    workspace: Path, skip: frozenset[Path], problems: list[Problem]
) -> Iterator[tuple[Path, list[str]]]:
    """Each folder with the names of its files that git does not ignore."""

    def unreadable(error: OSError) -> None:
        name = relative(Path(error.filename), workspace)
        problems.append(Problem(name, f"cannot be read: {error.strerror or error}"))

    rules: dict[Path, _Ignored] = {}
    for where, folders, names in os.walk(workspace, onerror=unreadable):
        here = Path(where)
        prefix = "" if here == workspace else f"{relative(here, workspace)}/"
        ignored = rules.get(here.parent, _Ignored())
        rules[here] = ignored = ignored.below(here, len(prefix)) if ".gitignore" in names else ignored
        folders[:] = sorted(
            name
            for name in folders
            if _is_source_folder(here / name, skip) and not ignored.covers(f"{prefix}{name}/")
        )
        yield here, sorted(name for name in names if not ignored.covers(prefix + name))


def _is_source_folder(folder: Path, skip: frozenset[Path]) -> bool:
    if folder.name.startswith(".") or folder.name in _FOREIGN_FOLDERS:
        return False
    is_environment = os.path.exists(folder / "pyvenv.cfg")  # noqa: PTH110, in a locked folder: no, not an error
    return folder.resolve() not in skip and not is_environment


@dataclass(frozen=True, slots=True)
class _Ignored:
    """What the .gitignore of a folder and those of the folders above it say."""

    specs: tuple[tuple[int, GitIgnoreSpec], ...] = ()  # after how many characters of a path each begins

    def below(self, folder: Path, start: int) -> _Ignored:
        """With what stands in this folder's file."""
        try:
            lines = decode(_ignore_file(folder / ".gitignore")).splitlines()
        except OSError:
            return self
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of `re`, about `[[`
            spec = GitIgnoreSpec.from_lines(line for line in lines if _is_pattern(line))
        return _Ignored((*self.specs, (start, spec)))

    def covers(self, path: str) -> bool:
        """The deepest file that says anything decides."""
        said = (spec.check_file(path[start:]).include for start, spec in reversed(self.specs))
        return next((is_ignored for is_ignored in said if is_ignored is not None), False)


def _ignore_file(path: Path) -> bytes:
    """What stands in it; nothing where it is a link, as for git, or a device, which may never end."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_IGNORE:
        return b""
    return path.read_bytes()


def _is_pattern(line: str) -> bool:
    stars = (line.count("**"), *(part.count("*") for part in line.split("/")))
    if max(stars) > _MAX_STARS or "***" in line:
        return False
    try:
        GitIgnoreSpec.from_lines([line])
    except (ValueError, re.error):  # git passes over what it does not understand
        return False
    return True


# Files


def _why_unreadable(path: Path, workspace: Path) -> Problem | None:
    name = relative(path, workspace)
    try:
        name.encode()
        is_file = stat.S_ISREG(path.lstat().st_mode)
    except UnicodeError:
        return Problem(name, "skipped: its name is not UTF-8")
    except OSError as error:
        return Problem(name, f"cannot be read: {error.strerror or error}")
    return None if is_file else Problem(name, "skipped: not a file")


def _holds_scripts(path: Path) -> bool:
    if path.suffix != ".xml" or path.parent.name in RECORD_FOLDERS or path.name.startswith(_RECORD_FILES):
        return True
    # Any other XML is somebody else's, and its doctype or its errors are no problem of ours.
    try:
        with path.open("rb") as file:
            return is_record_file(decode(file.read(_SNIFFED_BYTES), is_whole=False))
    except OSError:
        return False
