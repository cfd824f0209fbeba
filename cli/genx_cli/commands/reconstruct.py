"""`genx reconstruct`: images through encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genx_cli.engines import EngineChoice, settle_engine, warn_once
from genx_cli.image_options import Fit, ImagePaths, PosteriorSample, Seed, Start, open_images
from genx_cli.options import (
    AsJson,
    BatchSize,
    BundlePath,
    Conditions,
    Force,
    Quiet,
    parse_conditions,
)
from genx_cli.sink import open_sink
from genx_runtimes.errors import InputError

if TYPE_CHECKING:
    from genx_runtimes.encoding import Encoding
    from genx_runtimes.sampler import Batch


def reconstruct(  # noqa: PLR0913 - one parameter a flag
    bundle: BundlePath,
    inputs: ImagePaths,
    output_path: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="PATH",
            help="grid.png: each image next to its reconstruction; dir/ or out.npy: the "
            "reconstructions.",
        ),
    ],
    sample: PosteriorSample = False,
    seed: Seed = 0,
    start: Start = 0,
    condition: Conditions = None,
    fit: Fit = False,
    columns: Annotated[int | None, typer.Option(help="Pairs a row of the grid.")] = None,
    batch: BatchSize = None,
    *,
    choice: EngineChoice,
    force: Force = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Encode images and decode them again."""
    from genx_cli.next_steps import suggest_traversal
    from genx_cli.writers import find_writer
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.encoding import reconstruct as run

    sink = open_sink(json=json, quiet=quiet)
    conditions = parse_conditions(condition)
    opened = open_bundle(bundle)
    given = open_images(opened.manifest, inputs, fit=fit)
    paired = output_path.suffix == ".png"
    columns = _count_columns(len(given), columns) if paired else columns
    write = find_writer(output_path, opened.manifest.output, columns=columns, force=force)
    engine = settle_engine(sink, opened, choice, batch)
    errors: list[float] = []
    with (
        engine.open_encoder() as encoder,
        engine.open_sampler() as sampler,
        sink.progress(f"reconstructing with {opened.manifest.name}", len(given)) as progress,
    ):
        encodings = encoder.encode(given, sample=sample, seed=seed, start=start, batch=engine.batch)
        made = run(sampler, encodings, seed=seed, conditions=conditions)
        write(_lay_out(made, errors, progress.advance, paired=paired))
    notes = warn_once(sink, [*engine.notes, *given.notes])
    error = sum(errors) / len(errors)
    what = f"samples of the posterior, seed {seed}" if sample else "encodings"
    sink.say(f"wrote {output_path}: {len(given)} reconstructions from {what}")
    sink.say(f"  root mean square error {error**0.5:.3f} of the output's range")
    following = suggest_traversal(bundle, opened.manifest, given.words(), settings=condition or ())
    sink.say(f"next: {following}")
    sink.finish(
        {
            "path": str(output_path),
            "inputs": given.names,
            "seed": seed if sample else None,
            "rmse": error**0.5,
            "engine": engine.reason,
            "notes": notes,
        }
    )


def _count_columns(pairs: int, wanted: int | None) -> int:
    """Return images a row: two for each pair."""
    if wanted is not None and wanted < 1:
        raise InputError(f"--columns is {wanted}, expected 1 or more")
    rows = max(round((pairs * 2) ** 0.5), 1)
    return 2 * (wanted or -(-pairs // rows))


def _lay_out(
    made: Iterator[tuple[Encoding, Batch]],
    errors: list[float],
    advance: Callable[[int], None],
    *,
    paired: bool,
) -> Iterator[Batch]:
    """Yield what is written, and note the squared error of each image over the output's range."""
    from dataclasses import replace

    import numpy as np

    for encoding, batch in made:
        low, high = batch.spec.range or (0.0, 1.0)
        difference = (batch.output.astype(np.float32) - encoding.images) / np.float32(high - low)
        errors += [float(np.square(image).mean()) for image in difference]
        output = batch.output
        if paired:
            pairs = np.stack([encoding.images, output.astype(np.float32)], axis=1)
            output = pairs.reshape(-1, *pairs.shape[2:])
        yield replace(batch, start=encoding.start, output=output)
        advance(len(difference))
