"""How calls follow one another: MLPerf's four scenarios.

Source: MLPerf Inference, "LoadGen" (single-stream: 90th percentile of the latency; multi-stream:
queries of eight samples, 99th percentile; offline: throughput; server: Poisson arrivals, the
highest rate that keeps the 99th percentile under a bound). Latencies of `server` count from the
arrival that was due, so that waiting in the queue is in them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from genx_runtimes.bench.measure import Call, Clock, time_calls
from genx_runtimes.bench.statistics import SUPPORT

# Draws that many samples, the next ones.
Draw = Callable[[int], object]
Sleep = Callable[[float], None]

QUERY = 8  # samples of a multi-stream query
_PROBES = 8
_LATE = 0.01
_QUERIES = int(SUPPORT / _LATE)
_PATIENCE = 3
_CLOSE = 1.15  # where the search ends: what met the bound, and what did not, in queries a second
_SPIN_NS = 300_000  # sleeping is not exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What a scenario gave: latencies of calls or queries, samples drawn, time passed.

    `rate` is that of scenario `server`, queries a second; None where no rate met the bound.
    """

    latencies_ns: list[int]
    samples: int
    wall_ns: int
    rate: float | None = None


def run_single_stream(
    draw: Draw, batch: int, *, seconds: float, min_count: int, clock: Clock = time.perf_counter_ns
) -> Timed:
    """Time calls of `batch` samples, one after another."""
    start = clock()
    latencies = time_calls(lambda: draw(batch), seconds=seconds, min_count=min_count, clock=clock)
    return Timed(latencies_ns=latencies, samples=batch * len(latencies), wall_ns=clock() - start)


def split_query(batch: int) -> list[int]:
    """Return the calls, of at most `batch` samples, that a multi-stream query takes."""
    return [min(batch, QUERY - first) for first in range(0, QUERY, batch)]


def run_multi_stream(
    draw: Draw, batch: int, *, seconds: float, min_count: int, clock: Clock = time.perf_counter_ns
) -> Timed:
    """Time queries of eight samples, one after another, in calls of at most `batch`."""
    parts = split_query(batch)

    def query() -> None:
        for count in parts:
            draw(count)

    start = clock()
    latencies = time_calls(query, seconds=seconds, min_count=min_count, clock=clock)
    return Timed(latencies_ns=latencies, samples=QUERY * len(latencies), wall_ns=clock() - start)


def run_offline(
    calls: Sequence[Call],
    batch: int,
    *,
    seconds: float,
    min_count: int = 1,
    clock: Clock = time.perf_counter_ns,
) -> Timed:
    """Draw as much as goes: each instance calls again and again in a thread of its own.

    Args:
        calls: of each instance; a call draws its next `batch` samples.
        batch: samples a call.
        seconds: every instance makes calls until then, one at least.
        min_count: calls of all together, within three times `seconds`.
        clock: nanoseconds from any origin.

    Raises:
        Exception: the first that an instance raised.
    """
    found: list[list[int]] = [[] for _ in calls]
    errors: list[BaseException] = []
    start = clock()

    each = -(-min_count // len(calls))

    def work(index: int) -> None:
        try:
            found[index] += time_calls(calls[index], seconds=seconds, min_count=each, clock=clock)
        except BaseException as err:
            errors.append(err)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(1, len(calls))]
    for thread in threads:
        thread.start()
    work(0)
    for thread in threads:
        thread.join()
    wall = clock() - start
    for err in errors:
        raise err
    latencies = [latency for part in found for latency in part]
    return Timed(latencies_ns=latencies, samples=batch * len(latencies), wall_ns=wall)


def run_server(
    draw: Draw,
    batch: int,
    *,
    bound_ms: float,
    seconds: float,
    seed: int = 0,
    clock: Clock = time.perf_counter_ns,
    sleep: Sleep = time.sleep,
) -> Timed:
    """Search the highest rate of Poisson arrivals that keeps the 99th percentile under a bound.

    A query is one sample; those that wait are drawn together, up to `batch` in a call. The rate is
    halved in on between a twentieth of what offline calls would give and a fifth more than that.

    Args:
        draw: draws the next samples.
        batch: samples of a call at most.
        bound_ms: 99 % of the queries of a probe must be answered by then.
        seconds: for all probes together, more where 500 queries take longer, three times at most;
            a search that ends before the rate is known to 15 % tells none.
        seed: of the arrivals.
        clock: nanoseconds from any origin.
        sleep: seconds.
    """
    begin = clock()
    once = min(time_calls(lambda: draw(batch), seconds=0.0, min_count=3, clock=clock))
    capacity = batch / max(once, 1) * 1e9
    low, high = np.log(capacity / 20), np.log(capacity * 1.2)
    best = Timed(latencies_ns=[], samples=0, wall_ns=0)
    random = np.random.RandomState(seed)
    for _ in range(_PROBES):
        rate = float(np.exp((low + high) / 2))
        count = max(_QUERIES, int(rate * seconds / _PROBES))
        if clock() - begin + count / rate * 1e9 > _PATIENCE * seconds * 1e9:
            break
        due = np.cumsum(random.exponential(1e9 / rate, count)).astype(np.int64)
        answered = _serve(draw, due.tolist(), batch, int(bound_ms * 1e6), clock, sleep)
        if answered is None:
            high = np.log(rate)
        else:
            low, best = np.log(rate), answered
    found = best.samples and high - low <= np.log(_CLOSE)
    return Timed(
        latencies_ns=best.latencies_ns,
        samples=best.samples,
        wall_ns=best.wall_ns,
        rate=best.samples / best.wall_ns * 1e9 if found else None,
    )


def _serve(
    draw: Draw, due: Sequence[int], batch: int, bound_ns: int, clock: Clock, sleep: Sleep
) -> Timed | None:
    """Answer queries that arrive at `due`, in nanoseconds from now; None once too many are late."""
    start, first, late = clock(), 0, 0
    latencies: list[int] = []
    while first < len(due):
        now = clock() - start
        wait = due[first] - now
        if wait > 0:
            if wait > _SPIN_NS:
                sleep((wait - _SPIN_NS) / 1e9)
            continue
        last = first + 1
        while last < len(due) and last - first < batch and due[last] <= now:
            last += 1
        draw(last - first)
        done = clock() - start
        answered = [done - arrival for arrival in due[first:last]]
        late += sum(latency > bound_ns for latency in answered)
        if late > _LATE * len(due):
            return None
        latencies += answered
        first = last
    return Timed(latencies_ns=latencies, samples=len(due), wall_ns=clock() - start)
