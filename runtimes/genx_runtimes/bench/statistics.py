"""Percentiles that the data support, their uncertainty, and the histogram that is published.

Sources: B. Efron and R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 8, for
the two-level resampling; HdrHistogram (hdrhistogram.org) for buckets of equal relative width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.bench.figures import Histogram, Interval, Latency

# A percentile is told where at least so many calls lie beyond it.
SUPPORT = 5
_RESAMPLES = 1000
_PER_ROUND = 256
_BUCKET_BITS = 7
_MAD_TO_SIGMA = 1.4826
_OUTLIER_SIGMAS = 5.0

Values = NDArray[np.float64]


def describe(rounds: Sequence[Sequence[int]]) -> Latency:
    """Return the distribution of latencies, percentiles linear between neighbours.

    Args:
        rounds: the latencies of each round in nanoseconds, one in all at least.
    """
    parts = [np.asarray(part, dtype=np.float64) / 1e6 for part in rounds if len(part)]
    values = np.sort(np.concatenate(parts))
    p50 = float(np.median(values))
    away = float(np.median(np.abs(values - p50))) * _MAD_TO_SIGMA
    return Latency(
        count=len(values),
        best_ms=float(values[0]),
        mean_ms=float(values.mean()),
        p50_ms=p50,
        p50_interval=bootstrap_median(parts),
        p90_ms=percentile(values, 90),
        p95_ms=percentile(values, 95),
        p99_ms=percentile(values, 99),
        p999_ms=percentile(values, 99.9),
        outliers=int(np.count_nonzero(values > p50 + _OUTLIER_SIGMAS * away)) if away else 0,
    )


def percentile(values: Values, percent: float) -> float | None:
    """Return a percentile, None where fewer than `SUPPORT` values lie beyond it."""
    if len(values) * (1 - percent / 100) < SUPPORT - 1e-9:
        return None
    return float(np.percentile(values, percent))


def bootstrap_median(rounds: Sequence[Values]) -> Interval:
    """Return a 95 % interval of the median, drawing rounds and then calls with replacement.

    Calls of one round are alike; how far rounds are apart says more. A long round is represented by
    256 of its quantiles.

    Args:
        rounds: values (N_r,) of each round, one value each at least.
    """
    random = np.random.RandomState(0)
    grid = (np.arange(_PER_ROUND) + 0.5) / _PER_ROUND
    kept = [np.quantile(part, grid) if len(part) > _PER_ROUND else part for part in rounds]
    weights = np.asarray([len(part) for part in rounds], dtype=np.float64)
    medians = np.empty(_RESAMPLES)
    for i in range(_RESAMPLES):
        chosen = random.randint(len(kept), size=len(kept))
        drawn = [kept[r][random.randint(len(kept[r]), size=len(kept[r]))] for r in chosen]
        shares = np.concatenate([np.full(len(kept[r]), weights[r] / len(kept[r])) for r in chosen])
        medians[i] = _weighted_median(np.concatenate(drawn), shares)
    low, high = np.percentile(medians, [2.5, 97.5])
    return Interval(low=float(low), high=float(high))


def make_histogram(latencies_ns: Sequence[int]) -> Histogram:
    """Count latencies in buckets whose width is at most 1/128 of their lower end."""
    values = np.asarray(latencies_ns, dtype=np.int64)
    _, exponents = np.frexp(np.maximum(values, 1).astype(np.float64))
    shifts = np.maximum(exponents - _BUCKET_BITS - 1, 0).astype(np.int64)
    lows, counts = np.unique((values >> shifts) << shifts, return_counts=True)
    return Histogram(values_ns=tuple(lows.tolist()), counts=tuple(counts.tolist()))


def _weighted_median(values: Values, weights: Values) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
