"""`genx compare`: reports of `genx bench` beside one another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genx_cli.options import Quiet
from genx_cli.sink import Sink, open_sink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genx_runtimes.bench.compare import Cell, Comparison, Line
    from genx_runtimes.bench.record import BenchReport


def compare(
    reports: Annotated[
        list[Path],
        typer.Argument(metavar="REPORT...", help="Reports of genx bench; ratios are to the first."),
    ],
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write one page with the plots of all reports."),
    ] = None,
    fail_over: Annotated[
        str | None,
        typer.Option(
            metavar="P%",
            help="Exit code 1 if a case is slower than in the first report by more than that, and "
            "its interval says that it is slower; or if it failed or is missing.",
        ),
    ] = None,
    same_bundle: Annotated[
        bool,
        typer.Option("--same-bundle", help="Exit code 1 if a bundle is not the same in all."),
    ] = False,
    json: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the comparison as JSON; - prints it, nothing else."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Put reports beside one another: ratios to the first report, with 95 % intervals."""
    import msgspec

    from genx_cli.reports import ReportFiles
    from genx_runtimes.bench.compare import compare_reports, parse_percentage
    from genx_runtimes.bench.page import make_page
    from genx_runtimes.bench.record import read_report
    from genx_runtimes.errors import InputError

    files = ReportFiles(json=json, html=html, force=force)
    sink = open_sink(json=files.prints_json, quiet=quiet)
    limit = None if fail_over is None else parse_percentage(fail_over)
    if len(reports) < 2:
        raise InputError(
            f"{reports[0]} alone: there is nothing to compare it with",
            fix="genx compare FIRST.json OTHER.json",
        )
    files.check()
    read = [read_report(path) for path in reports]
    names = _name_reports(reports)
    comparison = compare_reports(read, names)
    slower = () if limit is None else comparison.regressions(limit)
    _tell(sink, comparison, read)
    result = {
        "same_bundles": comparison.same_bundles,
        "slower": slower,
        **msgspec.to_builtins(comparison),
    }
    if html is not None:
        _write(html, make_page(read, names).encode())
        sink.say(f"wrote {html}: all reports as one page")
    if json is not None and not files.prints_json:
        _write(json, msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
        sink.say(f"wrote {json}: the comparison")
    for line in slower:
        sink.warn(f"slower: {line}")
    if limit is not None:
        judged = f"{len(slower)} slower by more than {fail_over}" if slower else "none is slower"
        sink.say(f"judged {_count(comparison)} ratios: {judged}")
    sink.say(f"next: {_suggest(reports, html, fail_over)}")
    differs = same_bundle and not comparison.same_bundles
    sink.finish(result)
    if slower or differs:
        raise typer.Exit(1)


def _name_reports(paths: Sequence[Path]) -> list[str]:
    """Return the names of the files, or the whole paths where two names are equal."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]


def _tell(sink: Sink, comparison: Comparison, reports: Sequence[BenchReport]) -> None:
    for name, report in zip(comparison.names, reports, strict=True):
        device = report.device
        machine = ", ".join((device.cpu, *device.gpus, f"{device.usable_cores} cores"))
        sink.say(f"{name}: {machine}; {report.created}, {report.verdict}")
    for bundle in comparison.bundles:
        if bundle.same:
            sink.say(f"  {bundle.name}: the same bundle")
        else:
            sink.warn(
                f"different bundle: {bundle.name} is not the same in all reports, these ratios "
                "compare models, not only machines"
            )
    for difference in comparison.differences:
        sink.warn(difference)
    columns = ["case", "batch", "scenario"]
    for place, name in enumerate(comparison.names):
        columns += [f"{name} ms  "]
        columns += ["ratio", "95 %", "metric"] if place else []
    several = len(comparison.bundles) > 1
    sink.table(columns, [_cells(line, several) for line in comparison.lines])
    verdicts = {cell.verdict for line in comparison.lines for cell in line.cells}
    if verdicts & {"noisy", "unstable"}:
        sink.say("  ? noisy or unstable: the machine was disturbed, or never settled")
    sink.say(
        "  ms: medians; ratio: to the median of the first report, in offline of the time a sample "
        "takes, above 1 is slower; metric: the ratio of p90 or p99 latency, or of samples/s"
    )


def _cells(line: Line, several: bool) -> list[str]:
    case = f"{line.bundle}: {line.contender}" if several else line.contender
    cells = [case, str(line.batch), line.scenario]
    for place, cell in enumerate(line.cells):
        cells.append(_format_median(cell))
        if place:
            found = cell.interval
            cells.append("-" if cell.ratio is None else f"{cell.ratio:.3f}")
            cells.append("-" if found is None else f"{found.low:.3f} to {found.high:.3f}")
            cells.append("-" if cell.metric_ratio is None else f"{cell.metric_ratio:.3f}")
    return cells


def _format_median(cell: Cell) -> str:
    if cell.p50_ms is None:
        return f"{cell.verdict or '-'}  "
    return f"{cell.p50_ms:.3f}" + (" ?" if cell.verdict in ("noisy", "unstable") else "  ")


def _count(comparison: Comparison) -> int:
    return sum(cell.interval is not None for line in comparison.lines for cell in line.cells)


def _write(path: Path, data: bytes) -> None:
    from genx_runtimes.writing import write_whole

    with write_whole(path) as file:
        file.write(data)


def _suggest(reports: Sequence[Path], html: Path | None, fail_over: str | None) -> str:
    """Return the same command with what was not asked for yet."""
    from genx_cli.next_steps import quote

    words = " ".join(("genx compare", *map(quote, reports)))
    if html is None:
        return f"{words} --html compare.html"
    return f"{words} --fail-over 5%" if fail_over is None else f"{words} --json -"
