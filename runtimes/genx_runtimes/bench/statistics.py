"""Percentiles that the data support, their uncertainty, and the histogram that is published.

Sources: J. W. Tukey and D. H. McLaughlin, "Less Vulnerable Confidence and Significance Procedures
for Location Based on a Single Sample: Trimming/Winsorization 1" (Sankhya A 25, 1963), for what
rounds agree on; M. Abramowitz and I. A. Stegun, "Handbook of Mathematical Functions" (1964),
26.7.5, for Student's t; HdrHistogram (hdrhistogram.org) for buckets of equal relative width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.bench.figures import Histogram, Interval, Latency

# A percentile is told where at least so many calls lie beyond it.
SUPPORT = 5
# Of the rounds, so many of the lowest and of the highest are left out.
_TRIMMED = 0.2
_NORMAL = 1.959964  # 97.5 % of a normal distribution lie below
_STUDENT = {1: 12.7062, 2: 4.3027}  # where the series for more degrees of freedom is too coarse
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
        p50_interval=find_interval(p50, [float(np.median(part)) for part in parts]),
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


def estimate(figures: Sequence[float]) -> tuple[float, Interval | None]:
    """Return what the rounds agree on, and its 95 % interval.

    Calls of one round are alike; how far the rounds are apart tells what the next one will be. It
    is the mean of the logarithms without the lowest and the highest fifth, and Tukey and
    McLaughlin's interval of it; with fewer than five rounds nothing is left out, and that is
    Student's t.

    Args:
        figures: one for each round, above 0: times, rates or ratios, one at least.

    Returns:
        the interval is None for a single round, which does not tell.
    """
    logs = np.sort(np.log(np.asarray(figures, dtype=np.float64)))
    count = len(logs)
    cut = int(_TRIMMED * count)
    kept = logs[cut : count - cut]
    middle = float(kept.mean())
    if count < 2:
        return float(np.exp(middle)), None
    spread = np.clip(logs, kept[0], kept[-1]).std(ddof=1)
    error = float(spread) / ((1 - 2 * cut / count) * np.sqrt(count))
    reach = find_student(len(kept) - 1) * error
    low, high = np.exp([middle - reach, middle + reach])
    return float(np.exp(middle)), Interval(low=float(low), high=float(high))


def find_interval(whole: float, figures: Sequence[float]) -> Interval | None:
    """Return the interval of `estimate`, so wide that it holds the figure of all calls together.

    That is another one than what the rounds agree on where they differ in speed and length.
    """
    found = estimate(figures)[1] if figures else None
    return found and Interval(low=min(found.low, whole), high=max(found.high, whole))


def find_student(freedom: int) -> float:
    """Return below what 97.5 % of Student's t with so many degrees of freedom lie, to 0.2 %."""
    if freedom in _STUDENT:
        return _STUDENT[freedom]
    x = _NORMAL
    terms = (
        x,
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return sum(term / float(freedom) ** power for power, term in enumerate(terms))


def make_histogram(latencies_ns: Sequence[int]) -> Histogram:
    """Count latencies in buckets whose width is at most 1/128 of their lower end."""
    values = np.asarray(latencies_ns, dtype=np.int64)
    _, exponents = np.frexp(np.maximum(values, 1).astype(np.float64))
    shifts = np.maximum(exponents - _BUCKET_BITS - 1, 0).astype(np.int64)
    lows, counts = np.unique((values >> shifts) << shifts, return_counts=True)
    return Histogram(values_ns=tuple(lows.tolist()), counts=tuple(counts.tolist()))
