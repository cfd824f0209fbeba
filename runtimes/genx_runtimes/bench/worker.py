"""A contender's own process: one case on stdin, one measurement on stdout.

python -m genx_runtimes.bench.worker < case.json > measurement.json
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import msgspec

from genx_runtimes.backends import find_backend
from genx_runtimes.bench.case import Case, Measurement
from genx_runtimes.bench.contention import read_waiting_ns, share_waiting
from genx_runtimes.bench.measure import Call, time_calls, warm_up
from genx_runtimes.bundle import open_bundle
from genx_runtimes.child import one_line
from genx_runtimes.sampler import Sampler
from genx_runtimes.session import SessionOptions

_ENDLESS = 2**40


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A loaded contender.

    Args:
        call: draws fresh latents, runs the engine and maps to pixels, once.
        versions: of what runs.
        notes: what a reader of the figures must know.
    """

    call: Call
    versions: dict[str, str]
    notes: list[str] = field(default_factory=list)


Prepare = Callable[[Case], AbstractContextManager[Prepared]]


def measure_case(case: Case, prepare: Prepare) -> Measurement:
    """Load a contender, warm it up and time it."""
    with prepare(case) as contender:
        settled = warm_up(contender.call, limit_s=case.warm_up_s)
        waited, start = read_waiting_ns(), time.perf_counter_ns()
        latencies = time_calls(contender.call, seconds=case.seconds)
        wall = time.perf_counter_ns() - start
        waiting = share_waiting(waited, read_waiting_ns(), wall_ns=wall, threads=case.threads)
    return Measurement(
        warm_up=settled,
        latencies_ns=latencies,
        waiting=waiting,
        versions=contender.versions,
        notes=list(dict.fromkeys(contender.notes)),
    )


def serve(prepare: Prepare) -> None:
    """Answer the case on stdin; a failure is the last line of stderr and exit code 1."""
    answer = os.dup(1)
    os.dup2(2, 1)  # what an engine prints must not mix with the answer
    try:
        case = msgspec.json.decode(sys.stdin.buffer.read(), type=Case)
        measurement = measure_case(case, prepare)
    except Exception as err:  # an engine may raise anything; the parent shows this line
        sys.exit(one_line(err))
    with os.fdopen(answer, "wb") as out:
        out.write(msgspec.json.encode(measurement))


@contextmanager
def prepare_genx(case: Case) -> Iterator[Prepared]:
    """Load a bundle; a call takes the next batch of one endless stream of samples."""
    bundle = open_bundle(case.bundle)
    notes: list[str] = []
    with bundle.sampler(
        backend=case.backend,
        precision=case.precision,
        options=SessionOptions(
            threads=case.threads, allow_fallback=case.allow_fallback, tell=notes.append
        ),
        batch=case.batch,
    ) as sampler:
        call = draw_endlessly(sampler, case)
        yield Prepared(call=call, versions=_find_versions(case.backend), notes=notes)


def draw_endlessly(sampler: Sampler, case: Case) -> Call:
    """Return what draws the next batch of one endless stream of samples, images as pixels."""
    is_image = sampler.manifest.output.kind == "image"
    stream = sampler.sample(
        case.batch * _ENDLESS, seed=case.seed, start=case.start, batch=case.batch
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
