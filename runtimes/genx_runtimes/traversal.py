"""Latent traversals: one value of a latent moves and all else stays.

Source: Higgins et al., "beta-VAE", ICLR 2017, figure 1; Chen et al., "InfoGAN",
arXiv:1606.03657, figure 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from genx_runtimes.encoding import Floats
from genx_runtimes.errors import InputError, suggest
from genx_runtimes.manifest import (
    CategoricalPrior,
    ConstantPrior,
    Manifest,
    NormalPrior,
    UniformPrior,
)
from genx_runtimes.sampler import Batch, Sampler, check_batch
from genx_runtimes.samplers.loop import Draw
from genx_runtimes.session import Array

Continuous = NormalPrior | UniformPrior | ConstantPrior
REACH = 3.0  # standard deviations of a normal prior to either side
MAX_ROWS = 128  # of 64 pixels a picture is 8,448 high, and few viewers show more than twice that
FEW_DIMS = "0,1,2,3,4,5,6,7"  # where all are too many


@dataclass(frozen=True, slots=True, kw_only=True)
class Traversal:
    """Which values move, and where to.

    Args:
        prior: the name of the latent or code.
        shape: of one sample of it.
        dims: its values that move one after the other, counted in C order: the rows.
        values: that each of them takes: the columns.
    """

    prior: str
    shape: tuple[int, ...]
    dims: tuple[int, ...]
    values: tuple[float, ...]

    def name(self, dim: int) -> str:
        """Return one of its values as a condition names it: `z[3]`, see `conditions.py`."""
        if not self.shape:
            return self.prior
        return f"{self.prior}[{','.join(map(str, np.unravel_index(dim, self.shape)))}]"


def plan_traversal(
    manifest: Manifest,
    *,
    prior: str | None = None,
    dims: Sequence[int] | None = None,
    low: float | None = None,
    high: float | None = None,
    steps: int = 9,
) -> Traversal:
    """Return a traversal of a bundle's latent or code.

    Args:
        manifest: the bundle's.
        prior: a name; None takes the first normal prior, or else the first continuous one.
        dims: which of its values move, `MAX_ROWS` of them at most; None moves each.
        low: the first value; None is -3 of a normal prior, and the lower bound of others.
        high: the last value; None is 3, or the upper bound.
        steps: values from `low` to `high`, 2 or more.

    Raises:
        InputError: no such prior or value, too many, a class, bounds that the prior excludes.
    """
    found = _find_prior(manifest, prior)
    ends = (-REACH, REACH) if isinstance(found, NormalPrior) else (found.low, found.high)
    first, last = ends[0] if low is None else low, ends[1] if high is None else high
    if not (np.isfinite(first) and np.isfinite(last) and first < last):
        raise InputError(f"low is {first:g} and high is {last:g}, expected low < high")
    if not isinstance(found, NormalPrior) and not (ends[0] <= first and last <= ends[1]):
        raise InputError(
            f"{found.name!r} would go from {first:g} to {last:g}, expected {ends[0]:g} to "
            f"{ends[1]:g}"
        )
    if steps < 2:
        raise InputError(f"steps is {steps}, expected 2 or more")
    size = count_values(found)
    rows = tuple(range(size) if dims is None else dims)
    for dim in rows:
        if not 0 <= dim < size:
            raise InputError(f"{found.name!r} has no value {dim}", fix=f"it has 0 to {size - 1}")
    if not rows:
        raise InputError("dims is empty, expected one or more")
    if len(rows) > MAX_ROWS:
        raise InputError(
            f"{len(rows)} values of {found.name!r} would move, a row each, expected {MAX_ROWS} "
            f"or fewer",
            fix=f"choose which: --dims {FEW_DIMS}",
        )
    values = tuple(float(v) for v in np.linspace(first, last, steps))
    return Traversal(prior=found.name, shape=found.shape, dims=rows, values=values)


def list_movable(manifest: Manifest) -> list[Continuous]:
    """Return the priors that have continuous values."""
    return [p for p in manifest.priors if not isinstance(p, CategoricalPrior)]


def count_values(prior: Continuous) -> int:
    """Return how many values a sample of a prior has."""
    return int(np.prod(prior.shape, dtype=int))


def _find_prior(manifest: Manifest, name: str | None) -> Continuous:
    if manifest.sampler.kind != "feedforward":
        raise InputError(
            f"the sampler of {manifest.name} is {manifest.sampler.kind!r}, a traversal needs a "
            f"bundle that samples in one pass: 'feedforward'"
        )
    continuous = list_movable(manifest)
    names = [p.name for p in continuous]
    if name is None:
        continuous.sort(key=lambda p: not isinstance(p, NormalPrior))  # stable: the first normal
        if continuous:
            return continuous[0]
        raise InputError(f"{manifest.name} has no latent or code of continuous values")
    for prior in manifest.priors:
        if prior.name != name:
            continue
        if isinstance(prior, CategoricalPrior):
            raise InputError(
                f"{name!r} is a class, a traversal needs continuous values: "
                f"{', '.join(names) or 'there are none'}",
                fix=f"genx sample --set {name}=balanced shows the classes",
            )
        return prior
    raise InputError(f"unknown prior {name!r}", fix=suggest(name, names))


def traverse(
    sampler: Sampler,
    base: Mapping[str, Array],
    traversal: Traversal,
    *,
    seed: int = 0,
    index: int = 0,
    batch: int = 16,
) -> Iterator[Batch]:
    """Draw the samples of a traversal, row by row.

    Args:
        sampler: of the bundle.
        base: what stays: an array (1, ...) for each prior.
        traversal: what moves.
        seed: of what a sampler draws on the way.
        index: of the sample that `base` is.
        batch: samples a pass, within the bundle's bounds.

    Yields:
        Batches of len(dims) * len(values) samples in all, those of the first dimension first.
    """
    check_batch(sampler.manifest.batch, batch)
    moved = [(dim, value) for dim in traversal.dims for value in traversal.values]
    parts = [moved[first : first + batch] for first in range(0, len(moved), batch)]
    least = sampler.manifest.batch.min
    if len(parts[-1]) < least:
        raise InputError(
            f"{len(moved)} samples in batches of {batch} leave {len(parts[-1])}, the bundle's "
            f"smallest batch is {least}",
            fix="change --steps or --batch",
        )
    return sampler.decode(
        Draw(seed=seed, indices=[index] * len(part), feeds=_move(base, traversal.prior, part))
        for part in parts
    )


def _move(
    base: Mapping[str, Array], prior: str, moved: Sequence[tuple[int, float]]
) -> dict[str, Array]:
    """Return inputs (B, ...) that are `base` but for one value of `prior` each."""
    feeds = {name: np.repeat(array, len(moved), axis=0) for name, array in base.items()}
    rows: Floats = feeds[prior].reshape(len(moved), -1).astype(np.float32)
    for row, (dim, value) in zip(rows, moved, strict=True):
        row[dim] = value
    return {**feeds, prior: rows.reshape(feeds[prior].shape)}
