"""The figures of each row, and why some have none."""

from __future__ import annotations

from collections.abc import Sequence

from genx_runtimes.bench.figures import Latency
from genx_runtimes.bench.page.entries import Entry, group_cases
from genx_runtimes.bench.page.marks import draw_swatch
from genx_runtimes.bench.page.markup import Markup, element, join
from genx_runtimes.bench.page.numbers import UNKNOWN, align, count_decimals
from genx_runtimes.bench.page.tables import Column, draw_table

_SIGNS = {"valid": "✓", "unstable": "~", "noisy": "≈", "failed": "✕"}
_QUANTILES = ("p90", "p95", "p99", "p999")


def draw_badge(verdict: str) -> Markup:
    """Return a verdict as a sign, a word and a colour."""
    sign = element("span", _SIGNS[verdict], aria_hidden="true")
    return element("span", sign, f" {verdict}", class_=f"badge {verdict}")


def name_entry(entry: Entry) -> Markup:
    """Return the contender with its sign from the plots."""
    return join((draw_swatch(entry.style, line=False), entry.label))


def draw_rows(caption: str, entries: Sequence[Entry]) -> Markup:
    """Return all latencies, by scenario and batch size."""
    groups = group_cases(entries)
    shown = [entry for group in groups.values() for entry in group]
    latencies = [entry.row.latency for entry in shown]
    places = count_decimals(found.p50_ms for found in latencies if found)
    columns = [
        Column(title="contender", cells=[name_entry(entry) for entry in shown], text=True),
        Column(title="metric", cells=[t for g in groups.values() for t in _list_metrics(g)]),
        _ms("p50", [found and found.p50_ms for found in latencies], places),
        Column(title="95 % of p50", cells=[_interval(found, places) for found in latencies]),
        *(
            _ms(
                _title(name),
                [found and getattr(found, f"{name}_ms") for found in latencies],
                places,
            )
            for name in _QUANTILES
        ),
        _ms("mean", [found and found.mean_ms for found in latencies], places),
        _ms("best", [found and found.best_ms for found in latencies], places),
        Column(title="samples/s", cells=align([entry.row.samples_per_s for entry in shown], 1)),
        Column(title="calls", cells=align([found and found.count for found in latencies], 0)),
        Column(title="slow", cells=align([found and found.outliers for found in latencies], 0)),
        Column(title="threads", cells=[_tell_threads(entry) for entry in shown]),
        Column(title="", cells=[draw_badge(entry.row.verdict) for entry in shown], text=True),
    ]
    titles = [_head_group(group) for group in groups.values() for _ in group]
    return draw_table(caption, columns, groups=titles)


def draw_failures(entries: Sequence[Entry]) -> Markup:
    """Return the rows without figures, with their reasons; empty if all have some."""
    failed = [entry for entry in entries if entry.row.verdict == "failed"]
    return _draw_reasons("Contenders that could not be measured", failed)


def draw_doubts(entries: Sequence[Entry]) -> Markup:
    """Return what a reader must know of rows with figures; empty if there is nothing."""
    told = [e for e in entries if e.row.verdict != "failed" and e.row.reasons]
    return _draw_reasons("What to know of some figures", told)


def _draw_reasons(caption: str, entries: Sequence[Entry]) -> Markup:
    rows = [entry.row for entry in entries]
    columns = [
        Column(title="contender", cells=[name_entry(entry) for entry in entries], text=True),
        Column(title="bundle", cells=[row.bundle for row in rows], text=True),
        Column(title="scenario", cells=[row.scenario for row in rows], text=True),
        Column(title="batch", cells=[str(row.batch) for row in rows]),
        Column(title="", cells=[draw_badge(row.verdict) for row in rows], text=True),
        Column(title="reason", cells=["; ".join(row.reasons) for row in rows], text=True),
    ]
    return draw_table(caption, columns)


def _ms(title: str, values: list[float | None], places: int) -> Column:
    return Column(title=f"{title}, ms", cells=align(values, places))


def _title(name: str) -> str:
    return "p99.9" if name == "p999" else name


def _interval(latency: Latency | None, places: int) -> str:
    if latency is None:
        return UNKNOWN
    found = latency.p50_interval
    return f"{found.low:,.{places}f} to {found.high:,.{places}f}"


def _list_metrics(group: Sequence[Entry]) -> list[str]:
    return align([entry.row.metric and entry.row.metric.value for entry in group])


def _head_group(group: Sequence[Entry]) -> str:
    scenario, batch = group[0].case
    metric = next((entry.row.metric for entry in group if entry.row.metric), None)
    text = f"{scenario}, batch {batch}"
    return f"{text}: the metric is {metric.name}, {metric.unit}" if metric else text


def _tell_threads(entry: Entry) -> str:
    row = entry.row
    return f"{row.threads}" if row.instances == 1 else f"{row.instances} × {row.threads}"
