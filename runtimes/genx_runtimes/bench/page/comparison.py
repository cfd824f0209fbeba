"""The comparison across devices: a line for each case, ratios to the first report."""

from __future__ import annotations

from collections.abc import Sequence

from genx_runtimes.bench.compare import Cell, Comparison
from genx_runtimes.bench.page.markup import Markup, element, join
from genx_runtimes.bench.page.numbers import UNKNOWN, align
from genx_runtimes.bench.page.row_tables import draw_badge
from genx_runtimes.bench.page.tables import Column, draw_table


def draw_comparison(comparison: Comparison) -> Markup:
    """Return the table, after a warning for each bundle that differs between reports."""
    lines = comparison.lines
    columns = [
        Column(title="contender", cells=[line.contender for line in lines], text=True),
        Column(title="scenario", cells=[line.scenario for line in lines], text=True),
        Column(title="batch", cells=[str(line.batch) for line in lines]),
    ]
    for place, name in enumerate(comparison.names):
        cells = [line.cells[place] for line in lines]
        columns.append(Column(title=f"{name}, p50 ms", cells=_list_medians(cells)))
        if place:
            columns += [
                Column(title="ratio", cells=[_ratio(cell.ratio) for cell in cells]),
                Column(title="95 % interval", cells=[_interval(cell) for cell in cells]),
                Column(title="of the metric", cells=[_ratio(cell.metric_ratio) for cell in cells]),
            ]
    caption = (
        f"Medians, and their ratio to those of {comparison.names[0]}: above 1 is slower. In "
        "offline the ratio is that of the time a sample takes. In server the medians are of "
        "different loads, and only the metric is compared."
    )
    warnings = [
        element(
            "p",
            element("strong", "Different bundle. "),
            f"{bundle.name} is not the same in all reports: these ratios compare models, not only "
            "machines.",
            class_="warning",
        )
        for bundle in comparison.bundles
        if not bundle.same
    ]
    warnings += [element("p", text, class_="warning") for text in comparison.differences]
    return join((*warnings, draw_table(caption, columns, groups=[line.bundle for line in lines])))


def _list_medians(cells: Sequence[Cell]) -> list[str]:
    figures = align([cell.p50_ms for cell in cells])
    return [
        figure
        if cell.verdict in (None, "valid")
        else draw_badge(cell.verdict)
        if cell.p50_ms is None
        else join((draw_badge(cell.verdict), " ", figure))
        for cell, figure in zip(cells, figures, strict=True)
    ]


def _ratio(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


def _interval(cell: Cell) -> str:
    found = cell.interval
    return UNKNOWN if found is None else f"{found.low:.3f} to {found.high:.3f}"
