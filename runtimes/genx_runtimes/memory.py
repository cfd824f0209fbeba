"""How much memory this process holds and has held at most, and how much it can still have.

Source: proc(5), `/proc/self/status`, "VmHWM" and "VmRSS". getrusage(2) would say as much, but a
child starts there with the peak of its parent. "/proc/meminfo", "MemAvailable" and "SwapFree";
cgroup v2, `memory.max` and `memory.current`, and v1, `memory.limit_in_bytes`.
"""

from __future__ import annotations

import re
from pathlib import Path

from genx_runtimes.cpu import list_own_groups
from genx_runtimes.system_files import read_memory, read_text

_ROOT = Path("/")


def read_peak_bytes(root: Path = _ROOT) -> int | None:
    """Return the largest resident set of this process in bytes; None where there is no `/proc`.

    Args:
        root: where `proc/` is found; another folder in tests.
    """
    found = re.search(r"^VmHWM:\s*(\d+) kB", read_text(root / "proc/self/status"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def read_free_bytes(root: Path = _ROOT) -> int | None:
    """Return the memory that can be had, swap included, in bytes; None where there is no `/proc`.

    Args:
        root: where `proc/` is found; another folder in tests.
    """
    free = read_memory("MemAvailable", root)
    return None if free is None else free + (read_memory("SwapFree", root) or 0)


def read_available_bytes(root: Path = _ROOT) -> int | None:
    """Return the memory that can be had without swapping, in bytes; None where it is not told.

    A container's limit counts, what it holds in caches as taken.

    Args:
        root: where `proc/` and `sys/` are found; another folder in tests.
    """
    files = [(g / "memory.max", g / "memory.current") for g in list_own_groups(root, "")]
    files += [
        (g / "memory.limit_in_bytes", g / "memory.usage_in_bytes")
        for g in list_own_groups(root, "memory")
    ]
    texts = [(read_text(limit), read_text(taken)) for limit, taken in files]
    left = [
        int(limit) - int(taken)
        for limit, taken in texts
        if limit.isdecimal() and taken.isdecimal()  # "max": there is no limit
    ]
    free = read_memory("MemAvailable", root)
    return None if free is None else max(0, min([free, *left]))


def read_resident_bytes(root: Path = _ROOT) -> int | None:
    """Return what this process holds in memory now, in bytes; None where there is no `/proc`.

    Args:
        root: where `proc/` is found; another folder in tests.
    """
    found = re.search(r"^VmRSS:\s*(\d+) kB", read_text(root / "proc/self/status"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None
