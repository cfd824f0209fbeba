"""A benchmark's report on the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from genx_cli.sink import Sink
    from genx_runtimes.bench import BenchReport, Row
    from genx_runtimes.bench.figures import Limit

_COLOURS = {"valid": "green", "unstable": "yellow", "noisy": "yellow", "failed": "red"}
_TEXTS = ("bundle", "contender", "scenario", "verdict")
# Its name, and what a row has in it; one that is empty in all rows is not shown.
_Column = tuple[str, Callable[["Row"], object]]


def tell_report(sink: Sink, report: BenchReport, *, nodes: bool = False) -> None:
    """Print the rows that were measured, and what a reader must know of them.

    Args:
        sink: of the running command.
        report: what was measured.
        nodes: whether the heaviest nodes are shown too.
    """
    device = report.device
    for bundle in report.bundles:
        sink.say(f"{bundle.name} ({bundle.digest[:12]}), {_megabytes(bundle.bytes)} MB")
    sink.say(f"on {device.cpu or device.arch}, {device.usable_cores} usable cores, {device.os}")
    versions = report.versions | {n: v for row in report.rows for n, v in row.versions.items()}
    sink.say(", ".join(f"{name} {version}" for name, version in versions.items()))
    sink.show(_make_table(report.rows, _choose_columns(report)))
    examined = _choose_examined(report.rows)
    if examined:
        sink.say("where the time of a call goes, the first sample of a process, memory")
        sink.show(_make_table(examined, _choose_parts(report)))
    for row in examined if nodes else ():
        if row.limit:
            sink.say(f"heaviest nodes of {row.contender}, batch {row.batch}")
            sink.show(_list_nodes(row.limit))
    _warn(sink, report)
    for reason in report.reasons:
        sink.say(f"  {reason}")
    sink.say(f"  timed: {report.settings.boundary}")
    done = len(report.rows) - len(report.failures)
    sink.say(
        f"measured {done} of {len(report.rows)} cases, each in its own process, "
        f"{report.settings.min_duration_s:g} s over {report.settings.rounds} rounds in turn"
    )


def _choose_examined(rows: Sequence[Row]) -> list[Row]:
    """Return a row for each contender and batch size, one whose calls were examined if there is."""
    chosen: dict[tuple[str, str, int], Row] = {}
    for row in rows:
        key = (row.bundle, row.contender, row.batch)
        if row.cold and (key not in chosen or row.parts):
            chosen[key] = row
    return list(chosen.values())


def _warn(sink: Sink, report: BenchReport) -> None:
    """Say what failed, each, and of what cannot be believed how many and one example."""
    for row in report.failures:
        sink.warn(f"{_name_case(row)} was not measured: {'; '.join(row.reasons)}")
    for verdict in ("noisy", "unstable", "valid"):
        rows = [row for row in report.rows if row.verdict == verdict and row.reasons]
        if rows:
            said = f"{len(rows)} of {len(report.rows)} rows are {verdict}"
            if verdict == "valid":
                said = "worth knowing"
            sink.warn(f"{said}: {_name_case(rows[0])}: {'; '.join(rows[0].reasons)}")
    if report.verdict == "noisy":
        sink.warn("figures of noisy rows, ratios above all, say little; end what disturbs")


def _name_case(row: Row) -> str:
    return f"{row.contender}, {row.scenario}, batch {row.batch}"


def _make_table(rows: Sequence[Row], columns: Sequence[_Column]) -> Table:
    """Return rich's table of the columns that tell something of some row."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    told = [column for column in columns if any(column[1](row) for row in rows)]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name, _ in told:
        table.add_column(name, justify="left" if name in _TEXTS else "right", no_wrap=True)
    for row in rows:
        cells = [
            Text(str(cell(row) or "-"), style=_COLOURS[row.verdict] if name == "verdict" else "")
            for name, cell in told
        ]
        table.add_row(*cells)
    return table


