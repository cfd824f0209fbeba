"""How far each row is from what the machine can do, and the nodes that take the time."""

from __future__ import annotations

from collections.abc import Sequence

from genx_runtimes.bench.figures import Ceiling, Limit
from genx_runtimes.bench.page.entries import Entry, sort_cases
from genx_runtimes.bench.page.markup import Markup, element, join
from genx_runtimes.bench.page.numbers import UNKNOWN, align, percent, scale_si
from genx_runtimes.bench.page.row_tables import name_entry
from genx_runtimes.bench.page.tables import Column, draw_bar, draw_table


def draw_limits(caption: str, entries: Sequence[Entry]) -> Markup:
    """Return cost and distance to the limit of each row that has it."""
    ordered, cases = sort_cases(entry for entry in entries if entry.row.limit)
    shown = [(entry, entry.row.limit) for entry in ordered if entry.row.limit]
    limits = [limit for _, limit in shown]
    columns = [
        Column(title="contender", cells=[name_entry(entry) for entry, _ in shown], text=True),
        Column(title="bundle", cells=[entry.row.bundle for entry, _ in shown], text=True),
        Column(title="of the limit", cells=[_share(limit.of_limit) for limit in limits]),
        Column(title="bounded by", cells=[limit.ceiling for limit in limits], text=True),
        Column(title="reached", cells=[scale_si(lim.macs_per_s, "MAC/s") for lim in limits]),
        Column(title="a sample", cells=[scale_si(lim.cost.macs, "MAC") for lim in limits]),
        Column(
            title="at least",
            cells=[scale_si(lim.cost.bytes_at(e.row.batch), "B") for e, lim in shown],
        ),
        Column(title="steps", cells=[str(limit.cost.steps) for limit in limits]),
    ]
    return draw_table(caption, columns, groups=cases)


def draw_graphs(caption: str, entries: Sequence[Entry]) -> Markup:
    """Return how far each graph of a row is from its limit; empty where no row has several."""
    ordered, _ = sort_cases(entry for entry in entries if entry.row.limit)
    limits = [(e, e.row.limit) for e in ordered if e.row.limit and len(e.row.limit.graphs) > 1]
    shown = [(entry, graph) for entry, limit in limits for graph in limit.graphs]
    columns = [
        Column(title="graph", cells=[graph.component for _, graph in shown], text=True),
        Column(title="of the limit", cells=[_share(graph.of_limit) for _, graph in shown]),
        Column(title="bounded by", cells=[graph.ceiling for _, graph in shown], text=True),
        Column(title="ms", cells=align([graph.ms for _, graph in shown])),
        Column(title="calls", cells=[str(graph.calls) for _, graph in shown]),
        Column(title="multiply-adds", cells=[scale_si(g.macs, "MAC") for _, g in shown]),
    ]
    titles = [f"{entry.label}, {_name_case(entry)}" for entry, _ in shown]
    return draw_table(caption, columns, groups=titles)


def draw_nodes(entries: Sequence[Entry]) -> Markup:
    """Return the heaviest nodes of each row, folded up, or why there are none."""
    return join(
        _draw_nodes(entry, entry.row.limit)
        if entry.row.limit.nodes
        else element("p", name_entry(entry), f" {_name_case(entry)}: {entry.row.limit.reason}")
        for entry in entries
        if entry.row.limit and (entry.row.limit.nodes or entry.row.limit.reason)
    )


def draw_ceilings(caption: str, ceilings: Sequence[Ceiling]) -> Markup:
    """Return what the machine can do, as it was measured."""
    columns = [
        Column(title="engine", cells=[c.backend for c in ceilings], text=True),
        Column(title="dtype", cells=[c.dtype for c in ceilings], text=True),
        Column(title="threads", cells=[str(c.threads) for c in ceilings]),
        Column(title="matrix product", cells=[_rate(c.macs_per_s, "MAC/s") for c in ceilings]),
        Column(title="copying", cells=[_rate(c.bytes_per_s, "B/s") for c in ceilings]),
        Column(title="not measured", cells=[c.failure for c in ceilings], prose=True),
    ]
    return draw_table(caption, columns)


def _draw_nodes(entry: Entry, limit: Limit) -> Markup:
    nodes, case = limit.nodes, _name_case(entry)
    columns = [
        Column(title="node", cells=[node.name for node in nodes], text=True),
        Column(title="operator", cells=[node.kind for node in nodes], text=True),
        Column(title="dtype", cells=[node.dtype or UNKNOWN for node in nodes], text=True),
        Column(title="ms", cells=align([node.ms for node in nodes])),
        Column(title="of the time", cells=[_share(node.share) for node in nodes]),
        Column(
            title="multiply-adds",
            cells=[UNKNOWN if n.macs is None else scale_si(n.macs, "MAC") for n in nodes],
        ),
        Column(title="of its limit", cells=[_share(node.of_limit) for node in nodes]),
    ]
    summary = element(
        "summary",
        name_entry(entry),
        element("span", f"{case}: {nodes[0].name} takes {percent(nodes[0].share)}", class_="aside"),
    )
    caption = f"Heaviest nodes of {entry.label}, {case}"
    return element("details", summary, draw_table(caption, columns))


def _name_case(entry: Entry) -> str:
    row = entry.row
    return f"{row.bundle}, {row.scenario}, batch {row.batch}"


def _share(part: float | None) -> str:
    return join((draw_bar(part), percent(part)))


def _rate(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else scale_si(value, unit)
