"""One loaded copy of a bundle's graphs, and the thread that runs it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from genx_runtimes.batches import find_bounds
from genx_runtimes.bundle import Bundle
from genx_runtimes.manifest import BatchBounds
from genx_runtimes.pictures import read_picture, write_picture
from genx_runtimes.sampler import Batch, Sampler
from genx_runtimes.samplers.loop import Draw, SamplingOptions, join_draws
from genx_runtimes.serve.interruption import DroppedError, InterruptibleSession
from genx_runtimes.session import Array, Session, SessionOptions
from genx_runtimes.translate import Translator
from genx_runtimes.translate_files import complete_picture
from genx_runtimes.verify import verify_component, verify_sampler

_Found = TypeVar("_Found")


def _always() -> bool:
    return True


class Instance:
    """A sampler and its thread; nothing else calls its engine.

    Args:
        bundle: what is sampled.
        backend: NAME or NAME:DEVICE.
        precision: a variant's name; None is the first.
        threads: of the engine.
        batch: samples that most calls will have.
        tell: called with what a user must know, a line each.

    Raises:
        GenxError: the graphs cannot be loaded.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        backend: str,
        precision: str | None,
        threads: int | None,
        batch: int,
        tell: Callable[[str], None],
    ) -> None:
        self.bundle = bundle
        self._backend, self._precision = backend, precision
        # Waiting threads would take the cores from the other instances and from the server.
        self._options = SessionOptions(threads=threads, spinning=False, tell=tell)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"genx {bundle.manifest.name}")
        self._batch = batch
        self._extra: dict[str, Session] = {}
        self._wanted: Callable[[], bool] = _always
        self.extra_bytes = 0  # of the graphs that were loaded because they were asked for
        try:
            self.sampler: Sampler = self.submit(self._open).result()
        except BaseException:
            self._thread.shutdown(wait=False)
            raise

    def _open(self) -> Sampler:
        opened = self.bundle.sampler(
            backend=self._backend,
            precision=self._precision,
            options=self._options,
            batch=self._batch,
        )
        sessions: dict[str, Session] = {
            name: InterruptibleSession(session, self._check_wanted)
            for name, session in opened.sessions.items()
        }
        return Sampler(self.bundle.manifest, sessions)

    def submit(
        self, work: Callable[..., _Found], *args: object, wanted: Callable[[], bool] = _always
    ) -> Future[_Found]:
        """Run something in the instance's thread, after what was submitted before.

        Args:
            work: what to run.
            args: of it.
            wanted: asked in that thread before each call of the engine; where it says no, the work
                ends with a DroppedError.
        """
        return self._thread.submit(self._do, wanted, work, *args)

    def _do(self, wanted: Callable[[], bool], work: Callable[..., _Found], *args: object) -> _Found:
        self._wanted = wanted
        try:
            self._check_wanted()
            return work(*args)
        finally:
            self._wanted = _always

    def _check_wanted(self, *_: object) -> None:
        if not self._wanted():
            raise DroppedError("nobody waits for this any more")

    @cached_property
    def bounds(self) -> BatchBounds:
        """The batch sizes that all its engines take."""
        return find_bounds(self.sampler.sessions.values(), self.bundle.manifest.batch)

    def verify(self) -> None:
        """Compare what was loaded with the golden samples; in its thread.

        Raises:
            VerificationError: one is beyond what the variant states.
        """
        variant = self.bundle.variant(self._precision)
        verify_sampler(self.bundle, self.sampler, variant, self._backend).require()

    def make(
        self, draws: Sequence[Draw], options: SamplingOptions
    ) -> tuple[Batch, tuple[int, int]]:
        """Make the samples of several draws in one pass; in its thread.

        Returns:
            the samples of all draws, (B, ...), and when it began and ended by `perf_counter_ns`.
        """
        began = time.perf_counter_ns()
        draw = draws[0] if len(draws) == 1 else join_draws(draws)
        (batch,) = self.sampler.decode([self._fill_up(draw)], options=options)
        if len(batch.output) != len(draw.indices):
            batch = replace(batch, feeds=draw.feeds, output=batch.output[: len(draw.indices)])
        return batch, (began, time.perf_counter_ns())

    def watch(self, draw: Draw, options: SamplingOptions) -> Iterator[Batch]:
        """Yield what there is after each step of a draw; in its thread."""
        count = len(draw.indices)
        for batch in self.sampler.watch_draw(self._fill_up(draw), options=options):
            yield replace(batch, output=batch.output[:count])

    def _fill_up(self, draw: Draw) -> Draw:
        """Return a draw of the engine's smallest batch at least; its last sample is repeated."""
        count = len(draw.indices)
        missing = self.bounds.min - count
        if missing <= 0:
            return draw
        return join_draws([draw, *[draw.take(slice(count - 1, count))] * missing])

    def run(self, component: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run one graph; in its thread.

        One that sampling does not need is loaded and verified when it is asked for.

        Raises:
            InputError: an input does not fit.
        """
        session = self.sampler.sessions.get(component) or self._extra.get(component)
        if session is None:
            session = self.bundle.session(
                component, backend=self._backend, precision=self._precision, options=self._options
            )
            try:
                variant = self.bundle.variant(self._precision)
                verify_component(self.bundle, session, component, variant)
            except BaseException:
                session.close()
                raise
            self._extra[component] = session
            self.extra_bytes += variant.graphs[component].bytes
        return {name: np.array(array) for name, array in session.run(feeds).items()}

    def translate(self, data: bytes, seed: int, max_pixels: int) -> bytes:
        """Return a picture's translation as a PNG; in its thread.

        Args:
            data: a picture file.
            seed: of the model's noise, if it takes any.
            max_pixels: of the picture, and of what it becomes.

        Raises:
            InputError: it is no picture, too large, or of the wrong mode.
        """
        translator = Translator(self.bundle.manifest, self.sampler.session)
        before = read_picture(
            io.BytesIO(data),
            translator.spec.tile[0],
            max_pixels=max_pixels // translator.spec.scale**2,
        )
        made = translator.translate(before.pixels, seed=seed, progress=self._check_wanted)
        file = io.BytesIO()
        write_picture(file, complete_picture(made, before, translator.spec.scale))
        return file.getvalue()

    def close(self) -> Future[None]:
        """End the thread after its work, and free the engines; done when they are."""
        closed = self._thread.submit(self._close)
        self._thread.shutdown(wait=False)
        return closed

    def _close(self) -> None:
        self.sampler.close()
        for session in self._extra.values():
            session.close()
