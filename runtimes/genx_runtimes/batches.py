"""Which batch sizes engines take, and how samples are put into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.errors import InputError
from genx_runtimes.manifest import BatchBounds
from genx_runtimes.session import Array, Session


def find_bounds(sessions: Iterable[Session], bundle: BatchBounds) -> BatchBounds:
    """Return the batch sizes that all sessions take: an engine may take fewer than its bundle.

    Args:
        sessions: one or more; a compiled engine's `bounds` say what it takes.
        bundle: what the others take.

    Raises:
        InputError: there is no size that all of them take.
    """
    each: list[BatchBounds] = [getattr(session, "bounds", bundle) for session in sessions]
    low, high = max(b.min for b in each), min(b.max for b in each)
    if low > high:
        told = ", ".join(f"{b.min} to {b.max}" for b in each)
        raise InputError(
            f"the engines of this bundle take no batch size in common: {told}",
            fix="genx build BUNDLE --again, with one --batch for all",
        )
    return BatchBounds(min=low, max=high)


def plan_passes(count: int, bounds: BatchBounds) -> list[NDArray[np.intp]]:
    """Return which of `count` samples, (B,) each, run in one pass after the other.

    Each pass is within the bounds: where the samples do not fill whole batches of the smallest,
    the first ones are taken once more at the end.
    """
    order = np.arange(count + -count % bounds.min) % count
    size = bounds.max // bounds.min * bounds.min
    return [order[first : first + size] for first in range(0, len(order), size)]


def choose_batches(bounds: BatchBounds, count: int) -> tuple[int, ...]:
    """Return the batch sizes to verify at: those of 1, 3 and `count` that are allowed and divide.

    A size that leaves a rest below the smallest batch is left out.
    """
    sizes = {min(max(size, bounds.min), bounds.max, count) for size in (1, 3, count)}
    return tuple(sorted(s for s in sizes if (count % s or s) >= bounds.min))


def fit_batches(
    session: Session, bundle: BatchBounds, golden: Mapping[str, Array]
) -> tuple[tuple[int, ...], Mapping[str, Array]]:
    """Return the batch sizes to verify a session at, and the golden arrays for them.

    Args:
        session: whose engine may take fewer sizes than the bundle.
        bundle: the bundle's sizes.
        golden: of the session's component, (N, ...) each; where they do not fill whole batches of
            the smallest, the first ones are taken once more.
    """
    bounds = find_bounds([session], bundle)
    count = len(next(iter(golden.values())))
    rest = -count % bounds.min
    if not rest:
        return choose_batches(bounds, count), golden
    order = np.arange(count + rest) % count
    return choose_batches(bounds, count + rest), {n: a[order] for n, a in golden.items()}
