"""`genx bench`: how fast bundles sample on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genx_cli.options import AllowFallback, Force, Quiet, Threads
from genx_cli.sink import open_sink


def bench(  # noqa: PLR0913 - one parameter a flag
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles: NAME.genx.")],
    backend: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME,...",
            help="Engines, NAME or NAME:DEVICE; all: those that are installed; auto: the fastest, "
            "measured once on this machine.",
        ),
    ] = "onnxruntime",
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="P,P,...", help="Variants; all: every one; the first one if not given."
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Batch sizes; 1,4,16, or what the bundle allows."),
    ] = None,
    scenario: Annotated[
        str,
        typer.Option(
            metavar="S,S,...",
            help="MLPerf's: single-stream, multi-stream, offline, server; or all.",
        ),
    ] = "single-stream",
    latency_bound: Annotated[
        float,
        typer.Option(help="Scenario server: milliseconds that 99 % of the queries must keep."),
    ] = 50.0,
    threads: Threads = None,
    instances: Annotated[
        int, typer.Option(help="Scenario offline: sessions that share the work.")
    ] = 1,
    allow_fallback: AllowFallback = False,
    min_duration: Annotated[
        float, typer.Option(help="Timed seconds for each row, over all rounds.")
    ] = 10.0,
    rounds: Annotated[
        int,
        typer.Option(
            help="How often each contender is measured, in a new process; from 5 on three times "
            "as often while their ratio is not known to 2 %; in server 3 times at most."
        ),
    ] = 10,
    compare_torch: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Measure the original model in PyTorch as well."),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the report as JSON; - prints it, nothing else."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as one HTML page.")
    ] = None,
    nodes: Annotated[
        bool, typer.Option("--nodes", help="Show the ten heaviest nodes of each contender.")
    ] = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Measure latency and throughput of sampling; each contender runs in its own process.

    Exit code 1 if a case could not be measured. After Ctrl-C, what was measured by then is told.
    """
    from genx_cli.bench_table import tell_report
    from genx_cli.contenders import list_contenders, name_torch
    from genx_cli.failures import INTERRUPTED
    from genx_cli.next_steps import quote
    from genx_cli.reports import ReportFiles
    from genx_runtimes.bench import BenchOptions, parse_batches, parse_scenarios, run_bench
    from genx_runtimes.bundle import open_bundle

    files = ReportFiles(json=json, html=html, force=force)
    sink = open_sink(json=files.prints_json, quiet=quiet)
    options = BenchOptions(
        scenarios=parse_scenarios(scenario),
        batches=parse_batches(batch) if batch is not None else None,
        threads=threads,
        min_duration_s=min_duration,
        rounds=rounds,
        latency_bound_ms=latency_bound,
        allow_fallback=allow_fallback,
    )
    files.check()
    opened = [open_bundle(path) for path in bundles]
    contenders = [
        contender
        for bundle in opened
        for contender in list_contenders(
            sink, bundle, options, backend=backend, precision=precision, instances=instances
        )
    ]
    if compare_torch is not None:
        contenders.append(name_torch(compare_torch, opened))
    with sink.progress("starting") as progress:
        report = run_bench(contenders, options, progress=progress.step)
    tell_report(sink, report, nodes=nodes)
    for line in files.write(report):
        sink.say(line)
    if json is not None and not files.prints_json:
        sink.say(f"next: genx compare {quote(json)} OTHER.json")
    else:
        rest = "--backend all --precision all --html report.html"
        sink.say(f"next: genx bench {quote(bundles[0])} {rest}")
    if not report.complete:
        raise typer.Exit(INTERRUPTED)
    if report.failures:
        raise typer.Exit(1)
