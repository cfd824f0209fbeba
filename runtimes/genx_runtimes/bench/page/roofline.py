"""The roofline: multiply-adds a second against multiply-adds a byte, under the ceilings.

Source: Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
multicore architectures", 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genx_runtimes.bench.figures import Ceiling, Limit
from genx_runtimes.bench.page.entries import Entry, can_draw, list_legend
from genx_runtimes.bench.page.marks import Point, Style, draw_line, draw_point, draw_swatch
from genx_runtimes.bench.page.markup import Markup
from genx_runtimes.bench.page.numbers import scale_si
from genx_runtimes.bench.page.plot import BOTTOM, LEFT, RIGHT, TOP, Axis, Legend, draw_plot
from genx_runtimes.bench.page.scale import Scale, fit_scale

_ROOM = 3.0  # so that both sides of each roof are seen


@dataclass(frozen=True, slots=True, kw_only=True)
class _Roof:
    """A ceiling of products, and the bandwidth that bounds it where few are done with a byte."""

    ceiling: Ceiling
    macs_per_s: float
    bytes_per_s: float | None

    @property
    def ridges(self) -> list[float]:
        """Return the multiply-adds a byte from which on products are the bound, if it is known."""
        return [self.macs_per_s / self.bytes_per_s] if self.bytes_per_s else []


def plot_roofline(title: str, entries: Sequence[Entry], ceilings: Sequence[Ceiling]) -> Markup:
    """Return the plot of one report; empty where nothing was counted.

    Args:
        title: above the plot.
        entries: of that report.
        ceilings: of that report; one without a bandwidth is bounded by the best that there is.
    """
    shown = [
        (entry, limit) for entry in entries if (limit := entry.row.limit) and _counts(entry, limit)
    ]
    if not shown:
        return Markup()
    roofs = _raise_roofs(ceilings)
    intensities = [_intensity(entry, limit) for entry, limit in shown]
    reached = [limit.macs_per_s for _, limit in shown]
    across = [*intensities, *(ridge for roof in roofs for ridge in roof.ridges)]
    across += [min(across) / _ROOM, max(across) * _ROOM]
    x = fit_scale(across, start=LEFT, end=RIGHT, log=True)
    up = [*reached, *(roof.macs_per_s for roof in roofs)]
    y = fit_scale(up, start=BOTTOM, end=TOP, log=True)
    marks = [_draw_roof(roof, number, x, y) for number, roof in enumerate(roofs)]
    for entry, limit in shown:
        tip = (
            f"{entry.label}, {entry.row.bundle}, batch {entry.row.batch}: "
            f"{scale_si(limit.macs_per_s, 'MAC/s')} at {_intensity(entry, limit):.3g} MAC/byte, "
            f"{limit.of_limit:.1%} of what {limit.ceiling} allows"
        )
        marks.append(
            draw_point(
                (x.place(_intensity(entry, limit)), y.place(limit.macs_per_s)),
                entry.style,
                tip,
                {
                    **entry.data,
                    "macs": limit.cost.macs,
                    "bytes": limit.cost.bytes_at(entry.row.batch),
                    "macs_per_s": limit.macs_per_s,
                    "of_limit": limit.of_limit,
                },
            )
        )
    legend = list_legend((entry for entry, _ in shown), line=False)
    legend += [
        Legend(sign=draw_swatch(_style(number), line=True, point=False), text=_tell(roof))
        for number, roof in enumerate(roofs)
    ]
    best = max(shown, key=lambda pair: pair[1].of_limit)
    return draw_plot(
        "roofline",
        title=title,
        summary=f"Multiply-adds a second against multiply-adds a byte. Closest to its limit: "
        f"{best[0].label}, batch {best[0].row.batch}, {best[1].of_limit:.1%}.",
        x=Axis(scale=x, label="MAC/byte"),
        y=Axis(scale=y, label="MAC/s"),
        marks=marks,
        legend=legend,
    )


def _counts(entry: Entry, limit: Limit) -> bool:
    return can_draw(limit.cost.macs, limit.cost.bytes_at(entry.row.batch), limit.macs_per_s)


def _intensity(entry: Entry, limit: Limit) -> float:
    return limit.cost.macs / limit.cost.bytes_at(entry.row.batch)


def _raise_roofs(ceilings: Sequence[Ceiling]) -> list[_Roof]:
    known = [c.bytes_per_s for c in ceilings if c.bytes_per_s and can_draw(c.bytes_per_s)]
    best = max(known, default=None)
    return [
        _Roof(ceiling=c, macs_per_s=c.macs_per_s, bytes_per_s=c.bytes_per_s or best)
        for c in ceilings
        if c.macs_per_s and can_draw(c.macs_per_s)
    ]


def _draw_roof(roof: _Roof, number: int, x: Scale, y: Scale) -> Markup:
    level = y.place(roof.macs_per_s)
    corners: list[Point] = [(x.start, level)]
    if roof.bytes_per_s is not None:
        first = max(x.low, y.low / roof.bytes_per_s)
        (ridge,) = roof.ridges
        corners = [(x.place(first), y.place(first * roof.bytes_per_s)), (x.place(ridge), level)]
    return draw_line(
        [*corners, (x.end, level)],
        _style(number),
        _tell(roof),
        {
            "backend": roof.ceiling.backend,
            "dtype": roof.ceiling.dtype,
            "threads": roof.ceiling.threads,
            "macs_per_s": roof.macs_per_s,
            "bytes_per_s": roof.bytes_per_s,
        },
    )


def _style(number: int) -> Style:
    return Style(colour=None, shape=0, dash=number)


def _tell(roof: _Roof) -> str:
    ceiling = roof.ceiling
    threads = f"{ceiling.threads} thread{'s' if ceiling.threads != 1 else ''}"
    text = f"ceiling of {ceiling.backend} {ceiling.dtype}, {threads}: "
    text += scale_si(roof.macs_per_s, "MAC/s")
    return text if not roof.bytes_per_s else f"{text}, {scale_si(roof.bytes_per_s, 'B/s')}"
