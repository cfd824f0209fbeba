"""`genx encode`: the latents of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genx_cli.engines import EngineChoice, settle_engine, warn_once
from genx_cli.image_options import Fit, ImagePaths, PosteriorSample, Seed, Start, open_images
from genx_cli.options import AsJson, BatchSize, BundlePath, Force, Quiet
from genx_cli.sink import open_sink


def encode(
    bundle: BundlePath,
    inputs: ImagePaths,
    output_path: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT.npz", help="Where the latents go.")
    ],
    sample: PosteriorSample = False,
    seed: Seed = 0,
    start: Start = 0,
    fit: Fit = False,
    batch: BatchSize = None,
    *,
    choice: EngineChoice,
    force: Force = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the latents of images: mean and log_variance, and with --sample z."""
    import numpy as np

    from genx_cli.next_steps import suggest_traversal
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.writing import check_file, write_whole

    sink = open_sink(json=json, quiet=quiet)
    opened = open_bundle(bundle)
    given = open_images(opened.manifest, inputs, fit=fit)
    check_file(output_path, ".npz", force=force)
    engine = settle_engine(sink, opened, choice, batch)
    with (
        write_whole(output_path) as file,
        engine.open_encoder() as encoder,
        sink.progress(f"encoding with {opened.manifest.name}", len(given)) as progress,
    ):
        parts = []
        for part in encoder.encode(
            given, sample=sample, seed=seed, start=start, batch=engine.batch
        ):
            parts.append(part.arrays(sample=sample))
            progress.advance(len(part.z))
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        np.savez(file, **arrays)  # type: ignore[arg-type] # numpy's stub takes them for a flag
    notes = warn_once(sink, [*engine.notes, *given.notes])
    latent = next(iter(arrays.values())).shape[1:]
    told = f"{', '.join(arrays)} of {len(given)} images, {'x'.join(map(str, latent))} values each"
    sink.say(f"wrote {output_path}: {told}" + (f", seed {seed}" if sample else ""))
    sink.say(f"next: {suggest_traversal(bundle, opened.manifest, given.words())}")
    sink.finish(
        {
            "path": str(output_path),
            "inputs": given.names,
            "latent": list(latent),
            "seed": seed if sample else None,
            "engine": engine.reason,
            "notes": notes,
        }
    )
