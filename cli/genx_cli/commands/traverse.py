"""`genx traverse`: what each value of a latent does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genx_cli.engines import Engine, EngineChoice, settle_engine, warn_once
from genx_cli.image_options import Fit, Seed, open_images
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
    from collections.abc import Mapping

    from genx_cli.image_options import GivenImages
    from genx_runtimes.manifest import Manifest
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
    condition: Conditions = None,
    fit: Fit = False,
    batch: BatchSize = None,
    *,
    choice: EngineChoice,
    force: Force = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Move one value of a latent at a time, around an image's encoding or a sample."""
    from genx_cli.animation import find_writer
    from genx_cli.next_steps import suggest_sampling
    from genx_cli.writers import count_samples
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.latents import LatentSource, check_indices
    from genx_runtimes.traversal import list_movable, plan_traversal
    from genx_runtimes.traversal import traverse as run

    sink = open_sink(json=json, quiet=quiet)
    opened = open_bundle(bundle)
    manifest = opened.manifest
    conditions = parse_conditions(condition)
    given = None if image is None else _open_image(manifest, image, conditions, fit=fit)
    if given is not None and prior is None:
        prior = given.spec.prior.name
    plan = plan_traversal(
        manifest, prior=prior, dims=_parse_dims(dims), low=low, high=high, steps=steps
    )
    check_indices(index, 1)
    base = LatentSource(manifest.priors, seed, conditions=conditions).draw([index])
    write = find_writer(output_path, manifest, plan, force=force)
    engine = settle_engine(sink, opened, choice, batch)
    if given is not None:
        base[given.spec.prior.name] = _encode(engine, given)
    with (
        engine.open_sampler() as sampler,
        sink.progress(f"traversing {plan.prior}", len(plan.dims) * len(plan.values)) as progress,
    ):
        made = run(sampler, base, plan, seed=seed, index=index, batch=engine.batch)
        write(count_samples(made, progress.advance))
    notes = warn_once(sink, [*engine.notes, *(given.notes if given else ())])
    sink.say(f"wrote {output_path}: {_describe(plan)}")
    sink.say(f"  around {f'sample {index} of seed {seed}' if given is None else given.names[0]}")
    others = [p.name for p in list_movable(manifest) if p.name != plan.prior]
    if others:
        sink.say(f"  --prior {' or '.join(others)} moves as well")
    moved = plan.name(plan.dims[0])
    fixed = {**conditions, moved: f"{plan.values[-1]:.9g}"}  # many samples with the first row's end
    settings = [f"{name}={value}" for name, value in fixed.items()]
    sink.say(f"next: {suggest_sampling(bundle, manifest, settings=settings)}")
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


def _open_image(
    manifest: Manifest, path: Path, conditions: Mapping[str, str], *, fit: bool
) -> GivenImages:
    """Return the one image that a traversal starts from."""
    given = open_images(manifest, [path], fit=fit)
    if len(given) != 1:
        raise InputError(
            f"{path} has {len(given)} images, a traversal starts from one", fix="name one picture"
        )
    if any(name.partition("[")[0] == given.spec.prior.name for name in conditions):
        raise InputError(
            f"--set {given.spec.prior.name} has no meaning with INPUT, whose encoding it is",
            fix="leave one of them out",
        )
    if given.spec.bounds.min > 1:
        raise InputError(
            f"the bundle's smallest batch is {given.spec.bounds.min}, one image cannot be encoded",
            fix="export it again with genx export --batch 1:MAX",
        )
    return given


def _encode(engine: Engine, given: GivenImages) -> Array:
    """Return the latent (1, ...) of an image."""
    with engine.open_encoder(batch=1) as encoder:
        return next(encoder.encode(given, batch=1)).z


def _describe(plan: Traversal) -> str:
    count = len(plan.dims)
    return (
        f"{count} value{'s' if count > 1 else ''} of {plan.prior}, each in {len(plan.values)} "
        f"steps from {plan.values[0]:g} to {plan.values[-1]:g}"
    )
