"""What a benchmark found, as the JSON file that is published and compared.

The JSON schema of `BenchReport` is docs/bench-schema.json, made from this file; docs/bench.md tells
how each figure is taken. What a machine does not tell is null, never 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from genx_runtimes.bench.figures import (
    Ceiling,
    ColdStart,
    Conditions,
    Energy,
    Histogram,
    Latency,
    Limit,
    Memory,
    Metric,
    Parts,
    Speedup,
)
from genx_runtimes.errors import InputError

Scenario = Literal["single-stream", "multi-stream", "offline", "server"]
SCENARIOS: tuple[Scenario, ...] = ("single-stream", "multi-stream", "offline", "server")
FORMAT_VERSION = 1
Verdict = Literal["valid", "unstable", "noisy", "failed"]


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
        round_samples_per_s: the throughput of each round; none in `server`.
        round_slices_ms: the median of each turn of each round, beside those of the other
            contenders; empty where they were measured one after another.
        speedup: beside PyTorch or the first contender; null for that one itself, in `server`, and
            where neither has figures.
        histogram: all latencies.
        step_ms: the median of a call's time without latents and pixels, over `steps`; null where
            that is 1.
        steps: runs of the engine in one call, of the graph that is run most; 1 without a loop.
        parts: where the time of a call goes; null in `multi-stream` and `server`, whose calls are
            of other sizes, and with several instances.
        cold: the first sample.
        memory: what it takes.
        energy: null where no counter can be read; `reasons` of the report say why.
        conditions: of the machine.
        limit: distance to the machine's ceilings; null where `parts` are.
        psnr_db: quality of the variant, the lower that the bundle states of its graphs and of whole
            loops; null for the exact one.
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
    round_samples_per_s: tuple[float, ...] = ()
    round_slices_ms: tuple[tuple[float, ...], ...] = ()
    speedup: Speedup | None = None
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
        rounds: how often each contender was measured, at least; in `server` three times at most.
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

    format: Literal["genx-bench"] = "genx-bench"
    format_version: Literal[1] = 1
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


class _Head(msgspec.Struct, frozen=True):
    """What tells a report of a newer genx from what is none."""

    format: str = ""
    format_version: int = 0


def decode_report(data: bytes) -> BenchReport:
    """Parse a report.

    Raises:
        InputError: not a report, or one of a newer genx.
    """
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format == "genx-bench" and head.format_version > FORMAT_VERSION:
            raise InputError(
                f"this report has format version {head.format_version}, this genx reads "
                f"{FORMAT_VERSION}",
                fix="pip install --upgrade genx",
            )
        return msgspec.json.decode(data, type=BenchReport)
    except msgspec.MsgspecError as err:
        raise InputError(
            f"this is no report of genx bench: {err}", fix="genx bench BUNDLE --json report.json"
        ) from err


def read_report(path: Path) -> BenchReport:
    """Read a report from a file.

    Raises:
        InputError: it cannot be read, or is no report; the message names the file.
    """
    try:
        return decode_report(path.read_bytes())
    except OSError as err:
        raise InputError(
            f"cannot read {path}: {err.strerror or err}", fix="genx bench writes reports"
        ) from err
    except InputError as err:
        raise InputError(f"{path}: {err.message}", fix=err.fix) from err


def encode_report(report: BenchReport) -> bytes:
    """Return a report as indented UTF-8 JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
