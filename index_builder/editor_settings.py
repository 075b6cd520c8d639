"""Settings for editors, as files that ship with the package: whoever installs it has those that fit it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("editors")


@dataclass(frozen=True, slots=True)
class Editor:
    """An editor, the folder its files belong below, and what is left to do."""

    name: str
    place: str
    then: str


EDITORS = (
    Editor(
        "emacs", "~/.emacs.d", 'into the init file: (load "~/.emacs.d/deepcodeseek.el"); M-x eglot starts it'
    ),
    Editor("helix", "~/.config/helix", "merge with what is there; check: hx --health javascript"),
    Editor("kate", "~/.config/kate", "or paste it into the user server settings of the plugin LSP Client"),
    Editor(
        "neovim",
        "~/.config/nvim",
        "into init.lua: vim.lsp.enable('deepcodeseek'), before 0.11 require('deepcodeseek').setup(); "
        "check: :checkhealth deepcodeseek",
    ),
    Editor(
        "sublime", "~/.config/sublime-text/Packages/User", "merge with what is there; needs the package LSP"
    ),
    Editor(
        "zed",
        "~/.config/zed",
        "merge with what is there; takes the place of another server, as Zed knows no others",
    ),
)


def editor_files(name: str) -> list[Path]:
    """The files of an editor, relative to their folder."""
    folder = FOLDER / name
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def write_editor(name: str, out: Path) -> list[Path]:
    """Copy the files of an editor below `out`; what is already there is left as it is. The paths written."""
    written = []
    for file in editor_files(name):
        target = out / file
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(FOLDER / name / file, target)
            written.append(target)
    return written
