"""Reports beside one another: ratios of what their cases cost, with intervals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from genx_runtimes.bench.figures import Interval, Metric
from genx_runtimes.bench.ratio import divide_rounds, divide_runs
from genx_runtimes.bench.record import BenchReport, Row, Scenario, Verdict
from genx_runtimes.errors import InputError

Key = tuple[str, str, int, Scenario]


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """What one report has of a line.

    Args:
        verdict: of the row; null where the report has no such row.
        threads: engine threads of each instance.
        instances: sessions that shared the work.
        in_turns: whether it took turns with other contenders.
        p50_ms: the median latency.
        ratio: of the median to that of the first report, in `offline` of the time a sample takes;
            above 1 is slower. Null for the first report, and in scenario `server`, where the
            medians are of different loads.
        interval: of that ratio, 95 %; null where a report has a single round.
        metric: the scenario's figure.
        metric_ratio: of that figure to the first report's, its interval is not known; null in
            `server` where the latency bounds differ.
    """

    verdict: Verdict | None = None
    threads: int | None = None
    instances: int | None = None
    in_turns: bool = False
    p50_ms: float | None = None
    ratio: float | None = None
    interval: Interval | None = None
    metric: Metric | None = None
    metric_ratio: float | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """The same case in all reports: `cells` are in the reports' order."""

    bundle: str
    contender: str
    batch: int
    scenario: Scenario
    cells: tuple[Cell, ...]

    @property
    def case(self) -> str:
        """Return which case it is, in words."""
        return f"{self.bundle}: {self.contender}, batch {self.batch}, {self.scenario}"

    @property
    def is_shared(self) -> bool:
        """Whether the first report and another one have it."""
        first, *others = self.cells
        return first.verdict is not None and any(cell.verdict for cell in others)


class BundleDigests(msgspec.Struct, frozen=True, kw_only=True):
    """The SHA-256 of a bundle's manifest in each report; null where it was not measured."""

    name: str
    digests: tuple[str | None, ...]

    @property
    def same(self) -> bool:
        """Whether all reports that have it measured the same one."""
        return len({digest for digest in self.digests if digest is not None}) == 1


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Reports beside one another.

    Args:
        names: of the reports; ratios are to the first.
        bundles: of all reports.
        lines: one for each bundle, contender, batch size and scenario of any report.
        differences: what else is not the same, in words: threads, instances, latency bounds, a
            report that was interrupted.
    """

    names: tuple[str, ...]
    bundles: tuple[BundleDigests, ...]
    lines: tuple[Line, ...]
    differences: tuple[str, ...] = ()

    @property
    def same_bundles(self) -> bool:
        """Whether no bundle differs between reports."""
        return all(bundle.same for bundle in self.bundles)

    def regressions(self, limit: float) -> tuple[str, ...]:
        """Return what is slower than in the first report, failed only later or is missing.

        Args:
            limit: how much slower a case may be, 0.05 for 5 %. It is slower where its ratio is
                above that and the whole interval of the ratio is above 1.

        Raises:
            InputError: no ratio has an interval, so that nothing can be judged.
        """
        if not any(line.is_shared for line in self.lines):
            raise InputError(
                f"{', '.join(self.names)} have no measured case in common: nothing can be judged",
                fix="measure the same bundle with the same contenders and batch sizes",
            )
        found = tuple(text for line in self.lines for text in self._judge(line, limit))
        if not found and not any(cell.interval for line in self.lines for cell in line.cells):
            raise self._refuse()
        return found

    def _judge(self, line: Line, limit: float) -> Iterator[str]:
        first = line.cells[0].verdict
        for name, cell in zip(self.names[1:], line.cells[1:], strict=True):
            if first not in (None, "failed") and cell.verdict in (None, "failed"):
                yield f"{line.case}: {cell.verdict or 'missing'} in {name}"
            if cell.ratio is None or cell.interval is None:
                continue
            if cell.ratio > 1 + limit and cell.interval.low > 1:
                noisy = " (noisy)" if "noisy" in (first, cell.verdict) else ""
                low, high = cell.interval.low, cell.interval.high
                yield (
                    f"{line.case}: {cell.ratio:.3f} x as slow in {name}, "
                    f"{low:.3f} to {high:.3f}{noisy}"
                )

    def _refuse(self) -> InputError:
        """Return why nothing can be judged, though there are cases in common."""
        shared = [line for line in self.lines if line.is_shared]
        if all(line.cells[0].verdict == "failed" for line in shared):
            return InputError(
                f"every case failed in {self.names[0]}: nothing can be judged",
                fix="take a report as the first one whose cases were measured",
            )
        if all(line.scenario == "server" for line in shared):
            return InputError(
                "scenario server alone was measured, whose medians are of different loads: nothing "
                "can be judged",
                fix="measure another one as well: --scenario single-stream,server",
            )
        return InputError(
            "no ratio has an interval: a single round does not tell what the next one would be",
            fix="genx bench --rounds 3, or more",
        )


def compare_reports(reports: Sequence[BenchReport], names: Sequence[str]) -> Comparison:
    """Put the rows of reports beside those of the first, by bundle, contender, batch and scenario.

    Args:
        reports: two or more.
        names: of each report.

    Raises:
        InputError: a report has two rows for the same case.
    """
    tables = [_index(report, name) for report, name in zip(reports, names, strict=True)]
    keys = dict.fromkeys(key for table in tables for key in table)
    lines = []
    for key in keys:
        bundle, contender, batch, scenario = key
        cells = [_make_cell(tables[0].get(key))]
        for table, report in zip(tables[1:], reports[1:], strict=True):
            cells.append(_divide(table.get(key), tables[0].get(key), report, reports[0]))
        lines.append(
            Line(
                bundle=bundle,
                contender=contender,
                batch=batch,
                scenario=scenario,
                cells=tuple(cells),
            )
        )
    digests = [{bundle.name: bundle.digest for bundle in report.bundles} for report in reports]
    bundles = dict.fromkeys(name for found in digests for name in found)
    return Comparison(
        names=tuple(names),
        bundles=tuple(
            BundleDigests(name=name, digests=tuple(found.get(name) for found in digests))
            for name in bundles
        ),
        lines=tuple(lines),
        differences=tuple(_list_differences(reports, names, lines)),
    )


def parse_percentage(text: str) -> float:
    """Parse `5%` as 0.05.

    Raises:
        InputError: no percentage of 0 or more.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text, re.ASCII)
    if match is None:
        raise InputError(f"--fail-over {text!r} is no percentage", fix="--fail-over 5%")
    return float(match[1]) / 100


