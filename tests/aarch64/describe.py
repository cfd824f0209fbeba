"""Prints what an aarch64 Python runs, and which of Arm's extensions its programs may use.

Fails unless both this Python and one that it starts run on aarch64.
"""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from importlib import metadata

# Words and bits of the kernel's getauxval: AT_HWCAP is 16, AT_HWCAP2 is 26.
# Source: Linux, arch/arm64/include/uapi/asm/hwcap.h
FEATURES = {
    "asimd": (16, 1),
    "fp16": (16, 10),
    "dotprod": (16, 20),
    "sve": (16, 22),
    "i8mm": (26, 13),
    "bf16": (26, 14),
}

if __name__ == "__main__":
    ask = [sys.executable, "-c", "import platform; print(platform.machine())"]
    child = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    if {platform.machine(), child} != {"aarch64"}:
        raise SystemExit(f"runs on {platform.machine()}, {sys.executable} on {child}; not aarch64")
    getauxval = ctypes.CDLL(None).getauxval
    getauxval.argtypes, getauxval.restype = [ctypes.c_ulong], ctypes.c_ulong
    has = {name: bool(getauxval(word) >> bit & 1) for name, (word, bit) in FEATURES.items()}
    packages = [f"{name} {metadata.version(name)}" for name in ("genx", "numpy", "onnxruntime")]
    print("aarch64:", ", ".join([f"Python {platform.python_version()}", *packages]))
    print("CPU has:", " ".join(n for n in has if has[n]))
    print("CPU has not:", " ".join(n for n in has if not has[n]) or "-")
