"""The figures of one case; docs/bench.md tells how each is taken.

What a machine does not tell is null, never 0.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A 95 % confidence interval."""

    low: float
    high: float


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution of latencies, in milliseconds.

    Args:
        count: calls or queries.
        best_ms: the shortest.
        mean_ms: the arithmetic mean.
        p50_ms: the median.
        p50_interval: of the median, from how far the rounds are apart; null for a single round.
        p90_ms: 90th percentile; this and those after are null where fewer than five calls lie
            beyond it.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
        p999_ms: 99.9th percentile.
        outliers: calls more than 5 median absolute deviations (scaled to a normal's sigma) slower
            than the median.
    """

    count: int
    best_ms: float
    mean_ms: float
    p50_ms: float
    p50_interval: Interval | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    outliers: int


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """All latencies, HDR style: buckets whose width is at most 1/128 of their value.

    Args:
        values_ns: the lower end of each bucket that holds something, ascending, in nanoseconds.
        counts: the calls in each.
    """

    values_ns: tuple[int, ...]
    counts: tuple[int, ...]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """The figure that MLPerf's scenario is judged by.

    Args:
        name: `p90 latency` (single-stream), `p99 latency` (multi-stream), `throughput` (offline) or
            `queries under the latency bound` (server).
        value: the figure; null where too few calls support it.
        unit: `ms` or `1/s`.
    """

    name: str
    value: float | None
    unit: str


class Speedup(msgspec.Struct, frozen=True, kw_only=True):
    """How many times as fast a row is as another of the same bundle, batch size and scenario.

    Each round's figures are divided, in which both ran next to one another; see docs/bench.md.

    Args:
        contender: the other: PyTorch where it was measured, else the first contender.
        ratio: of the other's median latency to this one's, in `offline` of the throughputs; above 1
            is faster than the other.
        interval: of the ratio; null for a single round.
        rounds: that both ran in.
    """

    contender: str
    ratio: float
    interval: Interval | None
    rounds: int


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of one call goes: medians in milliseconds, measured apart from the latencies.

    Args:
        latents_ms: drawing the latents.
        engine_ms: in the engine, all its calls together.
        device_ms: on the GPU, from its own events; not measured yet: always null.
        host_ms: the rest of the call: loops, checks, copies.
        pixels_ms: mapping to uint8 pixels, or what the output kind needs.
        encoding_ms: making files of the samples, in memory; not part of a call.
    """

    latents_ms: float
    engine_ms: float
    device_ms: float | None
    host_ms: float
    pixels_ms: float
    encoding_ms: float


class ColdStart(msgspec.Struct, frozen=True, kw_only=True):
    """The first sample of a new process, in seconds, the median of the rounds.

    Args:
        import_s: from the start of the process until genx and the engine are imported.
        load_s: opening the bundle and loading the engine.
        first_sample_s: the first call.
    """

    import_s: float
    load_s: float
    first_sample_s: float


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Memory and disk, in bytes; null where it is not known.

    Args:
        peak_resident: the largest resident set of the process in any round.
        device: on the GPU, of this process; not measured yet: always null.
        bundle: the bundle on disk.
        engine: the graphs that this contender loads, on disk.
        installed: genx and the engine, with what they need, on disk.
    """

    peak_resident: int | None
    device: int | None
    bundle: int
    engine: int | None
    installed: int | None


class Energy(msgspec.Struct, frozen=True, kw_only=True):
    """Energy while timing.

    Args:
        source: `RAPL`, `NVML` or `INA3221`, and of what.
        joules_per_sample: with the idle power subtracted.
        idle_w: the power before the timing.
        busy_w: the power while timing.
    """

    source: str
    joules_per_sample: float
    idle_w: float
    busy_w: float


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine did while timing; the worst of the rounds, null where it is not told.

    Args:
        waiting: the part of the time that threads waited for a core, which others had.
        others: the part of the cores' time that other programs used.
        stolen: the part of the cores' time that the hypervisor gave to others.
        mhz_before: the mean clock of the usable cores.
        mhz_after: that after the timing.
        celsius_before: the hottest sensor.
        celsius_after: that after the timing.
        throttled: whether a clock or a counter of the system says that it was held back.
    """

    waiting: float | None
    others: float | None
    stolen: float | None
    mhz_before: float | None
    mhz_after: float | None
    celsius_before: float | None
    celsius_after: float | None
    throttled: bool | None


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What drawing takes at least, counted from the graphs at export.

    A call that draws B samples takes `B * macs` multiply-adds and moves
    `weight_bytes + B * io_bytes`.

    Args:
        macs: multiply-adds of the products and convolutions, for one sample, all steps: those of
            the variant that has the fewest.
        weight_bytes: the weights of all graphs that are run, read once in each call of the engine,
            all steps of one call: the fewest of the variants of this precision.
        io_bytes: inputs, outputs and what is looked up in tables, read or written once, for one
            sample, all steps.
        steps: calls of the engine, of the component that is called most.
    """

    macs: int
    weight_bytes: int
    io_bytes: int
    steps: int

    def bytes_at(self, batch: int) -> float:
        """Return the least bytes of one sample that is drawn with `batch - 1` others."""
        return self.weight_bytes / batch + self.io_bytes


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One of the heaviest nodes.

    Args:
        component: the graph that it is in.
        name: in the engine's own words.
        kind: the operator.
        ms: of one call, the mean, all steps together.
        share: of the time of all nodes.
        macs: its multiply-adds at this batch size, all steps; null where it is fused or unknown.
        of_limit: achieved over the machine's ceiling of the node's own dtype; null where `macs` is,
            and where there is no such ceiling.
        dtype: what the engine computed it in; empty where it does not tell.
    """

    component: str
    name: str
    kind: str
    ms: float
    share: float
    macs: int | None
    of_limit: float | None
    dtype: str = ""


class GraphLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How far one graph is from what this machine can do.

    Args:
        component: the graph.
        calls: of the engine, in one call of the benchmark.
        ms: in the engine, all steps together, of the call of the benchmark that took the median
            time; `calls` and `macs` are of that call, where texts that end early make them differ.
        macs: multiply-adds that the task needs at this batch size, all steps.
        ceiling: which bounds it.
        of_limit: the least time that the ceilings allow over `ms`.
    """

    component: str
    calls: int
    ms: float
    macs: int
    ceiling: Literal["compute", "memory"]
    of_limit: float


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """How far a case is from what this machine can do.

    Args:
        cost: what it takes at least.
        dtype: of the ceiling: `fp32` also for a precision that the engine computes in float32.
        macs_per_s: achieved, over the time in the engine.
        ceiling: which bounds it: `compute` or `memory`.
        of_limit: the least time that the ceilings allow over the time in the engine.
        graphs: the same for each.
        nodes: the ten heaviest, the heaviest first.
        reason: why there are no nodes; empty if there are.
    """

    cost: Cost
    dtype: str
    macs_per_s: float
    ceiling: Literal["compute", "memory"]
    of_limit: float
    graphs: tuple[GraphLimit, ...]
    nodes: tuple[Node, ...]
    reason: str = ""


class Ceiling(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine can do, measured in the same run.

    Args:
        backend: the engine whose matrix product was timed.
        dtype: `fp32`, `fp16` or `int8`.
        threads: that it ran with.
        macs_per_s: multiply-adds a second of the best matrix product.
        bytes_per_s: copied, read plus written.
        failure: why there is none; empty if there is one.
    """

    backend: str
    dtype: str
    threads: int
    macs_per_s: float | None
    bytes_per_s: float | None
    failure: str = ""
