"""From the flags of `genx bench` to what takes part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genx_cli.sink import Sink
    from genx_runtimes.bench import BenchOptions, Contender
    from genx_runtimes.bundle import Bundle

TORCH = "torch"
_ALL = "all"


def list_contenders(
    sink: Sink,
    bundle: Bundle,
    options: BenchOptions,
    *,
    backend: str,
    precision: str | None,
    instances: int,
) -> Iterator[Contender]:
    """List the engines and variants of a bundle that are measured.

    Args:
        sink: shows that engines are measured for `auto`.
        bundle: what is sampled from.
        options: batch sizes and threads.
        backend: names with commas between them, `all`, or `auto`.
        precision: names with commas between them, `all`, or None for the first; with `auto` each
            is settled apart, and `all` and None take the fastest.
        instances: of scenario `offline`.

    Raises:
        InputError: unknown engine or variant.
    """
    from genx_runtimes.backends import check_fallback
    from genx_runtimes.bench import genx_contender
    from genx_runtimes.bundle import AUTO
    from genx_runtimes.errors import InputError
    from genx_runtimes.tuning import list_engines

    if instances < 1:
        raise InputError(f"instances is {instances}, expected 1 or more")
    installed = [engine.name for engine in list_engines()]
    names = installed if backend == _ALL else _split(backend)
    variants: Sequence[str | None] = [None] if precision is None else _split(precision)
    if precision == _ALL:
        variants = [variant.name for variant in bundle.manifest.variants]
    for name in names:
        if options.allow_fallback:
            check_fallback(name)
        if name == AUTO:
            for variant in [None] if precision == _ALL else variants:
                yield from _settle(sink, bundle, options, variant, instances)
            continue
        for variant in variants:
            yield genx_contender(bundle, name, variant, instances=instances)


def name_torch(source: str, bundles: Sequence[Bundle]) -> Contender:
    """Return the original model as a contender.

    Raises:
        InputError: there are several bundles: which one is it the model of?
        ExtraMissingError: torch is not installed.
    """
    from genx_cli.extras import require_extra
    from genx_runtimes.bench import Contender
    from genx_runtimes.errors import InputError

    if len(bundles) > 1:
        raise InputError(
            f"--compare-torch names one model, there are {len(bundles)} bundles",
            fix="measure one bundle at a time with it",
        )
    require_extra("export", "--compare-torch")
    # Named, not imported: torch belongs into the contender's process and nowhere else.
    return Contender(
        bundle=bundles[0],
        name=TORCH,
        module="genx_export.torch_contender",
        backend=TORCH,
        source=source,
    )


def _settle(
    sink: Sink, bundle: Bundle, options: BenchOptions, precision: str | None, instances: int
) -> Iterator[Contender]:
    """List what `auto` takes at each batch size."""
    from genx_cli.engines import EngineChoice, settle_engine
    from genx_runtimes.bench import Contender
    from genx_runtimes.bench.options import choose_batches
    from genx_runtimes.bundle import AUTO

    for batch in choose_batches(options.batches, bundle.manifest.batch):
        choice = EngineChoice(
            backend=AUTO,
            precision=precision,
            threads=options.threads,
        )
        engine = settle_engine(sink, bundle, choice, batch)
        variant = bundle.variant(engine.precision).name
        yield Contender(
            bundle=bundle,
            name=f"auto: {engine.backend} {variant}",
            backend=engine.backend,
            variant=variant,
            threads=engine.options.threads,
            instances=instances,
            batches=(batch,),
        )


def _split(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",")))
