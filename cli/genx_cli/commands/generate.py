"""`genx generate`: a data set in shards, made by many processes; a stopped one is gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genx_cli.engines import EngineChoice, settle_engine, warn_once
from genx_cli.generate_options import ImageChoice, RunChoice
from genx_cli.loop_options import LoopChoice
from genx_cli.options import AsJson, BatchSize, BundlePath, Conditions, Quiet, parse_conditions
from genx_cli.sink import Sink, open_sink

if TYPE_CHECKING:
    from genx_runtimes.generate import Plan, Summary


def generate(  # noqa: PLR0913 - one parameter a flag
    bundle: BundlePath,
    folder: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="DIR", help="Folder of the data set; one begun is gone on with."
        ),
    ],
    n: Annotated[int, typer.Option("-n", help="How many samples.")],
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same samples.")] = 0,
    start: Annotated[int, typer.Option(help="Index of the first sample.")] = 0,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="webdataset (tar), parquet, png (folders, images alone) or npy (arrays, what the "
            "model returned).",
        ),
    ] = "webdataset",
    shard_size: Annotated[int, typer.Option(help="Samples a shard.")] = 10_000,
    condition: Conditions = None,
    truncation: Annotated[
        float | None,
        typer.Option(help="Keep normal latents within this magnitude, or set the model's own."),
    ] = None,
    batch: BatchSize = None,
    *,
    image: ImageChoice,
    loop: LoopChoice,
    run: RunChoice,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a data set of samples. Run again after any stop, it keeps what is finished.

    Sample i of a seed is the same in any number of workers, and each shard wherever it is made.
    """
    from genx_cli.generate_progress import GenerationShown
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.generate import RunOptions, find_runner, make_plan
    from genx_runtimes.generate import generate as make

    sink = open_sink(json=json, quiet=quiet)
    opened = open_bundle(bundle)
    runner = find_runner(run.on)
    options = RunOptions(workers=run.workers, address=run.settle_address(), tell=sink.say)
    choice = EngineChoice(
        backend=run.backend,
        precision=run.precision,
        threads=run.threads,
        allow_fallback=run.allow_fallback,
    )
    engine = settle_engine(sink, opened, choice, batch)
    plan = make_plan(
        opened,
        folder,
        n=n,
        seed=seed,
        start=start,
        shard_size=shard_size,
        format=form,
        image=image.settle(),
        conditions=dict(parse_conditions(condition)),
        truncation=truncation,
        options=loop.settle(),
        backend=engine.backend,
        precision=engine.precision,
        threads=engine.options.threads or run.threads,
        batch=engine.batch,
        allow_fallback=run.allow_fallback,
    )
    with sink.progress(f"generating {opened.manifest.name}", n) as progress:
        shown = GenerationShown(sink, progress, plan)
        try:
            summary = make(plan, runner=runner, options=options, watch=shown)
        except KeyboardInterrupt:
            sink.say(f"{shown.told}; run the same command again to go on")
            raise
    _tell(sink, folder, plan, summary, warn_once(sink, [*engine.notes, *summary.notes]))


def _tell(sink: Sink, folder: Path, plan: Plan, summary: Summary, notes: list[str]) -> None:
    from genx_runtimes.errors import BackendError

    dataset = summary.dataset
    samples = sum(shard.count for shard in summary.shards)
    size = sum(shard.bytes for shard in summary.shards)
    sink.say(
        f"{folder} holds {samples:,} samples of seed {plan.settings.seed} from {dataset.name}: "
        f"{len(summary.shards)} shards, {size / 1e6:,.1f} MB"
    )
    sink.finish(
        {
            "path": str(folder),
            "n": plan.settings.n,
            "samples": samples,
            "shards": len(summary.shards),
            "kept": summary.kept,
            "bytes": size,
            "failed": [
                {"shard": index, "message": failure.message, "fix": failure.fix}
                for index, failure in summary.failed.items()
            ],
            "notes": notes,
        }
    )
    if summary.failed:
        if sink.json:
            raise typer.Exit(1)
        index, failure = next(iter(summary.failed.items()))
        names = ", ".join(map(str, summary.failed))
        raise BackendError(
            f"{len(summary.failed)} of {plan.count} shards failed three times: {names}; shard "
            f"{index}: {failure.message}",
            fix=failure.fix or "run the same command again to try them once more",
        )
    sink.say(f"next: see {folder / 'README.md'} for how to read it")
