"""Which engine, variant and thread count is the fastest here: measured, and remembered.

Every combination runs in its own process, in turn. What was measured is kept in the user's cache by
bundle, batch size and machine, so that it is done once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from msgspec.structs import replace

from genx_runtimes.backends import BACKENDS, Backend, find_backend
from genx_runtimes.bench.calls import list_calls
from genx_runtimes.bench.contender import GENX, Contender
from genx_runtimes.bench.options import BenchOptions
from genx_runtimes.bench.run import run_bench
from genx_runtimes.bundle import Bundle
from genx_runtimes.cache import cache_folder
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import BackendUnavailableError, OutputError
from genx_runtimes.processor import read_cpu_model
from genx_runtimes.writing import write_whole

Progress = Callable[[str], None]

_CALLS = "genx_runtimes.bench.calls"
_SECONDS_A_ROUND = 0.25
_COUNT_A_ROUND = 5
_ROUNDS = 2
_WARM_UP_S = 0.5
# Measured again is what took at most that many times the shortest time, and the first few of it.
_CLOSE = 2.0
_FINALISTS = 4


class Combination(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run a bundle, and how long a call took: the median in ms, or why there is none."""

    backend: str
    variant: str
    threads: int
    p50_ms: float | None
    failure: str = ""


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of a bundle at one batch size on one machine.

    Args:
        digest: of the bundle.
        batch: samples a call.
        machine: CPU, cores and versions of the engines.
        variants: that were compared.
        combinations: the fastest first, failures last.
    """

    digest: str
    batch: int
    machine: str
    variants: tuple[str, ...]
    combinations: tuple[Combination, ...]

    @property
    def has_run(self) -> bool:
        """Whether some engine ran the bundle."""
        return bool(self.combinations) and self.combinations[0].p50_ms is not None

    @property
    def best(self) -> Combination:
        """The fastest combination.

        Raises:
            BackendUnavailableError: none ran.
        """
        first = self.combinations[0]
        if first.p50_ms is None:
            raise BackendUnavailableError(
                f"no engine ran this bundle: {first.backend}: {first.failure}",
                fix="genx doctor shows what works here",
            )
        return first

    def explain(self) -> str:
        """Say in one line what is the fastest and by how much."""
        best = self.best
        text = (
            f"{best.backend} {best.variant} with {best.threads} threads, {best.p50_ms:.3f} ms at "
            f"batch {self.batch}"
        )
        for other in self.combinations[1:]:
            if (other.backend, other.variant) != (best.backend, best.variant):
                if other.p50_ms is None or best.p50_ms is None:
                    break
                ratio = other.p50_ms / best.p50_ms
                return f"{text}: {ratio:.2f} x as fast as {other.backend} {other.variant}"
        return f"{text}: nothing else runs here"


def tune(
    bundle: Bundle,
    *,
    batch: int,
    precision: str | None = None,
    threads: int | None = None,
    again: bool = False,
    progress: Progress = lambda _: None,
) -> Tuning:
    """Return what is fastest here: what was measured before, or is measured now.

    Args:
        bundle: what to run.
        batch: samples a call.
        precision: the only variant to consider; None takes all.
        threads: the only thread count to consider; None tries several.
        again: measure even if it was done before.
        progress: told what comes next.

    Raises:
        InputError: a batch size or variant that the bundle does not have.
    """
    variants = _name_variants(bundle, precision)
    machine = _describe_machine()
    if threads is not None:
        machine = f"{machine}, {threads} threads"
    path = cache_folder("tuning") / f"{bundle.digest[:32]}-{batch}.json"
    known = _read(path)
    for earlier in known:
        if not again and (earlier.machine, earlier.variants) == (machine, variants):
            return earlier
    made = Tuning(
        digest=bundle.digest,
        batch=batch,
        machine=machine,
        variants=variants,
        combinations=measure(bundle, variants, batch=batch, threads=threads, progress=progress),
    )
    others = [t for t in known if (t.machine, t.variants) != (machine, variants)]
    with write_whole(path) as file:
        file.write(msgspec.json.encode([*others, made]))
    return made


def recall(bundle: Bundle) -> tuple[Tuning, ...]:
    """Return what `tune` measured on this machine of all variants; nothing is measured now.

    The smallest batch size comes first; what no engine could run is left out.
    """
    try:
        folder = cache_folder("tuning")
    except OutputError:
        return ()  # nothing can have been kept there
    wanted = _describe_machine(), _name_variants(bundle, None)
    found = [t for path in folder.glob(f"{bundle.digest[:32]}-*.json") for t in _read(path)]
    kept = [t for t in found if (t.machine, t.variants) == wanted and t.has_run]
    return tuple(sorted(kept, key=lambda t: t.batch))


def measure(
    bundle: Bundle,
    variants: Sequence[str],
    *,
    batch: int,
    threads: int | None = None,
    calls: bool = False,
    progress: Progress = lambda _: None,
) -> tuple[Combination, ...]:
    """Measure variants in every installed engine; the fastest first.

    First each once with all usable cores (or `threads`); then those that came close again, of
    which the shorter time counts, and the fastest with fewer threads as well: what disturbs one
    measurement does not decide.

    Args:
        bundle: what to run.
        variants: names.
        batch: samples a call.
        threads: the only thread count to consider; None tries several.
        calls: of a loop, whether its calls are timed in their shares rather than whole passes; the
            time that counts is then that of a pass's calls, without what the host does in between.
        progress: told what comes next.
    """
    worker = _CALLS if calls else GENX
    shares = list_calls(bundle, batch)[1] if calls else 1

    def measure_some(cases: Sequence[tuple[str, str, int]], rounds: int) -> list[Combination]:
        timed = _measure_some(bundle, cases, batch, worker, rounds, progress)
        return [replace(c, p50_ms=c.p50_ms and c.p50_ms * shares) for c in timed]

    cores = threads or count_usable_cores()
    pairs = [(engine.name, variant) for engine in list_engines() for variant in variants]
    found = measure_some([(*pair, cores) for pair in pairs], 1)
    best = found[0]
    if best.p50_ms is None:
        return tuple(found)
    close = [c for c in found if _rank(c) <= best.p50_ms * _CLOSE][:_FINALISTS]
    on_gpu = find_backend(best.backend).needs_gpu
    fewer = [] if on_gpu or threads is not None else sorted({1, cores // 2} - {0, cores})
    finals = [(c.backend, c.variant, cores) for c in close]
    finals += [(best.backend, best.variant, n) for n in fewer]
    if len(finals) > 1:
        again = measure_some(finals, _ROUNDS)
        earlier = {(c.backend, c.variant, c.threads): c for c in close}
        shorter = [
            min(c, earlier.get((c.backend, c.variant, c.threads), c), key=_rank) for c in again
        ]
        found = [*shorter, *(c for c in found if c not in close)]
    return tuple(sorted(found, key=_rank))


def _measure_some(
    bundle: Bundle,
    cases: Sequence[tuple[str, str, int]],
    batch: int,
    worker: str,
    rounds: int,
    progress: Progress,
) -> list[Combination]:
    contenders = [
        Contender(
            bundle=bundle,
            name=f"{backend} {variant}, {threads} threads",
            module=worker,
            backend=backend,
            variant=variant,
            threads=threads,
        )
        for backend, variant, threads in cases
    ]
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
            p50_ms=row.latency.p50_ms if row.latency else None,
            failure="" if row.latency else "; ".join(row.reasons),
        )
        for row in report.rows
    ]
    return sorted(made, key=_rank)


def _rank(combination: Combination) -> float:
    return float("inf") if combination.p50_ms is None else combination.p50_ms


def _name_variants(bundle: Bundle, precision: str | None) -> tuple[str, ...]:
    names = [v.name for v in bundle.manifest.variants]
    return tuple(names if precision is None else [bundle.variant(precision).name])


def _read(path: Path) -> list[Tuning]:
    """Return remembered measurements; none that are damaged or of another genx."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Tuning])
    except (msgspec.MsgspecError, OSError):
        return []


def list_engines() -> list[Backend]:
    """Return what computes and is installed; without a GPU, what needs none."""
    installed = [b for b in BACKENDS if b.requires and b.is_installed()]
    if any(b.needs_gpu for b in installed) and not _name_gpu():
        installed = [b for b in installed if not b.needs_gpu]
    return installed


@lru_cache
def _name_gpu() -> str:
    """Return the GPU's name; "" where there is none."""
    from genx_runtimes.cuda import open_cuda

    try:
        return open_cuda().describe().name
    except BackendUnavailableError:
        return ""


def _describe_machine() -> str:
    parts = [read_cpu_model(), f"{count_usable_cores()} cores"]
    engines = list_engines()
    if any(b.needs_gpu for b in engines):
        parts.append(_name_gpu())
    for backend in engines:
        try:
            parts.append(f"{backend.name} {version(backend.requires)}")
        except PackageNotFoundError:  # another distribution of the same module
            parts.append(backend.name)
    return ", ".join(parts)
