"""What a benchmark found, as the JSON file that is published and compared.

The JSON schema of `BenchReport` is docs/bench-schema.json, made from this file; docs/bench.md tells
how each figure is taken. What a machine does not tell is null, never 0.
"""

from __future__ import annotations

from typing import Literal

import msgspec

FORMAT = "genx-bench"
FORMAT_VERSION = 1

Scenario = Literal["single-stream", "multi-stream", "offline", "server"]
SCENARIOS: tuple[Scenario, ...] = ("single-stream", "multi-stream", "offline", "server")
Verdict = Literal["valid", "unstable", "noisy", "failed"]


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
        p50_interval: of the median, by bootstrap over rounds and calls.
        p90_ms: 90th percentile; this and those after are null where fewer than ten calls lie
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
    p50_interval: Interval
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


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of one call goes: medians in milliseconds, measured apart from the latencies.

    Args:
        latents_ms: drawing the latents.
        engine_ms: in the engine, all its calls together.
        device_ms: on the GPU, from its own events; null without one.
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
        device: on the GPU, of this process.
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
        waiting: the part of the time that threads waited for a core that other programs used.
        stolen: the part of the cores' time that the hypervisor gave to others.
        mhz_before: the mean clock of the usable cores.
        mhz_after: that after the timing.
        celsius_before: the hottest sensor.
        celsius_after: that after the timing.
        throttled: whether a clock or a counter of the system says that it was held back.
    """

    waiting: float | None
    stolen: float | None
    mhz_before: float | None
    mhz_after: float | None
    celsius_before: float | None
    celsius_after: float | None
    throttled: bool | None


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one sample takes at least, counted from the graphs at export.

    Args:
        macs: multiply-adds of the products and convolutions.
        bytes: weights of all graphs that are run, and inputs and outputs, read or written once.
        steps: calls of the engine for a sample.
    """

    macs: int
    bytes: int
    steps: int


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One of the heaviest nodes.

    Args:
        name: in the engine's own words.
        kind: the operator.
        ms: of one call, the mean.
        share: of the time of all nodes.
        macs: its multiply-adds at this batch size; null where it is fused or unknown.
        of_limit: achieved over the machine's ceiling; null where `macs` is.
    """

    name: str
    kind: str
    ms: float
    share: float
    macs: int | None
    of_limit: float | None


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """How far a case is from what this machine can do.

    Args:
        cost: of one sample.
        macs_per_s: achieved, over the time in the engine.
        ceiling: which of the report's ceilings bounds it: `compute` or `memory`.
        of_limit: the least time that the ceilings allow over the time in the engine.
        nodes: the ten heaviest, the heaviest first.
    """

    cost: Cost
    macs_per_s: float
    ceiling: Literal["compute", "memory"]
    of_limit: float
    nodes: tuple[Node, ...]


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


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One contender at one batch size in one scenario.

    Args:
        bundle: its name.
        contender: unique among the rows of a bundle, batch size and scenario.
        backend: the engine, with its device; `torch` for the original model.
        variant: of the bundle; empty for the original model.
        precision: of the variant.
        batch: samples a call; the largest that queries are joined to, in scenario `server`.
        threads: engine threads of each instance.
        instances: sessions that share the work.
        scenario: MLPerf's word.
        verdict: whether the figures can be believed; `failed` has none.
        reasons: why not, or what a reader must know.
        metric: the scenario's figure.
        samples_per_s: over all time that calls took; in `server`, at that rate.
        latency: of a call (single-stream, offline) or a query (multi-stream, server).
        round_p50_ms: the median of each round: how far they are apart is how far to trust them.
        histogram: all latencies.
        step_ms: the median of one step of a loop; null without one.
        steps: of the loop for one sample; 1 without one.
        parts: where the time goes.
        cold: the first sample.
        memory: what it takes.
        energy: null where no counter can be read; `reasons` of the report say why.
        conditions: of the machine.
        limit: distance to the machine's ceilings.
        psnr_db: quality of the variant, from the bundle; null for the exact one.
        versions: of what ran.
    """

    bundle: str
    contender: str
    backend: str
    variant: str
    precision: str
    batch: int
    threads: int
    instances: int
    scenario: Scenario
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    metric: Metric | None = None
    samples_per_s: float | None = None
    latency: Latency | None = None
    round_p50_ms: tuple[float, ...] = ()
    histogram: Histogram | None = None
    step_ms: float | None = None
    steps: int = 1
    parts: Parts | None = None
    cold: ColdStart | None = None
    memory: Memory | None = None
    energy: Energy | None = None
    conditions: Conditions | None = None
    limit: Limit | None = None
    psnr_db: float | None = None
    versions: dict[str, str] = {}


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """The fingerprint of a machine: what decides about speed, and nothing that names its owner."""

    cpu: str
    arch: str
    board: str
    usable_cores: int
    logical_cpus: int
    instruction_sets: tuple[str, ...] | None
    memory_bytes: int | None
    os: str
    gpus: tuple[str, ...]
    power_mode: str
    clocks_locked: bool | None


class Benched(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that was measured: its name, the SHA-256 of its manifest, its size in bytes."""

    name: str
    digest: str
    bytes: int


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How it was measured.

    Args:
        scenarios: in the order asked for.
        batches: as asked for; empty for each bundle's usual ones.
        rounds: how often the contenders took turns.
        min_duration_s: timed seconds a case, over all rounds.
        min_count: calls a case at least, over all rounds.
        latency_bound_ms: of scenario `server`.
        seed: of the latents.
        boundary: what one call holds.
    """

    scenarios: tuple[Scenario, ...]
    batches: tuple[int, ...]
    rounds: int
    min_duration_s: float
    min_count: int
    latency_bound_ms: float
    seed: int
    boundary: str


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of a benchmark.

    Args:
        created: when it began, ISO 8601 in UTC.
        complete: False where it was interrupted; the rows are those finished by then.
        verdict: `noisy` where the machine was disturbed in any row.
        reasons: what holds for all rows: why energy is not available, what disturbed.
        versions: of genx and Python.
        ceilings: of this machine.
    """

    format: Literal["genx-bench"] = FORMAT
    format_version: Literal[1] = FORMAT_VERSION
    created: str
    complete: bool
    device: Device
    bundles: tuple[Benched, ...]
    settings: Settings
    verdict: Literal["valid", "noisy"]
    reasons: tuple[str, ...]
    versions: dict[str, str]
    ceilings: tuple[Ceiling, ...]
    rows: tuple[Row, ...]

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows without figures."""
        return tuple(row for row in self.rows if row.verdict == "failed")


def decode_report(data: bytes) -> BenchReport:
    """Parse a report.

    Raises:
        InputError: not a report, or one of a newer genx.
    """
    from genx_runtimes.errors import InputError

    try:
        return msgspec.json.decode(data, type=BenchReport)
    except msgspec.MsgspecError as err:
        raise InputError(
            f"this is no report of genx bench: {err}", fix="genx bench BUNDLE --json report.json"
        ) from err


def encode_report(report: BenchReport) -> bytes:
    """Return a report as indented UTF-8 JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
