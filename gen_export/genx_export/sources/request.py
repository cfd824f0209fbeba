"""What the user asks for beside the source itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from genx_runtimes.manifest import OutputSpec, Prior


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRequest:
    """Options that add to, or stand before, what the source says of itself.

    Args:
        weights: weights file.
        weights_key: entry of a checkpoint that holds the state dict.
        weights_prefix: take only the tensors whose names start so, and cut it off.
        name: the bundle's name.
        family: a name in `genx_export.families.FAMILIES`.
        priors: replace priors of the same name, add others.
        output: replaces the output contract.
    """

    weights: Path | None = None
    weights_key: str | None = None
    weights_prefix: str = ""
    name: str | None = None
    family: str | None = None
    priors: tuple[Prior, ...] = ()
    output: OutputSpec | None = None

    def merge_priors(self, own: tuple[Prior, ...]) -> tuple[Prior, ...]:
        """Return the source's own priors with those asked for in their place or behind them."""
        asked = {prior.name: prior for prior in self.priors}
        merged = [asked.pop(prior.name, prior) for prior in own]
        return (*merged, *asked.values())
