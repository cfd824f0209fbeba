"""A bundle that is loaded, verified and warm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial

from genx_runtimes.bundle import Bundle
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.images import to_pixels
from genx_runtimes.memory import read_resident_bytes
from genx_runtimes.sampler import Batch
from genx_runtimes.samplers.loop import Draw, SamplingOptions
from genx_runtimes.samplers.translate import add_images
from genx_runtimes.sampling_specs import DiffusionSpec
from genx_runtimes.serve.batcher import Batcher
from genx_runtimes.serve.instance import Instance
from genx_runtimes.serve.metrics import Metrics
from genx_runtimes.serve.settings import ServeSettings
from genx_runtimes.session import Array, warn


class ServedModel:
    """What answers requests for one bundle; made by `load`.

    Args:
        bundle: that is served.
        instances: loaded and verified.
        max_batch: samples of a call at most.
        size: bytes that loading it added to the resident set.
        image_size: height and width; (0, 0) of what is no image.
    """

    def __init__(
        self,
        bundle: Bundle,
        instances: list[Instance],
        settings: ServeSettings,
        metrics: Metrics,
        *,
        max_batch: int,
        size: int,
        image_size: tuple[int, int],
    ) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.instances = instances
        self.max_batch = max_batch
        self.bytes = size
        self.image_size = image_size
        self._batcher = Batcher(
            instances,
            max_batch=max_batch,
            max_delay_s=settings.max_queue_delay_s,
            max_queue=settings.limits.queue,
            record=partial(metrics.note_call, bundle.manifest.name),
        )

    @property
    def usual_steps(self) -> int:
        """How many steps the loop takes if nothing else is asked; of pixels, the rows."""
        sampler = self.manifest.sampler
        return sampler.steps if isinstance(sampler, DiffusionSpec) else max(self.image_size[0], 1)

    @property
    def busy(self) -> bool:
        """Whether a request is waiting for its samples."""
        return self._batcher.busy

    def draw(
        self,
        n: int,
        *,
        seed: int,
        start: int,
        conditions: Mapping[str, object],
        truncation: float | None,
        options: SamplingOptions,
    ) -> Draw:
        """Draw the inputs of samples; arguments and errors are those of `Sampler.sample`."""
        return self.instances[0].sampler.draw(
            n,
            seed=seed,
            start=start,
            conditions=conditions,  # type: ignore[arg-type]  # resolve_conditions checks them
            truncation=truncation,
            options=options,
        )

    async def sample(self, draw: Draw, options: SamplingOptions, *, deadline: float) -> Array:
        """Make samples, (B, ...), joined with those of other requests; see `Batcher.submit`."""
        return await self._batcher.submit(draw, options, deadline=deadline)

    def watch(self, draw: Draw, options: SamplingOptions) -> AsyncIterator[Batch]:
        """Yield what there is after each step of the loop."""
        return self._batcher.watch(draw, options)

    async def run(self, component: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run one graph; see `Instance.run`."""
        instance = self.instances[0]
        return await asyncio.wrap_future(instance.submit(instance.run, component, feeds))

    async def translate(self, data: bytes, *, seed: int, max_pixels: int) -> bytes:
        """Return a picture's translation as a PNG.

        Args:
            data: a picture file.
            seed: of the model's noise, if it takes any.
            max_pixels: of the picture.

        Raises:
            InputError: it is no picture, too large, or of the wrong mode.
        """
        instance = self.instances[0]
        return await asyncio.wrap_future(
            instance.submit(instance.translate, data, seed, max_pixels)
        )

    async def close(self) -> None:
        """Answer what is queued, then free the engines."""
        await self._batcher.close()


async def load(bundle: Bundle, settings: ServeSettings, metrics: Metrics) -> ServedModel:
    """Load a bundle, compare it with its golden samples and warm it up.

    Raises:
        GenxError: it cannot be loaded, or draws other samples than it should.
    """
    before = read_resident_bytes() or 0
    bounds = bundle.manifest.batch
    wanted = min(settings.max_batch or bounds.usual, bounds.max)
    threads = settings.threads or max(1, count_usable_cores() // settings.instances)
    instances: list[Instance] = []
    try:
        for _ in range(settings.instances):
            instances.append(
                await asyncio.to_thread(
                    Instance,
                    bundle,
                    backend=settings.backend,
                    precision=settings.precision,
                    threads=threads,
                    batch=wanted,
                    tell=warn,
                )
            )
            await asyncio.wrap_future(instances[-1].submit(instances[-1].verify))
        max_batch = min(wanted, *(i.bounds.max for i in instances))
        image_size = (0, 0)
        for instance in instances:
            for count in {1, max_batch}:
                draw = add_images(bundle.manifest.sampler, instance.sampler.draw(count))
                made = instance.submit(instance.make, [draw], SamplingOptions())
                output, _ = await asyncio.wrap_future(made)
        if bundle.manifest.output.kind == "image":
            height, width = to_pixels(output[:1], bundle.manifest.output).shape[1:3]
            image_size = height, width
    except BaseException:
        for instance in instances:
            await asyncio.to_thread(instance.close)
        raise
    size = max((read_resident_bytes() or 0) - before, 0)
    return ServedModel(
        bundle,
        instances,
        settings,
        metrics,
        max_batch=max_batch,
        size=size,
        image_size=image_size,
    )
