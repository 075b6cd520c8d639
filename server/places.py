"""What a path says of a script, and what a table says of where its scripts run.

<app>/update/<table>_<sys_id>.xml                 source control, written by the instance
<scope>/<table>/<name>.<field>.js                 sn-scriptsync and its like, in any folder
<scope>/<table>/<name>/<field>.js                 Sincronia
<any>.now.ts                                      ServiceNow SDK: what its calls say, its path says nothing

The index builder and an editor ask here alike: a file means the same to both.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from .types import Side

PLATFORM = "@servicenow/glide"  # the package that declares the platform's own classes
FLUENT = (".now.ts", ".now.js")
RECORD_FOLDERS = ("update", "author_elective_update")  # where ServiceNow puts an application's records

# fmt: off
CLIENT_TABLES = frozenset((
    "sys_script_client", "sys_script_validator", "sys_ui_policy", "sys_ui_script", "sys_ux_client_script",
    "sys_ux_client_script_include", "sp_angular_provider", "catalog_script_client", "catalog_ui_policy",
))
"""Record types all of whose scripts run in the browser."""

_SERVER_TABLES = frozenset((
    "sys_script_include", "sys_script", "sys_ui_page", "sys_script_fix", "sys_script_email", "sys_processor",
    "sys_ws_operation", "sys_web_service", "sys_security_acl", "sys_transform_map", "sys_transform_entry",
    "sys_transform_script", "sys_relationship", "sys_atf_step", "sysauto_script", "sysevent_script_action",
    "sysevent_in_email_action", "sys_flow_trigger_auto_script", "sys_hub_input_scripts",
    "sys_ux_data_broker_transform", "sp_widget", "sp_header_footer", "sc_cat_item_producer",
    "scan_table_check", "scan_linter_check", "scan_script_only_check", "scan_column_type_check",
))
_OTHER_TABLES = frozenset((
    "sys_ui_action",  # the record's flag `client` decides
    "ecc_agent_script_include", "ecc_agent_script",  # on a MID Server
))
_TWO_SIDED_TABLES = frozenset(("sp_widget", "sp_header_footer", "sys_ui_page"))  # the field decides
# fmt: on
SCRIPT_TABLES = CLIENT_TABLES | _SERVER_TABLES | _OTHER_TABLES
"""Tables whose records are kept as files of their own: a folder of this name is one."""

_SCRIPT_SUFFIXES = frozenset((".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx"))
_ENTRY_NAMES = frozenset(("index", "main", "mod"))

_SCOPE = re.compile(r"global|(x|sn)_\w+")
_RECORD_FILE = re.compile(r"(\w+)_[0-9a-f]{32}\.xml")


@dataclass(frozen=True, slots=True)
class Place:
    """What a path says; "" where it says nothing."""

    scope: str = ""
    record_type: str = ""  # the record's table
    record_name: str = ""
    field: str = ""  # the record's field that holds the code
    app: str = ""  # the folder of the record's application


def place_of(path: str, home: str = "", scopes: Container[str] = frozenset()) -> Place:
    """Of a path relative to the workspace, with forward slashes.

    `home` is the name of the workspace's own folder, `scopes` names those that do not look like one.
    """
    where = PurePosixPath(path)
    if path.endswith(FLUENT):
        return Place()
    if where.suffix == ".xml":
        return _record_file(where)
    place = _synced_file(where) or _synced_folder(where)
    if place is None:
        return Place()
    folder = PurePosixPath(place.app).name or home
    return replace(place, scope=folder if folder in scopes or is_scope(folder) else "")


def module_name(path: str) -> str:
    """What a module is called: its file, or the folder of one that is called after its part in it."""
    where = PurePosixPath(path)
    if where.suffix not in _SCRIPT_SUFFIXES:
        return ""
    name = where.name.partition(".")[0]
    return where.parent.name or name if name in _ENTRY_NAMES else name


def side_of(record_type: str, field: str = "") -> Side:
    """Where a record's script runs; "" where that is not known."""
    if record_type in CLIENT_TABLES or field.startswith("client_script"):
        return "client"
    if field == "link" and record_type in _TWO_SIDED_TABLES:
        return "client"
    if record_type in _TWO_SIDED_TABLES and not field:
        return ""
    return "server" if record_type in _SERVER_TABLES else ""


def is_scope(name: str) -> bool:
    """Whether a name has the shape of an application scope's: global, x_..., sn_..."""
    return _SCOPE.fullmatch(name) is not None


def is_code_field(table: str, name: str) -> bool:
    """Whether a field of this name may hold code."""
    is_script = name == "script" or name.endswith("_script") or name.startswith("script_")
    return is_script or (table, name) == ("sp_widget", "link")


def app_folder(path: str) -> str:
    """The folder of the application that a file of records belongs to."""
    folder = PurePosixPath(path).parent
    return _name(folder.parent if folder.name in RECORD_FOLDERS else folder)


def _record_file(where: PurePosixPath) -> Place:
    """`<table>_<sys_id>.xml`; elsewhere than in a folder of records, of a known table only."""
    found = _RECORD_FILE.fullmatch(where.name)
    table = found[1] if found else ""
    is_record = table in SCRIPT_TABLES or (bool(table) and where.parent.name in RECORD_FOLDERS)
    return Place(record_type=table, app=app_folder(str(where))) if is_record else Place()


def _synced_file(where: PurePosixPath) -> Place | None:
    """`<table>/<name>.<field>.js`; `<name>.js` is a script too."""
    table = where.parent.name
    if table not in SCRIPT_TABLES:
        return None
    name, _, field = where.stem.rpartition(".")
    if not (name and is_code_field(table, field)):
        name, field = where.stem, "script"
    return Place("", table, name, field, _name(where.parent.parent))


def _synced_folder(where: PurePosixPath) -> Place | None:
    """`<table>/<name>/<field>.js`"""
    folder = where.parent
    table = folder.parent.name
    if table not in SCRIPT_TABLES or not is_code_field(table, where.stem):
        return None
    return Place("", table, folder.name, where.stem, _name(folder.parent.parent))


def _name(folder: PurePosixPath) -> str:
    return "" if str(folder) == "." else str(folder)
