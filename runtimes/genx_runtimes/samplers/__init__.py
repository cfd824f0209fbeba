"""The registry of sampling loops, by the manifest's `sampler.kind`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from genx_runtimes.errors import ManifestError, suggest
from genx_runtimes.manifest import OutputSpec
from genx_runtimes.samplers.feedforward import sample_feedforward
from genx_runtimes.session import Array, Session

__all__ = ["SAMPLERS", "SampleLoop", "find_sampler"]

SampleLoop = Callable[[Session, Iterable[Mapping[str, Array]], OutputSpec], Iterator[Array]]

SAMPLERS: dict[str, SampleLoop] = {
    "feedforward": sample_feedforward,
}


def find_sampler(kind: str) -> SampleLoop:
    """Return the sampling function for a manifest's `sampler.kind`.

    Raises:
        ManifestError: this genx has none of that kind.
    """
    if kind not in SAMPLERS:
        raise ManifestError(f"unknown sampler {kind!r}", fix=suggest(kind, SAMPLERS))
    return SAMPLERS[kind]
