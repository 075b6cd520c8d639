"""Make a GGUF file of the kind Q4_0, which processors read several times as fast as Q4_1.

    python -I -m deepcodeseek.index_builder.requantize SOURCE TARGET

llama.cpp lays the weights of Q4_0 out anew for the processor that it runs on, and those of Q4_1 not. Being
native code, it does its work in a process of its own.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

TIMEOUT_SECONDS = 600.0  # half a second for 135 million weights


def requantized(source: Path, target: Path) -> bool:
    """Write `target`; whether that went well."""
    command = [sys.executable, "-I", "-m", __spec__.name, str(source), str(target)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and target.is_file()


def main() -> int:
    """Quantize again; the status is not 0 where that fails."""
    import llama_cpp

    source, target = (path.encode() for path in sys.argv[1:])
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0
    options.allow_requantize = True
    return int(llama_cpp.llama_model_quantize(source, target, ctypes.byref(options)))


if __name__ == "__main__":
    sys.exit(main())
