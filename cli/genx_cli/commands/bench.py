"""`genx bench`: how fast a bundle samples on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from genx_cli.options import (
    AllowFallback,
    AsJson,
    BackendName,
    BundlePath,
    Precision,
    Quiet,
    Threads,
)
from genx_cli.sink import Sink, open_sink

if TYPE_CHECKING:
    from genx_runtimes.bench import BenchReport, Contender, Row

_TORCH = "torch"


def bench(
    bundle: BundlePath,
    batch: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Batch sizes; 1,4,16, or what the bundle allows."),
    ] = None,
    backend: BackendName = "onnxruntime",
    precision: Precision = None,
    threads: Threads = None,
    allow_fallback: AllowFallback = False,
    min_duration: Annotated[
        float, typer.Option(help="Timed seconds for each contender and batch size.")
    ] = 2.0,
    rounds: Annotated[int, typer.Option(help="How often the contenders take turns.")] = 3,
    compare_torch: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Measure the original model in PyTorch as well."),
    ] = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure latency and throughput of sampling; each contender runs in its own process.

    Exit code 1 if a case could not be measured.
    """
    from dataclasses import replace

    from genx_cli.engines import EngineChoice, settle_engine
    from genx_cli.next_steps import suggest_sampling
    from genx_runtimes.bench import BenchOptions, genx_contender, parse_batches, run_bench
    from genx_runtimes.bench.options import choose_batches
    from genx_runtimes.bundle import open_bundle

    sink = open_sink(json=json, quiet=quiet)
    options = BenchOptions(
        batches=parse_batches(batch) if batch is not None else None,
        precision=precision,
        threads=threads,
        min_duration_s=min_duration,
        rounds=rounds,
        allow_fallback=allow_fallback,
    )
    opened = open_bundle(bundle)
    engine = settle_engine(
        sink,
        opened,
        EngineChoice(
            backend=backend, precision=precision, threads=threads, allow_fallback=allow_fallback
        ),
        batch=choose_batches(options.batches, opened.manifest.batch)[0],
    )
    options = replace(options, precision=engine.precision, threads=engine.options.threads)
    contenders = [genx_contender(engine.backend, opened.variant(engine.precision).name)]
    if compare_torch is not None:
        contenders.append(_torch_contender(compare_torch))
    with sink.progress("starting") as progress:
        report = run_bench(opened, contenders, options, before_case=progress.step)
    _tell(sink, report)
    sink.say(f"next: {suggest_sampling(bundle, opened.manifest)}")
    sink.finish(_to_result(report))
    if report.failures:
        raise typer.Exit(1)


def _torch_contender(source: str) -> Contender:
    from genx_cli.extras import require_extra
    from genx_runtimes.bench import Contender

    require_extra("export", "--compare-torch")
    # Named, not imported: torch belongs into the contender's process and nowhere else.
    return Contender(name=_TORCH, module="genx_export.torch_contender", source=source)


def _tell(sink: Sink, report: BenchReport) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    sink.say(f"{report.bundle} {report.variant} ({report.digest[:12]}) on {report.cpu}")
    sink.say(f"  threads: {report.threads}, usable cores: {report.cores}; {versions}")
    compared = any(row.contender == _TORCH for row in report.rows)
    columns = ["contender", "batch", "p50 ms", "p90 ms", "p99 ms", "samples/s", "calls"]
    if compared:
        columns.append("vs torch")
    sink.table(columns, [_cells(report, row, compared) for row in report.rows])
    for row in report.rows:
        case = f"{row.contender}, batch {row.batch}"
        if row.failure:
            sink.warn(f"{case} was not measured: {row.failure}")
        elif not row.stable:
            sink.warn(f"{case} never was stable: medians still {row.spread:.0%} apart")
        for note in row.notes:
            sink.warn(f"{case}: {note}")
    disturbed = [row.waiting for row in report.rows if row.disturbed and row.waiting is not None]
    if disturbed:
        sink.warn(
            f"threads waited {max(disturbed):.0%} of the time for cores that other programs used: "
            f"these figures, ratios above all, say little; end those programs and measure again"
        )
    sink.say(f"  timed: {report.boundary}")
    sink.say(
        f"measured {len(report.rows) - len(report.failures)} of {len(report.rows)} cases, each in "
        f"its own process, {report.min_duration_s:g} s over {report.rounds} rounds in turn"
    )


def _cells(report: BenchReport, row: Row, compared: bool) -> list[str]:
    shown = row.latency
    cells = [row.contender, str(row.batch)]
    if shown is None:
        cells += ["failed", *("-" * 4)]
    else:
        cells += [f"{ms:.3f}" for ms in (shown.p50_ms, shown.p90_ms, shown.p99_ms)]
        cells += [f"{shown.samples_per_s:.1f}", str(shown.count)]
    if compared:
        ratio = report.speedup(row, _TORCH)
        doubt = " ?" if any(r.disturbed for r in report.rows if r.batch == row.batch) else ""
        cells.append("-" if ratio is None else f"{ratio:.2f}x{doubt}")
    return cells


def _to_result(report: BenchReport) -> dict[str, object]:
    from dataclasses import asdict

    rows = [{**asdict(row), "speedup_vs_torch": report.speedup(row, _TORCH)} for row in report.rows]
    return {**asdict(report), "rows": rows}
