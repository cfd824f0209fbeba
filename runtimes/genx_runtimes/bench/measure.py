"""The timing loop: warm-up until it is stable, calls one after another, percentiles.

Nothing here knows what is timed or which clock times it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Call = Callable[[], object]
Clock = Callable[[], int]

# A window is long enough that its median outlasts one interruption by the operating system.
_WINDOW_CALLS = 3
_WINDOW_NS = 20_000_000
_WINDOWS = 3
_AGREEMENT = 0.05
_MIN_CALLS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """What happened before the timing.

    Args:
        calls: calls made.
        stable: whether the medians of the last three windows agreed within 5 %.
        spread: how far apart they were, (max - min) / min; 0 before there were three windows.
    """

    calls: int
    stable: bool
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """The distribution of the latencies of one case.

    Args:
        count: calls; a p99 of fewer than some hundred calls is little more than the maximum.
        p50_ms: median, in milliseconds a call.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile.
        samples_per_s: samples drawn over the time spent in calls.
    """

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    samples_per_s: float


def warm_up(call: Call, *, limit_s: float, clock: Clock = time.perf_counter_ns) -> WarmUp:
    """Call until the medians of the last windows agree, or until `limit_s` seconds have passed.

    Args:
        call: what will be timed.
        limit_s: seconds; one window is always finished.
        clock: nanoseconds from any origin.
    """
    start = clock()
    medians: list[float] = []
    calls, spread = 0, 0.0
    while True:
        window = _time_until(call, clock, calls=_WINDOW_CALLS, duration_ns=_WINDOW_NS)
        calls += len(window)
        medians = [*medians[1 - _WINDOWS :], float(np.median(window))]
        if len(medians) == _WINDOWS:
            spread = (max(medians) - min(medians)) / max(min(medians), 1.0)
            if spread <= _AGREEMENT:
                return WarmUp(calls=calls, stable=True, spread=spread)
        if clock() - start >= limit_s * 1e9:
            return WarmUp(calls=calls, stable=False, spread=spread)


def time_calls(call: Call, *, seconds: float, clock: Clock = time.perf_counter_ns) -> list[int]:
    """Call for `seconds` and at least five times; return each latency in nanoseconds."""
    return _time_until(call, clock, calls=_MIN_CALLS, duration_ns=int(seconds * 1e9))


def summarise(latencies_ns: Sequence[int], batch: int) -> Latency:
    """Return percentiles (linear between neighbours) and throughput.

    Args:
        latencies_ns: one or more latencies in nanoseconds.
        batch: samples a call.
    """
    p50, p90, p99 = np.percentile(np.asarray(latencies_ns, dtype=np.float64), (50, 90, 99)) / 1e6
    return Latency(
        count=len(latencies_ns),
        p50_ms=float(p50),
        p90_ms=float(p90),
        p99_ms=float(p99),
        samples_per_s=batch * len(latencies_ns) / max(sum(latencies_ns), 1) * 1e9,
    )


def _time_until(call: Call, clock: Clock, *, calls: int, duration_ns: int) -> list[int]:
    """Time calls until there are `calls` of them and `duration_ns` has passed."""
    latencies: list[int] = []
    start = clock()
    while True:
        before = clock()
        call()
        after = clock()
        latencies.append(after - before)
        if len(latencies) >= calls and after - start >= duration_ns:
            return latencies
