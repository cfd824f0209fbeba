"""What a sampler's own fields must not say, whatever the graphs are: one function a kind.

A manifest comes from strangers, and its numbers decide how much a loop allocates and how long it
runs: each has a floor and a ceiling.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from genx_runtimes.manifest import CategoricalPrior, Prior
from genx_runtimes.sampling_specs import (
    DiffusionSpec,
    PixelsSpec,
    RecurrentSpec,
    SamplerSpec,
    StateSpec,
    TokensSpec,
    TranslateSpec,
)

# Values in one sample of an input, a state or an output: 1 GiB of float32, the cache of a language
# model of seven billion weights.
MAX_VALUES = 2**28
# Steps of a loop, and of a schedule.
MAX_STEPS = 2**20
MAX_LEVELS = 2**16


def list_value_problems(sampler: SamplerSpec) -> list[str]:
    """List what the fields of a sampler say that no graph could make true."""
    if isinstance(sampler, TranslateSpec):
        return list(_check_translate(sampler))
    if isinstance(sampler, RecurrentSpec):
        return list(_check_recurrent(sampler))
    if isinstance(sampler, TokensSpec):
        return list(_check_tokens(sampler))
    if isinstance(sampler, PixelsSpec):
        return list(_check_pixels(sampler))
    if isinstance(sampler, DiffusionSpec):
        return list(_check_diffusion(sampler))
    return []


def list_sequence_problems(sampler: RecurrentSpec, priors: Sequence[Prior]) -> list[str]:
    """List the `sequences` of a recurrent sampler that have no axis of its length."""
    known = {prior.name: prior for prior in priors}
    problems = []
    for name in sampler.sequences:
        prior = known.get(name)
        if prior is None:
            problems.append(f"sequences has {name!r}, which is no prior")
        elif isinstance(prior, CategoricalPrior):
            problems.append(
                f"sequences has {name!r}, one class a sample: only a prior with a shape has an "
                f"element for each step"
            )
        elif prior.shape[:1] != (sampler.length,):
            problems.append(
                f"sequences has {name!r} of shape {list(prior.shape)}, whose first axis is to be "
                f"the length, {sampler.length}"
            )
    return problems


def check_shape(name: str, shape: Sequence[int]) -> Iterator[str]:
    """Yield what is wrong with the shape of one sample of something."""
    if not all(size >= 1 for size in shape):
        yield f"{name} has shape {list(shape)}, expected sizes of 1 or more"
    elif math.prod(shape) > MAX_VALUES:
        yield f"{name} has shape {list(shape)}, more than {MAX_VALUES} values a sample"


def _check_translate(spec: TranslateSpec) -> Iterator[str]:
    channels, *sides = spec.tile
    low, high = spec.range
    if channels not in (1, 3, 4) or min(sides) < 1:
        shape = " x ".join(map(str, spec.tile))
        yield f"tile is {shape}, expected 1, 3 or 4 channels, rows and columns"
    elif not 0 <= spec.overlap <= min(sides) // 2:
        yield f"overlap is {spec.overlap}, expected 0 to {min(sides) // 2}, half a tile"
    yield from check_shape("tile", spec.tile)
    if not low < high:
        yield f"range is {low:g} to {high:g}, expected low < high"
    if spec.scale < 1:
        yield f"scale is {spec.scale}, expected 1 or more"


def _check_recurrent(spec: RecurrentSpec) -> Iterator[str]:
    yield from _check_count("length", spec.length)
    yield from _check_states(spec.states, spec.length)
    if len(set(spec.sequences)) != len(spec.sequences):
        yield f"sequences {list(spec.sequences)} have a name twice"
    if spec.axis < 0:
        yield f"axis is {spec.axis}, expected 0 or more"


def _check_tokens(spec: TokensSpec) -> Iterator[str]:
    yield from _check_count("length", spec.length)
    yield from _check_states(spec.states, spec.length)
    yield from _check_temperature(spec.temperature)


def _check_pixels(spec: PixelsSpec) -> Iterator[str]:
    channels, height, width = spec.shape
    yield from _check_count("levels", spec.levels, least=2, most=MAX_LEVELS)
    yield from _check_count("window", spec.window)
    yield from check_shape("shape", spec.shape)
    # What is kept on the way: the image under its window, and the logits of a pixel.
    yield from check_shape("the image", (channels, height + spec.window, width))
    yield from _check_states(spec.states, width)
    yield from _check_temperature(spec.temperature)


def _check_diffusion(spec: DiffusionSpec) -> Iterator[str]:
    schedule = spec.schedule
    if schedule.kind in ("linear", "scaled_linear", "cosine"):
        yield from _check_count("train_steps", schedule.train_steps)
    trained = len(schedule.betas) if schedule.kind == "betas" else schedule.train_steps
    yield from _check_count("steps", spec.steps)
    if schedule.kind != "flow" and spec.steps > trained:
        yield f"steps is {spec.steps}, the model was trained with {trained}"
    if spec.guidance is not None and not 0 <= spec.guidance.null < 2**31:
        yield f"guidance has null {spec.guidance.null}, expected a class, 0 or more"


def _check_states(states: Sequence[StateSpec], steps: int) -> Iterator[str]:
    names = [state.name for state in states]
    if len(set(names)) != len(names):
        yield f"states {names} have a name twice"
    for state in states:
        yield from check_shape(f"state {state.name!r}", state.shape)
        if state.grows is not None and not (
            0 <= state.grows < len(state.shape) and state.shape[state.grows] >= steps
        ):
            yield f"state {state.name!r} cannot grow to {steps} along an axis"


def _check_temperature(temperature: float) -> Iterator[str]:
    if not (math.isfinite(temperature) and temperature >= 0):
        yield f"temperature is {temperature}, expected 0 or more"


def _check_count(name: str, value: int, *, least: int = 1, most: int = MAX_STEPS) -> Iterator[str]:
    if value < least:
        yield f"{name} is {value}, expected {least} or more"
    elif value > most:
        yield f"{name} is {value}, expected {most} at most"
