"""CMAKE_ARGS for building llama-cpp-python on this machine, for this machine or (--portable) for others.

Run by `make setup` with any Python, before anything is installed. Two things matter: the multimodal
tools, which nobody here needs, take most of the default build's time; and a build with AMX crashes on
quantized weights, so the processor's features are named one by one instead of -march=native.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

LEFT_OUT = (
    "MTMD_BUILD",
    "LLAVA_BUILD",
    *(f"LLAMA_BUILD_{x}" for x in ("TOOLS", "EXAMPLES", "SERVER", "TESTS")),
)
FEATURES = (
    ("GGML_SSE42", ("sse4_2",)),
    ("GGML_AVX", ("avx",)),
    ("GGML_AVX2", ("avx2",)),
    ("GGML_BMI2", ("bmi2",)),
    ("GGML_FMA", ("fma",)),
    ("GGML_F16C", ("f16c",)),
    # Up to here every x86 processor of the last ten years has them.
    ("GGML_AVX512", ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd")),
    ("GGML_AVX512_VNNI", ("avx512f", "avx512_vnni")),
    ("GGML_AVX512_VBMI", ("avx512f", "avx512vbmi")),
)


def cmake_args(machine: str, cpuinfo: str) -> str:
    """Arguments for an architecture (as platform.machine() names it) and the text of /proc/cpuinfo."""
    args = [f"-D{name}=OFF" for name in LEFT_OUT]
    line = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "")
    have = set(line.split())
    if machine in ("x86_64", "AMD64") and have:
        args.append("-DGGML_NATIVE=OFF")
        args += [f"-D{name}={'ON' if have.issuperset(needs) else 'OFF'}" for name, needs in FEATURES]
    return " ".join(args)


def portable_args(machine: str) -> str:
    """Arguments for a build that runs on other machines of this architecture."""
    common = {flag for name, needs in FEATURES if "AVX512" not in name for flag in needs}
    if machine in ("x86_64", "AMD64"):
        return cmake_args(machine, f"flags : {' '.join(common)}")
    return f"{cmake_args(machine, '')} -DGGML_NATIVE=OFF"


if __name__ == "__main__":
    source = Path("/proc/cpuinfo")
    if "--portable" in sys.argv:
        print(portable_args(platform.machine()))
    else:
        print(cmake_args(platform.machine(), source.read_text() if source.exists() else ""))
