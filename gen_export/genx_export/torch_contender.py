"""PyTorch as a contender of `genx bench`: the original model, eager, doing the same job.

python -m genx_export.torch_contender < case.json > measurement.json
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch

from genx_export.feeding import FedComponent, feed_components, run_model_loop
from genx_export.loop_feeding import Call, CallSession
from genx_export.onnx_component import OnnxComponent
from genx_export.sources import SourceRequest, load_source
from genx_runtimes.bench.case import Case
from genx_runtimes.bench.examine import examine
from genx_runtimes.bench.worker import Prepared, draw_endlessly, draw_next, serve
from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import SourceError
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import Manifest
from genx_runtimes.sampler import Sampler
from genx_runtimes.samplers.loop import Draw
from genx_runtimes.samplers.translate import add_images
from genx_runtimes.session import Array


@contextmanager
def prepare_torch(case: Case) -> Iterator[Prepared]:
    """Load the original model; a call does what `genx_runtimes.bench.worker` times for genx.

    Latents come from the bundle's priors, the sampling loop is the bundle's, and the output is
    mapped by its contract. Weights that `genx export` was given by `--weights` are not loaded: they
    do not change how long it takes, and so the golden samples are not compared.

    Raises:
        SourceError: the source is not a torch model, or not the one of the bundle.
    """
    torch.set_num_threads(case.threads)
    torch.set_num_interop_threads(1)
    manifest = open_bundle(case.bundle).manifest
    calls = _load_calls(case, manifest)
    sampler = Sampler(manifest, {name: CallSession(call) for name, call in calls.items()})
    yield Prepared(
        draw=draw_next(sampler, case),
        streams=[draw_endlessly(sampler, case)],
        versions={"torch": str(torch.__version__), "numpy": str(np.__version__)},
        examine=lambda: examine(sampler, case.batch, seed=case.seed),
    )


def _load_calls(case: Case, manifest: Manifest) -> dict[str, Call]:
    """Load the source and return what computes the components that the bundle samples."""
    request = SourceRequest(family=manifest.family, priors=manifest.priors, output=manifest.output)
    model = load_source(case.source, request)
    indices = range(case.batch)
    feeds = LatentSource(manifest.priors, case.seed).draw(indices)
    draw = add_images(model.sampler, Draw(seed=case.seed, indices=indices, feeds=feeds))
    loop = run_model_loop(model, draw, size=case.batch, max_batch=manifest.batch.max)
    fed = {
        f.component.name: f for f in feed_components(model, draw.feeds, size=case.batch, loop=loop)
    }
    return {
        name: _check_component(case, manifest, fed[name]) for name in manifest.sampler.components
    }


def _check_component(case: Case, manifest: Manifest, fed: FedComponent) -> Call:
    """Return what computes a component, if it is torch and makes what the bundle's makes."""
    if isinstance(fed.component, OnnxComponent):
        raise SourceError(
            f"{case.source} is an ONNX file: there is no torch model to compare with",
            fix="--compare-torch FOLDER, file.py:callable or NAME.pt2",
        )
    expected = manifest.component(fed.component.name).outputs
    shapes = {name: array.shape[1:] for name, array in fed.outputs.items()}
    if any(shapes.get(spec.name) != spec.shape[1:] for spec in expected):
        raise SourceError(
            f"{case.source} makes {shapes}, the bundle makes "
            f"{ {spec.name: spec.shape[1:] for spec in expected} }",
            fix="give the source that the bundle was exported from",
        )
    names = list(fed.outputs)

    def call(feeds: Mapping[str, Array]) -> dict[str, Array]:
        made = fed.component.run({p: feeds[port] for p, port in fed.ports.items()})
        return dict(zip(names, made.values(), strict=True))

    return call


if __name__ == "__main__":
    serve(prepare_torch)
