"""The metadata graph: which API a call site means, who calls whom, from which package.

A name in a script means, as on the platform, the API of the script's own scope first, then the global one;
a dotted name means what it says. A name that only one API in the index carries is taken to mean it
where the caller's scope is unknown: a lost edge costs more than a doubtful one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from deepcodeseek.server.places import is_scope
from deepcodeseek.server.types import Api, Method

from .definitions import WHOLE
from .extract import CallSite, Extracted


@dataclass(frozen=True, slots=True)
class Edge:
    """One resolved call: an API, used at one place."""

    api_name: str
    call: CallSite


@dataclass(frozen=True, slots=True)
class Inherited:
    """A method that an API has from an ancestor."""

    api_name: str  # of the ancestor
    method: Method


class Names:
    """Finds the API a name means in a given scope or file."""

    def __init__(self, apis: Sequence[Api]) -> None:
        self._by_api_name = {api.api_name: api for api in apis}
        self._by_name: dict[str, list[Api]] = {}
        for api in apis:
            self._by_name.setdefault(api.name, []).append(api)

    def resolve(self, name: str, scope: str) -> Api | None:
        """The API that `name` means in a script of `scope`, or None."""
        if "." in name:
            return self._by_api_name.get(name)
        for owner in (scope, "global"):
            found = self._by_api_name.get(f"{owner}.{name}")
            if found:
                return found
        if name in self._by_api_name:  # the platform's own global classes have no scope in their name
            return self._by_api_name[name]
        named = [api for api in self._by_name.get(name, ()) if api.kind == "script_include"]
        return named[0] if len(named) == 1 and not is_scope(scope) else None


Exports = Mapping[tuple[str, str], str]
"""(package/module, exported name) -> api_name"""


def find_exports(every: Iterable[Extracted]) -> Exports:
    """What each module of the workspace exports."""
    return {
        (f"{item.script.package}/{item.script.module}", name): api_name
        for item in every
        for name, api_name in item.exports
    }


def resolve_calls(extracted: Extracted, names: Names, exports: Exports) -> tuple[Edge, ...]:
    """The call sites of a file that mean a known API other than one the file itself defines."""
    own = {api.api_name for api in extracted.apis}
    imported = {local: (module, name) for local, module, name in extracted.imports}
    edges = []
    for call in extracted.calls:
        origin = imported.get(call.name)
        api_name = _exported(*origin, call.method, exports) if origin else None
        if origin is None:
            api = names.resolve(call.name, extracted.script.scope)
            api_name = api.api_name if api else None
        if api_name and api_name not in own:
            edges.append(Edge(api_name, call))
    return tuple(edges)


def _exported(module: str, name: str, method: str, exports: Exports) -> str | None:
    """What an import means: of a whole module, the export that the call goes to."""
    for place in (module, f"{module}/index"):
        for wanted in (name, method) if name == WHOLE else (name,):
            if (place, wanted) in exports:
                return exports[place, wanted]
    return None


def unique_apis(apis: Iterable[Api]) -> tuple[Api, ...]:
    """One API a name: of two records with one api_name, the one with more methods; sorted by name."""
    kept: dict[str, Api] = {}
    for api in apis:
        other = kept.get(api.api_name)
        if other is None or len(api.methods) > len(other.methods):
            kept[api.api_name] = api
    return tuple(kept[name] for name in sorted(kept))


def ajax_reachable(api: Api, names: Names) -> bool:
    """Whether GlideAjax can reach a Script Include, as far as its metadata tells; in doubt it can.

    It can where the record says so and where an ancestor is an Ajax processor. An ancestor that is not in
    the index, or a record without any code, leaves it open.
    """
    seen: set[str] = set()
    current: Api | None = api
    while current and current.api_name not in seen:
        if current.client_callable or "ajax" in current.extends.lower():
            return True
        seen.add(current.api_name)
        if not current.extends:
            return not api.methods
        current = names.resolve(current.extends, current.scope)
    return current is None


def ancestors(api: Api, names: Names) -> Iterator[Api]:
    """What an API extends, the nearest first, as far as the index has it."""
    seen = {api.api_name}
    while (base := _base(api, names)) and base.api_name not in seen:
        seen.add(base.api_name)
        yield base
        api = base


def inherited_methods(api: Api, names: Names) -> tuple[Inherited, ...]:
    """Methods that an API has from its ancestors; of one name the nearest, and none that it has itself."""
    found: dict[str, Inherited] = {}
    own = {method.name for method in api.methods}
    for base in ancestors(api, names):
        # A class made by Class.create passes on its prototype, an object literal all that it has.
        is_object = all(method.is_static for method in base.methods)
        for method in base.methods:
            if method.name not in own and (is_object or not method.is_static):
                found.setdefault(method.name, Inherited(base.api_name, method))
    return tuple(found.values())


def _base(api: Api, names: Names) -> Api | None:
    if not api.extends:
        return None
    if api.kind == "script_include":
        return names.resolve(api.extends, api.scope)
    module = api.api_name.rpartition(".")[0]  # another file's class is named by imports
    return names.resolve(f"{module}.{api.extends}", api.scope)
