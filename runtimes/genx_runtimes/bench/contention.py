"""How much this process had to wait for cores that other programs were using.

A program beside the benchmark slows threads that wait for one another many times over, some engines
far more than others; figures taken so say little, and a ratio of two of them nothing.

Source: Linux, Documentation/scheduler/sched-stats.rst: the second field of `schedstat` is the time
spent waiting to run, in nanoseconds.
"""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/")


def read_waiting_ns(root: Path = _ROOT) -> int | None:
    """Return how long all threads of this process were ready but had no core, summed.

    Args:
        root: where `proc/` is found; another folder in tests.

    Returns:
        nanoseconds since they began; None where the system does not say.
    """
    total = None
    for file in (root / "proc/self/task").glob("*/schedstat"):
        try:
            fields = file.read_text(encoding="ascii").split()
        except OSError:  # the thread has ended
            continue
        total = (total or 0) + int(fields[1])
    return total


def share_waiting(
    before: int | None, after: int | None, *, wall_ns: int, threads: int
) -> float | None:
    """Return the part of `threads * wall_ns` spent waiting, 0 or more; None where it is unknown."""
    if before is None or after is None:
        return None
    return max(0, after - before) / max(1, wall_ns * threads)
