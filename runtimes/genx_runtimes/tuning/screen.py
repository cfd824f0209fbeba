"""How long each of several variants takes here, in each engine: for those who choose what to make.

No default, nothing remembered: `search.py` finds what to run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from genx_runtimes.bench.contender import genx_contender
from genx_runtimes.bench.options import BenchOptions
from genx_runtimes.bench.run import run_bench
from genx_runtimes.bundle import Bundle
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.tuning.engines import list_engines
from genx_runtimes.tuning.record import Combination

Progress = Callable[[str], None]

_SECONDS = 0.5
_COUNT = 10
_ROUNDS = 2
_WARM_UP_S = 0.5
# Measured twice is what took at most that many times the shortest time, and the first few of it.
_CLOSE = 1.6
_FINALISTS = 4


def measure(
    bundle: Bundle,
    variants: Sequence[str],
    *,
    batch: int,
    threads: int | None = None,
    progress: Progress = lambda _: None,
) -> tuple[Combination, ...]:
    """Measure variants in every installed engine, with all usable cores; the fastest first.

    What came close is measured once more, and the shorter time counts: what disturbs one
    measurement does not decide.

    Args:
        bundle: that has the variants.
        variants: to compare.
        batch: samples a call.
        threads: engine threads; None takes the usable cores.
        progress: told what comes next.

    Raises:
        InputError: a batch size or variant that the bundle does not have.
    """
    cores = threads or count_usable_cores()
    pairs = [(engine.name, variant) for engine in list_engines() for variant in variants]
    found = _measure_some(bundle, pairs, cores, batch, progress)
    close = [c for c in found if _rank(c) <= _rank(found[0]) * _CLOSE and not c.failure]
    close = close[:_FINALISTS]
    if len(close) > 1:
        earlier = {(c.backend, c.variant): c for c in close}
        again = _measure_some(bundle, list(earlier), cores, batch, progress)
        shorter = [min(c, earlier[c.backend, c.variant], key=_rank) for c in again]
        found = [*shorter, *(c for c in found if c not in close)]
    return tuple(sorted(found, key=_rank))


def _measure_some(
    bundle: Bundle,
    pairs: Sequence[tuple[str, str]],
    threads: int,
    batch: int,
    progress: Progress,
) -> list[Combination]:
    contenders = [
        genx_contender(bundle, backend, variant, threads=threads) for backend, variant in pairs
    ]
    options = BenchOptions(
        batches=(batch,),
        min_duration_s=_SECONDS,
        min_count=_COUNT,
        rounds=_ROUNDS,
        warm_up_s=_WARM_UP_S,
        examine=False,
    )
    report = run_bench(contenders, options, progress=progress)
    if not report.complete:
        raise KeyboardInterrupt
    made = [
        Combination(
            backend=row.backend,
            variant=row.variant,
            threads=row.threads,
            batch=batch,
            p50_ms=row.latency.p50_ms if row.latency else None,
            failure="" if row.latency else "; ".join(row.reasons),
        )
        for row in report.rows
    ]
    return sorted(made, key=_rank)


def _rank(combination: Combination) -> float:
    return float("inf") if combination.p50_ms is None else combination.p50_ms
