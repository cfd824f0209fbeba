"""How fast this machine copies memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from genx_runtimes.system_files import read_text

_ROOT = Path("/")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
# Where the caches are not told, this is beyond those of nearly all machines.
_LEAST = 128 * 2**20
_MOST = 512 * 2**20
_BEYOND = 4
_ROUNDS = 8


def measure_copy_rate(threads: int, *, clock: Callable[[], int] = time.perf_counter_ns) -> float:
    """Return bytes a second, read plus written, of the best of several copies.

    Each thread copies its own part of a buffer several times as large as the last cache.

    Args:
        threads: that copy at the same time, 1 or more.
        clock: nanoseconds from any origin.
    """
    size = choose_size(read_cache_bytes())
    source = np.ones(size, np.uint8)
    target = np.zeros_like(source)
    target[...] = 1  # every page is there before anything is timed
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    best = None
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(_ROUNDS):
            start = clock()
            list(pool.map(lambda part: np.copyto(*part), parts))  # without Python's lock
            taken = clock() - start
            best = taken if best is None else min(best, taken)
    return 2 * size / max(best or 0, 1) * 1e9


def read_cache_bytes(root: Path = _ROOT) -> int | None:
    """Return the size of the first core's largest cache; None where the system does not say.

    Source: Linux, Documentation/ABI/testing/sysfs-devices-system-cpu.
    """
    sizes = []
    for file in (root / "sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = read_text(file).strip()
        if text[:-1].isdigit() and text[-1] in _UNITS:
            sizes.append(int(text[:-1]) * _UNITS[text[-1]])
    return max(sizes, default=None)


def choose_size(cache: int | None) -> int:
    """Return the bytes to copy: four times the cache, within 128 to 512 MiB."""
    return min(max(_LEAST, _BEYOND * (cache or 0)), _MOST)
