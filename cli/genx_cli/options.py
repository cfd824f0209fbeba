"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genx_runtimes.errors import InputError

BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle: NAME.genx.")]
BundlePaths = Annotated[
    list[Path] | None, typer.Argument(metavar="[BUNDLE]...", help="Bundles: NAME.genx.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
BackendName = Annotated[
    str,
    typer.Option(
        "--backend",
        help="Engine that runs the model, NAME or NAME:DEVICE such as onnxruntime:cuda; auto: the "
        "fastest engine, precision and thread count, measured once on this machine.",
    ),
]
AllowFallback = Annotated[
    bool,
    typer.Option(
        "--allow-fallback",
        help="Run elsewhere what the device of --backend cannot, and say where; otherwise that is "
        "an error.",
    ),
]
Precision = Annotated[
    str | None, typer.Option(help="Variant of the bundle; the first one if not given.")
]
Threads = Annotated[int | None, typer.Option(help="Engine threads; the usable cores if not given.")]
BatchSize = Annotated[
    int | None, typer.Option("--batch", help="How many a pass; 16, or what the bundle allows.")
]
Conditions = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Fix a condition: label=3, label=balanced, c=0.5,-1, c[0]=0.5. Repeat for each.",
    ),
]
Reason = Annotated[bool, typer.Option("--explain", help="Say which engine ran and why.")]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files.")]

Precisions = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="P,P,...",
        help="Variants to make, in order: fp32, fp16, int8, and int8-weights and int4-weights for "
        "transformers.",
    ),
]
FormName = Annotated[
    str | None,
    typer.Option(
        "--form",
        help="Form of the graphs: native, rewritten (sub-pixel convolutions), mixed (those where "
        "few channels come out), or auto: the fastest here.",
    ),
]
Target = Annotated[
    str,
    typer.Option(
        help="Engines that it is for: cpu, tensorrt, tensorrt-rtx. TensorRT takes symmetric int8."
    ),
]
MinPsnr = Annotated[
    float,
    typer.Option(
        "--min-psnr",
        help="Quality floor: mean PSNR in dB against the original; layers that hurt stay in fp32.",
    ),
]
MinSsim = Annotated[
    float | None, typer.Option("--min-ssim", help="Quality floor: mean SSIM of images.")
]
Samples = Annotated[int, typer.Option(help="Samples to measure the quality on.")]
Calibration = Annotated[int, typer.Option(help="Samples to find the ranges of int8 with.")]
Images = Annotated[
    list[str] | None,
    typer.Option(
        metavar="INPUT=FOLDER",
        help="Calibrate an input with the images of a folder or an .npz, not with draws from its "
        "prior.",
    ),
]
Estimator = Annotated[
    str,
    typer.Option(help="How ranges are found: minmax, percentile, entropy, mse; auto: the best."),
]
Explain = Annotated[
    bool, typer.Option("--explain", help="List which rewrite fired where, and why others did not.")
]


def parse_conditions(texts: list[str] | None) -> dict[str, str]:
    """Return the conditions of `--set NAME=VALUE`.

    Raises:
        InputError: one is not NAME=VALUE, or given twice.
    """
    conditions = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"--set {text!r} is not NAME=VALUE", fix="--set label=3")
        if name in conditions:
            raise InputError(f"--set {name} is given twice", fix="give each condition once")
        conditions[name] = value
    return conditions