def _list_nodes(limit: Limit) -> Table:
    """Return a table of the heaviest nodes, and how far each is from the machine's limit."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("component", "node", "kind"):
        table.add_column(name)
    for name in ("ms", "share", "of limit"):
        table.add_column(name, justify="right")
    for node in limit.nodes:
        reached = "-" if node.of_limit is None else f"{node.of_limit:.0%}"
        texts = (node.component, node.name, node.kind, f"{node.ms:.3f}", f"{node.share:.0%}")
        table.add_row(*map(Text, texts), reached)
    return table


def _choose_columns(report: BenchReport) -> list[_Column]:
    """Return name and cell of each column of the latencies."""
    rows = report.rows
    columns = _choose_names(report)
    if len({row.scenario for row in rows}) > 1:
        columns.append(("scenario", lambda row: row.scenario))
    columns += [
        ("batch", lambda row: str(row.batch)),
        ("p50 ms", lambda row: row.latency and f"{row.latency.p50_ms:.3f}"),
        ("95 % interval", _interval),
        ("p90 ms", lambda row: row.latency and _milliseconds(row.latency.p90_ms)),
        ("p99 ms", lambda row: row.latency and _milliseconds(row.latency.p99_ms)),
        ("samples/s", lambda row: row.samples_per_s and f"{row.samples_per_s:.1f}"),
        ("at bound 1/s", _rate),
        ("of limit", lambda row: row.limit and f"{row.limit.of_limit:.0%}"),
    ]
    if any(row.speedup for row in rows):
        columns.append((_name_speedup(report), lambda row: _speedup(report, row)))
    return [*columns, ("verdict", lambda row: row.verdict)]


def _choose_parts(report: BenchReport) -> list[_Column]:
    """Return name and cell of each column of what does not depend on the scenario."""
    return [
        *_choose_names(report),
        ("batch", lambda row: str(row.batch)),
        ("latents ms", lambda row: row.parts and _milliseconds(row.parts.latents_ms)),
        ("engine", lambda row: row.parts and _milliseconds(row.parts.engine_ms)),
        ("host", lambda row: row.parts and _milliseconds(row.parts.host_ms)),
        ("pixels", lambda row: row.parts and _milliseconds(row.parts.pixels_ms)),
        ("files", lambda row: row.parts and _milliseconds(row.parts.encoding_ms)),
        ("steps", lambda row: row.steps if row.steps > 1 else None),
        ("step ms", lambda row: _milliseconds(row.step_ms)),
        ("import s", lambda row: row.cold and f"{row.cold.import_s:.2f}"),
        ("load s", lambda row: row.cold and f"{row.cold.load_s:.2f}"),
        ("first s", lambda row: row.cold and f"{row.cold.first_sample_s:.3f}"),
        ("peak MB", _peak),
        ("installed MB", _installed),
        ("J/sample", lambda row: row.energy and f"{row.energy.joules_per_sample:.3g}"),
        ("PSNR dB", lambda row: row.psnr_db and f"{row.psnr_db:.1f}"),
    ]


def _choose_names(report: BenchReport) -> list[_Column]:
    columns: list[_Column] = []
    if len(report.bundles) > 1:
        columns.append(("bundle", lambda row: row.bundle))
    return [*columns, ("contender", _name)]


def _name_speedup(report: BenchReport) -> str:
    """Return `vs torch`, or `vs first` where the rows are held against several contenders."""
    names = {row.speedup.contender for row in report.rows if row.speedup}
    return f"vs {names.pop()}" if len(names) == 1 else "vs first"


def _speedup(report: BenchReport, row: Row) -> str | None:
    """Return `1.81x 1.76-1.87`, marked where one of the two was disturbed or never settled."""
    found = row.speedup
    if found is None:
        return None
    case = (row.bundle, row.batch, row.scenario)
    alike = (o for o in report.rows if (o.bundle, o.batch, o.scenario) == case)
    pair = [row, *(o for o in alike if o.contender == found.contender)]
    text = f"{found.ratio:.2f}x"
    if found.interval is not None:
        text += f" {found.interval.low:.2f}-{found.interval.high:.2f}"
    return text + (" ?" if any(r.verdict in ("noisy", "unstable") for r in pair) else "")


def _name(row: Row) -> str:
    return f"{row.contender} x{row.instances}" if row.instances > 1 else row.contender


def _interval(row: Row) -> str | None:
    found = row.latency and row.latency.p50_interval
    return f"{found.low:.3f}-{found.high:.3f}" if found else None


def _peak(row: Row) -> str | None:
    peak = row.memory and row.memory.peak_resident
    return _megabytes(peak) if peak else None


def _installed(row: Row) -> str | None:
    size = row.memory and row.memory.installed
    return _megabytes(size) if size else None


def _rate(row: Row) -> str | None:
    if row.scenario != "server" or row.metric is None or row.metric.value is None:
        return None
    return f"{row.metric.value:.1f}"


def _milliseconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f}" if count < 1e8 else f"{count / 1e6:.0f}"
