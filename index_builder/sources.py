"""Files of a workspace -> scripts: the code, with what its record or its path states about it.

Two kinds of file hold scripts: records that ServiceNow writes to source control as XML, and plain
JavaScript or TypeScript. What cannot be read is a `Problem`, never an exception: its neighbours are read
all the same.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Literal

from .records import Record, parse_records

Language = Literal["javascript", "typescript", "tsx"]
Progress = Callable[[str, int, int], None]  # what is being done, how much of it, of how much

MAX_BYTES = 5_000_000  # hand-written scripts stay far below; bundles and data dumps do not
SCRIPT_INCLUDE = "sys_script_include"
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

_BY_LANGUAGE: tuple[tuple[Language, tuple[str, ...]], ...] = (
    ("javascript", (".js", ".mjs", ".cjs", ".jsx")),
    ("typescript", (".ts", ".mts", ".cts")),
    ("tsx", (".tsx",)),
)
_LANGUAGES = MappingProxyType({suffix: name for name, suffixes in _BY_LANGUAGE for suffix in suffixes})
SUFFIXES = frozenset(_LANGUAGES)  # of files that are one module
_GENERATED = (".min.js", ".min.mjs", ".min.cjs", ".d.ts", ".d.mts", ".d.cts")
_RECORD_FOLDERS = ("update", "author_elective_update")  # where ServiceNow puts an application's records
_RECORD_FILES = ("sys_app_", "sys_script_include_")  # read in any folder
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read, in one line."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Script:
    """One script text with what its record or its path states."""

    path: str  # relative to the workspace, with forward slashes
    code: str
    line_offset: int = 0  # lines of the file above the code's first line
    language: Language = "javascript"
    record_type: str = ""  # the record's table; "" for a plain module
    record_name: str = ""
    field: str = ""  # the record's field that holds the code
    api_name: str = ""  # of a Script Include
    scope: str = ""
    package: str = ""
    module: str = ""  # of a plain module: its path inside the package, without extension
    app: str = ""  # the folder of the record's application, relative to the workspace
    access: str = ""
    client_callable: bool = False
    table: str = ""  # that the record works on
    description: str = ""


def walk(workspace: Path, skip: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Every file that may hold scripts, always in the same order. Links are not followed.

    `skip` names folders that are no source, such as the index's own inside the workspace.
    """
    skip = frozenset(folder.resolve() for folder in skip)
    for folder, folders, names in os.walk(workspace):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if _is_source_folder(here / name, skip))
        for name in sorted(names):
            if _holds_scripts(here / name) and not (here / name).is_symlink():
                yield here / name


def read_scopes(workspace: Path, files: Iterable[Path]) -> dict[str, str]:
    """sys_id -> scope of the applications whose own record lies in the workspace."""
    scopes: dict[str, str] = {}
    for path in files:
        if path.name.startswith(("sys_app_", "sys_scope_")) and path.suffix == ".xml":
            records, _ = _read_records(path, _relative(path, workspace), MAX_BYTES)
            for record in records:
                if record.text("scope") and record.text("sys_id"):
                    scopes[record.text("sys_id")] = record.text("scope")
    return scopes


def read_packages(workspace: Path, files: Iterable[Path]) -> dict[str, str]:
    """Folder (relative to the workspace) -> the name that its package.json states."""
    folders = {folder for path in files if path.suffix in _LANGUAGES for folder in path.parents}
    packages: dict[str, str] = {}
    for folder in sorted(folder for folder in folders if folder.is_relative_to(workspace)):
        if name := _package_name(folder / "package.json"):
            packages[_relative(folder, workspace)] = name
    return packages


