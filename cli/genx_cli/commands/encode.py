"""`genx encode`: the latents of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genx_cli.image_options import (
    Fit,
    ImagePaths,
    PosteriorSample,
    Seed,
    Start,
    check_output,
    open_images,
)
from genx_cli.options import (
    AllowFallback,
    AsJson,
    BackendName,
    BundlePath,
    Precision,
    Quiet,
    Threads,
)
from genx_cli.sink import open_sink


def encode(  # noqa: PLR0913 - one parameter a flag
    bundle: BundlePath,
    inputs: ImagePaths,
    output_path: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT.npz", help="Where the latents go.")
    ],
    sample: PosteriorSample = False,
    seed: Seed = 0,
    start: Start = 0,
    fit: Fit = False,
    batch: Annotated[
        int | None, typer.Option(help="Images a pass; 16, or what the bundle allows.")
    ] = None,
    backend: BackendName = "onnxruntime",
    precision: Precision = None,
    threads: Threads = None,
    allow_fallback: AllowFallback = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the latents of images: mean and log_variance, and with --sample z."""
    import numpy as np

    from genx_cli.engines import settle_engine, warn_once
    from genx_cli.next_steps import choose_batch, quote
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.writing import write_whole

    sink = open_sink(json=json, quiet=quiet)
    opened = open_bundle(bundle)
    given = open_images(opened.manifest, inputs, fit=fit)
    check_output(output_path, (".npz",), force=force)
    size = batch if batch is not None else choose_batch(opened.manifest)
    engine = settle_engine(
        sink,
        opened,
        backend=backend,
        precision=precision,
        threads=threads,
        batch=size,
        allow_fallback=allow_fallback,
    )
    with (
        write_whole(output_path) as file,
        opened.encoder(
            backend=engine.backend, precision=engine.precision, options=engine.options, batch=size
        ) as encoder,
        sink.progress(f"encoding with {opened.manifest.name}", len(given)) as progress,
    ):
        parts = []
        for part in encoder.encode(given, sample=sample, seed=seed, start=start, batch=size):
            parts.append(part.arrays(sample=sample))
            progress.advance(len(part.z))
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        np.savez(file, **arrays)  # type: ignore[arg-type] # numpy's stub takes them for a flag
    notes = warn_once(sink, [*engine.notes, *given.notes])
    latent = next(iter(arrays.values())).shape[1:]
    told = f"{', '.join(arrays)} of {len(given)} images, {'x'.join(map(str, latent))} values each"
    sink.say(f"wrote {output_path}: {told}" + (f", seed {seed}" if sample else ""))
    sink.say(f"next: genx traverse {quote(bundle)}{given.first()} -o traversal.png")
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
