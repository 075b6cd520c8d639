"""Records and files -> scripts: where each way of keeping ServiceNow code in a repository puts what.

<app>/update/<table>_<sys_id>.xml                 source control, written by the instance
any.xml                                           an exported list or update set
<scope>/<table>/<name>.<field>.js                 sn-scriptsync and its like
<scope>/<table>/<name>/<field>.js                 Sincronia
src/fluent/<any>.now.ts                           ServiceNow SDK (fluent.py)
@servicenow/glide: src/<namespace>/<name>.d.ts    the platform's own classes, "types" for global ones
any other .js, .ts, ...                           a module
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from deepcodeseek.server.context import is_scope

from .manifests import Manifests, nearest
from .records import DELETE, Record
from .scripts import (
    LANGUAGES,
    SCRIPT_INCLUDE,
    Draft,
    Script,
    is_code_field,
    is_declaration,
    is_sys_id,
    with_scope,
)
from .walk import RECORD_FOLDERS

PLATFORM = "@servicenow/glide"

# fmt: off
SCRIPT_TABLES = frozenset((
    "sys_script_include", "sys_script", "sys_script_client", "sys_ui_action", "sys_ui_script",
    "sys_ui_page", "sys_ui_policy", "sys_script_fix", "sys_script_email", "sys_script_validator",
    "sys_processor", "sys_ws_operation", "sys_web_service", "sys_security_acl", "sys_transform_map",
    "sys_transform_entry", "sys_transform_script", "sys_relationship", "sys_atf_step", "sysauto_script",
    "sysevent_script_action", "sysevent_in_email_action", "sys_flow_trigger_auto_script",
    "sys_hub_input_scripts", "sys_ux_client_script", "sys_ux_data_broker_transform",
    "sys_ux_client_script_include", "sp_widget", "sp_angular_provider", "sp_header_footer",
    "catalog_script_client", "catalog_ui_policy", "sc_cat_item_producer", "ecc_agent_script_include",
    "ecc_agent_script", "scan_table_check", "scan_linter_check", "scan_script_only_check",
    "scan_column_type_check",
))
# fmt: on


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
    app = _app_folder(path)
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


def _app_folder(path: str) -> str:
    folder = PurePosixPath(path).parent
    app = str(folder.parent if folder.name in RECORD_FOLDERS else folder)
    return "" if app == "." else app


# Files


def file_draft(code: str, path: str, workspace: str, manifests: Manifests) -> Draft:
    """A file of JavaScript or TypeScript: a field of a record, or a module."""
    where = PurePosixPath(path)
    package = package_of(path, workspace, manifests)[0] if is_declaration(path) else ""
    if package == PLATFORM and where.parent.name == "imports":
        return Draft()  # types that no script can name
    script = Script(path=path, code=code, language=LANGUAGES[where.suffix])
    records = () if is_declaration(path) else (_synced_file(script, where), _synced_folder(script, where))
    for record in records:
        if record is not None:
            return Draft((_in_scope_folder(record, workspace, manifests),))
    return Draft((_module(script, workspace, manifests),))


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


def _synced_file(script: Script, where: PurePosixPath) -> Script | None:
    """`<scope>/<table>/<name>.<field>.js`; `<name>.js` is a script too."""
    if where.parent.name not in SCRIPT_TABLES:
        return None
    name, _, field = where.stem.rpartition(".")
    if not (name and is_code_field(where.parent.name, field)):
        name, field = where.stem, "script"
    app = where.parent.parent
    return replace(script, record_type=where.parent.name, record_name=name, field=field, app=str(app))


def _synced_folder(script: Script, where: PurePosixPath) -> Script | None:
    """`<scope>/<table>/<name>/<field>.js`"""
    folder = where.parent
    if folder.parent.name not in SCRIPT_TABLES or not is_code_field(folder.parent.name, where.stem):
        return None
    app = folder.parent.parent
    return replace(
        script, record_type=folder.parent.name, record_name=folder.name, field=where.stem, app=str(app)
    )


def _in_scope_folder(record: Script, workspace: str, manifests: Manifests) -> Script:
    """The record, with what the name of the folder around its table says."""
    app = "" if record.app == "." else record.app
    folder = PurePosixPath(app).name or workspace
    stated = folder if folder in manifests.names else ""
    scope = stated or (folder if is_scope(folder) else _stated_scope(record.path, manifests))
    doubtful = frozenset(("record_type", "record_name", "field", "package"))
    record = replace(record, app=app, package=scope or folder, inferred=doubtful)
    is_stated = bool(stated) or scope == _stated_scope(record.path, manifests)
    return with_scope(record, scope, inferred=not is_stated)


def _stated_scope(path: str, manifests: Manifests) -> str:
    folder = nearest(manifests.scopes, path)
    return manifests.scopes[folder] if folder is not None else ""
