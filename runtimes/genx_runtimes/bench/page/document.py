"""The page: what it holds, in which order, and the head that lets nothing in from outside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from genx_runtimes.bench.compare import compare_reports
from genx_runtimes.bench.page.bundle_section import draw_bundle
from genx_runtimes.bench.page.comparison import draw_comparison
from genx_runtimes.bench.page.device_section import draw_device
from genx_runtimes.bench.page.entries import Entry, gather_entries
from genx_runtimes.bench.page.markup import Markup, element, join
from genx_runtimes.bench.page.row_tables import draw_badge, draw_doubts, draw_failures
from genx_runtimes.bench.record import BenchReport, encode_report

_STYLE = Path(__file__).with_name("style.css")
Section = tuple[str, str, Markup]  # id, title, content


def make_page(reports: Sequence[BenchReport], names: Sequence[str] = ()) -> str:
    """Return one HTML file with the plots and tables of reports, and their JSON.

    It has no script and asks for nothing outside of itself; its security policy forbids both.

    Args:
        reports: one or more; ratios are to the first.
        names: of each report, short; empty for `report 1` and so on.

    Raises:
        InputError: a report has two rows for the same case.
    """
    named = tuple(names) or tuple(f"report {number + 1}" for number in range(len(reports)))
    entries = gather_entries(reports, named)
    sections = [
        *_list_sections(reports, named, entries),
        ("data", "Data", _draw_data(reports, named)),
    ]
    nav = [element("a", title, href=f"#{anchor}") for anchor, title, _ in sections]
    body = element(
        "body",
        _draw_header(reports, named),
        element("nav", *nav, aria_label="Sections"),
        element(
            "main",
            *(
                element("section", element("h2", title), content, id=anchor)
                for anchor, title, content in sections
            ),
        ),
    )
    page = element("html", _draw_head(reports), body, lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _list_sections(
    reports: Sequence[BenchReport], names: Sequence[str], entries: Sequence[Entry]
) -> list[Section]:
    sections = []
    if len(reports) > 1:
        table = draw_comparison(compare_reports(reports, names))
        sections.append(("comparison", "Comparison", table))
    troubles = join((draw_failures(entries), draw_doubts(entries)))
    if troubles:
        sections.append(("failures", "Failures and doubts", troubles))
    bundles = dict.fromkeys(entry.row.bundle for entry in entries)
    for number, bundle in enumerate(bundles):
        content = draw_bundle(bundle, [e for e in entries if e.row.bundle == bundle])
        sections.append((f"bundle-{number + 1}", bundle, content))
    for index, report in enumerate(reports):
        title = f"The machine of {names[index]}" if len(reports) > 1 else "The machine"
        content = draw_device(report, [entry for entry in entries if entry.report == index])
        sections.append((f"machine-{index + 1}", title, content))
    return sections


def _draw_head(reports: Sequence[BenchReport]) -> Markup:
    style = _STYLE.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"genx bench: {_name_bundles(reports)}"),
        element("style", Markup(style)),
    )


def _draw_header(reports: Sequence[BenchReport], names: Sequence[str]) -> Markup:
    several = len(reports) > 1
    lines = []
    for name, report in zip(names, reports, strict=True):
        device = report.device
        what = ", ".join((device.cpu, *device.gpus, f"{device.usable_cores} cores"))
        told = f"{name}: {what}" if several else what
        began = element("span", f" {report.created}", class_="aside")
        lines.append(element("li", draw_badge(report.verdict), f" {told}", began))
    notes = [
        element("p", f"{name}: {reason}" if several else reason, class_=kind)
        for name, report in zip(names, reports, strict=True)
        for kind, reason in (*_list_gaps(report), *(("note", text) for text in report.reasons))
    ]
    return element(
        "header",
        element("p", "genx bench", class_="eyebrow"),
        element("h1", _name_bundles(reports)),
        element("ul", *lines, class_="devices"),
        *notes,
    )


def _list_gaps(report: BenchReport) -> list[tuple[str, str]]:
    if report.complete:
        return []
    text = "The benchmark was interrupted: these are the rows that were finished by then."
    return [("warning", text)]


def _name_bundles(reports: Sequence[BenchReport]) -> str:
    names = dict.fromkeys(bundle.name for report in reports for bundle in report.bundles)
    return ", ".join(names)


def _draw_data(reports: Sequence[BenchReport], names: Sequence[str]) -> Markup:
    parts: list[Markup] = []
    for number, (name, report) in enumerate(zip(names, reports, strict=True), 1):
        file = base64.b64encode(encode_report(report)).decode()
        link = element(
            "a",
            f"Download {name} as JSON",
            href=f"data:application/json;base64,{file}",
            download=f"genx-bench-{number}.json",
        )
        # Only `<` could end a script element; in JSON it may be written as an escape.
        data = msgspec.json.encode(report).decode().replace("<", "\\u003c")
        parts.append(element("p", link))
        parts.append(
            element("script", Markup(data), type="application/json", id=f"report-{number}")
        )
    return join(parts)
