"""How far a whole sampling loop drifts from the golden samples, step by step.

Each step may be within its tolerance and the samples still part: errors grow in a loop, and a token
that falls otherwise changes all that follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.batches import find_bounds, plan_passes
from genx_runtimes.errors import IntegrityError
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import LOOP, Manifest
from genx_runtimes.samplers import find_sampler
from genx_runtimes.samplers.loop import Draw, LoopModel, SamplingOptions, take_last
from genx_runtimes.sampling_specs import PixelsSpec, RecurrentSpec, TokensSpec
from genx_runtimes.session import Array, Session

_EXPORT_AGAIN = "export the bundle again"
# Golden samples keep what there is after each step for so many of them.
WATCHED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopCheck:
    """How far samples are from the golden ones after the whole loop.

    Args:
        error: of the worst sample: the root mean square difference over the range of the output; of
            what is decided by drawing (tokens, pixels) the share of samples that differ.
        discrete: whether it is a share.
        curve: the divergence on the way, from the first step to the last, in the same units, the
            mean over samples; empty where the steps are not known.
    """

    error: float
    discrete: bool
    curve: tuple[float, ...]


def check_loop(
    manifest: Manifest, sessions: Mapping[str, Session], golden: Mapping[str, Array]
) -> LoopCheck:
    """Sample what the golden samples are, with the graphs as they run here, and compare.

    Args:
        manifest: of the bundle.
        sessions: a loaded graph for each component that the sampler runs.
        golden: the golden arrays.

    Raises:
        InputError: the engines take no batch size in common.
        IntegrityError: the golden arrays are not what this loop makes.
    """
    name = manifest.output.name
    expected = golden[f"{LOOP}/out/{name}"]
    steps = golden.get(f"{LOOP}/steps/{name}")
    seed, count = manifest.golden.seed, len(expected)
    latents = LatentSource(manifest.priors, seed)
    loop, model = find_sampler(manifest.sampler.kind), LoopModel.of(manifest, sessions)
    got: list[Array] = []
    watched: list[Array] = []
    others: list[Array] = []
    for chosen in plan_passes(count, find_bounds(sessions.values(), manifest.batch)):
        indices = chosen.tolist()
        watched_now = not got and steps is not None
        feeds = latents.draw(indices)
        draw = Draw(seed=seed, indices=indices, feeds=feeds, watched=watched_now)
        last = expected[:0]
        for last in loop.steps(model, draw, SamplingOptions()):
            if watched_now:
                watched.append(last[:WATCHED].copy())
        got.append(last)
        if loop.other is not None:
            others.append(take_last(loop.other(model, draw, SamplingOptions())))
    made = _match(got, expected, f"{LOOP}/out/{name}")
    if isinstance(manifest.sampler, TokensSpec | PixelsSpec):
        return _compare_decisions(made, expected, manifest)
    scale = _measure_scale(expected, manifest.output.range)
    ways = [made, _match(others, expected, f"{LOOP}/out/{name}")] if others else [made]
    error = max(float(_distances(way, expected, scale).max()) for way in ways)
    if isinstance(manifest.sampler, RecurrentSpec):
        axis = manifest.sampler.axis + 1
        pairs = zip(np.moveaxis(ways[-1], axis, 0), np.moveaxis(expected, axis, 0), strict=True)
    else:
        # An engine that takes one sample at a time shows one, where the golden steps have two.
        known = list(steps[:, : len(watched[0])]) if steps is not None else []
        if len(known) != len(watched):
            raise IntegrityError(
                f"{LOOP}/steps/{name} of the golden samples has {len(known)} steps, the loop takes "
                f"{len(watched)}",
                fix=_EXPORT_AGAIN,
            )
        pairs = zip(watched, known, strict=True)
    curve = tuple(float(_distances(a, b, scale).mean()) for a, b in pairs)
    return LoopCheck(error=error, discrete=False, curve=curve)


def _match(parts: list[Array], expected: Array, label: str) -> Array:
    """Return the samples of all passes, but for those that fill up the last."""
    made = np.concatenate(parts)[: len(expected)]
    if made.shape != expected.shape:
        raise IntegrityError(
            f"{label} of the golden samples has shape {expected.shape}, the loop makes "
            f"{made.shape}",
            fix=_EXPORT_AGAIN,
        )
    return made


def _compare_decisions(got: Array, expected: Array, manifest: Manifest) -> LoopCheck:
    """Return the share of samples that differ, and that share after each token or row."""
    if isinstance(manifest.sampler, PixelsSpec):
        low, high = manifest.output.range or (0.0, 1.0)
        away = np.abs(got.astype(np.float64) - expected.astype(np.float64))
        apart = np.any(away > (high - low) / manifest.sampler.levels / 2, axis=(1, 3))
    else:
        apart = np.asarray(got != expected)
    by_then = np.logical_or.accumulate(apart, axis=1).mean(axis=0)
    return LoopCheck(error=float(by_then[-1]), discrete=True, curve=tuple(by_then.tolist()))


def _measure_scale(expected: Array, limits: tuple[float, float] | None) -> float:
    if limits is not None:
        return limits[1] - limits[0]
    return float(expected.max() - expected.min()) or 1.0


def _distances(got: Array, expected: Array, scale: float) -> NDArray[np.float64]:
    """Return each sample's root mean square difference over the scale; NaN is infinitely far."""
    apart = (got.astype(np.float64) - expected.astype(np.float64)) / scale
    found = np.sqrt(np.square(apart).reshape(len(apart), -1).mean(axis=1))
    return np.where(np.isfinite(found), found, np.inf)
