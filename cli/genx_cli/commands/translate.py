"""`genx translate`: turn picture files into others with an image-to-image bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genx_cli.engines import EngineChoice, settle_engine, warn_once
from genx_cli.options import (
    AsJson,
    BatchSize,
    BundlePath,
    Conditions,
    Force,
    Quiet,
    Reason,
    parse_conditions,
)
from genx_cli.sink import open_sink


def translate(
    bundle: BundlePath,
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Picture files, or folders of them.")
    ],
    output_path: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="PATH", help="out.png for one file, else a folder."),
    ],
    seed: Annotated[int, typer.Option(help="Seed of what the model draws, if it does.")] = 0,
    condition: Conditions = None,
    batch: BatchSize = None,
    *,
    choice: EngineChoice,
    explain: Reason = False,
    force: Force = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Translate pictures of any size: restore, enlarge, recolour, as the model does.

    Pictures are cut into tiles that overlap. They are turned as their EXIF orientation says, alpha
    is kept, results are PNG files. Each picture is read before the first is translated, and either
    all results are written or none.
    """
    from genx_cli.next_steps import quote
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.translate_files import plan_files, run_plan

    sink = open_sink(json=json, quiet=quiet)
    conditions = parse_conditions(condition)
    opened = open_bundle(bundle)
    with sink.progress("reading the pictures"):
        plan = plan_files(opened.manifest, inputs, output_path, force=force)
    engine = settle_engine(sink, opened, choice, batch)
    with engine.open_translator() as translator:
        tiles = sum(len(translator.plan(*job.size)) for job in plan.jobs)
        with sink.progress(f"translating with {opened.manifest.name}", tiles) as progress:
            written = run_plan(
                translator, plan, seed=seed, conditions=conditions, progress=progress.advance
            )
    notes = warn_once(sink, engine.notes)
    many = "1 picture" if len(written) == 1 else f"{len(written)} pictures"
    sink.say(f"wrote {output_path}: {many} in {tiles} tiles, by {opened.manifest.name}")
    if explain:
        sink.say(f"  run by {engine.reason}")
    if plan.others:
        sink.warn(f"{plan.others} other files and folders are no pictures and were left alone")
    sink.say(f"next: genx bench {quote(bundle)}")
    sink.finish(
        {
            "path": str(output_path),
            "files": written,
            "sources": [str(job.source) for job in plan.jobs],
            "tiles": tiles,
            "seed": seed,
            "engine": engine.reason,
            "notes": notes,
        }
    )
