"""The metadata graph: which API a call site means, who calls whom, from which package.

A name in a script means, as on the platform, the API of the script's own scope first, then the global one;
a dotted name means what it says. A name that only one API in the index carries is taken to mean it
where the caller's scope is unknown: a lost edge costs more than a doubtful one. What is imported from a
package means its only API of that name, through whatever files the package passes it on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from deepcodeseek.server.places import is_scope
from deepcodeseek.server.types import Api, Method

from .definitions import DEFAULT, WHOLE
from .extract import CallSite, Extracted
from .packages import imported_as


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
        self._by_package: dict[str, dict[str, set[str]]] = {}  # package -> name -> api_names
        for api in apis:
            self._by_name.setdefault(api.name, []).append(api)
            if api.package and api.kind != "script_include":
                named = self._by_package.setdefault(imported_as(api.package), {})
                named.setdefault(api.name, set()).add(api.api_name)

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

    def in_package(self, module: str, name: str) -> frozenset[str]:
        """What goes by that name in the package that a module is, or lies in."""
        while module and not self.is_package(module):
            module = module.rpartition("/")[0]
        return frozenset(self._by_package.get(module, {}).get(name, ()))

    def is_package(self, module: str) -> bool:
        return module in self._by_package


Exports = Mapping[tuple[str, str], str]
"""(package/module, exported name) -> api_name"""


def find_exports(every: Sequence[Extracted]) -> Exports:
    """What each module of the workspace exports, and what the plain scripts of a package share."""
    exported = {
        (f"{item.script.package}/{item.script.module}", name): api_name
        for item in every
        for name, api_name in item.exports
    }
    return {**_shared(every), **exported}


def _shared(every: Iterable[Extracted]) -> Exports:
    """What plain scripts define is global: all of their package name it, where only one defines it."""
    found: dict[tuple[str, str], set[str]] = {}
    for item in filter(_is_plain, every):
        for api in item.apis:
            found.setdefault((item.script.package, api.name), set()).add(api.api_name)
    return {key: min(api_names) for key, api_names in found.items() if len(api_names) == 1}


def _is_plain(item: Extracted) -> bool:
    """Neither a module nor a record: a page, or a compiler, puts such scripts one after another."""
    return not (item.script.record_type or item.imports or item.exports)


def with_tails(exports: Exports) -> Exports:
    """Modules also by the end of their path, where only one ends so: loaders are told where paths begin."""
    modules: dict[str, dict[str, str]] = {}
    for (module, name), api_name in exports.items():
        modules.setdefault(module, {})[name] = api_name
    tails: dict[str, list[str]] = {}
    for module in modules:
        parts = module.split("/")
        for start in range(1, len(parts) - 1):
            tails.setdefault("/".join(parts[start:]), []).append(module)
    only = {tail: found[0] for tail, found in tails.items() if len(found) == 1}
    more = {(tail, name): api for tail, module in only.items() for name, api in modules[module].items()}
    return {**more, **exports}


def resolve_calls(extracted: Extracted, names: Names, exports: Exports) -> tuple[Edge, ...]:
    """The call sites of a file that mean a known API other than one the file itself defines."""
    own = {api.api_name for api in extracted.apis}
    imported = {local: (module, name) for local, module, name in extracted.imports}
    shared = exports if _is_plain(extracted) else {}
    edges = []
    for call in extracted.calls:
        local = call.name.partition(".")[0]
        if local in imported:
            api_name = _imported(call, *imported[local], extracted.script.package, names, exports)
        else:
            api = names.resolve(call.name, extracted.script.scope)
            api_name = api.api_name if api else shared.get((extracted.script.package, call.name))
        if api_name and api_name not in own:
            edges.append(Edge(api_name, call))
    return tuple(edges)


def _imported(
    call: CallSite, module: str, name: str, package: str, names: Names, exports: Exports
) -> str | None:
    """What an import of a file in `package` means: of a whole module, the export that the call goes to."""
    member = call.name.partition(".")[2]
    # A package's default export is often all that it has; a file's says nothing of its neighbours.
    is_whole = name == WHOLE or (name == DEFAULT and names.is_package(module))
    inside = member or call.method if is_whole else f"{name}.{member}".rstrip(".")
    exported = (inside,) if member else (name, call.method) if name == WHOLE else (name,)
    for key in ((place, each) for place in (module, f"{module}/index") for each in exported):
        if key in exports:
            return exports[key]
    is_neighbour = is_whole and module.startswith(f"{package}/")
    return None if is_neighbour else _in_package(module, inside, names, exports)


def _in_package(module: str, name: str, names: Names, exports: Exports) -> str | None:
    """The only API of that name in a package; of several the only one that its file exports."""
    found = names.in_package(module, name)
    if len(found) > 1:
        found = frozenset(
            each for each in found if exports.get((each.removesuffix(f".{name}"), name)) == each
        )
    return next(iter(found)) if len(found) == 1 else None


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
