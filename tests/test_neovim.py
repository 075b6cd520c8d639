"""Real, headless Neovims, old and new, with the settings that ship, against the real server."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import DRAFT, DRAFT_COLUMN, DRAFT_LINE, EXAMPLE, environment

from deepcodeseek.index_builder.editor_settings import FOLDER

SCRIPT = Path(__file__).with_name("neovim.lua")
BIN = Path(sys.executable).parent
NEOVIMS = {
    "of the development dependencies": str(BIN / "nvim") if (BIN / "nvim").exists() else None,
    "of the system": shutil.which("nvim", path="/usr/local/bin:/usr/bin:/opt/homebrew/bin"),
}


@pytest.mark.usefixtures("example_report")
@pytest.mark.parametrize("which", NEOVIMS)
def test_neovim_completes_accepts_hovers_and_is_in_health(which: str, tmp_path: Path) -> None:
    neovim = NEOVIMS[which]
    if neovim is None:
        pytest.skip(f"the Neovim {which} is not installed")
    done = subprocess.run(
        [neovim, "--headless", "--clean", "-n", "-u", "NONE", "-c", f"luafile {SCRIPT}"],
        env=environment(
            DCS_PYTHON=sys.executable,
            DCS_SETTINGS=str(FOLDER / "neovim"),
            DCS_WORKSPACE=str(EXAMPLE),
            DCS_FILE=str(EXAMPLE / DRAFT),
            DCS_LINE=str(DRAFT_LINE),
            DCS_COLUMN=str(DRAFT_COLUMN),
            PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
            HOME=str(tmp_path),
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
    # What a list shows as the word (0.11), or what it inserts (0.7).
    assert said["line"] in ("    BerthAllocator", "    new BerthAllocator")
    assert "findFree" in said["hover"]
    (document,) = said["documents"]
    assert document["sha256"] == hashlib.sha256(said["text"].encode()).hexdigest()
    assert "golden: encoder: 3 of 3" in said["health"]
