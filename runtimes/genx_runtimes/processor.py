"""Which CPU this is, and which of its instructions matter to inference.

Source: Linux proc(5), `/proc/cpuinfo`; on Arm the kernel's "ARM64 ELF hwcaps" for "Features", and
the Main ID Register's part numbers in Arm's Technical Reference Manuals and in Linux's
`arch/arm64/include/asm/cputype.h`.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path

from genx_runtimes.system_files import read_text

_ROOT = Path("/")
_CPUINFO = "proc/cpuinfo"

# /proc/cpuinfo's words for what decides how fast float32, float16 and int8 run.
INSTRUCTION_SETS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI int8",
    "avx512_vnni": "AVX-512 VNNI int8",
    "amx_int8": "AMX int8",
    "amx_bf16": "AMX bfloat16",
    "neon": "NEON of 32-bit Arm",
    "asimd": "NEON",
    "asimdhp": "NEON float16",
    "asimddp": "NEON int8 dot product",
    "i8mm": "NEON int8 matrix multiply",
    "sve": "SVE",
}

# "CPU part" by "CPU implementer", of boards and clouds where genx runs.
_IMPLEMENTERS = {"0x41": "Arm", "0x4e": "NVIDIA"}
_PARTS = {
    "0x004": "Carmel",
    "0xd03": "Cortex-A53",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd40": "Neoverse-V1",
    "0xd42": "Cortex-A78AE",
    "0xd49": "Neoverse-N2",
    "0xd4f": "Neoverse-V2",
    "0xd83": "Neoverse-V3AE",
}


def read_cpu_model(root: Path = _ROOT) -> str:
    """Return the CPU's name, or what the platform says where there is no `/proc/cpuinfo`.

    Args:
        root: where `proc/` is found; another folder in tests.
    """
    text = read_text(root / _CPUINFO)
    parts = sorted({part.lower() for part in re.findall(r"^CPU part\s*:\s*(\S+)", text, re.M)})
    maker = _IMPLEMENTERS.get(_field(text, "CPU implementer"))
    if parts and maker:  # before the name, which on Arm is no more than "ARMv8 Processor rev 1"
        return f"{maker} " + " + ".join(_PARTS.get(part, f"part {part}") for part in parts)
    if name := _field(text, "model name"):
        return name
    return platform.processor() or platform.machine() or "unknown"


def read_instruction_sets(root: Path = _ROOT) -> tuple[str, ...] | None:
    """Return those of `INSTRUCTION_SETS` that every core has; None where it cannot be read.

    Args:
        root: where `proc/` is found; another folder in tests.
    """
    lines = re.findall(r"^(?:flags|Features)\s*:(.*)$", read_text(root / _CPUINFO), re.M)
    if not lines:
        return None
    common = set.intersection(*(set(line.split()) for line in lines))
    return tuple(name for name in INSTRUCTION_SETS if name in common)


def _field(text: str, name: str) -> str:
    match = re.search(rf"^{re.escape(name)}\s*:\s*(.+)$", text, re.M)
    return match[1].strip() if match else ""
