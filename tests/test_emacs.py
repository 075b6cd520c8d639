"""A real Emacs with eglot, in batch, with the settings that ship, against the real server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import DRAFT, DRAFT_COLUMN, DRAFT_LINE, EXAMPLE, environment

from deepcodeseek.index_builder.editor_settings import FOLDER

SCRIPT = Path(__file__).with_name("emacs.el")


def find_emacs() -> str | None:
    """An Emacs that has eglot: a part of it from version 29 on, a package before."""
    emacs = shutil.which("emacs")
    if emacs is None:
        return None
    asked = [emacs, "-q", "--batch", "--eval", "(progn (package-initialize) (require 'eglot))"]
    return emacs if subprocess.run(asked, capture_output=True, check=False).returncode == 0 else None


@pytest.mark.usefixtures("example_report")
def test_emacs_completes_accepts_and_hovers(tmp_path: Path) -> None:
    emacs = find_emacs()
    if emacs is None:
        pytest.skip("Emacs with eglot is not installed")
    done = subprocess.run(
        [emacs, "-q", "--batch", "-l", str(SCRIPT)],
        env=environment(
            DCS_PYTHON=sys.executable,
            DCS_SETTINGS=str(FOLDER / "emacs/deepcodeseek.el"),
            DCS_WORKSPACE=str(EXAMPLE),
            DCS_FILE=str(EXAMPLE / DRAFT),
            DCS_LINE=str(DRAFT_LINE),
            DCS_COLUMN=str(DRAFT_COLUMN),
            HOME=str(tmp_path),
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    said = {line["kind"]: line["value"] for line in lines}
    assert done.returncode == 0, done.stderr
    assert said["state"] == "ready"
    assert said["labels"][0] == "BerthAllocator"
    assert said["line"] == "    BerthAllocator"
    assert "findFree" in said["hover"]
