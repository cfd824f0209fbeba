"""What the page says of a machine: its ceilings, how near each row came, what it is."""

from __future__ import annotations

from collections.abc import Sequence

from genx_runtimes.bench.page.entries import Entry, group_cases
from genx_runtimes.bench.page.limit_tables import (
    draw_ceilings,
    draw_graphs,
    draw_limits,
    draw_nodes,
)
from genx_runtimes.bench.page.machine import draw_machine
from genx_runtimes.bench.page.markup import Markup, element, join
from genx_runtimes.bench.page.roofline import plot_roofline
from genx_runtimes.bench.page.tables import draw_fold
from genx_runtimes.bench.record import BenchReport


def draw_device(report: BenchReport, entries: Sequence[Entry]) -> Markup:
    """Return the section of one report."""
    limited = [e for group in group_cases(entries).values() for e in group if e.row.limit]
    scenarios = dict.fromkeys(entry.row.scenario for entry in limited)
    plots = [
        plot_roofline(
            f"Roofline: {scenario}",
            [entry for entry in limited if entry.row.scenario == scenario],
            report.ceilings,
        )
        for scenario in scenarios
    ]
    parts = [element("div", *plots, class_="plots")] if plots else []
    ceilings = draw_ceilings("What this machine can do, measured in the same run", report.ceilings)
    limits = draw_limits("Cost of a sample, and how near to the ceilings", limited)
    graphs = draw_graphs("How near each graph of a loop is to the ceilings", limited)
    tables = (
        ("Ceilings", ceilings),
        ("Distance to the limit", limits),
        ("Distance of each graph", graphs),
    )
    parts += [join((element("h3", title), table)) for title, table in tables if table]
    parts.append(draw_fold("Heaviest nodes of each row", draw_nodes(limited)))
    return join((*parts, element("h3", "Device, method and versions"), draw_machine(report)))
