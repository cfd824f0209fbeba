"""The registry of sampling loops, by the manifest's `sampler.kind`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from genx_runtimes.errors import ManifestError, suggest
from genx_runtimes.manifest import OutputSpec
from genx_runtimes.samplers.feedforward import sample_feedforward
from genx_runtimes.session import Array, Session

__all__ = ["SAMPLERS", "SampleStep", "find_sampler"]

SampleStep = Callable[[Session, Mapping[str, Array], OutputSpec], Array]

SAMPLERS: dict[str, SampleStep] = {
    "feedforward": sample_feedforward,
}


def find_sampler(kind: str) -> SampleStep:
    """Return the sampling function for a manifest's `sampler.kind`.

    Raises:
        ManifestError: this genx has none of that kind.
    """
    if kind not in SAMPLERS:
        raise ManifestError(f"unknown sampler {kind!r}", fix=suggest(kind, SAMPLERS))
    return SAMPLERS[kind]
