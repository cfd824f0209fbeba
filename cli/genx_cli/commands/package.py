"""`genx package`: a bundle as a serving system takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genx_cli.options import AsJson, BundlePath, Force, Precision, Quiet
from genx_cli.sink import open_sink


def package(
    bundle: BundlePath,
    target: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="TARGET",
            help="triton: a model repository, ONNX and config.pbtxt for each component; kserve: an "
            "InferenceService that runs genx serve; oci: what builds the image of that.",
        ),
    ],
    output_path: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="PATH",
            help="The repository, new or not; the .yaml file; the folder to build the image in.",
        ),
    ],
    precision: Precision = None,
    image: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For kserve: the image that runs genx serve."),
    ] = None,
    storage_uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="For kserve: where the cluster finds the bundle, as a folder; in the image if not "
            "given.",
        ),
    ] = None,
    force: Force = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a bundle as Triton, KServe or a container takes it.

    Triton's batching and instances are what genx tune found, its warm-up requests golden samples.
    """
    from genx_cli.extras import require_extra
    from genx_runtimes.bundle import open_bundle
    from genx_runtimes.packaging import PackageRequest
    from genx_runtimes.packaging import package as write

    sink = open_sink(json=json, quiet=quiet)
    if target == "oci":
        require_extra("serve", "genx package --for oci")
    opened = open_bundle(bundle)
    request = PackageRequest(
        path=output_path,
        precision=precision,
        force=force,
        image=image,
        storage_uri=storage_uri,
    )
    with sink.progress(f"packaging {opened.manifest.name}"):
        packaged = write(opened, target, request)
    sink.say(f"wrote {output_path}: {', '.join(packaged.names)} ({packaged.variant})")
    for note in packaged.notes:
        sink.say(f"  {note}")
    sink.say(f"next: {packaged.command}")
    sink.finish(
        {
            "path": str(output_path),
            "target": target,
            "names": packaged.names,
            "variant": packaged.variant,
            "notes": packaged.notes,
        }
    )
