"""A contender's own process: one case on stdin, one answer on stdout.

python -m genx_runtimes.bench.worker < case.json > measurement.json

The case is one line; where contenders take turns, more lines follow: `genx_runtimes.bench.turns`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from genx_runtimes.backends import find_backend, import_engine
from genx_runtimes.bench.answering import Channel, converse
from genx_runtimes.bench.case import Case, Examination, Measurement, Ready, Slice
from genx_runtimes.bench.conditions import compare, look
from genx_runtimes.bench.energy import Reading, find_meters
from genx_runtimes.bench.figures import ColdStart
from genx_runtimes.bench.measure import Call, wake, warm_up
from genx_runtimes.bench.scenarios import (
    Draw,
    Timed,
    run_multi_stream,
    run_offline,
    run_server,
    run_single_stream,
    split_query,
)
from genx_runtimes.bundle import open_bundle
from genx_runtimes.memory import read_peak_bytes
from genx_runtimes.sampler import Sampler
from genx_runtimes.session import SessionOptions

_INSTANCE_STRIDE = 2**42  # instances draw different samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A loaded contender.

    Args:
        draw: draws the next samples, as many as it is told, and maps images to pixels.
        versions: of what runs.
        streams: for scenario `offline`, a call for each instance that draws its next batch; none:
            one instance, by `draw`.
        notes: what a reader of the figures must know.
        examine: compares with the golden samples and times the parts of a call.
    """

    draw: Draw
    versions: dict[str, str]
    streams: Sequence[Call] = ()
    notes: list[str] = field(default_factory=list)
    examine: Callable[[], Examination] = Examination


Prepare = Callable[[Case], AbstractContextManager[Prepared]]


def measure_case(case: Case, prepare: Prepare, channel: Channel) -> Measurement:
    """Load a contender, warm it up and time it: at once, or whenever it is its turn."""
    import_engine(case.backend)
    imported = time.monotonic_ns()
    with prepare(case) as contender:
        loaded = time.monotonic_ns()
        sizes = split_query(case.batch) if case.scenario == "multi-stream" else [case.batch]
        calls: Sequence[Call] = (lambda: contender.draw(sizes[0]),)
        calls[0]()
        drawn = time.monotonic_ns()
        if case.scenario == "offline":
            calls = contender.streams or calls
            for call in calls[1:]:
                call()
        settled = warm_up(calls[0], limit_s=case.warm_up_s)
        reading = Reading(find_meters()[0])
        timed: list[Timed] = []
        before, spent_ns = look(), 0
        for turn in _list_turns(case, channel, settled.call_ns * len(sizes)):
            began = time.monotonic_ns()
            if case.in_turn:
                wake(calls[0])
            with reading.count():
                timed.append(_run(case, contender.draw, calls, turn))
            spent_ns += time.monotonic_ns() - began
        conditions = compare(
            before, look(), wall_ns=spent_ns, threads=case.threads * case.instances
        )
    cold = None
    if case.spawned_ns is not None:
        cold = ColdStart(
            import_s=(imported - case.spawned_ns) / 1e9,
            load_s=(loaded - imported) / 1e9,
            first_sample_s=(drawn - loaded) / 1e9,
        )
    return Measurement(
        warm_up=settled,
        latencies_ns=[latency for part in timed for latency in part.latencies_ns],
        samples=sum(part.samples for part in timed),
        wall_ns=sum(part.wall_ns for part in timed),
        rate=timed[-1].rate,
        conditions=conditions,
        cold=cold,
        peak_bytes=read_peak_bytes(),
        joules=reading.joules,
        versions=contender.versions,
        notes=list(dict.fromkeys((*contender.notes, *reading.reasons))),
        slices=[len(part.latencies_ns) for part in timed] if case.in_turn else [],
    )


def _list_turns(case: Case, channel: Channel, call_ns: float) -> Iterator[Slice]:
    """Wait for each turn, and say when it is over; a case that is timed at once has one."""
    if not case.in_turn:
        yield Slice(seconds=case.seconds, min_count=case.min_count)
        return
    channel.send(Ready(call_ns=call_ns, cpu_s=time.process_time()))
    while (turn := channel.receive(Slice)) is not None:
        yield turn
        channel.send(Ready(call_ns=call_ns, cpu_s=time.process_time()))


def _run(case: Case, draw: Draw, calls: Sequence[Call], turn: Slice) -> Timed:
    seconds, min_count = turn.seconds, turn.min_count
    if case.scenario == "multi-stream":
        return run_multi_stream(draw, case.batch, seconds=seconds, min_count=min_count)
    if case.scenario == "offline":
        return run_offline(calls, case.batch, seconds=seconds, min_count=min_count)
    if case.scenario == "server":
        return run_server(
            draw, case.batch, bound_ms=case.latency_bound_ms, seconds=seconds, seed=case.seed
        )
    return run_single_stream(draw, case.batch, seconds=seconds, min_count=min_count)


def serve(prepare: Prepare) -> None:
    """Answer the case on stdin."""

    def respond(case: Case, channel: Channel) -> Measurement | Examination:
        if not case.examine:
            return measure_case(case, prepare, channel)
        with prepare(case) as contender:
            return replace(contender.examine(), peak_bytes=read_peak_bytes())

    converse(Case, respond)


@contextmanager
def prepare_genx(case: Case) -> Iterator[Prepared]:
    """Load a bundle, once for each instance."""
    from genx_runtimes.bench.examine import check_golden, examine

    bundle = open_bundle(case.bundle)
    notes: list[str] = []
    options = SessionOptions(
        threads=case.threads, allow_fallback=case.allow_fallback, tell=notes.append
    )
    with ExitStack() as stack:
        samplers = [
            stack.enter_context(
                bundle.sampler(
                    backend=case.backend,
                    precision=case.precision,
                    options=options,
                    batch=case.batch,
                )
            )
            for _ in range(case.instances)
        ]

        def check() -> Examination:
            check_golden(bundle, samplers[0], case.precision)
            return examine(samplers[0], case.batch, seed=case.seed)

        yield Prepared(
            draw=draw_next(samplers[0], case),
            streams=[draw_endlessly(s, case, instance=i) for i, s in enumerate(samplers)],
            versions=_find_versions(case.backend),
            notes=notes,
            examine=check,
        )


def draw_next(sampler: Sampler, case: Case) -> Draw:
    """Return what draws the next samples, each time as many as asked; images as pixels.

    Nothing is begun before it is asked for, as when each query comes after the last answer.
    """
    is_image = sampler.manifest.output.kind == "image"
    start = case.start

    def draw(count: int) -> object:
        nonlocal start
        batch = next(sampler.sample(count, seed=case.seed, start=start, batch=count))
        start += count
        return batch.images() if is_image else batch.output

    return draw


def draw_endlessly(sampler: Sampler, case: Case, *, instance: int = 0) -> Call:
    """Return what draws the next batch of one endless stream of samples, images as pixels.

    An engine may compute ahead of what is taken.
    """
    is_image = sampler.manifest.output.kind == "image"
    stream = sampler.sample(
        _INSTANCE_STRIDE // case.batch * case.batch,
        seed=case.seed,
        start=case.start + instance * _INSTANCE_STRIDE,
        batch=case.batch,
    )

    def call() -> object:
        batch = next(stream)
        return batch.images() if is_image else batch.output

    return call


def _find_versions(backend: str) -> dict[str, str]:
    engine = find_backend(backend).requires
    loaded = [sys.modules[name] for name in ("numpy", engine) if name]
    return {module.__name__: str(getattr(module, "__version__", "unknown")) for module in loaded}


if __name__ == "__main__":
    serve(prepare_genx)
