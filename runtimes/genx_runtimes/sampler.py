"""Sampling from a bundle: latents in, batches of samples out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.conditions import ConditionValue
from genx_runtimes.errors import InputError, NonFiniteError
from genx_runtimes.images import to_pixels
from genx_runtimes.latents import LatentSource, check_indices, check_way
from genx_runtimes.manifest import BatchBounds, Manifest, OutputSpec
from genx_runtimes.png import Pixels
from genx_runtimes.samplers import find_sampler
from genx_runtimes.samplers.feedforward import sample_ahead
from genx_runtimes.samplers.loop import Draw, LoopModel, SamplingOptions, take_last
from genx_runtimes.sampling_specs import TokensSpec
from genx_runtimes.session import Array, Closing, Session
from genx_runtimes.text import to_texts

_DEFAULTS = SamplingOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some consecutive samples.

    Args:
        start: the index of the first one.
        feeds: the inputs that made them, an array (B, ...) for each prior.
        output: what the model returned, (B, ...), in the model's own range.
        spec: the output contract.
        stop: tokens that end a text.
    """

    start: int
    feeds: Mapping[str, Array]
    output: Array
    spec: OutputSpec
    stop: tuple[int, ...] = ()

    def images(self) -> Pixels:
        """Return the samples as pixels, (B, H, W, C), C of 1 to 4, uint8, or uint16 of 16 bits.

        Raises:
            InputError: the bundle's output is not an image.
        """
        return to_pixels(self.output, self.spec)

    def waves(self) -> NDArray[np.int16]:
        """Return the samples as 16-bit PCM, (B, samples, channels) int16.

        Raises:
            InputError: the bundle's output is not audio.
        """
        from genx_runtimes.audio import to_waves

        return to_waves(self.output, self.spec)

    def texts(self) -> list[str]:
        """Return the samples as B texts.

        Raises:
            InputError: the bundle's output is not text.
        """
        return to_texts(self.output, self.spec, self.stop)


