"""The distribution of latencies: the share of calls that took no longer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from genx_runtimes.bench.page.entries import Entry, can_draw, list_legend
from genx_runtimes.bench.page.marks import Point, draw_line, draw_point
from genx_runtimes.bench.page.markup import Markup
from genx_runtimes.bench.page.plot import BOTTOM, LEFT, RIGHT, TOP, Axis, draw_plot
from genx_runtimes.bench.page.scale import Scale, fit_scale

_SHARES = Scale(low=0.0, high=1.0, start=BOTTOM, end=TOP, log=False)
_TICKS = [(share, f"{share:.0%}") for share in (0, 0.25, 0.5, 0.75, 0.9, 1)]


def plot_cdf(title: str, entries: Sequence[Entry]) -> Markup:
    """Return the plot of one scenario and batch size; empty if there are no histograms.

    A line is the histogram, in `data-values-ns` and `data-counts`; the points on it are p50, p90
    and p99 as far as the report has them.
    """
    shown = [entry for entry in entries if _has_histogram(entry)]
    if not shown:
        return Markup()
    ends = [
        value / 1e6
        for entry in shown
        if (histogram := entry.row.histogram)
        for value in (histogram.values_ns[0], histogram.values_ns[-1])
    ]
    scale = fit_scale(ends, start=LEFT, end=RIGHT, log=True)
    lines = [_draw_steps(entry, scale) for entry in shown]
    points = [point for entry in shown for point in _draw_percentiles(entry, scale)]
    return draw_plot(
        "cdf",
        title=title,
        summary="Share of calls against latency. " + " ".join(map(_describe, shown)),
        x=Axis(scale=scale, label="latency, ms"),
        y=Axis(scale=_SHARES, label="share of calls at most as slow", ticks=_TICKS),
        marks=[*lines, *points],
        legend=list_legend(shown, line=True),
    )


def _has_histogram(entry: Entry) -> bool:
    found = entry.row.histogram
    return (
        found is not None
        and 0 < len(found.values_ns) == len(found.counts)
        and can_draw(*found.values_ns, *found.counts)
    )


def _draw_steps(entry: Entry, scale: Scale) -> Markup:
    histogram = entry.row.histogram
    assert histogram is not None
    total = sum(histogram.counts)
    corners: list[Point] = []
    below = _SHARES.place(0)
    for value, count in zip(histogram.values_ns, accumulate(histogram.counts), strict=True):
        x, y = scale.place(value / 1e6), _SHARES.place(count / total)
        corners += [(x, below), (x, y)]
        below = y
    return draw_line(
        corners,
        entry.style,
        f"{entry.label}: {total:,} calls",
        {
            **entry.data,
            "values_ns": " ".join(map(str, histogram.values_ns)),
            "counts": " ".join(map(str, histogram.counts)),
        },
    )


def _draw_percentiles(entry: Entry, scale: Scale) -> list[Markup]:
    latency = entry.row.latency
    if latency is None:
        return []
    return [
        draw_point(
            (scale.place(value), _SHARES.place(share)),
            entry.style,
            f"{entry.label}: p{share * 100:g} {value:.3f} ms",
            {**entry.data, "share": share, "ms": value},
        )
        for share, value in ((0.5, latency.p50_ms), (0.9, latency.p90_ms), (0.99, latency.p99_ms))
        if value is not None and can_draw(value)
    ]


def _describe(entry: Entry) -> str:
    latency = entry.row.latency
    return f"{entry.label}: median {latency.p50_ms:.3f} ms." if latency else f"{entry.label}."