def _index(report: BenchReport, name: str) -> dict[Key, Row]:
    table: dict[Key, Row] = {}
    for row in report.rows:
        key = (row.bundle, row.contender, row.batch, row.scenario)
        if key in table:
            raise InputError(f"{name} has two rows of {row.contender}, batch {row.batch}")
        table[key] = row
    return table


def _make_cell(row: Row | None) -> Cell:
    """Return what a report has of a line, without its ratio to another."""
    if row is None:
        return Cell()
    return Cell(
        verdict=row.verdict,
        threads=row.threads,
        instances=row.instances,
        in_turns=bool(row.round_slices_ms),
        p50_ms=row.latency.p50_ms if row.latency else None,
        metric=row.metric,
    )


def _divide(row: Row | None, first: Row | None, report: BenchReport, base: BenchReport) -> Cell:
    """Return what a report has of a line, beside what the first report has."""
    cell = _make_cell(row)
    if row is None or first is None:
        return cell
    is_same_run = (report.created, report.device) == (base.created, base.device)
    divided = divide_rounds(row, first) if is_same_run else divide_runs(row, first)
    bounds = {r.settings.latency_bound_ms for r in (report, base)}
    is_bound_alike = row.scenario != "server" or len(bounds) == 1
    return replace(
        cell,
        ratio=divided[0] if divided else None,
        interval=divided[1] if divided else None,
        metric_ratio=_divide_metrics(row.metric, first.metric) if is_bound_alike else None,
    )


def _list_differences(
    reports: Sequence[BenchReport], names: Sequence[str], lines: Sequence[Line]
) -> Iterator[str]:
    """Say what was measured otherwise than in the first report."""
    for report, name in zip(reports, names, strict=True):
        if not report.complete:
            yield f"{name} was interrupted: it holds what was measured by then"
    bounds = [report.settings.latency_bound_ms for report in reports]
    if len(set(bounds)) > 1 and any(li.scenario == "server" and li.is_shared for li in lines):
        told = ", ".join(f"{b:g} ms in {name}" for b, name in zip(bounds, names, strict=True))
        yield f"latency bounds differ, {told}: rates of scenario server are not compared"
    for place, name in enumerate(names[1:], 1):
        yield from _tell_turns(names, place, lines)
        apart = [
            line
            for line in lines
            if None not in (line.cells[0].threads, line.cells[place].threads)
            and _tell_threads(line.cells[0]) != _tell_threads(line.cells[place])
        ]
        if apart:
            first, other = apart[0].cells[0], apart[0].cells[place]
            yield (
                f"threads differ in {name}, cases: {len(apart)}, such as {apart[0].case}: "
                f"{_tell_threads(first)} in {names[0]}, {_tell_threads(other)} in {name}"
            )


def _tell_turns(names: Sequence[str], place: int, lines: Sequence[Line]) -> Iterator[str]:
    """Say where contenders took turns in one of two reports alone."""
    pairs = [(line, line.cells[0], line.cells[place]) for line in lines]
    apart = [
        (line, first)
        for line, first, other in pairs
        if None not in (first.p50_ms, other.p50_ms) and first.in_turns != other.in_turns
    ]
    if apart:
        line, first = apart[0]
        where = names[0] if first.in_turns else names[place]
        other = names[place] if first.in_turns else names[0]
        yield (
            f"contenders took turns in {where} and not in {other}, cases: {len(apart)}, "
            f"such as {line.case}"
        )


def _tell_threads(cell: Cell) -> str:
    many = cell.instances is not None and cell.instances > 1
    return f"{cell.instances} x {cell.threads}" if many else f"{cell.threads}"


def _divide_metrics(metric: Metric | None, first: Metric | None) -> float | None:
    if metric is None or first is None or (metric.name, metric.unit) != (first.name, first.unit):
        return None
    if not metric.value or not first.value:
        return None
    return metric.value / first.value
