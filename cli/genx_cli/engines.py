"""Settling on an engine: the one that was named, or with `auto` the fastest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from genx_cli.sink import Sink
    from genx_runtimes.bundle import Bundle
    from genx_runtimes.session import SessionOptions


class Engine(NamedTuple):
    """What runs: backend, variant and options, and in one line why."""

    backend: str
    precision: str | None
    options: SessionOptions
    reason: str


def settle_engine(
    sink: Sink,
    bundle: Bundle,
    *,
    backend: str,
    precision: str | None,
    threads: int | None,
    batch: int,
) -> Engine:
    """Return what the flags ask for; with `auto` it may be measured first, which is shown."""
    from genx_runtimes.bundle import AUTO
    from genx_runtimes.session import SessionOptions

    options = SessionOptions(threads=threads)
    if backend != AUTO:
        return Engine(backend, precision, options, f"{backend}, as asked for")
    from genx_runtimes.tuning import tune

    with sink.progress("measuring engines, once for this machine") as progress:
        tuning = tune(
            bundle, batch=batch, precision=precision, threads=threads, progress=progress.step
        )
    best = tuning.best
    return Engine(
        best.backend, best.variant, replace(options, threads=best.threads), tuning.explain()
    )
