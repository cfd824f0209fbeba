"""Reports beside one another: ratios of their medians, with intervals."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from genx_runtimes.bench.figures import Interval, Metric
from genx_runtimes.bench.record import BenchReport, Row, Scenario, Verdict, decode_report
from genx_runtimes.errors import InputError

Key = tuple[str, str, int, Scenario]


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """What one report has of a line.

    Args:
        verdict: of the row; null where the report has no such row.
        p50_ms: the median latency.
        ratio: of the median to that of the first report, above 1 is slower; null for the first
            report, and in scenario `server`, where the medians are of different loads.
        interval: of that ratio, 95 %.
        metric: the scenario's figure.
        metric_ratio: of that figure to the first report's; its interval is not known.
    """

    verdict: Verdict | None = None
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
    """

    names: tuple[str, ...]
    bundles: tuple[BundleDigests, ...]
    lines: tuple[Line, ...]

    @property
    def same_bundles(self) -> bool:
        """Whether no bundle differs between reports."""
        return all(bundle.same for bundle in self.bundles)

    def regressions(self, limit: float) -> tuple[str, ...]:
        """Return what is slower than in the first report, or failed only later, in words.

        Args:
            limit: how much slower a median may be, 0.05 for 5 %. A row is slower where its ratio
                is above that and the whole interval of the ratio is above 1.

        Raises:
            InputError: no ratio is known, so that nothing can be judged.
        """
        if not any(cell.interval for line in self.lines for cell in line.cells):
            raise InputError(
                f"{', '.join(self.names)} have no measured case in common: nothing can be judged",
                fix="measure the same bundle with the same contenders and batch sizes",
            )
        return tuple(found for line in self.lines for found in self._judge(line, limit))

    def _judge(self, line: Line, limit: float) -> Iterator[str]:
        first = line.cells[0].verdict
        for name, cell in zip(self.names[1:], line.cells[1:], strict=True):
            if cell.verdict == "failed" and first not in (None, "failed"):
                yield f"{line.case}: failed in {name}"
            if cell.ratio is None or cell.interval is None:
                continue
            if cell.ratio > 1 + limit and cell.interval.low > 1:
                noisy = " (noisy)" if "noisy" in (first, cell.verdict) else ""
                low, high = cell.interval.low, cell.interval.high
                yield (
                    f"{line.case}: {cell.ratio:.3f} x as slow in {name}, "
                    f"{low:.3f} to {high:.3f}{noisy}"
                )


def read_report(path: Path) -> BenchReport:
    """Read a report from a file.

    Raises:
        InputError: it cannot be read, or is no report; the message names the file.
    """
    try:
        return decode_report(path.read_bytes())
    except OSError as err:
        raise InputError(
            f"cannot read {path}: {err.strerror or err}", fix="genx bench writes reports"
        ) from err
    except InputError as err:
        raise InputError(f"{path}: {err.message}", fix=err.fix) from err


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
        first = tables[0].get(key)
        cells = [
            _make_cell(table.get(key), None if table is tables[0] else first) for table in tables
        ]
        bundle, contender, batch, scenario = key
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
    )


def divide_medians(row: Row, first: Row) -> tuple[float, Interval] | None:
    """Return the ratio of two independent medians with its 95 % interval; None if one is unknown.

    The distances from each median to the ends of its own interval are added as squares, on a
    logarithmic scale: the method of variance estimates recovery. The intervals need be neither
    symmetric nor of the same width.

    Source: Zou and Donner, "Construction of confidence limits about effect measures: a general
    approach", Statistics in Medicine 27, 2008; its difference, here of logarithms.
    """
    if row.latency is None or first.latency is None:
        return None
    ends = []
    for latency in (row.latency, first.latency):
        values = (latency.p50_interval.low, latency.p50_ms, latency.p50_interval.high)
        if not all(0 < value < math.inf for value in values):
            return None
        ends.append(tuple(map(math.log, values)))
    (low, middle, high), (first_low, first_middle, first_high) = ends
    ratio = middle - first_middle
    below = math.hypot(middle - low, first_high - first_middle)
    above = math.hypot(high - middle, first_middle - first_low)
    interval = Interval(low=math.exp(ratio - below), high=math.exp(ratio + above))
    return math.exp(ratio), interval


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


def _make_cell(row: Row | None, first: Row | None) -> Cell:
    """Return what a report has of a line; `first` is None for the first report itself."""
    if row is None:
        return Cell()
    divided = None
    if first is not None and row.scenario != "server":
        divided = divide_medians(row, first)
    return Cell(
        verdict=row.verdict,
        p50_ms=row.latency.p50_ms if row.latency else None,
        ratio=divided[0] if divided else None,
        interval=divided[1] if divided else None,
        metric=row.metric,
        metric_ratio=_divide_metrics(row.metric, first.metric if first else None),
    )


def _divide_metrics(metric: Metric | None, first: Metric | None) -> float | None:
    if metric is None or first is None or (metric.name, metric.unit) != (first.name, first.unit):
        return None
    if not metric.value or not first.value:
        return None
    return metric.value / first.value
