"""A benchmark's report on the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from genx_cli.contenders import TORCH

if TYPE_CHECKING:
    from genx_cli.sink import Sink
    from genx_runtimes.bench import BenchReport, Row

_COLOURS = {"valid": "green", "unstable": "yellow", "noisy": "yellow", "failed": "red"}
# What is empty in all rows is no column.
_Cell = Callable[["Row"], object]


def tell_report(sink: Sink, report: BenchReport) -> None:
    """Print the rows that were measured, and what a reader must know of them."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    device = report.device
    for bundle in report.bundles:
        sink.say(f"{bundle.name} ({bundle.digest[:12]}), {_megabytes(bundle.bytes)} MB")
    sink.say(f"on {device.cpu or device.arch}, {device.usable_cores} usable cores, {device.os}")
    versions = report.versions | {n: v for row in report.rows for n, v in row.versions.items()}
    sink.say(", ".join(f"{name} {version}" for name, version in versions.items()))
    columns = _choose_columns(report)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name, numeric, _ in columns:
        table.add_column(name, justify="right" if numeric else "left", no_wrap=numeric)
    table.add_column("verdict")
    for row in report.rows:
        cells = [Text(str(cell(row) or "-")) for _, _, cell in columns]
        table.add_row(*cells, Text(row.verdict, style=_COLOURS[row.verdict]))
    sink.show(table)
    for row in report.rows:
        case = f"{row.contender}, {row.scenario}, batch {row.batch}"
        for reason in row.reasons:
            told = "was not measured" if row.verdict == "failed" else f"is {row.verdict}"
            sink.warn(f"{case} {told}: {reason}")
    if report.verdict == "noisy":
        sink.warn("noisy: these figures, ratios above all, say little; end what disturbs")
    for reason in report.reasons:
        sink.say(f"  {reason}")
    sink.say(f"  timed: {report.settings.boundary}")
    done = len(report.rows) - len(report.failures)
    sink.say(
        f"measured {done} of {len(report.rows)} cases, each in its own process, "
        f"{report.settings.min_duration_s:g} s over {report.settings.rounds} rounds in turn"
    )


def _choose_columns(report: BenchReport) -> list[tuple[str, bool, _Cell]]:
    """Return name, whether it is a number, and the cell of each column that tells something."""
    rows = report.rows
    columns: list[tuple[str, bool, _Cell]] = []
    if len(report.bundles) > 1:
        columns.append(("bundle", False, lambda row: row.bundle))
    columns.append(("contender", False, _name))
    if len({row.scenario for row in rows}) > 1:
        columns.append(("scenario", False, lambda row: row.scenario))
    columns += [
        ("batch", True, lambda row: str(row.batch)),
        ("p50 ms", True, lambda row: row.latency and f"{row.latency.p50_ms:.3f}"),
        ("95 % interval", True, _interval),
        ("p90 ms", True, lambda row: row.latency and _milliseconds(row.latency.p90_ms)),
        ("p99 ms", True, lambda row: row.latency and _milliseconds(row.latency.p99_ms)),
        ("samples/s", True, lambda row: row.samples_per_s and f"{row.samples_per_s:.1f}"),
        ("step ms", True, lambda row: _milliseconds(row.step_ms)),
        ("engine", True, _engine_share),
        ("of limit", True, lambda row: row.limit and f"{row.limit.of_limit:.0%}"),
        ("first s", True, _first),
        ("peak MB", True, _peak),
        ("J/sample", True, lambda row: row.energy and f"{row.energy.joules_per_sample:.3g}"),
        ("PSNR dB", True, lambda row: row.psnr_db and f"{row.psnr_db:.1f}"),
    ]
    if any(row.scenario in ("offline", "server") for row in rows):
        columns.append(("queries/s at bound", True, _rate))
    if any(row.backend == TORCH for row in rows):
        columns.append(("vs torch", True, lambda row: _speedup(report, row)))
    return [c for c in columns if any(c[2](row) for row in rows)]


def find_speedup(report: BenchReport, row: Row) -> float | None:
    """Return PyTorch's p50 at the same batch size and scenario over the row's; None without one."""
    for other in report.rows:
        same = (other.bundle, other.batch, other.scenario) == (row.bundle, row.batch, row.scenario)
        if same and other.backend == TORCH and other.latency and row.latency:
            return other.latency.p50_ms / row.latency.p50_ms
    return None


def _speedup(report: BenchReport, row: Row) -> str | None:
    ratio = find_speedup(report, row)
    return None if ratio is None else f"{ratio:.2f}x" + (" ?" if row.verdict == "noisy" else "")


def _name(row: Row) -> str:
    return f"{row.contender} x{row.instances}" if row.instances > 1 else row.contender


def _interval(row: Row) -> str | None:
    if row.latency is None:
        return None
    return f"{row.latency.p50_interval.low:.3f}-{row.latency.p50_interval.high:.3f}"


def _engine_share(row: Row) -> str | None:
    """Return the engine's part of a call."""
    if row.parts is None:
        return None
    parts = row.parts
    whole = parts.latents_ms + parts.engine_ms + parts.host_ms + parts.pixels_ms
    return f"{parts.engine_ms / whole:.0%}" if whole else None


def _first(row: Row) -> str | None:
    """Return the seconds from the start of the process to the first sample."""
    if row.cold is None:
        return None
    return f"{row.cold.import_s + row.cold.load_s + row.cold.first_sample_s:.2f}"


def _peak(row: Row) -> str | None:
    peak = row.memory and row.memory.peak_resident
    return _megabytes(peak) if peak else None


def _rate(row: Row) -> str | None:
    if row.scenario != "server" or row.metric is None or row.metric.value is None:
        return None
    return f"{row.metric.value:.1f}"


def _milliseconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f}" if count < 1e8 else f"{count / 1e6:.0f}"
