"""How much memory this process holds and has held at most, and how much it can still have.

Source: proc(5), `/proc/self/status`, "VmHWM" and "VmRSS". getrusage(2) would say as much, but a
child starts there with the peak of its parent. "/proc/meminfo", "MemAvailable" and "SwapFree";
cgroup v2, `memory.max`, `memory.current` and `memory.stat`, and v1, `memory.limit_in_bytes`.
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

    A container's limit counts; what it holds in caches of files can be had.

    Args:
        root: where `proc/` and `sys/` are found; another folder in tests.
    """
    left = [_read_left(g / "memory.max", g / "memory.current") for g in list_own_groups(root, "")]
    left += [
        _read_left(g / "memory.limit_in_bytes", g / "memory.usage_in_bytes")
        for g in list_own_groups(root, "memory")
    ]
    free = read_memory("MemAvailable", root)
    known = [free, *left]
    return None if free is None else max(0, min(bytes_ for bytes_ in known if bytes_ is not None))


def _read_left(limit: Path, taken: Path) -> int | None:
    """Return what a container's limit leaves; None where there is none."""
    texts = read_text(limit), read_text(taken)
    if not all(text.isdecimal() for text in texts):  # "max"
        return None
    cached = re.search(
        r"^(?:total_)?inactive_file (\d+)$", read_text(limit.with_name("memory.stat")), re.MULTILINE
    )
    return int(texts[0]) - int(texts[1]) + (int(cached[1]) if cached else 0)


def read_resident_bytes(root: Path = _ROOT) -> int | None:
    """Return what this process holds in memory now, in bytes; None where there is no `/proc`.

    Args:
        root: where `proc/` is found; another folder in tests.
    """
    found = re.search(r"^VmRSS:\s*(\d+) kB", read_text(root / "proc/self/status"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None
