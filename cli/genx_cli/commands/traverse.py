"""`genx traverse`: what each value of a latent does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genx_cli.image_options import Fit, Seed, open_images
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
from genx_cli.sink import open_sink
from genx_runtimes.errors import InputError

if TYPE_CHECKING:
    from genx_cli.engines import Engine
    from genx_cli.image_options import GivenImages
    from genx_runtimes.bundle import Bundle
    from genx_runtimes.session import Array
    from genx_runtimes.traversal import Traversal


def traverse(  # noqa: PLR0913 - one parameter a flag
    bundle: BundlePath,
    output_path: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="PATH",
            help="grid.png: a row for each value of the latent; out.gif: the same in motion; "
            "out.npy or dir/.",
        ),
    ],
    image: Annotated[
        Path | None,
        typer.Argument(metavar="[INPUT]", help="Start from the encoding of this picture."),
    ] = None,
    prior: Annotated[
        str | None, typer.Option(metavar="NAME", help="Latent or code; the first if not given.")
    ] = None,
    dims: Annotated[
        str | None, typer.Option(metavar="I,I,...", help="Which of its values move; all.")
    ] = None,
    low: Annotated[
        float | None, typer.Option(help="From this value; -3, or the code's lower bound.")
    ] = None,
    high: Annotated[
        float | None, typer.Option(help="To this value; 3, or the code's upper bound.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Values on the way.")] = 9,
    index: Annotated[int, typer.Option(help="Start from this sample of the seed.")] = 0,
    seed: Seed = 0,
    condition: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Fix another code: label=3."),
    ] = None,
    fit: Fit = False,
    batch: Annotated[
        int | None, typer.Option(help="Samples a pass; 16, or what the bundle allows.")
    ] = None,
    backend: BackendName = "onnxruntime",
    precision: Precision = None,
    threads: Threads = None,
    allow_fallback: AllowFallback = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Move one value of a latent at a time, around an image's encoding or a sample."""
    from genx_cli.animation import find_writer
    from genx_cli.engines import settle_engine, warn_once
    from genx_cli.next_steps import choose_batch, suggest_sampling
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.traversal import plan_traversal
    from genx_runtimes.traversal import traverse as run

    sink = open_sink(json=json, quiet=quiet)
    opened = open_bundle(bundle)
    manifest = opened.manifest
    plan = plan_traversal(
        manifest, prior=prior, dims=_parse_dims(dims), low=low, high=high, steps=steps
    )
    given = None if image is None else open_images(manifest, [image], fit=fit)
    if given is not None and len(given) != 1:
        raise InputError(f"{image} has {len(given)} images, a traversal starts from one")
    write = find_writer(output_path, manifest.output, plan, force=force)
    size = batch if batch is not None else choose_batch(manifest)
    engine = settle_engine(
        sink,
        opened,
        backend=backend,
        precision=precision,
        threads=threads,
        batch=size,
        allow_fallback=allow_fallback,
    )
    base = _find_base(opened, engine, given, seed, index, parse_conditions(condition))
    with opened.sampler(
        backend=engine.backend, precision=engine.precision, options=engine.options, batch=size
    ) as sampler:
        write(run(sampler, base, plan, seed=seed, index=index, batch=size))
    notes = warn_once(sink, [*engine.notes, *(given.notes if given else ())])
    sink.say(f"wrote {output_path}: {_describe(plan)}")
    sink.say(f"  around {f'sample {index} of seed {seed}' if given is None else given.names[0]}")
    sink.say(f"next: {suggest_sampling(bundle, manifest)}")
    sink.finish(
        {
            "path": str(output_path),
            "prior": plan.prior,
            "dims": list(plan.dims),
            "values": list(plan.values),
            "seed": seed,
            "index": index,
            "input": None if given is None else given.names[0],
            "engine": engine.reason,
            "notes": notes,
        }
    )


def _parse_dims(text: str | None) -> list[int] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise InputError(f"--dims {text!r} is not I,I,...", fix="--dims 0,3")
    return [int(part) for part in parts]


def _find_base(
    bundle: Bundle,
    engine: Engine,
    given: GivenImages | None,
    seed: int,
    index: int,
    conditions: dict[str, str],
) -> dict[str, Array]:
    """Return what stays: the inputs of a sample, with the latent of an image in its place."""
    from genx_runtimes.encoding import find_encoder
    from genx_runtimes.latents import LatentSource, check_indices

    check_indices(index, 1)
    base = LatentSource(bundle.manifest.priors, seed, conditions=conditions).draw([index])
    if given is None:
        return base
    spec = find_encoder(bundle.manifest)
    if any(name.partition("[")[0] == spec.prior.name for name in conditions):
        raise InputError(
            f"--set {spec.prior.name} has no meaning with INPUT, whose encoding it is",
            fix="leave one of them out",
        )
    if spec.bounds.min > 1:
        raise InputError(
            f"the bundle's smallest batch is {spec.bounds.min}, one image cannot be encoded",
            fix="export it again with genx export --batch 1:MAX",
        )
    with bundle.encoder(
        backend=engine.backend, precision=engine.precision, options=engine.options, batch=1
    ) as encoder:
        return {**base, spec.prior.name: next(encoder.encode(given, batch=1)).z}


def _describe(plan: Traversal) -> str:
    count = len(plan.dims)
    return (
        f"{count} value{'s' if count > 1 else ''} of {plan.prior}, each in {len(plan.values)} "
        f"steps from {plan.values[0]:g} to {plan.values[-1]:g}"
    )
