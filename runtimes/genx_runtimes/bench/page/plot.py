"""A plot: axes, grid, marks, a legend below, and words for who cannot see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genx_runtimes.bench.page.markup import Markup, element, join
from genx_runtimes.bench.page.numbers import shorten
from genx_runtimes.bench.page.scale import Scale

WIDTH, HEIGHT = 560, 350
LEFT, RIGHT = 62, 544  # where the x axis begins and ends
TOP, BOTTOM = 34, 302  # where the y axis ends and begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A scale with its words.

    Args:
        scale: from LEFT to RIGHT, or from BOTTOM to TOP.
        label: the quantity with its unit.
        ticks: values and texts; None for round numbers.
    """

    scale: Scale
    label: str
    ticks: Sequence[tuple[float, str]] | None = None

    def marks(self) -> list[tuple[float, str]]:
        """Return place and text of each tick."""
        ticks = self.ticks or [(value, shorten(value)) for value in self.scale.ticks()]
        return [(self.scale.place(value), text) for value, text in ticks]


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """An entry of the legend: a sign from `draw_swatch` and its text."""

    sign: Markup
    text: str


def draw_plot(
    kind: str,
    *,
    title: str,
    summary: str,
    x: Axis,
    y: Axis,
    marks: Sequence[Markup],
    legend: Sequence[Legend],
) -> Markup:
    """Return a figure.

    Args:
        kind: `cdf`, `batches`, `pareto` or `roofline`; with the axes' scales in `data-*`, so that
            places can be turned back into values.
        title: above the plot.
        summary: the figures in words, for screen readers.
        x: horizontal.
        y: vertical.
        marks: in the order in which they are drawn.
        legend: below the plot.
    """
    scales = {
        f"data_{name}_{what}": value
        for name, axis in (("x", x), ("y", y))
        for what, value in (
            ("scale", "log" if axis.scale.log else "linear"),
            ("domain", f"{axis.scale.low!r} {axis.scale.high!r}"),
            ("range", f"{axis.scale.start!r} {axis.scale.end!r}"),
        )
    }
    drawing = element(
        "svg",
        _draw_axes(x, y),
        element("g", *marks, class_="marks"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{title}. {summary}",
        data_plot=kind,
        **scales,
    )
    entries = [element("li", entry.sign, element("span", entry.text)) for entry in legend]
    return element(
        "figure",
        element("figcaption", title),
        drawing,
        element("ul", *entries, class_="legend"),
        class_="plot",
    )


def _draw_axes(x: Axis, y: Axis) -> Markup:
    grid = [f"M{at:g} {TOP}V{BOTTOM}" for at, _ in x.marks()]
    grid += [f"M{LEFT} {at:g}H{RIGHT}" for at, _ in y.marks()]
    below = [
        element("text", text, x=at, y=BOTTOM + 18, class_="tick", text_anchor="middle")
        for at, text in x.marks()
    ]
    beside = [
        element("text", text, x=LEFT - 8, y=at, class_="tick", text_anchor="end", dy="0.34em")
        for at, text in y.marks()
    ]
    frame = element("path", d=f"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}", class_="axis")
    labels = (
        element("text", x.label, x=RIGHT, y=HEIGHT - 8, class_="label", text_anchor="end"),
        element("text", y.label, x=4, y=18, class_="label"),
    )
    lines = element("path", d="".join(grid), class_="grid")
    return element("g", lines, frame, join(below), join(beside), *labels, aria_hidden="true")