class Sampler(Closing):
    """Draws samples with the sessions of a bundle; a context manager that closes them.

    Args:
        manifest: the bundle's manifest.
        sessions: the loaded graph of each component that the sampler runs.
    """

    def __init__(self, manifest: Manifest, sessions: Mapping[str, Session]) -> None:
        self.manifest = manifest
        self.sessions = sessions
        self._loop = find_sampler(manifest.sampler.kind)
        self._model = LoopModel.of(manifest, sessions)

    @property
    def session(self) -> Session:
        """The loaded graph of the sampled component."""
        return self.sessions[self.manifest.sampler.component]

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        start: int = 0,
        batch: int = 16,
        conditions: Mapping[str, ConditionValue] | None = None,
        truncation: float | None = None,
        options: SamplingOptions = _DEFAULTS,
    ) -> Iterator[Batch]:
        """Draw samples `start .. start + n - 1` of a seed, a batch at a time.

        Sample i of a seed has the same latents, bit for bit, whatever `n`, `start` and `batch`.

        Args:
            n: how many, 1 or more.
            seed: 0 <= seed < 2^64.
            start: index of the first sample.
            batch: samples a pass, within the bundle's bounds; the last one may be smaller.
            conditions: what to fix instead of drawing it, such as `{"label": 3}`.
            truncation: largest magnitude of normal latents, or the value of the knob called
                `truncation` where the bundle has one.
            options: of the sampling loop: steps, length, temperature ...

        Raises:
            InputError: an argument is wrong; raised here, before the first batch.
            BackendError: the engine failed.
        """
        check_indices(start, n)
        size = settle_size(self.manifest.batch, batch, n)
        latents = self._open_latents(seed, conditions, truncation, options)
        ranges = (
            range(first, min(first + size, start + n)) for first in range(start, start + n, size)
        )
        return self._run(
            (Draw(seed=seed, indices=r, feeds=latents.draw(r)) for r in ranges), options
        )

    def watch(
        self,
        n: int,
        *,
        seed: int = 0,
        start: int = 0,
        conditions: Mapping[str, ConditionValue] | None = None,
        truncation: float | None = None,
        options: SamplingOptions = _DEFAULTS,
    ) -> Iterator[Batch]:
        """Draw `n` samples in one pass and yield what there is of them after each step of the loop.

        | sampler | a batch for | it holds |
        |---|---|---|
        | diffusion | each step of the solver | what the samples are taken to be by then |
        | pixels | each row | images, zeros in the rows to come |
        | tokens | each token behind the prompt | the tokens so far, (B, so many) |
        | recurrent | each element | the elements so far; the graph of all at once is not run |
        | feedforward, translate | the one pass | the samples |

        The last batch holds what `sample` gives in a pass of `n`: the same values, but for rounding
        where that runs a recurrent model's graph of all at once. Texts that have all ended take no
        further steps.

        Args and errors are those of `sample`, but `n` is within the bundle's bounds of a batch.
        """
        settle_size(self.manifest.batch, n, n)
        draw = self.draw(
            n,
            seed=seed,
            start=start,
            conditions=conditions,
            truncation=truncation,
            options=options,
        )
        return self.watch_draw(draw, options=options)

    def watch_draw(self, draw: Draw, *, options: SamplingOptions = _DEFAULTS) -> Iterator[Batch]:
        """Make the samples of a draw and yield what there is after each step of the loop."""
        watched = replace(draw, watched=True)
        steps = self._loop.steps(self._model, watched, options)
        return (self._wrap(watched, output) for output in steps)

    def interpolate(
        self,
        a: int,
        b: int,
        n: int,
        *,
        seed: int = 0,
        batch: int = 16,
        conditions: Mapping[str, ConditionValue] | None = None,
        truncation: float | None = None,
        options: SamplingOptions = _DEFAULTS,
    ) -> Iterator[Batch]:
        """Walk from sample `a` of a seed to sample `b` in `n` steps, both ends included.

        Args and errors are those of `sample`; classes stay those of `a`, `n` is 2 or more, and a
        bundle that draws nothing continuous is refused.
        """
        size = settle_size(self.manifest.batch, batch, n)
        draw = self.draw_between(
            a,
            b,
            n,
            seed=seed,
            conditions=conditions,
            truncation=truncation,
            options=options,
        )
        parts = (draw.take(slice(first, first + size)) for first in range(0, n, size))
        return self._run(parts, options, count=True)

    def draw_between(
        self,
        a: int,
        b: int,
        n: int,
        *,
        seed: int = 0,
        conditions: Mapping[str, ConditionValue] | None = None,
        truncation: float | None = None,
        options: SamplingOptions = _DEFAULTS,
    ) -> Draw:
        """Draw the inputs of a walk, which `decode` makes; args and errors as for `interpolate`."""
        if n < 2:
            raise InputError(f"n is {n}, expected 2 or more for an interpolation")
        check_indices(a, 1)
        check_indices(b, 1)
        check_way(self.manifest.priors)
        latents = self._open_latents(seed, conditions, truncation, options)
        feeds = latents.interpolate(a, b, [step / (n - 1) for step in range(n)])
        # Noise that a loop draws on the way stays that of `a`.
        return Draw(seed=seed, indices=[a] * n, feeds=feeds)

    def draw(
        self,
        n: int,
        *,
        seed: int = 0,
        start: int = 0,
        conditions: Mapping[str, ConditionValue] | None = None,
        truncation: float | None = None,
        options: SamplingOptions = _DEFAULTS,
    ) -> Draw:
        """Draw the inputs of samples, which `decode` makes; args and errors as for `sample`."""
        check_indices(start, n)
        indices = range(start, start + n)
        feeds = self._open_latents(seed, conditions, truncation, options).draw(indices)
        return Draw(seed=seed, indices=indices, feeds=feeds)

    def decode(
        self, draws: Iterable[Draw], *, options: SamplingOptions = _DEFAULTS
    ) -> Iterator[Batch]:
        """Make the samples of inputs that are given instead of drawn: a batch for each draw.

        Args:
            draws: with an array for every prior; batches count from 0.
            options: of the sampling loop.

        Raises:
            InputError: an input does not fit the graph.
            BackendError: the engine failed.
        """
        return self._run(draws, options, count=True)

    def _open_latents(
        self,
        seed: int,
        conditions: Mapping[str, ConditionValue] | None,
        truncation: float | None,
        options: SamplingOptions,
    ) -> LatentSource:
        """Return what draws the inputs, of the priors as the loop has them under the options."""
        priors = self._loop.accept(self._model, options)
        return LatentSource(priors, seed, conditions=conditions, truncation=truncation)

    def _run(
        self, draws: Iterable[Draw], options: SamplingOptions, *, count: bool = False
    ) -> Iterator[Batch]:
        """Make the samples of each pass; an engine may be fed ahead of what it has given back."""
        made = 0
        fed: deque[Draw] = deque()

        def feed() -> Iterator[Draw]:
            for draw in draws:
                fed.append(draw)
                yield draw

        outputs = (
            sample_ahead(self._model, (draw.feeds for draw in feed()))
            if self.manifest.sampler.kind == "feedforward"
            else (take_last(self._loop.steps(self._model, d, options)) for d in feed())
        )
        for output in outputs:
            draw = fed.popleft()
            yield self._wrap(draw, output, made if count else None)
            made += len(draw.indices)

    def _wrap(self, draw: Draw, output: Array, start: int | None = None) -> Batch:
        first = draw.indices[0] if start is None else start
        if not np.isfinite(output).all():
            raise NonFiniteError(
                f"samples from {first} on hold NaN or infinity: this engine or precision "
                f"breaks the model",
                fix="genx verify shows where it starts",
            )
        sampler = self.manifest.sampler
        return Batch(
            start=first,
            feeds=draw.feeds,
            output=output,
            spec=self.manifest.output,
            stop=sampler.stop if isinstance(sampler, TokensSpec) else (),
        )

    def close(self) -> None:
        """Free the engines."""
        for session in self.sessions.values():
            session.close()


def settle_size(bounds: BatchBounds, batch: int, n: int) -> int:
    """Return the size of a pass: `batch`, or `n` if that is smaller.

    Raises:
        InputError: it, or what is left for the last pass, is not within the bundle's bounds.
    """
    check_batch(bounds, batch)
    size = min(batch, n)
    last = n % size or size
    if last < bounds.min:
        raise InputError(
            f"n = {n} in batches of {batch} leaves {last}, below the bundle's smallest batch",
            fix=f"make n a multiple of {batch}, or of {bounds.min}",
        )
    return size


def check_batch(bounds: BatchBounds, batch: int) -> None:
    """Raise InputError unless `batch` is within the bundle's bounds."""
    if not bounds.min <= batch <= bounds.max:
        raise InputError(
            f"batch is {batch}, this bundle takes {bounds.min} to {bounds.max}",
            fix=f"--batch {bounds.max if batch > bounds.max else bounds.min}, or export it again "
            f"with wider bounds: genx export --batch MIN:MAX",
        )
