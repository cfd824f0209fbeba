"""How much memory this process holds and has held at most, and how much it can still have.

Source: proc(5), `/proc/self/status`, "VmHWM" and "VmRSS". getrusage(2) would say as much, but a
child starts there with the peak of its parent. "/proc/meminfo", "MemAvailable" and "SwapFree".
"""

from __future__ import annotations

import re
from pathlib import Path

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


def read_resident_bytes(root: Path = _ROOT) -> int | None:
    """Return what this process holds in memory now, in bytes; None where there is no `/proc`.

    Args:
        root: where `proc/` is found; another folder in tests.
    """
    found = re.search(r"^VmRSS:\s*(\d+) kB", read_text(root / "proc/self/status"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None
