"""Reports as `genx bench` writes them, made up but plausible: the same for the same arguments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from genx_runtimes.bench.figures import (
    Ceiling,
    ColdStart,
    Conditions,
    Cost,
    Energy,
    Histogram,
    Interval,
    Latency,
    Limit,
    Memory,
    Metric,
    Node,
    Parts,
)
from genx_runtimes.bench.ratio import add_speedups
from genx_runtimes.bench.record import (
    Benched,
    BenchReport,
    Device,
    Row,
    Scenario,
    Settings,
)

DIGEST = "3f" * 32
SCENARIOS: tuple[Scenario, ...] = ("single-stream", "offline")
BATCHES = (1, 4, 16)
COST = Cost(macs=104_300_000, weight_bytes=14_100_000, io_bytes=49_000, steps=1)


@dataclass(frozen=True)
class Contender:
    """What is made up of one: `ms` is the median at batch 1."""

    name: str
    backend: str
    variant: str
    precision: str
    ms: float
    psnr_db: float | None


CONTENDERS = (
    Contender("onnxruntime fp32", "onnxruntime", "fp32", "fp32", 3.1, None),
    Contender("onnxruntime int8", "onnxruntime", "int8", "int8", 2.4, 41.3),
    Contender("openvino fp32", "openvino", "fp32", "fp32", 2.9, None),
    Contender("openvino int8", "openvino", "int8", "int8", 1.35, 40.7),
    Contender("openvino fp16", "openvino", "fp16", "fp16", 3.0, 72.4),
    Contender("torch", "torch", "", "fp32", 7.9, None),
)


@cache
def make_report(
    *,
    seed: int = 0,
    slower: float = 1.0,
    bundle: str = "dcgan",
    digest: str = DIGEST,
    cpu: str = "AMD EPYC 9354 32-Core Processor",
    noisy: bool = False,
    scenarios: tuple[Scenario, ...] = SCENARIOS,
) -> BenchReport:
    """Return a report of six contenders at three batch sizes, and of one that failed.

    Args:
        seed: of the latencies.
        slower: factor on all of them.
        bundle: its name.
        digest: of its manifest.
        cpu: of the machine.
        noisy: whether rows of batch 16 were disturbed.
        scenarios: of all contenders.
    """
    rng = np.random.default_rng(seed)
    rows = [
        _make_row(rng, contender, bundle, batch, scenario, slower, noisy and batch == BATCHES[-1])
        for scenario in scenarios
        for batch in BATCHES
        for contender in CONTENDERS
    ]
    rows += [_fail(bundle, batch, scenario) for scenario in scenarios for batch in BATCHES]
    return BenchReport(
        created=f"2026-03-02T10:20:{30 + seed}+00:00",
        complete=True,
        device=Device(
            cpu=cpu,
            arch="x86_64",
            board="",
            usable_cores=2,
            logical_cpus=64,
            instruction_sets=("avx2", "avx512f", "avx512_vnni"),
            memory_bytes=8 << 30,
            os="Linux 6.1, Debian GNU/Linux 12",
            gpus=(),
            power_mode="",
            clocks_locked=None,
        ),
        bundles=(Benched(name=bundle, digest=digest, bytes=18_700_000),),
        settings=Settings(
            scenarios=scenarios,
            batches=BATCHES,
            rounds=3,
            min_duration_s=10.0,
            min_count=64,
            latency_bound_ms=50.0,
            seed=0,
            boundary="one call draws the latents of fresh samples, runs the engine and maps images "
            "to uint8 pixels; nothing is written to disk",
        ),
        verdict="noisy" if noisy else "valid",
        reasons=("energy is not available: /sys/class/powercap cannot be read",),
        versions={"genx": "0.1.0", "python": "3.11.9", "onnxruntime": "1.31.1", "torch": "2.13.0"},
        ceilings=_make_ceilings(),
        rows=add_speedups(rows),
    )


def _make_ceilings() -> tuple[Ceiling, ...]:
    def one(backend: str, dtype: str, macs: float | None, failure: str = "") -> Ceiling:
        return Ceiling(
            backend=backend,
            dtype=dtype,
            threads=2,
            macs_per_s=macs,
            bytes_per_s=None if failure else 21.4e9,
            failure=failure,
        )

    return (
        one("onnxruntime", "fp32", 118.3e9),
        one("openvino", "fp32", 121.9e9),
        one("openvino", "int8", 402.5e9),
        one("onnxruntime", "fp16", None, "the CPU has no products of this type"),
    )


def _make_row(
    rng: np.random.Generator,
    contender: Contender,
    bundle: str,
    batch: int,
    scenario: Scenario,
    slower: float,
    noisy: bool,
) -> Row:
    median = contender.ms * slower * batch**0.86
    count = max(int(6000 / median), 64)
    ns = median * 1e6 * np.exp(rng.normal(0.0, 0.03, count))
    ns += rng.exponential(0.02e6 * median, count)
    ns[rng.random(count) < 0.01] *= 1.8
    ms = ns / 1e6
    latency = _summarise(ms)
    offline = scenario == "offline"
    per_s = batch / latency.mean_ms * 1e3
    int8 = contender.precision == "int8"
    macs_per_s = COST.macs * per_s
    return Row(
        bundle=bundle,
        contender=contender.name,
        backend=contender.backend,
        variant=contender.variant,
        precision=contender.precision,
        batch=batch,
        threads=2,
        instances=1,
        scenario=scenario,
        verdict="noisy" if noisy else "valid",
        reasons=("threads waited 12 % of the time for cores that other programs used",)
        if noisy
        else (),
        metric=Metric(name="throughput", value=per_s, unit="1/s")
        if offline
        else Metric(name="p90 latency", value=latency.p90_ms, unit="ms"),
        samples_per_s=per_s,
        latency=latency,
        round_p50_ms=tuple(float(latency.p50_ms * f) for f in (1.004, 0.997, 1.001)),
        round_samples_per_s=tuple(float(per_s * f) for f in (0.996, 1.003, 0.999)),
        histogram=_count(ns),
        parts=Parts(
            latents_ms=0.031 * batch,
            engine_ms=latency.p50_ms * 0.93,
            device_ms=None,
            host_ms=latency.p50_ms * 0.03,
            pixels_ms=0.012 * batch,
            encoding_ms=0.4 * batch,
        ),
        cold=ColdStart(import_s=0.21, load_s=0.043, first_sample_s=latency.p50_ms / 400),
        memory=Memory(
            peak_resident=int(143e6 + 2.1e6 * batch),
            device=None,
            bundle=18_700_000,
            engine=3_700_000 if int8 else 14_100_000,
            installed=212_000_000,
        ),
        energy=Energy(source="RAPL package-0", joules_per_sample=0.0421, idle_w=8.2, busy_w=21.7)
        if contender.backend == "openvino"
        else None,
        conditions=Conditions(
            waiting=0.12 if noisy else 0.002,
            others=0.11 if noisy else 0.003,
            stolen=0.0,
            mhz_before=3250.0,
            mhz_after=3247.0,
            celsius_before=None,
            celsius_after=None,
            throttled=False,
        ),
        limit=None
        if contender.backend == "torch"
        else Limit(
            cost=COST,
            macs_per_s=macs_per_s,
            dtype="int8" if int8 else "fp32",
            ceiling="compute",
            of_limit=macs_per_s / (402.5e9 if int8 else 121.9e9),
            graphs=(),
            nodes=_make_nodes(latency.p50_ms),
        ),
        psnr_db=contender.psnr_db,
        versions={contender.backend: "1.31.1"},
    )


def _summarise(ms: np.ndarray) -> Latency:
    # Ranks of a binomial: where the median lies in 95 of 100 samples.
    middle, reach = ms.size / 2, 0.98 * np.sqrt(ms.size)
    low, high = np.sort(ms)[[int(middle - reach), int(middle + reach)]]

    def tail(percentile: float) -> float | None:
        supported = ms.size * (1 - percentile / 100) >= 10
        return float(np.percentile(ms, percentile)) if supported else None

    return Latency(
        count=ms.size,
        best_ms=float(ms.min()),
        mean_ms=float(ms.mean()),
        p50_ms=float(np.median(ms)),
        p50_interval=Interval(low=float(low), high=float(high)),
        p90_ms=tail(90),
        p95_ms=tail(95),
        p99_ms=tail(99),
        p999_ms=tail(99.9),
        outliers=int((ms > np.median(ms) * 1.4).sum()),
    )


def _count(ns: np.ndarray) -> Histogram:
    width = 1 << np.maximum(np.floor(np.log2(ns)).astype(np.int64) - 7, 0)
    values, counts = np.unique(ns.astype(np.int64) // width * width, return_counts=True)
    return Histogram(values_ns=tuple(values.tolist()), counts=tuple(counts.tolist()))


def _make_nodes(ms: float) -> tuple[Node, ...]:
    shares = (0.34, 0.22, 0.15, 0.09, 0.05, 0.04, 0.03, 0.02, 0.02, 0.01)
    return tuple(
        Node(
            component="generator",
            name=f"/main/main.{3 * place}/ConvTranspose_{place}"
            if place < 5
            else f"reorder_{place}",
            kind="Conv" if place < 5 else "Reorder",
            ms=ms * share,
            share=share,
            macs=26_000_000 // (place + 1) if place < 5 else None,
            of_limit=0.71 - 0.1 * place if place < 5 else None,
        )
        for place, share in enumerate(shares)
    )


def _fail(bundle: str, batch: int, scenario: Scenario) -> Row:
    return Row(
        bundle=bundle,
        contender="tensorrt fp16",
        backend="tensorrt",
        variant="fp16",
        precision="fp16",
        batch=batch,
        threads=2,
        instances=1,
        scenario=scenario,
        verdict="failed",
        reasons=("there is no NVIDIA GPU here: libcuda.so.1 cannot be opened",),
    )
