"""Drawing the latents of samples from a bundle's priors.

Source: docs/bundle.md, "Priors" and "Randomness".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.errors import InputError
from genx_runtimes.manifest import CategoricalPrior, ConstantPrior, NormalPrior, Prior
from genx_runtimes.noise import NoiseStream
from genx_runtimes.session import Array

MIN_TRUNCATION = 0.01


class PriorSource:
    """Draws one prior's values under one seed.

    Args:
        prior: what to draw.
        seed: 0 <= seed < 2^64.
        truncation: for normals, the largest magnitude kept, at least `MIN_TRUNCATION`; larger
            values are drawn again. None keeps all.
    """

    def __init__(self, prior: Prior, seed: int, *, truncation: float | None = None) -> None:
        self._prior = prior
        self._stream = NoiseStream(seed, prior.name)
        self._truncation = check_truncation(truncation)

    def draw(self, indices: Sequence[int]) -> Array:
        """Return the values of the samples `indices`.

        Returns:
            (B,) int64 classes for categorical priors, whatever their encoding; (B, *shape) float32
            for the others.
        """
        prior = self._prior
        if isinstance(prior, CategoricalPrior):
            classes = [int(self._stream.at(i).random_sample() * prior.classes) for i in indices]
            return np.array(classes, dtype=np.int64)
        if isinstance(prior, ConstantPrior):
            return np.full((len(indices), *prior.shape), prior.value, dtype=np.float32)
        values = np.empty((len(indices), *prior.shape), dtype=np.float32)
        for row, index in enumerate(indices):
            random = self._stream.at(index)
            if isinstance(prior, NormalPrior):
                drawn = random.standard_normal(prior.shape)
                if self._truncation is not None:
                    _redraw_beyond(self._truncation, drawn, random)
            else:
                drawn = prior.low + (prior.high - prior.low) * random.random_sample(prior.shape)
            values[row] = drawn
        return values


def _redraw_beyond(
    limit: float, values: NDArray[np.float64], random: np.random.RandomState
) -> None:
    """Replace values of magnitude above `limit`, in place, until there is none."""
    while (beyond := np.abs(values) > limit).any():
        values[beyond] = random.standard_normal(int(beyond.sum()))


def check_truncation(truncation: float | None) -> float | None:
    """Return `truncation`, or raise InputError if it is not at least `MIN_TRUNCATION`."""
    if truncation is not None and not truncation >= MIN_TRUNCATION:
        raise InputError(f"truncation is {truncation}, expected {MIN_TRUNCATION} or more")
    return truncation


def encode(prior: Prior, values: Array) -> Array:
    """Return drawn or given values as the array that the graph takes.

    Args:
        prior: the prior that they belong to.
        values: as `PriorSource.draw` returns them.

    Returns:
        (B, classes) float32 one-hot vectors for a `one_hot` categorical prior, else `values`.
    """
    if isinstance(prior, CategoricalPrior) and prior.encoding == "one_hot":
        one_hot = np.zeros((len(values), prior.classes), dtype=np.float32)
        one_hot[np.arange(len(values)), values] = 1
        return one_hot
    return values
