"""`genx build`: compile a bundle's graphs to engines for NVIDIA GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genx_cli.options import AsJson, BundlePath, Quiet
from genx_cli.sink import Sink, open_sink

if TYPE_CHECKING:
    from genx_runtimes.engines.build_bundle import Planned


def build(  # noqa: PLR0913 - one parameter a flag
    bundle: BundlePath,
    target: Annotated[str, typer.Option(help="tensorrt (the GPU that is here), tensorrt-rtx.")],
    precision: Annotated[
        str | None, typer.Option(metavar="P,P,...", help="Variants to build; all if not given.")
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="MIN:OPT:MAX", help="Batch sizes; the bundle's, tuned for 8, if not given."
        ),
    ] = None,
    compute_capability: Annotated[
        str | None,
        typer.Option(
            metavar="C,C,...",
            help="tensorrt-rtx: GPUs to build for, such as 8.6,8.9; Ampere and later if not given.",
        ),
    ] = None,
    workspace_mb: Annotated[
        int | None, typer.Option(help="Scratch memory that a layer may take, in MiB.")
    ] = None,
    timing_cache: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="tensorrt: measurements to start from and to keep."),
    ] = None,
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="tensorrt: newer versions may load it.")
    ] = False,
    dla: Annotated[
        int | None, typer.Option(help="tensorrt: the deep-learning accelerator to run on.")
    ] = None,
    gpu_fallback: Annotated[
        bool, typer.Option("--gpu-fallback", help="Layers that a DLA cannot run go to the GPU.")
    ] = False,
    cache: Annotated[
        bool, typer.Option("--cache", help="Write to the user's cache, not into the bundle.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Build even what was built before.")
    ] = False,
    memory_check: Annotated[
        bool, typer.Option(help="Compare a Jetson's free memory with an estimate first.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, build nothing.")
    ] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compile a bundle's graphs to TensorRT engines, verified here if there is a GPU.

    Engines are a cache: they are valid for one TensorRT and GPU, and can be made again.
    """
    from genx_cli.engine_report import follow, list_engines, tell_built
    from genx_cli.next_steps import quote
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.engines.build_bundle import BuildPlace, build_bundle, plan_bundle
    from genx_runtimes.engines.settings import BuildSettings, parse_batch, parse_capabilities
    from genx_runtimes.errors import InputError

    sink = open_sink(json=json, quiet=quiet)
    opened = open_bundle(bundle)
    settings = BuildSettings(
        target=target,
        batch=parse_batch(batch, opened.manifest.batch),
        compute_capabilities=parse_capabilities(compute_capability),
        workspace_mb=workspace_mb,
        version_compatible=version_compatible,
        dla=dla,
        gpu_fallback=gpu_fallback,
    )
    if timing_cache is not None and target == "tensorrt-rtx":
        raise InputError("--timing-cache is for --target tensorrt: tensorrt-rtx measures nothing")
    names = [name.strip() for name in precision.split(",")] if precision is not None else []
    place = BuildPlace(
        in_cache=cache,
        timing_cache=timing_cache,
        again=again,
        checks_memory=memory_check,
    )
    if dry_run:
        _tell_plan(
            sink, bundle, target, plan_bundle(opened, settings, precisions=names, place=place)
        )
        return
    with sink.progress("starting", total=1) as progress:
        built = list(
            build_bundle(opened, settings, precisions=names, place=place, progress=follow(progress))
        )
    last = tell_built(sink, built)
    sink.say(f"next: genx verify {quote(bundle)} --backend {target} --precision {last}")
    sink.finish({"engines": list_engines(built)})


def _tell_plan(sink: Sink, bundle: Path, target: str, planned: list[Planned]) -> None:
    from genx_cli.next_steps import quote

    for each in planned:
        what = "is there: " if each.exists else "would be "
        sink.say(f"  {each.variant} {each.component} {what}{each.path}")
    sink.say("nothing was built")
    sink.say(f"next: genx build {quote(bundle)} --target {target}")
    sink.finish(
        {
            "planned": [
                {
                    "variant": p.variant,
                    "component": p.component,
                    "path": str(p.path),
                    "exists": p.exists,
                }
                for p in planned
            ]
        }
    )
