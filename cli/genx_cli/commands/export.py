"""`genx export`: turn a trained model into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genx_cli.options import (
    AsJson,
    Calibration,
    Estimator,
    Explain,
    FormName,
    Images,
    MinPsnr,
    MinSsim,
    Precisions,
    Quiet,
    Samples,
    Target,
)
from genx_cli.sink import Sink, open_sink
from genx_cli.variants import (
    make_recipe,
    name_recipe,
    parse_images,
    parse_precisions,
    tell_decisions,
    tell_variants,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from genx_export.report import ExportReport
    from genx_runtimes.engines.build import Built


def export(  # noqa: PLR0913 - one parameter a flag
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Folder with recipe.toml or from Hugging Face, file.py:callable, "
            "package.module:callable, NAME.pt2 or NAME.onnx.",
        ),
    ],
    output_path: Annotated[
        Path, typer.Option("-o", "--out", metavar="NAME.genx", help="The bundle to write.")
    ],
    weights: Annotated[
        Path | None, typer.Option(help="Weights: .safetensors, or a torch state dict.")
    ] = None,
    weights_key: Annotated[
        str | None, typer.Option(help="Entry of a checkpoint that holds the state dict.")
    ] = None,
    weights_prefix: Annotated[
        str, typer.Option(help="Take only tensors whose names start so, and cut it off.")
    ] = "",
    prior: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=KIND:...",
            help="What feeds an input: z=normal:100, label=categorical:10, code=one_hot:10, "
            "c=uniform:2:-1..1, psi=constant:1:0..1. Repeat for each.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="What comes out: image:-1..1, audio:-1..1:16000, table:age,income, sequence, "
            "voxels, tensor.",
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(
            help="How the model is cut up and sampled: generator, vae, autoencoder, recurrent, "
            "tokens, pixels, translator or diffusion."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The bundle's name.")] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="MIN:MAX", help="Batch sizes to allow; 1:64 by default.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Largest error allowed, as a part of the output range.")
    ] = 1e-5,
    precision: Precisions = "fp32",
    form: FormName = None,
    target: Target = "cpu",
    min_psnr: MinPsnr = 35.0,
    min_ssim: MinSsim = None,
    samples: Samples = 256,
    calibration: Calibration = 64,
    estimator: Estimator = "auto",
    images: Images = None,
    explain: Explain = False,
    as_zip: Annotated[bool, typer.Option("--zip", help="Write one file, not a folder.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing bundle.")] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Export a trained PyTorch model to a bundle that samples without torch.

    Ends with a check against the original model; nothing is written if that fails. With --precision
    fp32,int8 the model is quantised as well, calibrated with samples of its own prior.
    """
    sink = open_sink(json=json, quiet=quiet)
    with sink.progress("starting") as progress:
        progress.step("loading torch")
        run_export = _import_export()
        recipe = make_recipe(
            target=name_recipe(target),
            min_psnr_db=min_psnr,
            min_ssim=min_ssim,
            samples=samples,
            calibration=calibration,
            estimator=estimator,
        )
        report = run_export(
            source,
            output_path,
            weights=weights,
            weights_key=weights_key,
            weights_prefix=weights_prefix,
            priors=prior or (),
            output=output,
            family=family,
            name=name,
            batch=batch,
            tolerance=tolerance,
            precision=parse_precisions(precision),
            form=form,
            recipe=recipe,
            images=parse_images(images or ()),
            force=force,
            as_zip=as_zip,
            progress=progress.step,
        )
    engines = [] if target == "cpu" else _build(sink, report.path, target)
    _tell(sink, report, engines, explain=explain)


def _import_export() -> Callable[..., ExportReport]:
    from genx_cli.extras import require_extra
    from genx_cli.interrupts import leave_at_once

    require_extra("export", "genx export")
    with leave_at_once():
        from genx_export import export as run_export

    return run_export


def _build(sink: Sink, path: Path, target: str) -> list[Built]:
    """Build engines of what was exported, if they can be built here."""
    from genx_cli.engine_report import follow
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.engines.build_bundle import build_bundle
    from genx_runtimes.engines.settings import BuildSettings, parse_batch
    from genx_runtimes.errors import GenxError

    bundle = open_bundle(path)
    settings = BuildSettings(target=target, batch=parse_batch(None, bundle.manifest.batch))
    try:
        with sink.progress("building engines", total=1) as progress:
            return list(build_bundle(bundle, settings, progress=follow(progress)))
    except GenxError as err:  # the bundle is there all the same
        sink.warn(f"engines were not built: {err}")
        return []


def _tell(sink: Sink, report: ExportReport, engines: list[Built], *, explain: bool) -> None:
    import msgspec

    from genx_cli.engine_report import list_engines, tell_built
    from genx_cli.next_steps import quote, suggest_sampling
    from genx_runtimes.bundle import open_bundle

    manifest = open_bundle(report.path).manifest
    for warning in report.warnings:
        sink.warn(warning)
    sink.say(f"wrote {report.path}: {report.bytes / 1e6:.2f} MB, in {report.seconds:.1f} s")
    sink.table(
        ("component", "weights", "nodes", "MB"),
        [
            (c.name, f"{c.parameters:,}", str(c.nodes), f"{c.bytes / 1e6:.2f}")
            for c in report.components
        ],
    )
    sink.say(
        f"  equals the original model within {report.max_error:.1e} of the output range "
        f"(allowed {report.tolerance:.0e})"
    )
    sink.say(f"  batch {report.batch[0]} to {report.batch[1]}")
    tell_variants(sink, report.variants, report.dropped)
    if explain:
        tell_decisions(sink, report.decisions)
    if engines:
        tell_built(sink, engines)
    sink.say(f"next: {suggest_sampling(report.path, manifest)}")
    sink.say(f"      genx verify {quote(report.path)}  # also on the device that it is for")
    told = msgspec.to_builtins(report, enc_hook=str)
    sink.finish({**told, "engines": list_engines(engines)} if engines else told)
