"""The timing loop: warm-up until it is stable, then calls one after another.

Nothing here knows what is timed or which clock times it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Call = Callable[[], object]
Clock = Callable[[], int]

# A window is long enough that its median outlasts one interruption by the operating system.
_WINDOW_CALLS = 3
_WINDOW_NS = 20_000_000
_WINDOWS = 3
_AGREEMENT = 0.05
_WAKE_NS = 5_000_000
# How many times the asked duration may pass before the asked count is given up.
_PATIENCE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """What happened before the timing.

    Args:
        calls: calls made.
        stable: whether the medians of the last three windows agreed within 5 %.
        spread: how far apart they were, (max - min) / min; 0 before there were three windows.
        call_ns: the median of the last window, in nanoseconds.
    """

    calls: int
    stable: bool
    spread: float
    call_ns: float


def warm_up(call: Call, *, limit_s: float, clock: Clock = time.perf_counter_ns) -> WarmUp:
    """Call until the medians of the last windows agree, or until `limit_s` seconds have passed.

    Args:
        call: what will be timed.
        limit_s: seconds; one call is always made.
        clock: nanoseconds from any origin.
    """
    start, limit_ns = clock(), int(limit_s * 1e9)
    medians: list[float] = []
    calls, spread = 0, 0.0
    while True:
        left = limit_ns - (clock() - start)
        window = _time_until(call, clock, calls=_WINDOW_CALLS, least_ns=_WINDOW_NS, most_ns=left)
        calls += len(window)
        medians = [*medians[1 - _WINDOWS :], float(np.median(window))]
        if len(medians) == _WINDOWS:
            spread = (max(medians) - min(medians)) / max(min(medians), 1.0)
            if spread <= _AGREEMENT:
                return WarmUp(calls=calls, stable=True, spread=spread, call_ns=medians[-1])
        if clock() - start >= limit_ns:
            return WarmUp(calls=calls, stable=False, spread=spread, call_ns=medians[-1])


def wake(call: Call, *, clock: Clock = time.perf_counter_ns) -> None:
    """Call for 5 ms, once at least: after another contender's turn the caches hold its data."""
    _time_until(call, clock, calls=1, least_ns=_WAKE_NS, most_ns=_WAKE_NS)


def time_calls(
    call: Call, *, seconds: float, min_count: int = 5, clock: Clock = time.perf_counter_ns
) -> list[int]:
    """Call for `seconds` and at least `min_count` times; return each latency in nanoseconds.

    After three times `seconds` it ends with the calls that there are, one at least.
    """
    duration = int(seconds * 1e9)
    return _time_until(
        call, clock, calls=min_count, least_ns=duration, most_ns=_PATIENCE * duration
    )


def _time_until(call: Call, clock: Clock, *, calls: int, least_ns: int, most_ns: int) -> list[int]:
    """Time calls until there are `calls` of them after `least_ns`, or until `most_ns`."""
    latencies: list[int] = []
    start = clock()
    while True:
        before = clock()
        call()
        after = clock()
        latencies.append(after - before)
        passed = after - start
        if (len(latencies) >= calls and passed >= least_ns) or passed >= most_ns:
            return latencies
