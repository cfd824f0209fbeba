"""PyTorch as a contender of `genx bench`: the original model, eager, doing the same job.

python -m genx_export.torch_contender < case.json > measurement.json
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from genx_export.feeding import FedComponent, feed_components
from genx_export.onnx_component import OnnxComponent
from genx_export.sources import SourceRequest, load_source
from genx_runtimes.bench.case import Case
from genx_runtimes.bench.worker import Prepared, serve
from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import SourceError
from genx_runtimes.images import to_pixels
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import Manifest
from genx_runtimes.session import Array


@contextmanager
def prepare_torch(case: Case) -> Iterator[Prepared]:
    """Load the original model; a call does what `genx_runtimes.bench.worker` times for genx.

    Latents come from the bundle's priors and the output is mapped by its contract. Weights that
    `genx export` was given by `--weights` are not loaded: they do not change how long it takes.

    Raises:
        SourceError: the source is not a torch model, or not the one of the bundle.
    """
    torch.set_num_threads(case.threads)
    torch.set_num_interop_threads(1)
    manifest = open_bundle(case.bundle).manifest
    latents = LatentSource(manifest.priors, case.seed)
    fed = _load_sampled(case, manifest, latents.draw(range(case.batch)))
    place = list(fed.outputs).index(manifest.output.name)
    is_image = manifest.output.kind == "image"
    starts = itertools.count(case.start, case.batch)

    def call() -> object:
        first = next(starts)
        drawn = latents.draw(range(first, first + case.batch))
        feeds = {parameter: drawn[prior] for parameter, prior in fed.ports.items()}
        output = list(fed.component.run(feeds).values())[place]
        return to_pixels(output, manifest.output) if is_image else output

    yield Prepared(
        call=call, versions={"torch": str(torch.__version__), "numpy": str(np.__version__)}
    )


def _load_sampled(case: Case, manifest: Manifest, feeds: dict[str, Array]) -> FedComponent:
    """Load the source and return the component that the bundle samples, run once."""
    request = SourceRequest(family=manifest.family, priors=manifest.priors, output=manifest.output)
    model = load_source(case.source, request)
    sampled = next(
        fed
        for fed in feed_components(model, feeds, size=case.batch)
        if fed.component.name == manifest.sampler.component
    )
    if isinstance(sampled.component, OnnxComponent):
        raise SourceError(
            f"{case.source} is an ONNX file: there is no torch model to compare with",
            fix="--compare-torch FOLDER, file.py:callable or NAME.pt2",
        )
    expected = manifest.component(manifest.sampler.component).outputs
    shapes = {name: array.shape[1:] for name, array in sampled.outputs.items()}
    if any(shapes.get(spec.name) != spec.shape[1:] for spec in expected):
        raise SourceError(
            f"{case.source} makes {shapes}, the bundle makes "
            f"{ {spec.name: spec.shape[1:] for spec in expected} }",
            fix="give the source that the bundle was exported from",
        )
    return sampled


if __name__ == "__main__":
    serve(prepare_torch)
