"""Image-to-image models, a tile at a time: what a sampling loop is asked for without any picture.

There is nothing to sample from such a model. So that golden samples, `genx bench` and `genx tune`
have something to run on, sample `i` of a seed is a smooth random image, translated. Pictures are
translated by `genx_runtimes.translate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.noise import NoiseStream
from genx_runtimes.samplers.loop import Draw, LoopModel, SampleLoop, SamplingOptions
from genx_runtimes.sampling_specs import SamplerSpec, TranslateSpec
from genx_runtimes.session import Array

# Pixels between the random values that a smooth image is drawn through.
_SMOOTH = 8


def translate_random(model: LoopModel, draw: Draw, options: SamplingOptions) -> Iterator[Array]:
    """Yield the translations (B, C, H, W) of random images."""
    del options
    feeds = add_images(model.sampler, draw).feeds
    yield model.sessions[model.sampler.component].run(feeds)[model.output.name]


def add_images(sampler: SamplerSpec, draw: Draw) -> Draw:
    """Return the draw with a random image for each sample, where the model takes images."""
    if not isinstance(sampler, TranslateSpec):
        return draw
    rows = zip(draw.seeds, draw.indices, strict=True)
    images = np.concatenate([draw_images(sampler, seed, [index]) for seed, index in rows])
    return replace(draw, feeds={sampler.image: images, **draw.feeds})


def draw_images(spec: TranslateSpec, seed: int, indices: Sequence[int]) -> NDArray[np.float32]:
    """Return smooth random images (B, C, H, W) in the range of the input.

    Uniform values on a coarse grid with straight lines between them; image `i` depends on the seed,
    `i` and the input's name alone.
    """
    channels, height, width = spec.tile
    low, high = spec.range
    down, along = (_interpolate(size) for size in (height, width))
    stream = NoiseStream(seed, spec.image)
    coarse = (channels, down.shape[1], along.shape[1])
    drawn = np.stack([stream.at(i).random_sample(coarse) for i in indices])
    smooth = low + (high - low) * (down @ drawn @ along.T)
    return smooth.astype(np.float32)


def _interpolate(size: int) -> NDArray[np.float64]:
    """Return the matrix (size, coarse) that draws straight lines through coarse values."""
    coarse = max(2, round(size / _SMOOTH) + 1)
    at = np.linspace(0, coarse - 1, size)
    weights = 1 - np.abs(at[:, None] - np.arange(coarse)[None])
    lines: NDArray[np.float64] = np.maximum(weights, 0)
    return lines


TRANSLATE = SampleLoop(steps=translate_random)
