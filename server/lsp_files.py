"""A file as the editor names it, and as the index knows it."""

from __future__ import annotations

from pathlib import Path

from .bindings import Caller
from .pipeline import Engine, known_facts


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
