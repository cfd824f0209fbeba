"""The clocks of GPU and CPU, and whether they are held still. Read, never set.

Source: Linux kernel, "sysfs-class-devfreq" (Hz) and "CPU Performance Scaling" (cpufreq, kHz). Which
devfreq devices are a Jetson's GPU: jetson_stats, `jtop/core/gpu.py` and `thor_gpu.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from genx_runtimes.system_files import read_text

_ROOT = Path("/")
_DEVFREQ = (
    "sys/class/devfreq/*",
    "sys/devices/*/devfreq/*",
    "sys/devices/platform/*/devfreq/*",
    "sys/devices/platform/*/*/devfreq/*",
)
# "17000000.gv11b" (Xavier), "17000000.ga10b" and "17000000.gpu" (Orin), "gpu-gpc-0" (Thor, whose
# "gpu-nvd-0" is the video engine).
_IS_GPU = re.compile(r"gpu(?!-nvd)|gv11b|ga10b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The limits that a clock moves between.

    Args:
        name: the kernel's: a devfreq device or a cpufreq policy.
        min_mhz: the lower limit in MHz.
        max_mhz: the upper limit in MHz.
        current_mhz: what it is now; None if that cannot be read.
    """

    name: str
    min_mhz: float
    max_mhz: float
    current_mhz: float | None


def read_gpu_clocks(root: Path = _ROOT) -> tuple[Clock, ...]:
    """Return the clocks of a GPU that shares the chip with the CPU; nothing on other machines.

    Args:
        root: where `sys/` is found; another folder in tests.
    """
    for pattern in _DEVFREQ:
        folders = [f for f in sorted(root.glob(pattern)) if _IS_GPU.search(f.name)]
        if clocks := _read_clocks(folders, "", 1e6):
            return clocks
    return ()


def read_cpu_clocks(root: Path = _ROOT) -> tuple[Clock, ...]:
    """Return the CPU's clocks, one for each group of cores that share one.

    Args:
        root: where `sys/` is found; another folder in tests.
    """
    folders = sorted(root.glob("sys/devices/system/cpu/cpufreq/policy*"))
    return _read_clocks(folders, "scaling_", 1e3)


def are_locked(clocks: Iterable[Clock]) -> bool | None:
    """Return whether every clock has one value alone to take; None where there is no clock."""
    found = [clock.min_mhz == clock.max_mhz for clock in clocks]
    return all(found) if found else None


def _read_clocks(folders: Iterable[Path], prefix: str, per_mhz: float) -> tuple[Clock, ...]:
    clocks = []
    for folder in folders:
        low, high, now = (
            read_text(folder / f"{prefix}{name}_freq") for name in ("min", "max", "cur")
        )
        if low.isdecimal() and high.isdecimal():
            clocks.append(
                Clock(
                    name=folder.name,
                    min_mhz=int(low) / per_mhz,
                    max_mhz=int(high) / per_mhz,
                    current_mhz=int(now) / per_mhz if now.isdecimal() else None,
                )
            )
    return tuple(clocks)
