"""What is asked of a target, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genx_runtimes.bundle import Bundle
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import Manifest
from genx_runtimes.sampling_specs import FeedforwardSpec, TranslateSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRequest:
    """How a bundle is written.

    Args:
        path: where to.
        precision: the variant; None takes the first.
        force: whether what an earlier call wrote there is replaced.
        image: the container image that runs `genx serve`; of `kserve` alone.
        storage_uri: where a cluster finds the bundle, as a folder; None: in the image; of `kserve`
            alone.
    """

    path: Path
    precision: str | None = None
    force: bool = False
    image: str | None = None
    storage_uri: str | None = None

    def refuse_cluster_options(self, target: str) -> None:
        """Raise unless what only `kserve` takes was left out."""
        for flag, value in (("--image", self.image), ("--storage-uri", self.storage_uri)):
            if value is not None:
                raise InputError(f"{flag} has no meaning for {target}", fix="leave it out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """What was written.

    Args:
        names: of the models, the service or the context.
        variant: of the bundle.
        notes: what its user must know, a line each.
        command: what is run next.
    """

    names: tuple[str, ...]
    variant: str
    notes: tuple[str, ...]
    command: str


Write = Callable[[Bundle, PackageRequest], Packaged]


def describe_client(manifest: Manifest) -> str:
    """Say what is left to the client of a server that runs the graphs and nothing else."""
    sampler = manifest.sampler
    if isinstance(sampler, TranslateSpec):
        return "the client cuts pictures into tiles and joins them again"
    priors = ", ".join(prior.name for prior in manifest.priors)
    drawn = f"draws {priors}" if priors else "draws"
    if isinstance(sampler, FeedforwardSpec):
        return f"the client {drawn}"
    return f"the client {drawn} and runs the {sampler.kind} loop, a call for each step"
