"""One pass through one graph: GAN generators, VAE decoders, anything from latents to sample."""

from __future__ import annotations

from collections.abc import Mapping

from genx_runtimes.manifest import OutputSpec
from genx_runtimes.session import Array, Session


def sample_feedforward(session: Session, feeds: Mapping[str, Array], output: OutputSpec) -> Array:
    """Return the samples (B, ...) for the inputs (B, ...)."""
    return session.run(feeds)[output.name]
