"""How long each of several variants takes here, in each engine: for those who choose what to make.

No default, nothing remembered: `search.py` finds what to run.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from genx_runtimes.bench.calls import list_calls
from genx_runtimes.bench.contender import GENX, Contender
from genx_runtimes.bench.options import BenchOptions
from genx_runtimes.bench.run import run_bench
from genx_runtimes.bundle import Bundle
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.progress import Progress
from genx_runtimes.tuning.engines import list_engines
from genx_runtimes.tuning.record import Combination

_CALLS = "genx_runtimes.bench.calls"
_SECONDS_A_ROUND = 0.25
_COUNT_A_ROUND = 5
_ROUNDS = 2
_WARM_UP_S = 0.5
# Measured again is what took at most that many times the shortest time, and the first few of it.
_CLOSE = 2.0
_FINALISTS = 4


def measure(
    bundle: Bundle,
    variants: Sequence[str],
    *,
    batch: int,
    threads: int | None = None,
    calls: bool = False,
    progress: Progress = lambda _: None,
) -> tuple[Combination, ...]:
    """Measure variants in every installed engine, with all usable cores; the fastest first.

    First each once; then those that came close again, of which the shorter time counts: what
    disturbs one measurement does not decide.

    Args:
        bundle: that has the variants.
        variants: to compare.
        batch: samples a call.
        threads: engine threads; None takes the usable cores.
        calls: of a loop, whether its calls are timed in their shares rather than whole passes; the
            time that counts is then that of a pass's calls, without what the host does in between.
        progress: told what comes next.

    Raises:
        InputError: a batch size or variant that the bundle does not have.
    """
    worker = _CALLS if calls else GENX
    shares = list_calls(bundle, batch)[1] if calls else 1
    cores = threads or count_usable_cores()

    def measure_some(pairs: Sequence[tuple[str, str]], rounds: int) -> list[Combination]:
        contenders = [
            Contender(
                bundle=bundle,
                name=f"{backend} {variant}",
                module=worker,
                backend=backend,
                variant=variant,
                threads=cores,
            )
            for backend, variant in pairs
        ]
        timed = _measure_some(contenders, batch, rounds, progress)
        return [replace(c, p50_ms=c.p50_ms and c.p50_ms * shares) for c in timed]

    found = measure_some([(e.name, variant) for e in list_engines() for variant in variants], 1)
    close = [c for c in found if _rank(c) <= _rank(found[0]) * _CLOSE and not c.failure]
    close = close[:_FINALISTS]
    if len(close) > 1:
        earlier = {(c.backend, c.variant): c for c in close}
        again = measure_some(list(earlier), _ROUNDS)
        shorter = [min(c, earlier[c.backend, c.variant], key=_rank) for c in again]
        found = [*shorter, *(c for c in found if c not in close)]
    return tuple(sorted(found, key=_rank))


def _measure_some(
    contenders: Sequence[Contender], batch: int, rounds: int, progress: Progress
) -> list[Combination]:
    options = BenchOptions(
        batches=(batch,),
        min_duration_s=_SECONDS_A_ROUND * rounds,
        min_count=_COUNT_A_ROUND * rounds,
        rounds=rounds,
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
