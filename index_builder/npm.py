"""npm packages at pinned versions: fetched by the user's own npm, checked, unpacked without trusting them.

By npm, so that a company's own mirror and proxy settings serve them; nothing of a package is ever run.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

from deepcodeseek.server.generation import IndexProblem

FETCH_SECONDS = 600  # npm asks again by itself for minutes before it gives up
MAX_FILES = 20_000
MAX_BYTES = 200_000_000  # unpacked
MAX_TARBALL = 200_000_000

_MEMBER = re.compile(r"package((?:/[\w@+$-][\w@.+ $-]*)+)", re.ASCII)  # a name, never a way out of the folder
_REASON = re.compile(r"^npm (?:error|ERR!) (?!code|errno|syscall)(.+)", re.M)


def fetch(package: str, version: str, folder: Path, elsewhere: str = "") -> Path:
    """The tarball of a package, put into an empty folder; `elsewhere` says what to do where npm cannot.

    Raises IndexProblem or OSError.
    """
    wanted = f"{package}@{version}"
    npm = shutil.which("npm")
    if npm is None:
        raise IndexProblem(f"npm is not installed: install Node.js{elsewhere and f', or {elsewhere}'}")
    # A project of its own: npm looks no further up for settings that another one left.
    (folder / "package.json").write_text("{}", encoding="utf-8")
    command = [npm, "pack", wanted, "--ignore-scripts"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = f"npm did not fetch {wanted} in {FETCH_SECONDS} s"
        raise IndexProblem(message + (elsewhere and f"; {elsewhere}")) from None
    tarballs = list(folder.glob("*.tgz"))
    if done.returncode or not tarballs:
        reason = _REASON.search(done.stderr.decode("utf-8", "replace"))
        said = reason[1].strip() if reason else "it made no tarball"
        message = f"npm could not fetch {wanted} ({said})"
        raise IndexProblem(message + (elsewhere and f"; where it cannot, {elsewhere}"))
    return tarballs[0]


def checked(archive: Path, integrity: str) -> bytes:
    """The tarball's bytes, read once: what is checked is what is unpacked.

    `integrity` is what npm calls so: `sha512-` and the hash in base64. Raises IndexProblem or OSError.
    """
    with archive.open("rb") as file:
        content = file.read(MAX_TARBALL + 1)
    made = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if len(content) > MAX_TARBALL or f"sha512-{made}" != integrity:
        raise IndexProblem(f"{archive.name} is not the pinned package (its SHA-512 differs)")
    return content


def unpack(content: bytes, folder: Path, is_wanted: Callable[[str], bool] = lambda name: True) -> None:
    """Write the wanted regular files of an npm tarball, all of which lie below `package/`.

    `is_wanted` is asked with the path below it. What is not wanted is passed over, whatever it is. Raises
    IndexProblem where a wanted member is no plain file or has no plain path, and where there is too much.
    """
    left = MAX_BYTES
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for count, member in enumerate(archive):
                left -= member.size
                if left < 0 or count >= MAX_FILES:
                    raise IndexProblem(f"the tarball holds too much: {member.name!r} does not belong in one")
                if not is_wanted(member.name.removeprefix("package/")):
                    continue
                name = _MEMBER.fullmatch(member.name)
                if name is None or not member.isreg():
                    raise IndexProblem(f"the tarball holds {member.name!r}, which does not belong in one")
                target = folder / name[1].removeprefix("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                source = archive.extractfile(member) or io.BytesIO()
                with target.open("xb") as file:
                    shutil.copyfileobj(source, file)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise IndexProblem(f"the tarball cannot be unpacked: {error}") from None
