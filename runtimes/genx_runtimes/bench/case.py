"""What a worker is asked on stdin and answers on stdout, as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

from genx_runtimes.bench.figures import ColdStart, Conditions, Parts
from genx_runtimes.bench.measure import WarmUp
from genx_runtimes.bench.record import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One contender at one batch size in one scenario, for one round.

    Args:
        bundle: path of the bundle; priors and output contract come from there for all contenders.
        precision: the variant; None is the first.
        backend: the engine, for genx.
        source: the original model, for PyTorch.
        batch: samples a call.
        threads: engine threads of each instance.
        seed: the seed of the latents.
        start: index of the first sample; calls go on from there and never repeat one.
        seconds: how long to time.
        warm_up_s: when to give up waiting for stable latencies.
        scenario: how calls follow one another.
        min_count: calls at least, within three times `seconds`.
        instances: sessions that share the work of scenario `offline`.
        latency_bound_ms: of scenario `server`.
        allow_fallback: whether what the backend's device cannot run may run elsewhere.
        spawned_ns: when the process was started, on the clock of `time.monotonic_ns`.
        examine: compare with the golden samples and time the parts of a call, instead of all that.
        in_turn: time one `Slice` after another, each when it is asked for on stdin, instead of
            `seconds` at once.
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
    scenario: Scenario = "single-stream"
    min_count: int = 5
    instances: int = 1
    latency_bound_ms: float = 50.0
    allow_fallback: bool = False
    spawned_ns: int | None = None
    examine: bool = False
    in_turn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A turn of a contender that takes turns with others.

    Args:
        seconds: how long to time.
        min_count: calls at least, within three times `seconds`.
    """

    seconds: float
    min_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A worker says that it is warm, or that its turn is over.

    Args:
        call_ns: what a call or query took at the end of the warm-up, in nanoseconds.
        cpu_s: CPU time of the process by now.
    """

    call_ns: float
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a worker measured.

    Args:
        warm_up: how it settled.
        latencies_ns: every timed call or query, in nanoseconds, in order.
        samples: drawn while timing.
        wall_ns: from the first timed call to the end of the last, of all turns together.
        versions: of what ran, such as {"onnxruntime": "1.23.2"}.
        rate: of scenario `server`: queries a second that met the bound; None if none did.
        conditions: of the machine while timing; None where nothing is told.
        cold: the first sample; None if it was not the process's first.
        peak_bytes: the largest resident set; None if unknown.
        joules: of each meter while timing, by its name.
        notes: what a reader of the figures must know: where it ran, if not where asked.
        slices: how many of the calls each turn timed; empty for a case that was timed at once.
    """

    warm_up: WarmUp
    latencies_ns: list[int]
    samples: int
    wall_ns: int
    versions: dict[str, str]
    rate: float | None = None
    conditions: Conditions | None = None
    cold: ColdStart | None = None
    peak_bytes: int | None = None
    joules: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    slices: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What a worker found before the timing.

    Args:
        parts: where the time of a call goes; None for a contender that has no sampler of genx's.
        steps: how often the graph that is run most runs in a pass of the sampling loop.
        step_ms: the median of a pass over `steps`; None where that is 1.
        engine_calls: how often each component runs in a pass.
        peak_bytes: the largest resident set by then; None if unknown.
    """

    parts: Parts | None = None
    steps: int = 1
    step_ms: float | None = None
    engine_calls: dict[str, int] = field(default_factory=dict)
    peak_bytes: int | None = None
