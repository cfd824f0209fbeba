"""What a family of generative models needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How a kind of model is cut up and sampled.

    Args:
        name: as in a recipe's `family`.
        calls: for each component, the sub-module or method of the nn.Module that it is; "" is the
            module itself.
        outputs: names for the outputs of components where the field has them.
        sampled: the component that the priors feed and the sampler runs.
        sampler: a kind in `genx_runtimes.samplers.SAMPLERS`.
    """

    name: str
    calls: Mapping[str, str]
    outputs: Mapping[str, tuple[str, ...]]
    sampled: str
    sampler: str
