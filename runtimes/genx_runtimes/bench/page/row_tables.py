"""The figures of each row, and why some have none."""

from __future__ import annotations

from collections.abc import Sequence

from genx_runtimes.bench.figures import Latency, Speedup
from genx_runtimes.bench.page.entries import Entry, group_cases
from genx_runtimes.bench.page.marks import draw_swatch
from genx_runtimes.bench.page.markup import Markup, element
from genx_runtimes.bench.page.numbers import UNKNOWN, align, count_decimals, pick
from genx_runtimes.bench.page.tables import Column, draw_fold, draw_table

_SIGNS = {"valid": "✓", "unstable": "~", "noisy": "≈", "failed": "✕"}
_QUANTILES = ("p90", "p95", "p99", "p999")


def draw_badge(verdict: str) -> Markup:
    """Return a verdict as a sign, a word and a colour."""
    sign = element("span", _SIGNS[verdict], aria_hidden="true")
    return element("span", sign, f" {verdict}", class_=f"badge {verdict}")


def name_entry(entry: Entry) -> Markup:
    """Return the contender with its sign from the plots."""
    return element("span", draw_swatch(entry.style, line=False), entry.label, class_="name")


def draw_rows(caption: str, entries: Sequence[Entry]) -> Markup:
    """Return all latencies, by scenario and batch size."""
    groups = group_cases(entries)
    shown = [entry for group in groups.values() for entry in group]
    latencies = [entry.row.latency for entry in shown]
    places = count_decimals(found.p50_ms for found in latencies if found)
    metrics = [cell for group in groups.values() for cell in _list_metrics(group, places)]
    columns = [
        Column(title="contender", cells=[name_entry(entry) for entry in shown], text=True),
        Column(title="", cells=[draw_badge(entry.row.verdict) for entry in shown], text=True),
        Column(title="metric", cells=metrics),
        _ms("p50", pick(latencies, "p50_ms"), places),
        Column(title="95 % of p50", cells=[_interval(found, places) for found in latencies]),
        Column(title="speed", cells=[_tell_speedup(entry.row.speedup) for entry in shown]),
        *(
            _ms(
                _title(name),
                pick(latencies, f"{name}_ms"),
                places,
            )
            for name in _QUANTILES
        ),
        _ms("mean", pick(latencies, "mean_ms"), places),
        _ms("best", pick(latencies, "best_ms"), places),
        Column(title="samples/s", cells=align([entry.row.samples_per_s for entry in shown], 1)),
        Column(title="calls", cells=align(pick(latencies, "count"), 0)),
        Column(title="slow", cells=align(pick(latencies, "outliers"), 0)),
        Column(title="threads", cells=[_tell_threads(entry) for entry in shown]),
    ]
    titles = [_head_group(group) for group in groups.values() for _ in group]
    return draw_table(caption, columns, groups=titles)


def draw_failures(entries: Sequence[Entry]) -> Markup:
    """Return the rows without figures, with their reasons; empty if all have some."""
    failed = [entry for entry in entries if entry.row.verdict == "failed"]
    return _draw_reasons("Contenders that could not be measured", failed)


def draw_doubts(entries: Sequence[Entry]) -> Markup:
    """Return what a reader must know of rows with figures, folded up; empty if there is nothing."""
    told = [e for e in entries if e.row.verdict != "failed" and e.row.reasons]
    title = f"What to know of {len(told)} of {len(entries)} rows"
    return draw_fold(title, _draw_reasons("Why figures are in doubt, or what they hold", told))


def _draw_reasons(caption: str, entries: Sequence[Entry]) -> Markup:
    """Return a line for each contender and reason, with all cases that it holds for."""
    same: dict[tuple[str, str, str, tuple[str, ...]], list[Entry]] = {}
    for entry in entries:
        row = entry.row
        same.setdefault((entry.label, row.bundle, row.verdict, row.reasons), []).append(entry)
    groups = list(same.values())
    rows = [group[0].row for group in groups]
    columns = [
        Column(title="contender", cells=[name_entry(group[0]) for group in groups], text=True),
        Column(title="", cells=[draw_badge(row.verdict) for row in rows], text=True),
        Column(title="reason", cells=["; ".join(row.reasons) for row in rows], prose=True),
        Column(title="cases", cells=[_list_cases(group) for group in groups], prose=True),
        Column(title="bundle", cells=[row.bundle for row in rows], text=True),
    ]
    return draw_table(caption, columns)


def _list_cases(entries: Sequence[Entry]) -> str:
    """Return `offline, batch 1, 4, 16; server, batch 16`."""
    batches: dict[str, list[str]] = {}
    for scenario, batch in group_cases(entries):
        batches.setdefault(scenario, []).append(str(batch))
    return "; ".join(f"{scenario}, batch {', '.join(all_)}" for scenario, all_ in batches.items())


def _ms(title: str, values: list[float | None], places: int) -> Column:
    return Column(title=f"{title}, ms", cells=align(values, places))


def _title(name: str) -> str:
    return "p99.9" if name == "p999" else name


def _interval(latency: Latency | None, places: int) -> str:
    found = latency and latency.p50_interval
    return f"{found.low:,.{places}f} to {found.high:,.{places}f}" if found else UNKNOWN


def _tell_speedup(speedup: Speedup | None) -> str:
    if speedup is None:
        return UNKNOWN
    found = speedup.interval
    text = f"{speedup.ratio:.2f} × {speedup.contender}"
    return f"{text}, {found.low:.2f} to {found.high:.2f}" if found else text


def _list_metrics(group: Sequence[Entry], places: int) -> list[str]:
    metrics = [entry.row.metric for entry in group]
    ms = any(metric and metric.unit == "ms" for metric in metrics)
    return align(pick(metrics, "value"), places if ms else 1)


def _head_group(group: Sequence[Entry]) -> str:
    scenario, batch = group[0].case
    metric = next((entry.row.metric for entry in group if entry.row.metric), None)
    text = f"{scenario}, batch {batch}"
    return f"{text}; metric: {metric.name}, {metric.unit}" if metric else text


def _tell_threads(entry: Entry) -> str:
    row = entry.row
    return f"{row.threads}" if row.instances == 1 else f"{row.instances} × {row.threads}"
