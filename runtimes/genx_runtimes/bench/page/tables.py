"""Tables: a caption, a header, rows in groups; wide ones scroll in a box of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genx_runtimes.bench.page.markup import Markup, element


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column.

    Args:
        title: in the header.
        cells: one a row; text is escaped.
        text: words, to the left; else figures, to the right.
        prose: sentences, to the left, that may take several lines.
    """

    title: str
    cells: Sequence[str]
    text: bool = False
    prose: bool = False

    @property
    def kind(self) -> str:
        """Return the class in style.css."""
        return "prose" if self.prose else "text" if self.text else "figure"


def draw_table(
    caption: str, columns: Sequence[Column], *, groups: Sequence[str] | None = None
) -> Markup:
    """Return a table; empty without rows.

    Args:
        caption: what it shows.
        columns: the first one's cells are the rows' headers.
        groups: of each row, which heads those that follow one another; None for no groups.
    """
    count = len(columns[0].cells)
    if not count:
        return Markup()
    kinds = [column.kind for column in columns]
    head = [
        element("th", column.title, scope="col", class_=kind)
        for column, kind in zip(columns, kinds, strict=True)
    ]
    bodies: list[list[Markup]] = []
    last = None
    for index in range(count):
        group = groups[index] if groups else ""
        if group != last:
            bodies.append([])
            if group:
                title = element(
                    "th", element("span", group), scope="rowgroup", colspan=len(columns)
                )
                bodies[-1].append(element("tr", title, class_="group"))
            last = group
        cells = [
            element("td" if place else "th", column.cells[index], class_=kind, **_scope(place))
            for place, (column, kind) in enumerate(zip(columns, kinds, strict=True))
        ]
        bodies[-1].append(element("tr", *cells))
    table = element(
        "table",
        element("caption", element("span", caption)),
        element("thead", element("tr", *head)),
        *(element("tbody", *rows) for rows in bodies),
    )
    return element("div", table, class_="scroll", role="region", tabindex="0", aria_label=caption)


def draw_pairs(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Return words and what they are; those without a text are left out."""
    parts = [
        part for term, text in pairs if text for part in (element("dt", term), element("dd", text))
    ]
    return element("dl", *parts)


def draw_fold(title: str, content: Markup) -> Markup:
    """Return content that is shown when its title is chosen; empty if there is none."""
    if not content:
        return content
    return element("details", element("summary", element("h3", title)), content)


def draw_bar(share: float | None) -> Markup:
    """Return a bar of 0 to 1, for beside a percentage; empty if unknown."""
    if share is None:
        return Markup()
    width = round(min(max(share, 0.0), 1.0) * 48, 2)
    parts = (
        element("rect", class_="track", width=48, height=6, rx=3),
        element("rect", class_="share", width=width, height=6, rx=3),
    )
    return element("svg", *parts, viewBox="0 0 48 6", class_="bar", aria_hidden="true")


def _scope(place: int) -> dict[str, str]:
    return {} if place else {"scope": "row"}
