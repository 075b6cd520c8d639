"""`python -I -m deepcodeseek.server`: the language server over stdin and stdout."""

from __future__ import annotations

import argparse
from pathlib import Path

from .lsp import run


def main() -> None:
    """Start serving; `--stdio`, which editors pass, is the only way there is."""
    parser = argparse.ArgumentParser(prog="python -I -m deepcodeseek.server")
    parser.add_argument("--stdio", action="store_true")
    parser.add_argument("--log-file", type=Path)
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    arguments = parser.parse_args()
    run(arguments.log_file, arguments.log_level)


if __name__ == "__main__":
    main()
