"""Settling on an engine: the one that was named, or with `auto` the fastest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from genx_cli.sink import Sink
    from genx_runtimes.bundle import Bundle
    from genx_runtimes.session import SessionOptions


class Engine(NamedTuple):
    """What runs: backend, variant and options, in one line why, and what is to be told of it."""

    backend: str
    precision: str | None
    options: SessionOptions
    reason: str
    notes: list[str]


def settle_engine(
    sink: Sink,
    bundle: Bundle,
    *,
    backend: str,
    precision: str | None,
    threads: int | None,
    batch: int,
    allow_fallback: bool = False,
) -> Engine:
    """Return what the flags ask for; with `auto` it may be measured first, which is shown.

    Raises:
        InputError: a fallback is allowed where there is none.
    """
    from genx_runtimes.backends import check_fallback
    from genx_runtimes.bundle import AUTO
    from genx_runtimes.session import SessionOptions

    notes: list[str] = []
    options = SessionOptions(threads=threads, allow_fallback=allow_fallback, tell=notes.append)
    if allow_fallback:
        check_fallback(backend)
    if backend != AUTO:
        return Engine(backend, precision, options, f"{backend}, as asked for", notes)
    from genx_runtimes.tuning import settle

    with sink.progress("measuring engines, once for this machine") as progress:
        tuning = settle(
            bundle, batch=batch, precision=precision, threads=threads, progress=progress.step
        )
    best = tuning.best
    options = replace(options, threads=best.threads)
    return Engine(best.backend, best.variant, options, tuning.explain(), notes)


def warn_once(sink: Sink, notes: Iterable[str]) -> list[str]:
    """Show notes as warnings, each once, and return them for the result."""
    told = list(dict.fromkeys(notes))
    for note in told:
        sink.warn(note)
    return told