def read_scripts(
    path: Path,
    workspace: Path,
    scopes: Mapping[str, str] = _NOTHING,
    packages: Mapping[str, str] = _NOTHING,
    max_bytes: int = MAX_BYTES,
) -> tuple[tuple[Script, ...], tuple[Problem, ...]]:
    """The scripts that one file holds: several for some records, none where it cannot be read."""
    name = _relative(path, workspace)
    if path.suffix == ".xml":
        records, problems = _read_records(path, name, max_bytes)
        app = _app_folder(name)
        package = PurePosixPath(app).name or workspace.name
        found = (s for r in records if r.action != "DELETE" for s in _record_scripts(r, name, scopes))
        return tuple(replace(s, app=app, package=s.package or package) for s in found), problems
    text, problems = _read_text(path, name, max_bytes)
    if problems:
        return (), problems
    return (_file_script(text, name, workspace.name, packages),), ()


def fill_scopes(scripts: Iterable[Script]) -> tuple[Script, ...]:
    """Give records without a scope the one that most Script Includes of their application state."""
    every = tuple(scripts)
    stated: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for script in every:
        if script.record_type == SCRIPT_INCLUDE and script.scope:
            stated[script.app][script.scope] += 1
    usual = {app: min(counts, key=lambda s: (-counts[s], s)) for app, counts in stated.items()}
    return tuple(_with_scope(script, script.scope or usual.get(script.app, "")) for script in every)


def read_workspace(
    workspace: Path,
    skip: frozenset[Path] = frozenset(),
    progress: Progress = lambda what, done, total: None,
) -> tuple[tuple[Script, ...], tuple[Problem, ...]]:
    """All of the above, in order."""
    files = tuple(walk(workspace, skip))
    scopes, packages = read_scopes(workspace, files), read_packages(workspace, files)
    scripts: list[Script] = []
    problems: list[Problem] = []
    for done, path in enumerate(files):
        progress("reading", done, len(files))
        found, unread = read_scripts(path, workspace, scopes, packages)
        scripts += found
        problems += unread
    return fill_scopes(scripts), tuple(problems)


# Which files


def _is_source_folder(folder: Path, skip: frozenset[Path]) -> bool:
    hidden_or_foreign = folder.name.startswith(".") or folder.name in ("node_modules", "__pycache__")
    return not (hidden_or_foreign or folder.resolve() in skip or (folder / "pyvenv.cfg").exists())


def _holds_scripts(path: Path) -> bool:
    if path.suffix == ".xml":
        # Any other XML is somebody else's, and its doctype or its errors are no problem of ours.
        return path.parent.name in _RECORD_FOLDERS or path.name.startswith(_RECORD_FILES)
    return path.suffix in _LANGUAGES and not path.name.endswith(_GENERATED)


def _relative(path: Path, workspace: Path) -> str:
    return path.relative_to(workspace).as_posix()


def _app_folder(name: str) -> str:
    folder = PurePosixPath(name).parent
    app = str(folder.parent if folder.name in _RECORD_FOLDERS else folder)
    return "" if app == "." else app


def _package_name(manifest: Path) -> str:
    try:
        content = json.loads(manifest.read_bytes())
    except (OSError, ValueError, RecursionError):
        return ""  # a manifest above it, or the workspace's folder, names the package instead
    name = content.get("name") if isinstance(content, dict) else None
    return name if isinstance(name, str) else ""


# Text


def _read_text(path: Path, name: str, max_bytes: int) -> tuple[str, tuple[Problem, ...]]:
    try:
        if (size := path.stat().st_size) > max_bytes:
            return "", (Problem(name, f"skipped: {size:,} bytes, the limit is {max_bytes:,}"),)
        text = _decode(path.read_bytes())
    except OSError as error:
        return "", (Problem(name, f"cannot be read: {error.strerror or error}"),)
    if "\0" in text:
        return "", (Problem(name, "skipped: binary content (NUL character)"),)
    return text, ()


