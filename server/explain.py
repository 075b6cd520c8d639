"""Why an API is within reach of a script, and what connects the two, as the metadata graph has it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from .index import Index
from .modules import Caller
from .types import Api

_NAME = re.compile(r"[A-Za-z_$][\w$]*")
MAX_NAMED = 50  # APIs of a file, that are looked up together with another


def graph_path(index: Index, caller: Caller, text: str, api: Api) -> str:
    """One line: how the caller reaches the API, who else does, and together with what this file names."""
    parts = [_reach(caller, api), _callers(index, caller, api), _company(index, caller, text, api)]
    return " → ".join(part for part in parts if part)


def _reach(caller: Caller, api: Api) -> str:
    if api.scope and caller.scope:
        if api.scope == caller.scope:
            return f"same scope `{api.scope}`"
        open_to = "open to all scopes" if api.access != "package_private" else "private to its scope"
        return f"scope `{caller.scope}` → scope `{api.scope}`, {open_to}"
    if api.package and caller.package:
        same = api.package == caller.package
        return f"same package `{api.package}`" if same else f"package `{caller.package}` → `{api.package}`"
    home = api.scope or api.package
    return f"from `{home}`" if home else ""


def _callers(index: Index, caller: Caller, api: Api) -> str:
    count = len(_files(index, caller, api.id))
    return f"called in {count} other files" if count > 1 else f"called in {count or 'no'} other file"


def _company(index: Index, caller: Caller, text: str, api: Api) -> str:
    """The API that this file names and that most of the others use beside it."""
    there = _files(index, caller, api.id)
    together = {each: len(there & _files(index, caller, each)) for each in _named(index, text, api)}
    best = max(together, key=together.__getitem__, default=-1)
    if best < 0 or not together[best]:
        return ""
    return f"{together[best]} of them beside `{index.apis.name[best]}`, which this file names too"


def _files(index: Index, caller: Caller, api_id: int) -> set[int]:
    every = np.ones(len(index.uses.api), np.bool_)
    return set(index.uses.files_of(api_id, every).tolist()) - set(index.file_ids(caller.file))


def _named(index: Index, text: str, api: Api) -> Sequence[int]:
    names = dict.fromkeys(_NAME.findall(text))
    found = [i for name in names for i in index.find(name) if i != api.id and not index.apis.platform[i]]
    return found[:MAX_NAMED]
