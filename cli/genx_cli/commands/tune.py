"""`genx tune`: find the fastest way to run a bundle on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from genx_cli.options import AsJson, BundlePath, Quiet
from genx_cli.sink import open_sink


def tune(
    bundle: BundlePath,
    goal: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="GOAL",
            help="latency: the shortest call, for --backend auto; throughput: the most samples a "
            "second, from several sessions and batch sizes.",
        ),
    ] = "latency",
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Batch sizes: each tuned for latency, 1 and 16 if not given; chosen from for "
            "throughput, 1, 4, 16, 64. As the bundle allows.",
        ),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="The only variant to consider; all if not given.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="The only number of threads a session; several are tried if not given."),
    ] = None,
    min_psnr: Annotated[
        float | None,
        typer.Option(help="Quality floor in dB, as the bundle states each variant's PSNR."),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Memory that the process may take, such as 500MB."),
    ] = None,
    budget: Annotated[
        str, typer.Option(metavar="TIME", help="What the search may take, such as 60s or 5m.")
    ] = "60s",
    again: Annotated[
        bool, typer.Option("--again", help="Search even if it was done before.")
    ] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the fastest engine, variant, threads and batch size; remember it for --backend auto.

    Nothing replaces the default session unless it is clearly faster. After Ctrl-C, what was found
    by then is told and not remembered.
    """
    import msgspec

    from genx_cli.failures import INTERRUPTED
    from genx_cli.tuning_table import suggest_next, tell_tuning
    from genx_runtimes.bench.options import parse_batches
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.tuning import (
        Request,
        choose_sizes,
        parse_budget,
        parse_goal,
        parse_memory,
        tune_each,
    )

    sink = open_sink(json=json, quiet=quiet)
    opened = open_bundle(bundle)
    wanted = parse_goal(goal)
    sizes = parse_batches(batch) if batch is not None else None
    request = Request(
        goal=wanted,
        batches=choose_sizes(sizes, opened.manifest.batch, wanted),
        precision=precision,
        threads=threads,
        min_psnr_db=min_psnr,
        max_memory=parse_memory(max_memory) if max_memory is not None else None,
        budget_s=parse_budget(budget),
    )
    with sink.progress("starting") as progress:
        found = tune_each(opened, request, again=again, progress=progress.step)
    for tuning in found:
        tell_tuning(sink, tuning)
    sink.finish({"tunings": msgspec.to_builtins(found)})
    if not all(tuning.complete for tuning in found):
        sink.warn("interrupted: this is what was known by then; it is not remembered")
        raise typer.Exit(INTERRUPTED)
    for tuning in found:
        _ = tuning.best  # tells why where nothing can be chosen
    sink.say(f"next: {suggest_next(bundle, opened.manifest, found)}")
