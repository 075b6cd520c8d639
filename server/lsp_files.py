"""Files and places in them, as the editor names them and as the index knows them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lsprotocol import types as lsp
from pygls.workspace import TextDocument

from .documents import line_starts, position_at
from .engine import Engine
from .modules import Caller
from .pipeline import known_facts


def facts_of(engine: Engine, workspace: Path | None, path: str) -> dict[str, str]:
    """What is known of a file."""
    home = workspace.resolve().name if workspace else ""
    return known_facts(engine.index, {"file": relative(workspace, path)}, home)


def caller_of(engine: Engine, workspace: Path | None, path: str) -> Caller:
    """A file as one that names APIs."""
    facts = facts_of(engine, workspace, path)
    return Caller(facts.get("file", ""), facts.get("scope", ""), facts.get("package", ""))


def relative(workspace: Path | None, path: str) -> str:
    """Of a path within the workspace, with forward slashes; "" of any other."""
    try:
        return Path(path).resolve().relative_to((workspace or Path.cwd()).resolve()).as_posix()
    except ValueError:
        return ""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, and a name on it."""

    path: Path
    line: int  # 1-based
    name: str
    is_method: bool = False  # that is called on the line or below it


def locations(places: Iterable[Place], document: TextDocument) -> list[lsp.Location]:
    """The places that are there, each file read once."""
    texts: dict[Path, tuple[str, list[int]] | None] = {}
    found = []
    for place in places:
        if place.path not in texts:
            texts[place.path] = read_source(place.path)
        if read := texts[place.path]:
            encoding = str(document.position_codec.encoding)
            found.append(lsp.Location(place.path.as_uri(), _range(*read, place, encoding)))
    return found


def read_source(path: Path) -> tuple[str, list[int]] | None:
    """A file's text and where its lines begin; None where it is not there."""
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            text = file.read()
    except OSError:  # of a base layer, or gone since
        return None
    return text, line_starts(text)


def _range(text: str, starts: list[int], place: Place, encoding: str) -> lsp.Range:
    """The name on its line; the line's beginning where it is not there any more."""
    line = min(max(place.line, 1), len(starts)) - 1
    end = starts[line + 1] if line + 1 < len(starts) else len(text)
    name = rf"(?<![\w$]){re.escape(place.name)}(?![\w$])"
    found = (
        find_call(text, starts[line], place.name)
        if place.is_method
        else re.compile(name).search(text, starts[line], end)
    )
    first, last = found.span() if found else (starts[line], starts[line])
    positions = (position_at(text, starts, at, encoding) for at in (first, last))
    return lsp.Range(*(lsp.Position(*position) for position in positions))


def find_call(text: str, start: int, method: str) -> re.Match[str] | None:
    """The first call of a method: an object is made on one line, and asked below it."""
    return re.compile(rf"(?<=\.){re.escape(method)}(?=\s*\()").search(text, start)
