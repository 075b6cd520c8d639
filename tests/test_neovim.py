"""A real, headless Neovim against the real server."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import DRAFT, DRAFT_COLUMN, DRAFT_LINE, EXAMPLE, environment

SCRIPT = Path(__file__).with_name("neovim.lua")


def find_neovim() -> str | None:
    """The one that the development dependencies bring, or an installed one."""
    own = Path(sys.executable).with_name("nvim")
    return str(own) if own.exists() else shutil.which("nvim")


@pytest.mark.usefixtures("example_report")
def test_neovim_completes_accepts_and_hovers(tmp_path: Path) -> None:
    neovim = find_neovim()
    if neovim is None:
        pytest.skip("Neovim is not installed")
    done = subprocess.run(
        [neovim, "--headless", "--clean", "-n", "-u", "NONE", "-l", str(SCRIPT)],
        env=environment(
            DCS_PYTHON=sys.executable,
            DCS_WORKSPACE=str(EXAMPLE),
            DCS_FILE=str(EXAMPLE / DRAFT),
            DCS_LINE=str(DRAFT_LINE),
            DCS_COLUMN=str(DRAFT_COLUMN),
            HOME=str(tmp_path),
            DEEPCODESEEK_DATA_HOME=_data_home(),
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    said = {line["kind"]: line["value"] for line in lines}
    assert said["label"] == "BerthAllocator"
    assert said["line"] == "    BerthAllocator"
    assert "findFree" in said["hover"]
    (document,) = said["documents"]
    assert document["sha256"] == hashlib.sha256(said["text"].encode()).hexdigest()


def _data_home() -> str:
    """Neovim gets another HOME; the models stay where they are."""
    from deepcodeseek.server.models import data_directory

    return str(data_directory().parent)
