"""Quality against latency: which variants nothing else beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from genx_runtimes.bench.page.entries import Entry, can_draw, list_legend
from genx_runtimes.bench.page.marks import Point, draw_point, draw_ring, trace
from genx_runtimes.bench.page.markup import Markup, element
from genx_runtimes.bench.page.plot import BOTTOM, LEFT, RIGHT, TOP, Axis, Legend, draw_plot
from genx_runtimes.bench.page.scale import Scale, fit_scale

_EXACT = RIGHT - 34  # where those lie that have no error
_EDGE = RIGHT - 80  # where the axis of PSNR ends


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    entry: Entry
    ms: float
    psnr_db: float | None  # None: exact

    @property
    def quality(self) -> float:
        return float("inf") if self.psnr_db is None else self.psnr_db


def plot_pareto(title: str, entries: Sequence[Entry]) -> Markup:
    """Return quality against the median latency of one scenario and batch size.

    Empty where every variant is exact. Exact ones lie at the right edge. Each report has a front
    of its own: the points that no other of it beats in quality without being slower.
    """
    points = [
        _Point(entry=entry, ms=entry.row.latency.p50_ms, psnr_db=entry.row.psnr_db)
        for entry in entries
        if entry.row.latency and can_draw(entry.row.latency.p50_ms)
    ]
    measured = [p.psnr_db for p in points if p.psnr_db is not None]
    if not measured:
        return Markup()
    x = fit_scale(measured, start=LEFT, end=_EDGE, log=False)
    y = fit_scale([p.ms for p in points], start=BOTTOM, end=TOP, log=True)
    marks, words = [], []
    for report in sorted({p.entry.report for p in points}):
        front = find_front([p for p in points if p.entry.report == report])
        corners = [(_place(a, x, y)[0], _place(b, x, y)[1]) for a, b in pairwise(front)]
        stairs = [_place(front[0], x, y)]
        for corner, point in zip(corners, front[1:], strict=True):
            stairs += [corner, _place(point, x, y)]
        marks.append(element("path", d=trace(stairs), class_="frontier"))
        words += [p.entry.label for p in front]
    fronts = set(words)
    marks += [_draw(point, _place(point, x, y), point.entry.label in fronts) for point in points]
    legend = list_legend((p.entry for p in points), line=False)
    return draw_plot(
        "pareto",
        title=title,
        summary=f"Median latency against PSNR. Not beaten in both: {', '.join(words)}.",
        x=Axis(
            scale=x,
            label="PSNR against the original, dB",
            ticks=[*((tick, f"{tick:g}") for tick in x.ticks()), (_read(_EXACT, x), "exact")],
        ),
        y=Axis(scale=y, label="median, ms"),
        marks=marks,
        legend=[*legend, Legend(sign=draw_ring(), text="not beaten in both")],
    )


def find_front(points: Sequence[_Point]) -> list[_Point]:
    """Return the points that no other beats: better in one and not worse in the other."""
    front: list[_Point] = []
    for point in sorted(points, key=lambda p: (p.ms, -p.quality)):
        if not front or point.quality > front[-1].quality:
            front.append(point)
    return front


def _place(point: _Point, x: Scale, y: Scale) -> Point:
    across = _EXACT if point.psnr_db is None else x.place(point.psnr_db)
    return across, y.place(point.ms)


def _read(place: float, scale: Scale) -> float:
    """Return the value of a place on a linear scale."""
    share = (place - scale.start) / (scale.end - scale.start)
    return scale.low + share * (scale.high - scale.low)


def _draw(point: _Point, at: Point, on_front: bool) -> Markup:
    entry = point.entry
    quality = "exact" if point.psnr_db is None else f"{point.psnr_db:.1f} dB"
    return draw_point(
        at,
        entry.style,
        f"{entry.label}: {quality}, {point.ms:.3f} ms",
        {
            **entry.data,
            "psnr_db": "exact" if point.psnr_db is None else point.psnr_db,
            "p50_ms": point.ms,
            "front": "true" if on_front else "false",
        },
        emphasis=on_front,
    )
