"""A bundle that is loaded, verified and warm."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from genx_runtimes.bundle import AUTO, Bundle
from genx_runtimes.cpu import count_usable_cores
from genx_runtimes.memory import read_resident_bytes
from genx_runtimes.sampler import Batch
from genx_runtimes.samplers.loop import Draw, SamplingOptions
from genx_runtimes.samplers.translate import add_images
from genx_runtimes.sampling_specs import DiffusionSpec, RecurrentSpec, TokensSpec
from genx_runtimes.serve.batcher import Batcher
from genx_runtimes.serve.instance import Instance
from genx_runtimes.serve.metrics import Metrics
from genx_runtimes.serve.settings import ServeSettings
from genx_runtimes.serve.watch import Watch
from genx_runtimes.session import Array, warn
from genx_runtimes.tuning import settle


class ServedModel:
    """What answers requests for one bundle; made by `load`.

    Args:
        bundle: that is served.
        instances: loaded and verified.
        max_batch: samples of a call at most.
        size: bytes that loading it took.
        output_values: numbers in one sample.
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
        output_values: int,
        image_size: tuple[int, int],
    ) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.instances = instances
        self.max_batch = max_batch
        self._size, self._output_values = size, output_values
        self.image_size = image_size
        self.grown: Callable[[], None] = lambda: None  # called when `held_bytes` has changed
        self._users = 0
        self._batcher = Batcher(
            instances,
            max_batch=max_batch,
            max_delay_s=settings.max_queue_delay_s,
            max_queue=settings.limits.queue,
            record=partial(metrics.note_call, bundle.manifest.name),
        )
        metrics.watch_queue(bundle.manifest.name, self._batcher)

    @property
    def usual_steps(self) -> int:
        """How many steps the loop takes if nothing else is asked; of pixels, the rows."""
        sampler = self.manifest.sampler
        return sampler.steps if isinstance(sampler, DiffusionSpec) else max(self.image_size[0], 1)

    @property
    def held_bytes(self) -> int:
        """What it holds: what loading it took, and the graphs that were asked for since."""
        return self._size + sum(instance.extra_bytes for instance in self.instances)

    def count_values(self, n: int, length: int | None) -> int:
        """Return how many numbers are drawn for samples, or come out, whichever are more.

        Args:
            n: samples.
            length: of a sequence or a text, prompt excluded; None is the bundle's own.
        """
        sampler = self.manifest.sampler
        shapes = {p.name: math.prod(getattr(p, "shape", ())) for p in self.manifest.priors}
        drawn, made = sum(shapes.values()), self._output_values
        if isinstance(sampler, (RecurrentSpec, TokensSpec)) and length is not None:
            made = made * length // sampler.length
            if isinstance(sampler, RecurrentSpec):
                timed = sum(shapes[name] for name in sampler.sequences)
                drawn += timed * length // sampler.length - timed
        return n * max(drawn, made)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the model loaded while a request is answered."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

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

    async def sample(
        self,
        draw: Callable[[], Draw],
        n: int,
        options: SamplingOptions,
        *,
        deadline: float,
        few: bool,
    ) -> Batch:
        """Make samples, joined with those of other requests; see `Batcher.submit`."""
        return await self._batcher.submit(draw, n, options, deadline=deadline, few=few)

    async def watch(
        self, draw: Callable[[], Draw], n: int, options: SamplingOptions, *, deadline: float
    ) -> Watch:
        """Return what there is after each step of the loop; see `Batcher.watch`."""
        return await self._batcher.watch(draw, n, options, deadline=deadline)

    async def run(
        self, component: str, feeds: Mapping[str, Array], *, deadline: float
    ) -> dict[str, Array]:
        """Run one graph; see `Instance.run` and `Batcher.run`."""
        loop = asyncio.get_running_loop()

        def work(instance: Instance) -> dict[str, Array]:
            before = instance.extra_bytes
            try:
                return instance.run(component, feeds)
            finally:  # whoever still waits
                if instance.extra_bytes != before:
                    loop.call_soon_threadsafe(self.grown)

        return await self._batcher.run(work, deadline=deadline)

    async def translate(self, data: bytes, *, seed: int, max_pixels: int, deadline: float) -> bytes:
        """Return a picture's translation as a PNG; see `Instance.translate` and `Batcher.run`."""
        return await self._batcher.run(
            lambda instance: instance.translate(data, seed, max_pixels), deadline=deadline
        )

    def stop(self) -> None:
        """Drop what is under way, and take no more."""
        self._batcher.stop()

    async def close(self) -> None:
        """Free the engines after the requests that use them."""
        while self._users or self._batcher.is_busy:
            await asyncio.sleep(0.01)
        await self._batcher.close()


async def load(bundle: Bundle, settings: ServeSettings, metrics: Metrics) -> ServedModel:
    """Load a bundle, compare it with its golden samples and warm it up.

    Raises:
        GenxError: it cannot be loaded, or draws other samples than it should.
    """
    before = read_resident_bytes() or 0
    bounds = bundle.manifest.batch
    wanted = max(bounds.min, min(settings.max_batch or bounds.usual, bounds.max))
    backend, precision, threads = settings.backend, settings.precision, settings.threads
    if threads is None and settings.instances > 1:
        threads = max(1, count_usable_cores() // settings.instances)
    if backend == AUTO:
        tuning = await asyncio.to_thread(
            settle, bundle, batch=wanted, precision=precision, threads=threads
        )
        best = tuning.best
        backend, precision, threads = best.backend, best.variant, best.threads
    instances: list[Instance] = []
    try:
        for _ in range(settings.instances):
            instances.append(
                await asyncio.to_thread(
                    Instance,
                    bundle,
                    backend=backend,
                    precision=precision,
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
                batch, _ = await asyncio.wrap_future(made)
        if bundle.manifest.output.kind == "image":
            height, width = batch.images().shape[1:3]
            image_size = height, width
    except BaseException:
        for instance in instances:
            await asyncio.wrap_future(instance.close())
        raise
    # Memory that was freed before is taken again without a trace in the resident set.
    graphs = sum(ref.bytes for ref in bundle.variant(precision).graphs.values())
    size = max((read_resident_bytes() or 0) - before, graphs)
    return ServedModel(
        bundle,
        instances,
        settings,
        metrics,
        max_batch=max_batch,
        size=size,
        output_values=batch.output[0].size,
        image_size=image_size,
    )
