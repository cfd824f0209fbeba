"""`genx tune`: find the fastest engine, variant and thread count on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from genx_cli.options import AsJson, BundlePath, Precision, Quiet, Threads
from genx_cli.sink import open_sink


def tune(
    bundle: BundlePath,
    batch: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Batch sizes; 1,4,16, or what the bundle allows."),
    ] = None,
    precision: Precision = None,
    threads: Threads = None,
    again: Annotated[
        bool, typer.Option("--again", help="Measure even what was measured before.")
    ] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure engines, variants and thread counts; remember the fastest for --backend auto."""
    import msgspec

    from genx_cli.next_steps import quote
    from genx_runtimes.bench.options import choose_batches, parse_batches
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.tuning import tune as run_tune

    sink = open_sink(json=json, quiet=quiet)
    opened = open_bundle(bundle)
    wanted = parse_batches(batch) if batch is not None else None
    results = []
    with sink.progress("starting") as progress:
        for size in choose_batches(wanted, opened.manifest.batch):
            results.append(
                run_tune(
                    opened,
                    batch=size,
                    precision=precision,
                    threads=threads,
                    again=again,
                    progress=progress.step,
                )
            )
    rows = [
        (f"{c.backend} {c.variant}", str(t.batch), str(c.threads), _format(c.p50_ms, t.best.p50_ms))
        for t in results
        for c in t.combinations
    ]
    sink.table(("engine and variant", "batch", "threads", "p50 ms"), rows)
    for result in results:
        sink.say(f"  fastest: {result.explain()}")
        for combination in result.combinations:
            if combination.failure:
                sink.warn(f"{combination.backend} {combination.variant}: {combination.failure}")
    sink.say(f"next: genx sample {quote(bundle)} --backend auto -n 64 -o grid.png")
    sink.finish({"tunings": msgspec.to_builtins(results)})


def _format(p50_ms: float | None, best_ms: float | None) -> str:
    if p50_ms is None or best_ms is None:
        return "failed"
    return f"{p50_ms:.3f}" + ("  *" if p50_ms == best_ms else "   ")
