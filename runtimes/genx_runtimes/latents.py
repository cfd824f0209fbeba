"""The inputs of samples: drawn from the priors, conditioned, interpolated, encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.conditions import ConditionValue, resolve_conditions
from genx_runtimes.errors import InputError
from genx_runtimes.manifest import (
    CategoricalPrior,
    ConstantPrior,
    NormalPrior,
    Prior,
    UniformPrior,
)
from genx_runtimes.noise import LIMIT
from genx_runtimes.priors import PriorSource, encode
from genx_runtimes.session import Array

TRUNCATION = "truncation"


class LatentSource:
    """Makes the inputs of any samples of one seed.

    Args:
        priors: the bundle's priors.
        seed: 0 <= seed < 2^64.
        conditions: what is fixed instead of drawn, see `conditions.py`.
        truncation: the value of the constant prior of that name, if there is one; else see
            `PriorSource`, and it needs a normal prior.

    Raises:
        InputError: a bad seed, condition or truncation.
    """

    def __init__(
        self,
        priors: Sequence[Prior],
        seed: int,
        *,
        conditions: Mapping[str, ConditionValue] | None = None,
        truncation: float | None = None,
    ) -> None:
        fixed = dict(conditions or {})
        knob = any(isinstance(p, ConstantPrior) and p.name == TRUNCATION for p in priors)
        if truncation is not None and knob:
            if TRUNCATION in fixed:
                raise InputError("truncation is given twice", fix="set it once")
            fixed[TRUNCATION], truncation = truncation, None
        if truncation is not None and not any(isinstance(p, NormalPrior) for p in priors):
            raise InputError("truncation needs a normal prior, this bundle has none")
        self._priors = priors
        self._sources = [PriorSource(p, seed, truncation=truncation) for p in priors]
        self._conditions = resolve_conditions(priors, fixed)

    def draw(self, indices: Sequence[int]) -> dict[str, Array]:
        """Return the inputs of the samples `indices`, an array (B, ...) for each prior."""
        return {
            prior.name: encode(prior, values)
            for prior, values in zip(self._priors, self._values(indices), strict=True)
        }

    def interpolate(self, a: int, b: int, weights: Sequence[float]) -> dict[str, Array]:
        """Return the inputs on the way from sample `a` (weight 0) to sample `b` (weight 1).

        Normals turn on the sphere, so that the norm stays typical of the prior; uniforms go
        straight; classes stay those of `a`.

        Source: Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985; White,
        "Sampling generative networks", arXiv:1609.04468, section 2.1.
        """
        steps = np.asarray(weights, dtype=np.float64)
        inputs: dict[str, Array] = {}
        for prior, values in zip(self._priors, self._values([a, b]), strict=True):
            if isinstance(prior, CategoricalPrior):
                mixed: Array = np.repeat(values[:1], len(steps))
            else:
                turn = _slerp if isinstance(prior, NormalPrior) else _lerp
                flat = values.reshape(2, -1).astype(np.float64)
                mixed = turn(flat[0], flat[1], steps[:, None]).astype(np.float32)
                mixed = mixed.reshape(len(steps), *prior.shape)
            inputs[prior.name] = encode(prior, mixed)
        return inputs

    def _values(self, indices: Sequence[int]) -> list[Array]:
        drawn = []
        for prior, source in zip(self._priors, self._sources, strict=True):
            values = source.draw(indices)
            for apply in self._conditions.get(prior.name, ()):
                values = apply(values, indices)
            drawn.append(values)
        return drawn


def check_way(priors: Sequence[Prior]) -> None:
    """Raise InputError unless a prior has values between those of two samples."""
    if not any(isinstance(p, NormalPrior | UniformPrior) for p in priors):
        kinds = ", ".join(f"{p.name} ({p.kind})" for p in priors) or "none"
        raise InputError(
            f"there is no way from one sample to another: that needs a normal or uniform prior, "
            f"this bundle's are: {kinds}",
            fix="leave --interpolate out",
        )


def check_indices(start: int, count: int) -> None:
    """Raise InputError unless samples `start .. start + count - 1` exist (0 to 2^64 - 1)."""
    if count < 1:
        raise InputError(f"n is {count}, expected 1 or more")
    if not 0 <= start <= LIMIT - count:
        raise InputError(f"start is {start}, expected 0 to 2^64 - n")


def _lerp(
    a: NDArray[np.float64], b: NDArray[np.float64], t: NDArray[np.float64]
) -> NDArray[np.float64]:
    return (1 - t) * a + t * b


def _slerp(
    a: NDArray[np.float64], b: NDArray[np.float64], t: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate on the great circle; (anti)parallel vectors, which have none, go straight."""
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    cosine = float(a @ b) / norms if norms > 0 else 1.0
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    if np.sin(angle) < 1e-6:
        return _lerp(a, b, t)
    mixed: NDArray[np.float64] = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(
        angle
    )
    return mixed
