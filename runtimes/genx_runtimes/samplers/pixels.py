"""Autoregressive images: pixel after pixel, each computed once.

What depends on the rows above is computed once a row, by one graph; another goes along the row with
a state. Evaluating the whole network anew for each pixel would cost height x width times as much.

Source: van den Oord et al., "Conditional image generation with PixelCNN decoders",
arXiv:1606.05328, figure 2 (the vertical and the horizontal stack); Ramachandran et al., "Fast
generation for convolutional autoregressive models", arXiv:1704.06001.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from genx_runtimes.errors import ManifestError
from genx_runtimes.samplers.decisions import settle_decision
from genx_runtimes.samplers.loop import (
    Draw,
    LoopModel,
    SampleLoop,
    SamplingOptions,
    advance_states,
    start_states,
)
from genx_runtimes.sampling_specs import PixelsSpec
from genx_runtimes.session import Array


def sample_pixels(model: LoopModel, draw: Draw, options: SamplingOptions) -> Iterator[Array]:
    """Yield the images (B, C, H, W); where they are watched, after each row."""
    spec = _spec(model)
    channels, height, width = spec.shape
    batch = len(draw.indices)
    assert model.output.range is not None  # an image has one
    values = np.linspace(*model.output.range, spec.levels).astype(np.float32)
    decision = settle_decision(options, spec.temperature)
    uniforms = draw.uniform("token", height * width * channels)
    uniforms = uniforms.reshape(batch, height, width, channels)
    # The image with zeros above it, as far as a row looks.
    padded = np.zeros((batch, channels, spec.window + height, width), np.float32)
    image = padded[:, :, spec.window :]
    step_session, drawn_once = model.sessions[spec.component], model.feed(spec.component, draw)
    for y in range(height):
        features = _run_row(model, draw, padded, y)
        columns = np.ascontiguousarray(features.transpose(2, 0, 1))
        states = start_states(spec.states, batch)
        left = np.zeros((batch, channels, 1, 1), np.float32)
        for x in range(width):
            feeds = {spec.pixel: left, spec.features: columns[x], **drawn_once}
            outputs = step_session.run({**feeds, **states})
            states = advance_states(spec.states, states, outputs, x)
            logits = next(iter(outputs.values()))
            _check_shape(spec.component, logits.shape, (batch, channels, spec.levels))
            rows = logits.reshape(batch * channels, spec.levels)
            drawn = decision.draw(rows, uniforms[:, y, x].reshape(-1))
            left = values[drawn].reshape(batch, channels, 1, 1)
            image[:, :, y, x] = left[:, :, 0, 0]
        if draw.watched and y + 1 < height:
            yield image.copy()
    yield image.copy()


def _run_row(model: LoopModel, draw: Draw, padded: Array, y: int) -> Array:
    """Return the features (B, F, W) of row `y`; `padded` holds `window` rows above the image."""
    spec = _spec(model)
    batch, width = len(draw.indices), spec.shape[2]
    feeds = model.feed(spec.row, draw)
    feeds[spec.above] = np.ascontiguousarray(padded[:, :, y : y + spec.window])
    if spec.inside is not None:
        rows = np.arange(y, y + spec.window) >= spec.window
        inside = np.broadcast_to(rows[None, None, :, None], (batch, 1, spec.window, 1))
        feeds[spec.inside] = inside.astype(np.float32)
    features = model.sessions[spec.row].run(feeds)[spec.features]
    _check_shape(spec.row, features.shape, (batch, *features.shape[1:2], width))
    return features


def _check_shape(component: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if got != expected:
        raise ManifestError(
            f"{component!r} gives {got}, the sampler's shape and levels ask for {expected}",
            fix="correct [sampler] and export it again",
        )


def _check(model: LoopModel, options: SamplingOptions) -> None:
    settle_decision(options, _spec(model).temperature)


def _spec(model: LoopModel) -> PixelsSpec:
    assert isinstance(model.sampler, PixelsSpec)
    return model.sampler


PIXELS = SampleLoop(
    steps=sample_pixels,
    takes=frozenset({"temperature", "top_k", "top_p"}),
    check=_check,
)
