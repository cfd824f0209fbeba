"""One pass through one graph: GAN generators, VAE decoders, anything from latents to sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from genx_runtimes.samplers.loop import Draw, LoopModel, SampleLoop, SamplingOptions
from genx_runtimes.session import Array, run_batches


def sample_ahead(model: LoopModel, batches: Iterable[Mapping[str, Array]]) -> Iterator[Array]:
    """Return the samples (B, ...) for each batch of inputs (B, ...), several of them under way."""
    session = model.sessions[model.sampler.component]
    return (outputs[model.output.name] for outputs in run_batches(session, batches))


def sample_once(model: LoopModel, draw: Draw, options: SamplingOptions) -> Iterator[Array]:
    """Yield the samples (B, ...) of one pass."""
    del options
    yield model.sessions[model.sampler.component].run(draw.feeds)[model.output.name]


FEEDFORWARD = SampleLoop(steps=sample_once)
