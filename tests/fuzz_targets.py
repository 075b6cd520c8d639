"""What must hold of every parser, whatever it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import msgspec

from deepcodeseek.index_builder import parts
from deepcodeseek.index_builder.decoding import decode, read_text
from deepcodeseek.index_builder.extract import extract
from deepcodeseek.index_builder.scripts import Script
from deepcodeseek.index_builder.sources import Workspace, read_workspace
from deepcodeseek.index_builder.syntax import clean_comment
from deepcodeseek.server.context import make_context
from deepcodeseek.server.documentation import api_markdown
from deepcodeseek.server.jsdoc import parse_doc
from deepcodeseek.server.places import place_of, side_of
from deepcodeseek.server.types import Api, Method

Check = Callable[[bytes, Path], None]


def check_file(name: str, data: bytes, folder: Path) -> None:
    """A file of that name gives scripts or one-line problems, and each script what `check_script` says."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    found = _workspace(folder)
    encoded = msgspec.msgpack.encode((found.scripts, found.problems), order="deterministic")
    again = _workspace(folder)
    assert encoded == msgspec.msgpack.encode((again.scripts, again.problems), order="deterministic")
    lines = data.count(b"\n") + data.count(b"\r") + 1
    for script in found.scripts:
        assert 0 <= script.line_offset < lines
        assert not script.record_type or script.record_name
        check_script(script)


def _workspace(folder: Path) -> Workspace:
    found = read_workspace(folder, packages=True)
    for problem in found.problems:
        assert problem.path
        assert problem.message
        assert len(problem.message.splitlines()) == 1
    return found


def check_script(script: Script) -> None:
    """All that is found lies inside the code, has a name, and can be written; twice the same."""
    found = extract(script)
    lines = range(script.line_offset + 1, script.line_offset + script.code.count("\n") + 2)
    for api in found.apis:
        assert api.name
        assert api.api_name
        assert api.line in lines
        assert all(method.name and method.line in lines for method in api.methods), api.methods
        api_markdown(api).encode()
    for call in found.calls:
        assert call.name
        assert call.line in lines
        assert script.code[call.start :].startswith(call.statement)
    assert all((*found.tables, *found.writes, *found.names))
    assert parts._extract(script) == parts._extract(script)


def check_manifest(data: bytes, folder: Path) -> None:
    """As each of the manifests, at the top and of an installed package."""
    names = ("package.json", "now.config.json", "sinc.manifest.json", "scopes.json")
    for name in (*names, "node_modules/typed/package.json"):
        write(folder / name, data)
    write(folder / "x_app/sys_script_include/A.script.js", b"var A = {b() {}};")
    for name in ("node_modules/typed/lib/index.d.ts", "c.js"):
        write(folder / name, b"export function d(): void;")
    for script in _workspace(folder).scripts:
        check_script(script)


def check_ignored(data: bytes, folder: Path) -> None:
    """Any .gitignore hides files and changes nothing else."""
    for name in ("a.js", "b/c.js", "docs/d/e.js"):
        write(folder / name, b"")
    write(folder / ".gitignore", data)
    write(folder / "b/.gitignore", data[::-1])
    found = _workspace(folder)
    assert {script.path for script in found.scripts} <= {"a.js", "b/c.js", "docs/d/e.js"}
    assert not found.problems


def check_encoding(data: bytes, folder: Path) -> None:
    """Any bytes are some text, which can be written again."""
    decode(data).encode()
    decode(data, is_whole=False).encode()
    path = write(folder / "any", data)
    try:
        problem = "" if "\0" not in read_text(path, len(data)) else "NUL"
    except ValueError as error:
        problem = str(error)
    assert not problem or problem.startswith("skipped: ")


def check_comment(data: bytes, folder: Path) -> None:
    """Any text is a comment, with halves of characters and without."""
    for text in (data.decode("utf-8", "surrogatepass" if _has_surrogates(data) else "replace"), decode(data)):
        doc = clean_comment([text])
        for said in (text, doc):
            assert parse_doc(said) == parse_doc(said)
            assert all(param.name for param in parse_doc(said).params)
            api = Api("a", "a", "function", doc=said, methods=(Method("m", ("b",), said),))
            assert "\0" in said or "`a`" in api_markdown(api)


def _has_surrogates(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def check_cursor(data: bytes, folder: Path) -> None:
    """First line: the path; the byte ff: the cursor. What a model reads of it can be written."""
    path, _, rest = data.partition(b"\n")
    name = path.decode("utf-8", "replace")
    place = place_of(name, "home")
    side_of(place.record_type, place.field)
    before, _, after = (part.decode("utf-8", "surrogateescape") for part in rest.partition(b"\xff"))
    context = make_context(before, after, {"file": name, "record_type": place.record_type})
    msgspec.msgpack.encode(context)
    assert context == make_context(before, after, {"file": name, "record_type": place.record_type})
    assert context.before.endswith(context.prefix)


def write(path: Path, data: bytes) -> Path:
    """With the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


TARGETS: Mapping[str, Check] = MappingProxyType(
    {
        "records": partial(check_file, "update/a.xml"),
        "update sets": partial(check_file, "any.xml"),
        "javascript": partial(check_file, "a.js"),
        "typescript": partial(check_file, "a.ts"),
        "tsx": partial(check_file, "a.tsx"),
        "declarations": partial(check_file, "a.d.ts"),
        "fluent": partial(check_file, "a.now.ts"),
        "manifests": check_manifest,
        "gitignore": check_ignored,
        "encodings": check_encoding,
        "comments": check_comment,
        "cursors": check_cursor,
    }
)
