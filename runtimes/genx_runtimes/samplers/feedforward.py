"""One pass through one graph: GAN generators, VAE decoders, anything from latents to sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from genx_runtimes.manifest import OutputSpec
from genx_runtimes.session import Array, Session, run_batches


def sample_feedforward(
    session: Session, batches: Iterable[Mapping[str, Array]], output: OutputSpec
) -> Iterator[Array]:
    """Return the samples (B, ...) for each batch of inputs (B, ...)."""
    return (outputs[output.name] for outputs in run_batches(session, batches))
