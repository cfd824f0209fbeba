"""What a worker is asked on stdin and answers on stdout, as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

from genx_runtimes.bench.measure import WarmUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One contender at one batch size in one round.

    Args:
        bundle: path of the bundle; priors and output contract come from there for all contenders.
        precision: the variant; None is the first.
        backend: the engine, for genx.
        source: the original model, for PyTorch.
        batch: samples a call.
        threads: engine threads.
        seed: the seed of the latents.
        start: index of the first sample; calls go on from there and never repeat one.
        seconds: how long to time.
        warm_up_s: when to give up waiting for stable latencies.
        allow_fallback: whether what the backend's device cannot run may run elsewhere.
    """

    bundle: str
    precision: str | None
    backend: str
    source: str
    batch: int
    threads: int
    seed: int
    start: int
    seconds: float
    warm_up_s: float
    allow_fallback: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a worker measured.

    Args:
        warm_up: how it settled.
        latencies_ns: every timed call, in nanoseconds, in order.
        waiting: part of the time that its threads waited for a core; None if unknown.
        versions: of what ran, such as {"onnxruntime": "1.23.2"}.
        notes: what a reader of the figures must know: where it ran, if not where asked.
    """

    warm_up: WarmUp
    latencies_ns: list[int]
    waiting: float | None
    versions: dict[str, str]
    notes: list[str] = field(default_factory=list)
