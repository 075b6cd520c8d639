"""Records and files -> scripts: where each way of keeping ServiceNow code in a repository puts what.

What the path of a file says is known to server/places.py; here the manifests around it and the record inside
it add to that. Fluent files have a reader of their own (fluent.py).
The declarations of @servicenow/glide are the platform's own classes: src/<namespace>/<name>.d.ts, `types` for
global ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from deepcodeseek.server.places import PLATFORM, Place, app_folder, is_code_field, is_scope, place_of

from .manifests import Manifests, nearest
from .records import DELETE, Record
from .scripts import (
    LANGUAGES,
    SCRIPT_INCLUDE,
    Draft,
    Script,
    caller_access,
    is_declaration,
    is_sys_id,
    with_scope,
)

# Records


def record_draft(record: Record, path: str, workspace: str, manifests: Manifests) -> Draft:
    """One record with all its scripts."""
    sys_id = record.text("sys_id")
    draft = Draft((), record.table, sys_id, record.text("sys_updated_on"))
    if record.action == DELETE:
        return replace(draft, is_deleted=True)
    scripts = tuple(_record_scripts(record, path, workspace, manifests))
    stated = record.text("sys_scope")
    is_known = bool(scripts) and "." in record.text("api_name") and record.table == SCRIPT_INCLUDE
    return replace(draft, scripts=scripts, application="" if is_known or is_scope(stated) else stated)


def _record_scripts(record: Record, path: str, workspace: str, manifests: Manifests) -> Iterator[Script]:
    api_name = record.text("api_name") if record.table == SCRIPT_INCLUDE else ""
    app = app_folder(path)
    name, package = record.text("name", "sys_name", "short_description"), _package(record)
    missing = {"record_name": name, "package": package}
    scope = api_name.rpartition(".")[0] or _scope(record) or _stated_scope(path, manifests)
    for field_name, content in record.fields.items():
        if not content.is_cut and _is_code(record.table, field_name, content.text):
            script = Script(
                path=path,
                code=content.text,
                line_offset=content.line - 1,
                record_type=record.table,
                record_name=name or _unnamed(record, path),
                field=field_name,
                api_name=api_name,
                package=package or PurePosixPath(app).name or workspace,
                app=app,
                access=record.text("access"),
                caller_access=caller_access(record.text("caller_access")),
                client_callable=record.text("client_callable") == "true",
                table=record.text("collection", "table"),
                description=record.text("description"),
                inferred=frozenset(key for key, value in missing.items() if not value),
            )
            yield with_scope(script, scope)


def too_long(record: Record) -> Iterator[str]:
    """Names of fields with more code than can be read."""
    for name, content in record.fields.items():
        if content.is_cut and (is_code_field(record.table, name) or name == "payload"):
            yield f"{name} of {record.text('name') or record.table}"


def _is_code(table: str, name: str, text: str) -> bool:
    code = text.strip()
    if name == "script":  # an empty Script Include is an API all the same; Jelly is no JavaScript
        return table == SCRIPT_INCLUDE or (bool(code) and not code.startswith(("<?xml", "<j:")))
    # The same names are used for flags, references and templates.
    return is_code_field(table, name) and bool(re.search(r"[\s(=]", code)) and not code.startswith("<")


def _unnamed(record: Record, path: str) -> str:
    sys_id = record.text("sys_id")
    return f"{record.table}_{sys_id}" if sys_id else PurePosixPath(path).stem


def _package(record: Record) -> str:
    names = (record.attribute("sys_package", "source"), record.attribute("sys_package", "display_value"))
    # "global" names what belongs to no package, a sys_id names nothing to a reader
    return next((name for name in names if name not in ("", "global") and not is_sys_id(name)), "")


def _scope(record: Record) -> str:
    named = (record.text("sys_scope"), record.attribute("sys_scope", "display_value"))
    found = next((name for name in named if is_scope(name)), "")
    source = record.attribute("sys_package", "source")
    return found or (source if is_scope(source) and source != "global" else "")


# Files


def file_draft(code: str, path: str, workspace: str, manifests: Manifests) -> Draft:
    """A file of JavaScript or TypeScript: a field of a record, or a module."""
    where = PurePosixPath(path)
    script = Script(path=path, code=code, language=LANGUAGES[where.suffix])
    if is_declaration(path):
        is_named = package_of(path, workspace, manifests)[0] != PLATFORM or where.parent.name != "imports"
        return Draft((_module(script, workspace, manifests),) if is_named else ())
    place = place_of(path, workspace, manifests.names)
    made = _synced(script, place, workspace, manifests) if place.record_type else None
    return Draft((made or _module(script, workspace, manifests),))


def is_module(draft: Draft) -> bool:
    """Whether it comes from a file that is no record's."""
    return any(not script.record_type for script in draft.scripts)


def package_of(path: str, workspace: str, manifests: Manifests) -> tuple[str, str]:
    """Name of the package that a file belongs to, and its folder."""
    folder = nearest(manifests.packages, path)
    return (manifests.packages[folder], folder) if folder is not None else (workspace, ".")


def _module(script: Script, workspace: str, manifests: Manifests) -> Script:
    package, folder = package_of(script.path, workspace, manifests)
    where = PurePosixPath(script.path).relative_to(folder).with_suffix("")
    module = where.with_suffix("") if is_declaration(script.path) else where
    platform = _platform(package, where)
    return replace(
        script,
        package=package,
        module=module.as_posix(),
        scope=platform or _stated_scope(script.path, manifests),
        platform=platform,
        inferred=frozenset() if folder in manifests.packages else frozenset({"package"}),
    )


def _platform(package: str, where: PurePosixPath) -> str:
    """Namespace of a class of the platform, by the folder its declaration lies in."""
    if package != PLATFORM or len(where.parts) < 3:
        return ""
    folder = where.parts[1]
    return "global" if folder == "types" else folder if folder.startswith("sn_") else ""


def _synced(script: Script, place: Place, workspace: str, manifests: Manifests) -> Script:
    """The script of a record, in the scope that its folder's name or a manifest states."""
    folder = PurePosixPath(place.app).name or workspace
    stated = _stated_scope(script.path, manifests)
    scope = place.scope or stated
    record = replace(
        script,
        record_type=place.record_type,
        record_name=place.record_name,
        field=place.field,
        app=place.app,
        package=scope or folder,
        inferred=frozenset(("record_type", "record_name", "field", "package")),
    )
    return with_scope(record, scope, inferred=folder not in manifests.names and scope != stated)


def _stated_scope(path: str, manifests: Manifests) -> str:
    folder = nearest(manifests.scopes, path)
    return manifests.scopes[folder] if folder is not None else ""
