"""`base get`: what npm fetched is checked before anything of it is used, and a failure changes nothing."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conftest import environment

from deepcodeseek.index_builder import npm as npm_module
from deepcodeseek.index_builder.base_store import GLIDE, PackagedBase, get_base
from deepcodeseek.index_builder.layers import installed_bases, last_options, read_base, remove_base
from deepcodeseek.server.documentation import api_markdown
from deepcodeseek.server.generation import IndexProblem, base_directory, read_manifest
from deepcodeseek.server.models import Encoder

NPM = """#!/bin/sh
printf '%s\\n' "$*" >> '{log}'
ls >> '{log}'
{does}
"""
GIVES = "cp '{tarball}' vessel-1.2.3.tgz"
FILES = {
    "package/package.json": '{"name": "@servicenow/glide", "scripts": {"postinstall": "touch x"}}',
    "package/src/types/Vessel.d.ts": "export declare class Vessel { depart(berth: string): void }\n",
    "package/src/sn_tug/Tug.d.ts": "export declare class Tug { pull(): void }\n",
}


def silent(task: str, done: int, total: int) -> None:
    """Shows nothing."""


def member(name: str, content: bytes = b"", **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def packed(path: Path, *more: tuple[tarfile.TarInfo, bytes]) -> PackagedBase:
    """Write a tarball with a few declarations; the pin that fits it."""
    with tarfile.open(path, "w:gz") as archive:
        for info, content in (*(member(name, text.encode()) for name, text in FILES.items()), *more):
            archive.addfile(info, io.BytesIO(content))
    content = path.read_bytes()
    return replace(GLIDE, version="1.2.3", size=len(content), sha256=sha256(content).hexdigest())


def npm(folder: Path, does: str) -> Path:
    """A folder for PATH with an npm that does so; what it was asked is in `npm.log` beside it."""
    (folder / "bin").mkdir(exist_ok=True)
    script = folder / "bin/npm"
    script.write_text(NPM.format(log=folder / "npm.log", does=does), encoding="utf-8")
    script.chmod(0o755)
    return script.parent


@pytest.fixture
def pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackagedBase]:
    """A small package, and an npm that gives it."""
    made = packed(tmp_path / "vessel.tgz")
    path = npm(tmp_path, GIVES.format(tarball=tmp_path / "vessel.tgz"))
    monkeypatch.setenv("PATH", f"{path}:/usr/bin:/bin")
    yield made
    for name in installed_bases():
        remove_base(name)


def test_a_layer_is_fetched_once(pin: PackagedBase, encoder: Encoder, tmp_path: Path) -> None:
    report = get_base(pin, None, encoder, silent)
    assert report
    assert report.apis == 2
    assert get_base(pin, None, encoder, silent) is None
    asked = (tmp_path / "npm.log").read_text().splitlines()
    assert asked == ["pack @servicenow/glide@1.2.3 --ignore-scripts", "package.json"]
    vessel = next(api for api in read_base("glide").apis if api.api_name == "Vessel")
    assert api_markdown(vessel).endswith("From `@servicenow/glide/src/types/Vessel.d.ts:1`")
    assert last_options(base_directory("glide")).origin == "@servicenow/glide 1.2.3"


def test_a_layer_comes_from_a_file_as_well(pin: PackagedBase, encoder: Encoder, tmp_path: Path) -> None:
    assert get_base(pin, tmp_path / "vessel.tgz", encoder, silent)
    assert not (tmp_path / "npm.log").exists()
    assert (tmp_path / "vessel.tgz").exists()


def test_a_damaged_or_older_layer_is_fetched_anew(pin: PackagedBase, encoder: Encoder) -> None:
    get_base(replace(pin, version="1.2.2"), None, encoder, silent)
    assert get_base(pin, None, encoder, silent)
    (read_manifest(base_directory("glide"))[0] / "doc.npy").write_bytes(b"damaged")
    assert get_base(pin, None, encoder, silent)
    assert get_base(pin, None, encoder, silent) is None


FAILURES = {  # what npm does -> what is said
    "offline": (
        "printf 'npm error code E1\\nnpm error errno E1\\nnpm error no way: E1\\n' >&2; exit 1",
        r"npm could not fetch @servicenow/glide@1.2.3 \(no way: E1\); where it cannot, run `npm pack @ser",
    ),
    "old npm": ("printf 'npm ERR! code E2\\nnpm ERR! notarget none\\n' >&2; exit 1", r"\(notarget none\)"),
    "says nothing": ("exit 7", "it made no tarball"),
    "makes nothing": ("exit 0", "it made no tarball"),
    "another package": (
        "echo x > x.tgz",
        r"x.tgz is not @servicenow/glide 1.2.3 as pinned \(its size or SHA-256",
    ),
    "a changed package": ("sed 's/^/x/' '{tarball}' > x.tgz", "nothing was installed"),
    "hangs": ("exec sleep 60", "npm did not fetch @servicenow/glide@1.2.3 in 1 s; run `npm pack"),
}


@pytest.mark.parametrize("what", FAILURES)
@pytest.mark.parametrize("is_there", [True, False])
def test_a_failure_leaves_what_was_there(
    what: str,
    is_there: bool,
    pin: PackagedBase,
    encoder: Encoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if is_there:
        get_base(replace(pin, version="1.2.2"), None, encoder, silent)
    monkeypatch.setattr(npm_module, "FETCH_SECONDS", 1)
    does, message = FAILURES[what]
    npm(tmp_path, does.replace("{tarball}", str(tmp_path / "vessel.tgz")))
    with pytest.raises(IndexProblem, match=message):
        get_base(pin, None, encoder, silent)
    assert installed_bases() == (("glide",) if is_there else ())
    assert base_directory("glide").exists() == is_there
    if is_there:
        assert len(read_base("glide").apis) == 2


HOSTILE = {
    "a way out": member("package/../../evil", b"x"),
    "an absolute path": member("/package/evil", b"x"),
    "a path in disguise": member("package/..\\evil", b"x"),
    "a hidden file": member("package/.npmrc", b"x"),
    "something beside": member("evil", b"x"),
    "a link": member("package/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": member("package/link", type=tarfile.LNKTYPE, linkname="package/package.json"),
    "a pipe": member("package/pipe", type=tarfile.FIFOTYPE),
    "too much": member("package/big", b"x" * 10_000),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_does_not_belong_in_a_tarball_is_refused(
    what: str, pin: PackagedBase, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npm_module, "MAX_BYTES", 9_000)
    hostile = packed(tmp_path / "hostile.tgz", HOSTILE[what])
    with pytest.raises(IndexProblem, match="does not belong in one"):
        get_base(hostile, tmp_path / "hostile.tgz", encoder, silent)
    assert installed_bases() == ()


def test_many_files_and_broken_tarballs_are_refused(
    pin: PackagedBase, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (tmp_path / "vessel.tgz").read_bytes()
    for content in (b"", b"no tarball", whole[: len(whole) // 2]):
        (tmp_path / "broken.tgz").write_bytes(content)
        broken = replace(pin, size=len(content), sha256=sha256(content).hexdigest())
        with pytest.raises(IndexProblem, match="cannot be unpacked"):
            get_base(broken, tmp_path / "broken.tgz", encoder, silent)
    monkeypatch.setattr(npm_module, "MAX_FILES", 2)
    with pytest.raises(IndexProblem, match="does not belong in one"):
        get_base(pin, None, encoder, silent)


# The command


def run(*arguments: object, **options: Any) -> tuple[int, str, str]:
    command = [
        sys.executable,
        "-I",
        "-m",
        "deepcodeseek.index_builder.cli",
        "base",
        "get",
        *map(str, arguments),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def test_the_command_says_in_one_line_what_to_do(pin: PackagedBase, tmp_path: Path) -> None:
    nowhere = environment(PATH=str(tmp_path))
    wanted = f"npm pack {GLIDE.package}@{GLIDE.version}"
    cases: list[tuple[tuple[object, ...], dict[str, str], str]] = [
        (("glide",), nowhere, f"npm is not installed: install Node.js, or run `{wanted}` elsewhere, then"),
        (("glide",), environment(), "vessel-1.2.3.tgz is not @servicenow/glide"),
        (("glide", "--from", tmp_path / "vessel.tgz"), nowhere, "vessel.tgz is not @servicenow/glide"),
        (("glade",), environment(), "no base layer 'glade' is known to be fetched: glide"),
    ]
    for arguments, variables, message in cases:
        status, out, err = run(*arguments, env=variables)
        assert (status, out) == (1, "")
        assert err.startswith(f"Error: {message}")
        assert len(err.splitlines()) == 1
    assert installed_bases() == ()


def _disk_full() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))


def test_a_full_disk(pin: PackagedBase, encoder: Encoder, tmp_path: Path) -> None:
    code = (
        "import sys; from dataclasses import replace\n"
        "from deepcodeseek.index_builder import base_store as b, cli\n"
        f"b.KNOWN = {{'glide': replace(b.GLIDE, version='1.2.3', size={pin.size}, sha256='{pin.sha256}')}};"
        "sys.argv = ['x', 'base', 'get', 'glide']; cli.main()"
    )
    for limit, status in ((_disk_full, 1), (None, 0)):
        done = subprocess.run(
            [sys.executable, "-I", "-c", code],
            capture_output=True, text=True, timeout=60, preexec_fn=limit, env={**os.environ},
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        assert base_directory("glide").exists() == (status == 0)
        if status:
            assert len(done.stderr.splitlines()) == 1
            assert str(base_directory("glide")) in done.stderr
