"""Files that appear whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path


def write_lines(out: Path, lines: Iterable[str]) -> int:
    """Write lines to a file that appears when all are made; how many there were."""
    part = out.with_name(f"{out.name}.{secrets.token_hex(3)}.part")
    count = 0
    try:
        with part.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(line + "\n")
                count += 1
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return count
