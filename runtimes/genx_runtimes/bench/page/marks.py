"""What is drawn in a plot: points of different shapes, lines, bars. Each carries its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genx_runtimes.bench.page.markup import Markup, element

COLOURS = 8  # that style.css has, told apart by the colour-blind
# Around (0, 0), about 10 units wide, so that all look equally heavy.
SHAPES = (
    "M-4.6 0a4.6 4.6 0 1 0 9.2 0a4.6 4.6 0 1 0 -9.2 0Z",  # circle
    "M-4.2 -4.2H4.2V4.2H-4.2Z",  # square
    "M0 -5.4L5.2 3.8H-5.2Z",  # triangle
    "M0 -6L6 0L0 6L-6 0Z",  # diamond
    "M0 5.4L5.2 -3.8H-5.2Z",  # triangle that points down
    "M-1.8 -5.2H1.8V-1.8H5.2V1.8H1.8V5.2H-1.8V1.8H-5.2V-1.8H-1.8Z",  # plus
    "M-5.4 0L-2.7 -4.7H2.7L5.4 0L2.7 4.7H-2.7Z",  # hexagon
)
DASHES = (None, "7 4", "2 3", "9 3 2 3")

Point = tuple[float, float]
Data = str | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a series is told from others: by colour, and by shape for who sees none.

    Args:
        colour: counted from 0; begins again after the last; None for what is no contender.
        shape: likewise.
        dash: likewise.
    """

    colour: int | None
    shape: int
    dash: int = 0

    @property
    def name(self) -> str:
        """Return the class in style.css."""
        return "neutral" if self.colour is None else f"s{self.colour % COLOURS}"


def draw_point(
    at: Point, style: Style, tip: str, data: Mapping[str, Data], *, emphasis: bool = False
) -> Markup:
    """Return a point at a place of the drawing; `data` becomes `data-*`, exact."""
    shape = SHAPES[style.shape % len(SHAPES)]
    path = element("path", d=shape, class_="front" if emphasis else None)
    return _mark("point", style.name, tip, path, data, f"translate({at[0]:g} {at[1]:g})")


def draw_whisker(
    x: float, low: float, high: float, style: Style, tip: str, data: Mapping[str, Data]
) -> Markup:
    """Return an upright interval."""
    path = f"M{x - 4:g} {low:g}h8M{x:g} {low:g}V{high:g}M{x - 4:g} {high:g}h8"
    return _mark("whisker", style.name, tip, element("path", d=path), data)


def draw_line(points: Sequence[Point], style: Style, tip: str, data: Mapping[str, Data]) -> Markup:
    """Return straight lines from point to point."""
    dash = DASHES[style.dash % len(DASHES)]
    line = element("path", d=trace(points), stroke_dasharray=dash)
    return _mark("line", style.name, tip, line, data)


def trace(points: Sequence[Point]) -> str:
    """Return straight lines from point to point, as a path's `d`."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def draw_ring() -> Markup:
    """Return the sign of points with emphasis in a legend."""
    path = element("path", d=SHAPES[0], transform="translate(14 8)", class_="front")
    ring = element("g", path, class_="ring")
    return element("svg", ring, viewBox="6 0 16 16", class_="swatch small", aria_hidden="true")


def draw_swatch(style: Style, *, line: bool, point: bool = True) -> Markup:
    """Return the sign of a series in a legend."""
    parts = []
    if line:
        dash = DASHES[style.dash % len(DASHES)]
        path = element("path", d="M1 8H27", stroke_dasharray=dash)
        parts.append(element("g", path, class_=f"line {style.name}"))
    if point:
        path = element("path", d=SHAPES[style.shape % len(SHAPES)], transform="translate(14 8)")
        parts.append(element("g", path, class_=f"point {style.name}"))
    box, kind = ("0 0 28 16", "swatch") if line else ("6 0 16 16", "swatch small")
    return element("svg", *parts, viewBox=box, class_=kind, aria_hidden="true")


def _mark(
    kind: str,
    style: str,
    tip: str,
    shape: Markup,
    data: Mapping[str, Data],
    move: str | None = None,
) -> Markup:
    carried = {f"data_{name}": value for name, value in data.items()}
    title = element("title", tip)
    return element("g", title, shape, class_=f"{kind} {style}", transform=move, **carried)
