"""Sampling loops on committed bundles, where neither torch nor onnx is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import InputError
from genx_runtimes.samplers.loop import SamplingOptions
from genx_runtimes.session import Array

DATA = Path(__file__).parents[1] / "data"
RECURRENT, TOKENS, DIFFUSION = (
    DATA / f"tiny_{name}.genx" for name in ("recurrent", "tokens", "diffusion")
)


def _sample(path: Path, **options: object) -> Array:
    with open_bundle(path).sampler() as sampler:
        return next(sampler.sample(4, seed=5, options=SamplingOptions(**options))).output  # type: ignore[arg-type]


def test_a_longer_sequence_begins_as_a_shorter() -> None:
    short, long = _sample(RECURRENT, length=3), _sample(RECURRENT, length=20)
    assert (short.shape, long.shape) == ((4, 3, 5), (4, 20, 5))
    np.testing.assert_array_equal(long[:, :3], short)


def test_a_longer_text_begins_as_a_shorter() -> None:
    np.testing.assert_array_equal(_sample(TOKENS, length=8)[:, :4], _sample(TOKENS, length=4))


def test_what_is_watched_ends_with_the_sample() -> None:
    with open_bundle(DIFFUSION).sampler() as sampler:
        seen = [batch.output for batch in sampler.watch(2, seed=5)]
        np.testing.assert_array_equal(seen[-1], next(sampler.sample(2, seed=5)).output)
    assert len(seen) == 5
    assert np.abs(seen[0] - seen[-1]).max() > 0


def test_guidance_is_the_same_in_one_call_and_in_two() -> None:
    with open_bundle(DIFFUSION).sampler() as sampler:
        one = next(sampler.sample(8, seed=5, batch=8)).output
        two = next(sampler.sample(16, seed=5, batch=16)).output  # twice 16 is beyond the bounds
    np.testing.assert_allclose(two[:8], one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("path", "option", "message"),
    [
        (RECURRENT, {"steps": 5}, "--steps has no meaning for this bundle"),
        (DIFFUSION, {"prompt": "a"}, "--prompt has no meaning for this bundle"),
        (DATA / "tiny.genx", {"length": 5}, "--length has no meaning .*; leave --length out"),
        (RECURRENT, {"length": 0}, "length is 0, expected 1 or more"),
    ],
)
def test_options_without_a_meaning(path: Path, option: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _sample(path, **option)


def test_interpolation_keeps_the_noise_of_the_first_sample() -> None:
    with open_bundle(DIFFUSION).sampler() as sampler:
        ddpm = SamplingOptions(solver="ddpm")
        walk = next(sampler.interpolate(1, 3, 5, seed=5, options=ddpm))
        first = next(sampler.sample(1, seed=5, start=1, options=ddpm))
    assert walk.start == 0
    np.testing.assert_allclose(walk.output[0], first.output[0], atol=1e-5)
