"""The samples that quantisation works with: some to find ranges, others to measure quality."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from genx_export.feeding import feed_components, run_model_loop
from genx_export.loop_feeding import run_loop
from genx_export.model import LoadedModel
from genx_export.quantisation.image_folder import NOTHING, Given
from genx_export.quantisation.recipe import QuantisationRecipe
from genx_runtimes.backends import open_session
from genx_runtimes.bundle import Bundle
from genx_runtimes.errors import InputError
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import BatchBounds, CategoricalPrior, Manifest, VariantSpec
from genx_runtimes.samplers.loop import Draw
from genx_runtimes.samplers.translate import add_images
from genx_runtimes.sampling_specs import OnePassSpec
from genx_runtimes.session import Array, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """One component's inputs and the outputs of the original model, (N, ...) by port name.

    Args:
        calibration: inputs that ranges are taken from.
        calibrated: the outputs for these.
        fresh: other inputs, on which quality is measured.
        expected: the outputs for these.
    """

    calibration: Mapping[str, Array]
    calibrated: Mapping[str, Array]
    fresh: Mapping[str, Array]
    expected: Mapping[str, Array]


def draw_from_model(
    model: LoadedModel, bounds: BatchBounds, recipe: QuantisationRecipe, given: Given = NOTHING
) -> dict[str, Material]:
    """Run the original model on its own prior; return the material of each component."""
    sides = []
    for seed, count, fixed in _plan_sides(recipe, bounds, given):
        draw, size = _draw(model, seed, count), bounds.usual
        loop = run_model_loop(model, draw, size=size, max_batch=bounds.max, wanted=count)
        fed = feed_components(model, draw.feeds, size=size, given=fixed, loop=loop)
        sides.append({f.component.name: f for f in fed})
    made = {}
    for name, first in sides[0].items():
        second = sides[1][name]
        made[name] = Material(
            calibration={first.ports[p]: array for p, array in first.feeds.items()},
            calibrated=first.outputs,
            fresh={second.ports[p]: array for p, array in second.feeds.items()},
            expected=second.outputs,
        )
    return made


def find_base(manifest: Manifest) -> VariantSpec:
    """Return the native fp32 variant, which the others are made from.

    Raises:
        InputError: there is none.
    """
    for variant in manifest.variants:
        if (variant.precision, variant.form) == ("fp32", "native"):
            return variant
    raise InputError(
        "the bundle has no native fp32 variant to start from",
        fix="export it again with --precision fp32",
    )


def draw_from_bundle(
    bundle: Bundle, base: VariantSpec, recipe: QuantisationRecipe, given: Given = NOTHING
) -> dict[str, Material]:
    """Run a bundle's fp32 variant, which equals the original model up to its tolerance."""
    manifest = bundle.manifest
    graphs = {c.name: bundle.read_graph(c.name, base.name) for c in manifest.components}
    sides = [
        _run_bundle(manifest, graphs, _draw(manifest, seed, count), fixed)
        for seed, count, fixed in _plan_sides(recipe, manifest.batch, given)
    ]
    return {
        name: Material(calibration=feeds, calibrated=outputs, fresh=fresh, expected=expected)
        for (name, (feeds, outputs)), (fresh, expected) in zip(
            sides[0].items(), sides[1].values(), strict=True
        )
    }


def run_in_passes(
    session: Session, feeds: Mapping[str, Array], bounds: BatchBounds
) -> dict[str, Array]:
    """Run a session on (N, ...) inputs, some samples at a time."""
    size = bounds.usual
    count = len(next(iter(feeds.values())))
    parts = [
        session.run({name: array[first : first + size] for name, array in feeds.items()})
        for first in range(0, count, size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def count_samples(recipe: QuantisationRecipe, bounds: BatchBounds) -> tuple[int, int]:
    """Return how many samples there are for calibration, and for the quality.

    As many as asked for, or a few more: a multiple of the pass, with no rest below the least batch.
    """
    size = bounds.usual
    return -(-recipe.calibration // size) * size, -(-recipe.samples // size) * size


def _plan_sides(
    recipe: QuantisationRecipe, bounds: BatchBounds, given: Given
) -> list[tuple[int, int, Mapping[str, Array]]]:
    """Return seed, number and given inputs of the calibration samples, and of the fresh ones."""
    calibration, fresh = count_samples(recipe, bounds)
    return [
        (recipe.seed, calibration, given.calibration),
        (recipe.seed + 1, fresh, given.fresh),
    ]


def _draw(model: LoadedModel | Manifest, seed: int, count: int) -> Draw:
    """Draw from the priors, each class equally often, and images where the model takes them."""
    classes = {p.name: "balanced" for p in model.priors if isinstance(p, CategoricalPrior)}
    feeds = LatentSource(model.priors, seed, conditions=classes).draw(range(count))
    return add_images(model.sampler, Draw(seed=seed, indices=range(count), feeds=feeds))


def _run_bundle(
    manifest: Manifest,
    graphs: Mapping[str, bytes],
    draw: Draw,
    given: Mapping[str, Array],
) -> dict[str, tuple[Mapping[str, Array], Mapping[str, Array]]]:
    """Return each component's inputs and outputs; what is sampled feeds the others."""
    made: dict[str, Array] = dict(draw.feeds)
    done: dict[str, tuple[Mapping[str, Array], Mapping[str, Array]]] = {}
    if not isinstance(manifest.sampler, OnePassSpec):
        with ExitStack() as stack:
            calls = {
                name: stack.enter_context(open_session(graphs[name], manifest.component(name))).run
                for name in manifest.sampler.components
            }
            run = run_loop(
                manifest.sampler,
                manifest.priors,
                manifest.output,
                calls,
                {c.name: [port.name for port in c.inputs] for c in manifest.components},
                draw,
                size=manifest.batch.usual,
                max_batch=manifest.batch.max,
                wanted=len(draw.indices),
            )
        done = {name: (feeds, run.outputs[name]) for name, feeds in run.feeds.items()}
        made = {manifest.output.name: run.output}
    sampled = manifest.sampler.component
    waiting = sorted(
        (c for c in manifest.components if c.name not in done), key=lambda c: c.name != sampled
    )
    while waiting:
        spec = next(c for c in waiting if all(i.name in made for i in c.inputs))
        waiting.remove(spec)
        feeds = {i.name: given.get(i.name, made[i.name]) for i in spec.inputs}
        with open_session(graphs[spec.name], spec) as session:
            outputs = run_in_passes(session, feeds, manifest.batch)
        done[spec.name] = (feeds, outputs)
        made |= outputs
    return done
