"""Settling on an engine: the one that was named, or with `auto` the fastest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from genx_cli.options import AllowFallback, BackendName, Precision, Threads

if TYPE_CHECKING:
    from genx_cli.sink import Sink
    from genx_runtimes.bundle import Bundle
    from genx_runtimes.encoding import Encoder
    from genx_runtimes.sampler import Sampler
    from genx_runtimes.session import SessionOptions
    from genx_runtimes.translate import Translator


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """What a command line says of the engine; a parameter of this type is all of these options."""

    backend: BackendName = "onnxruntime"
    precision: Precision = None
    threads: Threads = None
    allow_fallback: AllowFallback = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What runs a bundle.

    Args:
        bundle: that it runs.
        backend: a name, or NAME:DEVICE.
        precision: a variant's name; None is the first.
        options: of its sessions.
        batch: samples a pass.
        reason: why it is this one, in a line.
        notes: what is to be told of it; sessions add to them.
    """

    bundle: Bundle
    backend: str
    precision: str | None
    options: SessionOptions
    batch: int
    reason: str
    notes: list[str]

    def open_sampler(self) -> Sampler:
        """Load what sampling needs."""
        return self.bundle.sampler(
            backend=self.backend, precision=self.precision, options=self.options, batch=self.batch
        )

    def open_encoder(self, batch: int | None = None) -> Encoder:
        """Load the encoder, set up for `batch` images a pass where that is another number."""
        return self.bundle.encoder(
            backend=self.backend,
            precision=self.precision,
            options=self.options,
            batch=self.batch if batch is None else batch,
        )

    def open_translator(self) -> Translator:
        """Load what translating pictures needs."""
        return self.bundle.translator(
            backend=self.backend, precision=self.precision, options=self.options, batch=self.batch
        )


def settle_engine(
    sink: Sink, bundle: Bundle, choice: EngineChoice, batch: int | None = None
) -> Engine:
    """Return what the flags ask for; with `auto` it may be measured first, which is shown.

    Args:
        sink: of the running command.
        bundle: to run.
        choice: the flags.
        batch: samples a pass; None is what the bundle usually runs with.

    Raises:
        InputError: a fallback is allowed where there is none.
    """
    from genx_runtimes.backends import check_fallback
    from genx_runtimes.bundle import AUTO
    from genx_runtimes.session import SessionOptions

    notes: list[str] = []
    options = SessionOptions(
        threads=choice.threads, allow_fallback=choice.allow_fallback, tell=notes.append
    )
    if choice.allow_fallback:
        check_fallback(choice.backend)
    named = Engine(
        bundle=bundle,
        backend=choice.backend,
        precision=choice.precision,
        options=options,
        batch=bundle.manifest.batch.usual if batch is None else batch,
        reason=f"{choice.backend}, as asked for",
        notes=notes,
    )
    return _measure(sink, named) if choice.backend == AUTO else named


def _measure(sink: Sink, engine: Engine) -> Engine:
    """Return the fastest engine, variant and thread count within what was asked for."""
    from genx_runtimes.tuning import settle

    with sink.progress("measuring engines, once for this machine") as progress:
        tuning = settle(
            engine.bundle,
            batch=engine.batch,
            precision=engine.precision,
            threads=engine.options.threads,
            progress=progress.step,
        )
    best = tuning.best
    return replace(
        engine,
        backend=best.backend,
        precision=best.variant,
        options=replace(engine.options, threads=best.threads),
        reason=tuning.explain(),
    )


def warn_once(sink: Sink, notes: Iterable[str]) -> list[str]:
    """Show notes as warnings, each once, and return them for the result."""
    told = list(dict.fromkeys(notes))
    for note in told:
        sink.warn(note)
    return told
