"""Batch size against throughput and against latency."""

from __future__ import annotations

from collections.abc import Sequence

from genx_runtimes.bench.page.entries import Entry, can_draw, list_legend
from genx_runtimes.bench.page.marks import draw_line, draw_point, draw_whisker
from genx_runtimes.bench.page.markup import Markup
from genx_runtimes.bench.page.numbers import shorten
from genx_runtimes.bench.page.plot import BOTTOM, LEFT, RIGHT, TOP, Axis, draw_plot
from genx_runtimes.bench.page.scale import Scale, fit_scale

# Above that ratio the slower contenders would all lie on the axis.
_LINEAR_UP_TO = 20


def plot_throughput(title: str, entries: Sequence[Entry]) -> Markup:
    """Return batch size against samples a second, for one scenario; empty without figures."""
    shown = [(e, v) for e in entries if can_draw(v := e.row.samples_per_s) and v is not None]
    return _plot(title, shown, "samples_per_s", "samples/s")


def plot_latency(title: str, entries: Sequence[Entry]) -> Markup:
    """Return batch size against the median latency and its interval; empty without figures."""
    shown = [(e, e.row.latency.p50_ms) for e in entries if e.row.latency]
    return _plot(title, [pair for pair in shown if can_draw(pair[1])], "p50_ms", "median, ms")


def _plot(title: str, shown: list[tuple[Entry, float]], quantity: str, label: str) -> Markup:
    if not shown:
        return Markup()
    values = [value for _, value in shown]
    batches = sorted({entry.row.batch for entry, _ in shown})
    log = max(values) / min(values) > _LINEAR_UP_TO
    x = fit_scale(batches, start=LEFT, end=RIGHT, log=True)
    ends = [*values, *(high for e, _ in shown if quantity == "p50_ms" for high in _list_ends(e))]
    y = fit_scale(ends, start=BOTTOM, end=TOP, log=log, from_zero=True)
    series: dict[str, list[tuple[Entry, float]]] = {}
    for entry, value in sorted(shown, key=lambda pair: pair[0].row.batch):
        series.setdefault(entry.label, []).append((entry, value))
    marks = []
    for name, pairs in series.items():
        places = [(x.place(entry.row.batch), y.place(value)) for entry, value in pairs]
        marks.append(draw_line(places, pairs[0][0].style, name, {}))
        for at, (entry, value) in zip(places, pairs, strict=True):
            if quantity == "p50_ms":
                marks.append(_draw_interval(entry, at[0], y))
            tip = f"{name}, batch {entry.row.batch}: {value:,.3f} {label.removeprefix('median, ')}"
            marks.append(draw_point(at, entry.style, tip, {**entry.data, quantity: value}))
    words = (
        f"{name}: " + ", ".join(f"{shorten(v)} at {e.row.batch}" for e, v in pairs) + "."
        for name, pairs in series.items()
    )
    return draw_plot(
        "batches",
        title=title,
        summary=f"{label} against batch size. " + " ".join(words),
        x=Axis(scale=x, label="batch size", ticks=[(b, str(b)) for b in batches]),
        y=Axis(scale=y, label=label),
        marks=marks,
        legend=list_legend((entry for entry, _ in shown), line=True),
    )


def _list_ends(entry: Entry) -> list[float]:
    """Return the ends of the median's interval; nothing if they cannot be drawn."""
    if entry.row.latency is None:
        return []
    found = entry.row.latency.p50_interval
    return [found.low, found.high] if found and can_draw(found.low, found.high) else []


def _draw_interval(entry: Entry, at: float, y: Scale) -> Markup:
    ends = _list_ends(entry)
    if not ends:
        return Markup()
    low, high = ends
    tip = f"{entry.label}: median {low:.3f} to {high:.3f} ms (95 %)"
    places = (y.place(low), y.place(high))
    data = {**entry.data, "low": low, "high": high}
    return draw_whisker(at, *places, entry.style, tip, data)
