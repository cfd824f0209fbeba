"""`genx sample`: draw from a bundle into a file, a folder with a file a sample, or the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genx_cli.engines import EngineChoice, settle_engine, warn_once
from genx_cli.loop_options import LoopChoice
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
from genx_cli.sink import Sink, open_sink
from genx_runtimes.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genx_runtimes.manifest import Manifest
    from genx_runtimes.sampler import Batch, Sampler


def sample(  # noqa: PLR0913 - one parameter a flag
    bundle: BundlePath,
    output_path: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="PATH",
            help="grid.png, NAME.wav, .csv, .txt or .jsonl, as the output is; NAME.npy and dir/, a "
            "file a sample, of any; - prints text.",
        ),
    ],
    n: Annotated[int, typer.Option("-n", help="How many samples.")] = 16,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same samples.")] = 0,
    start: Annotated[int, typer.Option(help="Index of the first sample.")] = 0,
    condition: Conditions = None,
    truncation: Annotated[
        float | None,
        typer.Option(help="Keep normal latents within this magnitude, or set the model's own."),
    ] = None,
    interpolate: Annotated[
        str | None,
        typer.Option(metavar="A:B", help="Walk in n steps from sample A to sample B."),
    ] = None,
    columns: Annotated[int | None, typer.Option(help="Pictures a row of the grid.")] = None,
    batch: BatchSize = None,
    *,
    loop: LoopChoice,
    choice: EngineChoice,
    explain: Reason = False,
    force: Force = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw samples. Sample i of a seed is the same in any batch size, on any device."""
    from genx_cli.next_steps import suggest_sampling
    from genx_cli.writers import count_samples, find_writer
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.text import join_texts
    from genx_runtimes.writing import TERMINAL

    sink = open_sink(json=json, quiet=quiet)
    opened = open_bundle(bundle)
    if opened.manifest.sampler.kind == "translate":
        raise InputError(
            f"{opened.manifest.name} turns pictures into others, there is nothing to draw",
            fix=suggest_sampling(bundle, opened.manifest),
        )
    write = find_writer(output_path, opened.manifest.output, columns=columns, force=force)
    engine = settle_engine(sink, opened, choice, batch)
    with engine.open_sampler() as sampler:
        common: dict[str, object] = {
            "seed": seed,
            "batch": engine.batch,
            "truncation": truncation,
            "options": loop.settle(),
        }
        conditions = parse_conditions(condition)
        batches = _draw(sampler, n, start, interpolate, conditions, common)
        with sink.progress(f"sampling {opened.manifest.name}", n) as progress:
            written = write(count_samples(batches, progress.advance))
    notes = [*warn_once(sink, engine.notes), *written.notes]
    for note in written.notes:
        sink.warn(note)
    if output_path == TERMINAL:
        sink.give(join_texts(written.texts, start))
    else:
        sink.say(f"wrote {output_path}: {n} samples of seed {seed} from {opened.manifest.name}")
        if explain:
            sink.say(f"  drawn by {engine.reason}")
        _tell_others(sink, output_path, len(written.files))
        _tell_next(sink, bundle, opened.manifest, conditions, walked=interpolate is not None)
    sink.finish(
        {
            "path": str(output_path),
            "n": n,
            "seed": seed,
            "start": start,
            "files": written.files,
            **({"texts": written.texts} if written.texts else {}),
            "engine": engine.reason,
            "notes": notes,
        }
    )


def _draw(
    sampler: Sampler,
    n: int,
    start: int,
    interpolate: str | None,
    conditions: dict[str, str],
    common: dict[str, object],
) -> Iterator[Batch]:
    if interpolate is None:
        return sampler.sample(n, start=start, conditions=conditions, **common)  # type: ignore[arg-type]
    first, colon, last = interpolate.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal()):
        raise InputError(f"--interpolate {interpolate!r} is not A:B", fix="--interpolate 0:5")
    if start:
        raise InputError("--start has no meaning with --interpolate", fix="leave it out")
    return sampler.interpolate(int(first), int(last), n, conditions=conditions, **common)  # type: ignore[arg-type]


def _tell_others(sink: Sink, path: Path, written: int) -> None:
    others = len(list(path.iterdir())) - written if path.is_dir() else 0
    if others:
        sink.warn(f"{path} holds {others} other files; they are as they were")


def _tell_next(
    sink: Sink, bundle: Path, manifest: Manifest, conditions: dict[str, str], *, walked: bool
) -> None:
    from genx_cli.next_steps import quote, suggest_sampling
    from genx_runtimes.manifest import CategoricalPrior

    classes = [p.name for p in manifest.priors if isinstance(p, CategoricalPrior)]
    drawn = [name for name in classes if name not in conditions]
    if walked and drawn:
        sink.say(f"  {', '.join(drawn)} stayed that of the first sample")
    if drawn and not walked:
        settings = [f"{drawn[0]}=balanced"]
        sink.say(f"next: {suggest_sampling(bundle, manifest, settings=settings)}")
    else:
        sink.say(f"next: genx bench {quote(bundle)}")
