"""Comparing what was exported with the original model, before anything is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import numpy as np
from msgspec import structs

from genx_export.feeding import FedComponent
from genx_runtimes.backends import open_session
from genx_runtimes.batches import choose_batches
from genx_runtimes.errors import SourceError, TraceError, VerificationError
from genx_runtimes.manifest import BatchBounds, ComponentSpec, Manifest, OutputSpec
from genx_runtimes.sampling_specs import SamplerSpec, TranslateSpec
from genx_runtimes.session import Array
from genx_runtimes.verify import compare_component, measure_range
from genx_runtimes.verify_loop import LoopCheck, check_loop

# Rounding of 1e-6 a step grows in a loop; what a loop decides (a token) may flip at a boundary.
LOOP_TOLERANCE = 1e-3
FLIP_TOLERANCE = 0.25
# Another batch size changes rounding (1e-6 of the range and less); company changes much more.
_INDEPENDENT = 1e-4


def check_translation(sampler: SamplerSpec, contract: OutputSpec, samples: Array) -> None:
    """Compare what an image-to-image model made of tiles with what its sampler says.

    Raises:
        SourceError: it is no image of the size that the scale gives.
    """
    if not isinstance(sampler, TranslateSpec):
        return
    _, height, width = sampler.tile
    size = (height * sampler.scale, width * sampler.scale)
    if contract.kind != "image" or contract.bits != 8:
        raise SourceError(
            "an image-to-image model makes images of 8 bits a channel", fix="--output image:0..1"
        )
    if contract.name == sampler.image:
        raise SourceError(
            f"input and output are both called {contract.name!r}",
            fix="give the output another name: [output] name, or --output NAME=image:0..1",
        )
    if samples.shape[2:] != size:
        raise SourceError(
            f"tiles of {height} x {width} become {' x '.join(map(str, samples.shape[2:]))}, with "
            f"scale {sampler.scale} they are {size[0]} x {size[1]}",
            fix="set scale in [sampler] to what the model does",
        )


def check_independence(fed: FedComponent, bounds: BatchBounds) -> None:
    """Refuse a model whose samples depend on the others in their batch.

    Raises:
        TraceError: sample 0 alone differs from sample 0 in company.
    """
    if bounds.min > 1:
        return
    alone = fed.component.run({name: array[:1] for name, array in fed.feeds.items()})
    for got, (name, expected) in zip(alone.values(), fed.outputs.items(), strict=True):
        scale = measure_range(expected.astype(np.float64), None)
        error = float(np.abs(got[0].astype(np.float64) - expected[0]).max()) / scale
        if not error <= _INDEPENDENT:
            raise TraceError(
                f"output {name!r} of component {fed.component.name!r} depends on the other samples "
                f"in its batch (off by {error:.1e} alone)",
                fix="normalise with running statistics: BatchNorm with track_running_stats=True",
            )


def verify_components(
    specs: Sequence[ComponentSpec],
    graphs: Mapping[str, bytes],
    golden: Mapping[str, Array],
    bounds: BatchBounds,
    contract: OutputSpec,
    tolerance: float,
) -> dict[str, float]:
    """Run every exported graph on the golden inputs, at several batch sizes.

    Returns:
        `max_error` over all outputs and, for images, the sample's `psnr_db`.

    Raises:
        VerificationError: an output is off by more than the tolerance.
    """
    quality = {"max_error": 0.0}
    for spec in specs:
        count = len(golden[f"{spec.name}/in/{spec.inputs[0].name}"])
        with open_session(graphs[spec.name], spec) as session:
            checks = compare_component(
                session, spec, golden, choose_batches(bounds, count), contract
            )
        for check in checks:
            if not check.max_error <= tolerance:
                fix = f"--tolerance {check.max_error:.0e} if that is good enough for this model"
                raise VerificationError(
                    f"{check.component}/{check.output} drifts from the original model by "
                    f"{check.max_error:.1e} of its range, allowed {tolerance:.0e}",
                    fix=fix if math.isfinite(check.max_error) else "check the model for NaN",
                )
            quality["max_error"] = max(quality["max_error"], check.max_error)
            is_sample = contract.kind == "image" and check.output == contract.name
            if is_sample and math.isfinite(check.psnr_db):
                quality["psnr_db"] = check.psnr_db
    return quality


def add_loop_check(
    manifest: Manifest, graphs: Mapping[str, bytes], golden: Mapping[str, Array]
) -> Manifest:
    """Run the exported graphs through the whole sampling loop; state the tolerance, and the error.

    Raises:
        VerificationError: the samples are off by more than the tolerance.
    """
    base = manifest.variants[0]
    check = run_loop_check(manifest, graphs, golden)
    tolerance = FLIP_TOLERANCE if check.discrete else LOOP_TOLERANCE
    if not check.error <= tolerance:
        raise VerificationError(
            f"the sampling loop drifts from the original model by {check.error:.1e}, allowed "
            f"{tolerance:.0e}, though each step is within its own tolerance",
            fix="the model amplifies rounding: sample with fewer steps or a shorter length",
        )
    quality = {**base.quality, "loop_error": check.error}
    variant = structs.replace(base, quality=quality, loop_tolerance=tolerance)
    return structs.replace(manifest, variants=(variant, *manifest.variants[1:]))


def run_loop_check(
    manifest: Manifest, graphs: Mapping[str, bytes], golden: Mapping[str, Array]
) -> LoopCheck:
    """Return how far graphs (ONNX files by component) drift from the golden samples in the loop."""
    with ExitStack() as stack:
        sessions = {
            name: stack.enter_context(open_session(graphs[name], manifest.component(name)))
            for name in manifest.sampler.components
        }
        return check_loop(manifest, sessions, golden)