def _decode(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    declared = re.match(rb"\s*<\?xml[^>]*?\bencoding\s*=\s*[\"']([A-Za-z0-9._-]+)", data)
    for encoding in ("utf-8-sig", declared[1].decode() if declared else "cp1252"):
        try:
            return data.decode(encoding)
        except (UnicodeError, LookupError):
            continue
    return data.decode("cp1252", errors="replace")


# Records


def _read_records(path: Path, name: str, max_bytes: int) -> tuple[tuple[Record, ...], tuple[Problem, ...]]:
    text, problems = _read_text(path, name, max_bytes)
    if problems:
        return (), problems
    try:
        return parse_records(text), ()
    except ValueError as error:
        return (), (Problem(name, str(error)),)


def _record_scripts(record: Record, path: str, scopes: Mapping[str, str]) -> Iterator[Script]:
    api_name = record.text("api_name") if record.table == SCRIPT_INCLUDE else ""
    for name, content in record.fields.items():
        if _is_code(record.table, name, content.text):
            script = Script(
                path=path,
                code=content.text,
                line_offset=content.line - 1,
                record_type=record.table,
                record_name=record.text("name", "sys_name", "short_description") or PurePosixPath(path).stem,
                field=name,
                api_name=api_name,
                package=_package(record),
                access=record.text("access"),
                client_callable=record.text("client_callable") == "true",
                table=record.text("collection", "table"),
                description=record.text("description"),
            )
            yield _with_scope(script, api_name.rpartition(".")[0] or _scope(record, scopes))


def _is_code(table: str, name: str, text: str) -> bool:
    code = text.strip()
    if name == "script":  # an empty Script Include is an API all the same; Jelly is no JavaScript
        return table == SCRIPT_INCLUDE or (bool(code) and not code.startswith(("<?xml", "<j:")))
    named = name.endswith("_script") or name.startswith("script_") or (table, name) == ("sp_widget", "link")
    # The same names are used for flags, references and templates.
    return bool(named and re.search(r"[\s(=]", code) and not code.startswith("<"))


def _package(record: Record) -> str:
    names = (record.attribute("sys_package", "source"), record.attribute("sys_package", "display_value"))
    # "global" names what belongs to no package, a sys_id names nothing to a reader
    return next((name for name in names if name not in ("", "global") and not _is_sys_id(name)), "")


def _scope(record: Record, scopes: Mapping[str, str]) -> str:
    stated = record.text("sys_scope")
    named = (stated, scopes.get(stated, ""), record.attribute("sys_scope", "display_value"))
    found = next((name for name in named if is_scope(name)), "")
    source = record.attribute("sys_package", "source")
    return found or (source if is_scope(source) and source != "global" else "")


def is_scope(name: str) -> bool:
    """Whether it has the shape of a scope's name: global, x_..., sn_..."""
    return re.fullmatch(r"global|(x|sn)_\w+", name) is not None


def _is_sys_id(name: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{32}", name) is not None


def _with_scope(script: Script, scope: str) -> Script:
    if script.record_type != SCRIPT_INCLUDE:
        return replace(script, scope=scope) if script.record_type else script
    own = f"{scope}.{script.record_name}" if scope else script.record_name
    has_scope = "." in script.api_name
    return replace(script, scope=scope, api_name=script.api_name if has_scope else own)


# Plain files


def _file_script(text: str, path: str, workspace: str, packages: Mapping[str, str]) -> Script:
    where = PurePosixPath(path)
    script = Script(path=path, code=text, language=_LANGUAGES[where.suffix])
    if len(where.parts) > 1 and where.parts[-2] in SCRIPT_TABLES:
        return _record_file(script, where, workspace)
    home = next((folder for folder in map(str, where.parents) if folder in packages), ".")
    module = where.relative_to(home).with_suffix("").as_posix()
    return replace(script, package=packages.get(home, workspace), module=module)


def _record_file(script: Script, where: PurePosixPath, workspace: str) -> Script:
    """`<scope>/<table>/<name>.script.js`: a record whose fields are files."""
    name, _, last = where.stem.rpartition(".")
    if not (name and last.endswith("script")):
        name, last = where.stem, "script"
    scope = where.parts[-3] if len(where.parts) > 2 else workspace
    app = str(where.parent.parent)
    record = replace(script, record_type=where.parts[-2], record_name=name, field=last, package=scope)
    return _with_scope(replace(record, app="" if app == "." else app), scope)
