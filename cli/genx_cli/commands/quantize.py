"""`genx quantize`: int8 and fp16 variants for a bundle that is there already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genx_cli.options import (
    AsJson,
    BundlePath,
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
from genx_cli.sink import open_sink
from genx_cli.variants import (
    make_recipe,
    name_recipe,
    parse_images,
    parse_precisions,
    tell_decisions,
    tell_variants,
)


def quantize(  # noqa: PLR0913 - one parameter a flag
    bundle: BundlePath,
    output_path: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="NAME.genx", help="Write elsewhere, not in place."),
    ] = None,
    precision: Precisions = "fp32,int8",
    form: FormName = None,
    target: Target = "cpu",
    min_psnr: MinPsnr = 35.0,
    min_ssim: MinSsim = None,
    samples: Samples = 256,
    calibration: Calibration = 64,
    estimator: Estimator = "auto",
    images: Images = None,
    explain: Explain = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing bundle.")] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make variants of lower precision, calibrated with samples of the bundle's own prior.

    Layers that hurt stay in fp32 until the quality floor holds; if it cannot, nothing is written.
    """
    import msgspec

    from genx_cli.extras import require_extra
    from genx_cli.interrupts import leave_at_once
    from genx_cli.next_steps import quote

    sink = open_sink(json=json, quiet=quiet)
    require_extra("export", "genx quantize")
    with sink.progress("starting") as progress:
        progress.step("loading torch")
        with leave_at_once():
            from genx_export import quantize as run_quantize
        report = run_quantize(
            bundle,
            output_path,
            precision=parse_precisions(precision),
            form=form or "auto",  # type: ignore[arg-type]
            recipe=make_recipe(
                target=name_recipe(target),
                min_psnr_db=min_psnr,
                min_ssim=min_ssim,
                samples=samples,
                calibration=calibration,
                estimator=estimator,
            ),
            images=parse_images(images or ()),
            force=force,
            progress=progress.step,
        )
    extended = report.extended
    sink.say(f"wrote {report.path}: {report.bytes / 1e6:.2f} MB")
    tell_variants(sink, extended.variants, extended.dropped)
    if explain:
        tell_decisions(sink, extended.decisions)
    sink.say(f"next: genx verify {quote(report.path)} --precision {extended.variants[-1].name}")
    sink.say(f"      genx tune {quote(report.path)}  # on the device that it is for")
    sink.finish(
        {
            "path": str(report.path),
            "bytes": report.bytes,
            "variants": msgspec.to_builtins(extended.variants),
            "dropped": extended.dropped,
        }
    )
