"""What the page says of a bundle: figures at a glance, plots, all rows."""

from __future__ import annotations

from collections.abc import Sequence

from genx_runtimes.bench.page.batches import plot_latency, plot_throughput
from genx_runtimes.bench.page.cdf import plot_cdf
from genx_runtimes.bench.page.cost_tables import draw_conditions, draw_memory, draw_parts
from genx_runtimes.bench.page.entries import Case, Entry, group_cases
from genx_runtimes.bench.page.markup import Markup, element, join
from genx_runtimes.bench.page.numbers import pick
from genx_runtimes.bench.page.pareto import plot_pareto
from genx_runtimes.bench.page.row_tables import draw_rows, name_entry
from genx_runtimes.bench.page.tables import draw_fold


def draw_bundle(bundle: str, entries: Sequence[Entry]) -> Markup:
    """Return the section of one bundle.

    The plots of its first case are shown, those of other scenarios and batch sizes are folded up.
    """
    cases = group_cases(entry for entry in entries if entry.row.latency)
    tables = (
        ("Where the time goes", draw_parts(f"Parts of a call and cold start of {bundle}", entries)),
        ("Memory and energy", draw_memory(f"Memory, sizes and energy of {bundle}", entries)),
        ("Conditions", draw_conditions(f"The machine while {bundle} was timed", entries)),
    )
    return join(
        (
            _draw_glance(entries),
            _draw_plots(cases),
            element("h3", "All rows"),
            draw_rows(f"Latency and throughput of {bundle}", entries),
            *(draw_fold(title, table) for title, table in tables),
        )
    )


def _draw_plots(cases: dict[Case, list[Entry]]) -> Markup:
    if not cases:
        return element("p", "Nothing could be measured.", class_="warning")
    scenarios = list(dict.fromkeys(scenario for scenario, _ in cases))
    by_scenario = {
        scenario: [e for case, group in cases.items() if case[0] == scenario for e in group]
        for scenario in scenarios
    }
    bulk = "offline" if "offline" in by_scenario else scenarios[0]
    first = next(iter(cases))
    shown: list[Markup] = []
    folded: list[Markup] = []
    for case, group in cases.items():
        name = f"{case[0]}, batch {case[1]}"
        place = shown if case == first else folded
        place.append(plot_cdf(f"Distribution of latency: {name}", group))
        place.append(plot_pareto(f"Quality against latency: {name}", group))
    for scenario, group in by_scenario.items():
        place = shown if scenario == bulk else folded
        place.append(plot_throughput(f"Batch size against throughput: {scenario}", group))
        place = shown if scenario == scenarios[0] else folded
        place.append(plot_latency(f"Batch size against latency: {scenario}", group))
    more = element("div", *folded, class_="plots") if any(folded) else Markup()
    title = "Plots of the other scenarios and batch sizes"
    return join((element("div", *shown, class_="plots"), draw_fold(title, more)))


def _draw_glance(entries: Sequence[Entry]) -> Markup:
    figures = (
        ("lowest median latency", "ms", "latency", "p50_ms", min),
        ("highest throughput", "samples/s", "", "samples_per_s", max),
        ("closest to its limit", "%", "limit", "of_limit", max),
        ("least energy", "J/sample", "energy", "joules_per_sample", min),
    )
    cards = []
    for title, unit, part, field, choose in figures:
        found = pick([getattr(e.row, part) if part else e.row for e in entries], field)
        known = [(v, e) for v, e in zip(found, entries, strict=True) if v is not None]
        if not known:
            continue
        value, entry = choose(known, key=lambda pair: pair[0])
        value *= 100 if unit == "%" else 1
        row = entry.row
        cards.append(
            element(
                "div",
                element("h3", title),
                element("p", f"{value:,.4g}", element("span", f" {unit}"), class_="big"),
                element("p", name_entry(entry)),
                element("p", f"{row.scenario}, batch {row.batch}", class_="aside"),
                class_="card",
            )
        )
    return element("div", *cards, class_="cards glance") if cards else Markup()
