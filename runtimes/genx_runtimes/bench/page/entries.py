"""The rows of all reports on a page, each with the device it is from and how it is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genx_runtimes.bench.page.marks import Data, Style, draw_swatch
from genx_runtimes.bench.page.plot import Legend
from genx_runtimes.bench.record import SCENARIOS, BenchReport, Row, Scenario

Case = tuple[Scenario, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row on the page.

    Args:
        report: which of the page's reports it is from.
        device: the name of that report; empty where the page has one report only.
        row: the figures.
        style: the same for all rows of a contender and report.
    """

    report: int
    device: str
    row: Row
    style: Style

    @property
    def label(self) -> str:
        """Return the contender, and where it ran if that is not clear."""
        return f"{self.row.contender} · {self.device}" if self.device else self.row.contender

    @property
    def case(self) -> Case:
        """Return scenario and batch size."""
        return self.row.scenario, self.row.batch

    @property
    def data(self) -> dict[str, Data]:
        """Return what tells a mark from others; see `draw_point`."""
        row = self.row
        return {
            "report": self.report,
            "bundle": row.bundle,
            "contender": row.contender,
            "scenario": row.scenario,
            "batch": row.batch,
        }


def gather_entries(reports: Sequence[BenchReport], names: Sequence[str]) -> list[Entry]:
    """Return the rows of reports in their order, contenders in the same colours everywhere."""
    several = len(reports) > 1
    contenders = dict.fromkeys(row.contender for report in reports for row in report.rows)
    colours = {contender: colour for colour, contender in enumerate(contenders)}
    return [
        Entry(
            report=index,
            device=names[index] if several else "",
            row=row,
            style=Style(
                colour=colours[row.contender],
                shape=index if several else colours[row.contender],
                dash=index,
            ),
        )
        for index, report in enumerate(reports)
        for row in report.rows
    ]


def group_cases(entries: Iterable[Entry]) -> dict[Case, list[Entry]]:
    """Return entries by scenario and batch size, in MLPerf's order, small batches first."""
    groups: dict[Case, list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: (SCENARIOS.index(e.row.scenario), e.row.batch)):
        groups.setdefault(entry.case, []).append(entry)
    return groups


def sort_cases(entries: Iterable[Entry]) -> tuple[list[Entry], list[str]]:
    """Return entries case by case, and the name of the case of each."""
    ordered = [entry for group in group_cases(entries).values() for entry in group]
    return ordered, [f"{entry.row.scenario}, batch {entry.row.batch}" for entry in ordered]


def list_legend(entries: Iterable[Entry], *, line: bool, point: bool = True) -> list[Legend]:
    """Return a legend with each series once."""
    series = {entry.label: entry.style for entry in entries}
    return [
        Legend(sign=draw_swatch(style, line=line, point=point), text=label)
        for label, style in series.items()
    ]


def can_draw(*values: float | None) -> bool:
    """Return whether numbers from a file can lie on a logarithmic axis."""
    return all(value is not None and 0 < value < math.inf for value in values)
