"""What there is to try: engines, variants, threads, instances, batch sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from genx_runtimes.backends import find_backend
from genx_runtimes.bench.quality import find_psnr
from genx_runtimes.bundle import Bundle
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import BatchBounds, VariantSpec
from genx_runtimes.sampler import check_batch
from genx_runtimes.tuning.engines import list_engines
from genx_runtimes.tuning.request import Goal, Request

DEFAULT_ENGINE = "onnxruntime"
_BATCHES = (1, 4, 16, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to run a bundle: sessions (`instances`) of an engine with threads each."""

    backend: str
    variant: str
    threads: int
    instances: int = 1
    batch: int

    @property
    def name(self) -> str:
        """In words, unique among the candidates of a bundle."""
        split = f"{self.instances} x {self.threads}" if self.instances > 1 else str(self.threads)
        return f"{self.backend} {self.variant}, threads {split}, batch {self.batch}"


Vary = Callable[[Candidate], Iterable[Candidate]]


def choose_sizes(
    wanted: tuple[int, ...] | None, bounds: BatchBounds, goal: Goal
) -> tuple[int, ...]:
    """Return the batch sizes to tune: those wanted, or what the goal and the bundle suggest.

    For latency the smallest one and the one that is used where nobody names any; for throughput
    1, 4, 16 and 64, as far as the bundle allows.

    Raises:
        InputError: one that is wanted is not allowed.
    """
    for batch in wanted or ():
        check_batch(bounds, batch)
    if wanted:
        return wanted
    if goal == "latency":
        return tuple(dict.fromkeys((bounds.min, bounds.usual)))
    usual = {b for b in _BATCHES if bounds.min <= b <= bounds.max}
    return tuple(sorted(usual | {bounds.usual}))


def find_default(bundle: Bundle, request: Request) -> Candidate:
    """Return what runs where nobody asks for anything but what the request fixes.

    That is onnxruntime, the first variant, all usable cores, and the usual batch size or what is
    nearest to it.

    Raises:
        InputError: no such variant; no engine is installed.
    """
    names = [engine.name for engine in list_engines()]
    if not names:
        raise InputError("no engine is installed", fix="pip install onnxruntime")
    usual = bundle.manifest.batch.usual
    return Candidate(
        backend=DEFAULT_ENGINE if DEFAULT_ENGINE in names else names[0],
        variant=bundle.variant(request.precision).name,
        threads=request.threads or count_usable_cores(),
        batch=min(request.batches, key=lambda batch: abs(batch - usual)),
    )


def list_first(bundle: Bundle, request: Request) -> list[Candidate]:
    """List every engine with every variant, threads and batch size as the default has them."""
    default = find_default(bundle, request)
    names = [v.name for v in bundle.manifest.variants]
    if request.precision is not None:
        names = [default.variant]
    found = [
        replace(default, backend=engine.name, variant=name)
        for engine in list_engines()
        for name in names
    ]
    return [default, *(candidate for candidate in found if candidate != default)]


def list_variations(request: Request) -> tuple[Vary, ...]:
    """Return what is varied, one after another, of the better half that stays each time."""
    if request.goal == "latency":
        return (_vary_threads,) if request.threads is None else ()
    split = partial(_vary_split, fixed=request.threads)
    return (split, partial(_vary_batch, batches=request.batches))


def find_shortfall(variant: VariantSpec, floor: float | None, *, is_exact: bool) -> str:
    """Say why a variant is below a quality floor; empty where it is not.

    Args:
        variant: of the bundle.
        floor: in dB; None asks for nothing.
        is_exact: whether it is the one that the others were compared with.
    """
    if floor is None or is_exact:
        return ""
    psnr = find_psnr(variant)
    if psnr is None:
        return f"its PSNR is not in the bundle, asked for: {floor:g} dB"
    return f"keeps {psnr:.1f} dB, asked for: {floor:g} dB" if psnr < floor else ""


def _vary_threads(candidate: Candidate) -> Iterator[Candidate]:
    if not find_backend(candidate.backend).needs_gpu:
        for threads in sorted({1, candidate.threads // 2} - {0, candidate.threads}):
            yield replace(candidate, threads=threads)


def _vary_split(candidate: Candidate, *, fixed: int | None) -> Iterator[Candidate]:
    """Split the cores among several sessions: two, four, and one for each core."""
    if find_backend(candidate.backend).needs_gpu:
        return
    cores = count_usable_cores()
    if fixed is not None:
        counts: Iterable[int] = {cores // fixed} - {0, 1}
    else:
        counts = {count for count in (2, 4, cores) if 1 < count <= cores}
    for instances in sorted(counts):
        yield replace(candidate, instances=instances, threads=fixed or cores // instances)


def _vary_batch(candidate: Candidate, *, batches: tuple[int, ...]) -> Iterator[Candidate]:
    for batch in batches:
        if batch != candidate.batch:
            yield replace(candidate, batch=batch)
