"""Rounds over contenders: each in its own process, in turn, so that drift hits all alike."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from genx_runtimes.backends import find_backend
from genx_runtimes.bench.case import Case, Measurement
from genx_runtimes.bench.measure import summarise
from genx_runtimes.bench.options import BenchOptions, choose_batches
from genx_runtimes.bench.report import BOUNDARY, BenchReport, Row
from genx_runtimes.bundle import Bundle
from genx_runtimes.child import run_child
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.processor import read_cpu_model
from genx_runtimes.version import __version__

_SEED = 0
_ROUND_STRIDE = 2**44  # rounds draw different samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Something to measure.

    Args:
        name: in the report.
        module: run as `python -m MODULE`; answers a `Case` with a `Measurement`.
        backend: passed on in the case.
        source: passed on in the case.
        precision: the variant; None takes that of the options.
        threads: engine threads; None takes those of the options.
    """

    name: str
    module: str
    backend: str = ""
    source: str = ""
    precision: str | None = None
    threads: int | None = None


@dataclass(slots=True, kw_only=True)
class _Tally:
    """What has been measured of one contender at one batch size."""

    latencies_ns: list[int] = field(default_factory=list)
    spread: float = 0.0
    stable: bool = True
    waiting: float | None = None
    failure: str = ""
    notes: tuple[str, ...] = ()

    def add(self, measurement: Measurement) -> None:
        self.latencies_ns += measurement.latencies_ns
        self.spread = max(self.spread, measurement.warm_up.spread)
        self.stable = self.stable and measurement.warm_up.stable
        self.notes = tuple(dict.fromkeys((*self.notes, *measurement.notes)))
        known = [share for share in (self.waiting, measurement.waiting) if share is not None]
        self.waiting = max(known, default=None)


def genx_contender(backend: str, variant: str) -> Contender:
    """Return the contender that is genx itself.

    Raises:
        InputError: unknown backend or device.
    """
    find_backend(backend)
    name = f"{backend} {variant}"
    return Contender(name=name, module="genx_runtimes.bench.worker", backend=backend)


def run_bench(
    bundle: Bundle,
    contenders: Sequence[Contender],
    options: BenchOptions,
    *,
    before_case: Callable[[str], None] = lambda _: None,
) -> BenchReport:
    """Measure contenders at each batch size.

    In each round every case runs in a new process, contenders next to one another; latencies of
    all rounds are pooled. A case that crashed or hung is not tried again; its row says why.

    Args:
        bundle: what to sample from.
        contenders: with different names.
        options: how to measure.
        before_case: told what comes next, `options.rounds * batches * contenders` times at most.

    Raises:
        InputError: a batch size or variant that the bundle does not have.
    """
    variant = bundle.variant(options.precision)
    batches = choose_batches(options.batches, bundle.manifest.batch)
    threads = options.threads or count_usable_cores()
    tallies = {(c.name, batch): _Tally() for batch in batches for c in contenders}
    versions = {"genx": __version__, "python": ".".join(map(str, sys.version_info[:3]))}
    for turn in range(options.rounds):
        for batch in batches:
            for contender in contenders:
                tally = tallies[contender.name, batch]
                if tally.failure:
                    continue
                before_case(f"round {turn + 1}: {contender.name}, batch {batch}")
                case = Case(
                    bundle=str(bundle.path.absolute()),
                    precision=contender.precision or variant.name,
                    backend=contender.backend,
                    source=contender.source,
                    batch=batch,
                    threads=contender.threads or threads,
                    seed=_SEED,
                    start=turn * _ROUND_STRIDE,
                    seconds=options.min_duration_s / options.rounds,
                    warm_up_s=options.warm_up_s,
                    allow_fallback=options.allow_fallback,
                )
                answer = _ask_worker(contender, case, options.grace_s)
                if isinstance(answer, str):
                    tally.failure = answer
                else:
                    tally.add(answer)
                    versions |= answer.versions
    return BenchReport(
        bundle=bundle.manifest.name,
        digest=bundle.digest,
        variant=variant.name,
        cpu=read_cpu_model(),
        cores=count_usable_cores(),
        threads=threads,
        rounds=options.rounds,
        min_duration_s=options.min_duration_s,
        boundary=BOUNDARY,
        versions=versions,
        rows=tuple(_make_row(name, batch, tally) for (name, batch), tally in tallies.items()),
    )


def _ask_worker(contender: Contender, case: Case, grace_s: float) -> Measurement | str:
    """Run one case; return what it measured, or why it did not."""
    outcome = run_child(
        (sys.executable, "-m", contender.module),
        data=msgspec.json.encode(case),
        timeout_s=case.warm_up_s + case.seconds + grace_s,
    )
    if outcome.failure:
        return outcome.failure
    try:
        return msgspec.json.decode(outcome.output, type=Measurement)
    except msgspec.MsgspecError as err:
        return f"{contender.module} answered no measurement: {err}"


def _make_row(name: str, batch: int, tally: _Tally) -> Row:
    measured = bool(tally.latencies_ns) and not tally.failure
    return Row(
        contender=name,
        batch=batch,
        latency=summarise(tally.latencies_ns, batch) if measured else None,
        stable=measured and tally.stable,
        spread=tally.spread,
        waiting=tally.waiting,
        failure=tally.failure,
        notes=tally.notes,
    )
