"""The JSON files beside sources: which package and which scope a folder is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from deepcodeseek.server.places import is_scope

from .scripts import is_sys_id
from .walk import relative

_MAX_BYTES = 20_000_000  # a Sincronia manifest lists every record of an instance


@dataclass(frozen=True, slots=True)
class Manifests:
    """What all manifests of a workspace state; "." is the workspace's own folder."""

    packages: Mapping[str, str] = field(default_factory=dict)  # folder -> its name
    scopes: Mapping[str, str] = field(default_factory=dict)  # folder -> the scope of what lies in it
    names: frozenset[str] = frozenset()  # of scopes: a folder of this name is that scope
    applications: Mapping[str, str] = field(default_factory=dict)  # sys_id -> scope


def read_manifests(paths: Iterable[Path], workspace: Path) -> Manifests:
    """A manifest that is broken or somebody else's states nothing: the folders speak for themselves."""
    packages: dict[str, str] = {}
    scopes: dict[str, str] = {}
    applications: dict[str, str] = {}
    names: set[str] = set()
    for path in sorted(paths, key=lambda path: path.name != "package.json"):
        folder, content = relative(path.parent, workspace), read_json(path)
        name, scope = _text(content.get("name")), _text(content.get("scope"))
        if path.name == "scopes.json":
            applications.update(_applications(content))
        elif path.name == "package.json":
            packages.update({folder: name} if name else {})
        elif scope:
            scopes[folder] = scope
        else:
            names.update(filter(is_scope, content))
        if path.name == "now.config.json" and scope:
            packages.setdefault(folder, name or scope)
            if sys_id := _text(content.get("scopeId")):
                applications[sys_id] = scope
    return Manifests(packages, scopes, frozenset(names | set(applications.values())), applications)


def with_packages(manifests: Manifests, packages: Mapping[str, str]) -> Manifests:
    """Also knowing these: folder -> name."""
    return replace(manifests, packages={**manifests.packages, **packages})


def nearest(stated: Mapping[str, str], path: str) -> str | None:
    """The innermost folder around a file of which something is stated."""
    return next((folder for folder in map(str, PurePosixPath(path).parents) if folder in stated), None)


def read_json(path: Path) -> dict[str, Any]:
    """An object, empty where the file holds none that can be read."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return {}
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(value: object) -> str:
    """Nothing for what is no text, or none that can be written again."""
    return value if isinstance(value, str) and value.isprintable() else ""


def _applications(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """sn-scriptsync's scopes.json: scope -> sys_id, `global` -> `global`."""
    for scope, sys_id in content.items():
        if isinstance(sys_id, str) and (is_sys_id(sys_id) or scope == sys_id == "global"):
            yield sys_id, _text(scope)
