"""`genx sample`: draw from a bundle into a picture, a folder of pictures, or an array."""

from __future__ import annotations

from pathlib import Path
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
    parse_conditions,
)
from genx_cli.sink import Sink, open_sink
from genx_runtimes.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from genx_runtimes.manifest import Manifest
    from genx_runtimes.sampler import Batch, Sampler

_LOOPS = "Sampling loops"


def sample(  # noqa: PLR0913 - one parameter a flag
    bundle: BundlePath,
    output_path: Annotated[
        Path,
        typer.Option(
            "-o", "--out", metavar="PATH", help="grid.png, out.npy, or dir/ for a PNG a sample."
        ),
    ],
    n: Annotated[int, typer.Option("-n", help="How many samples.")] = 16,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same samples.")] = 0,
    start: Annotated[int, typer.Option(help="Index of the first sample.")] = 0,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Fix a condition: label=3, label=balanced, c=0.5,-1, c[0]=0.5. Repeat for each.",
        ),
    ] = None,
    truncation: Annotated[
        float | None, typer.Option(help="Keep normal latents within this magnitude.")
    ] = None,
    interpolate: Annotated[
        str | None,
        typer.Option(metavar="A:B", help="Walk in n steps from sample A to sample B."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Diffusion: steps of the solver.", rich_help_panel=_LOOPS)
    ] = None,
    solver: Annotated[
        str | None,
        typer.Option(
            help="Diffusion: ddpm, ddim, euler, heun or dpmpp_2m.", rich_help_panel=_LOOPS
        ),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            help="Diffusion: weight of the condition; 1 is no guidance.", rich_help_panel=_LOOPS
        ),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(help="Sequences: elements. Text: new tokens.", rich_help_panel=_LOOPS),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Text, pixels: below 1 more likely, 0 the likeliest.", rich_help_panel=_LOOPS
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(help="Text, pixels: draw from the k likeliest.", rich_help_panel=_LOOPS),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            help="Text, pixels: draw from the likeliest that add up to p.", rich_help_panel=_LOOPS
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="Text that each sample starts with.", rich_help_panel=_LOOPS),
    ] = None,
    columns: Annotated[int | None, typer.Option(help="Pictures a row of the grid.")] = None,
    batch: Annotated[
        int | None, typer.Option(help="Samples a pass; 16, or what the bundle allows.")
    ] = None,
    backend: BackendName = "onnxruntime",
    precision: Precision = None,
    threads: Threads = None,
    allow_fallback: AllowFallback = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say which engine ran and why.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw samples. Sample i of a seed is the same in any batch size, on any device."""
    from genx_cli.engines import settle_engine, warn_once
    from genx_cli.next_steps import choose_batch
    from genx_cli.writers import find_writer
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.samplers.loop import SamplingOptions

    sink = open_sink(json=json, quiet=quiet)
    opened = open_bundle(bundle)
    options = SamplingOptions(
        steps=steps,
        solver=solver,
        guidance=guidance,
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        prompt=prompt,
    )
    write = find_writer(output_path, opened.manifest.output, columns=columns, force=force)
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
    with opened.sampler(
        backend=engine.backend, precision=engine.precision, options=engine.options, batch=size
    ) as sampler:
        common: dict[str, object] = {
            "seed": seed,
            "batch": size,
            "truncation": truncation,
            "options": options,
        }
        conditions = parse_conditions(condition)
        batches = _draw(sampler, n, start, interpolate, conditions, common)
        with sink.progress(f"sampling {opened.manifest.name}", n) as progress:
            written = write(_count(batches, progress.advance))
    notes = warn_once(sink, engine.notes)
    sink.say(f"wrote {output_path}: {n} samples of seed {seed} from {opened.manifest.name}")
    if explain:
        sink.say(f"  drawn by {engine.reason}")
    others = len(list(output_path.iterdir())) - len(written) if output_path.is_dir() else 0
    if others:
        sink.warn(f"{output_path} holds {others} other files; they are as they were")
    _tell_next(sink, bundle, opened.manifest, conditions, walked=interpolate is not None)
    sink.finish(
        {
            "path": str(output_path),
            "n": n,
            "seed": seed,
            "start": start,
            "files": written,
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


def _count(batches: Iterator[Batch], advance: Callable[[int], None]) -> Iterator[Batch]:
    for batch in batches:
        yield batch
        advance(len(batch.output))


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
        setting = f"{drawn[0]}=balanced"
        sink.say(f"next: {suggest_sampling(bundle, manifest, setting=setting)}")
    else:
        sink.say(f"next: genx bench {quote(bundle)}")
