"""Sampling loops on committed bundles, where neither torch nor onnx is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import InputError
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import NormalPrior, OutputSpec, TensorSpec
from genx_runtimes.samplers import find_sampler
from genx_runtimes.samplers.loop import Draw, LoopModel, SamplingOptions, take_last
from genx_runtimes.sampling_specs import (
    PixelsSpec,
    RecurrentSpec,
    SamplerSpec,
    StateSpec,
    TokensSpec,
)
from genx_runtimes.session import Array, Closing

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


def test_a_sequence_is_no_longer_than_what_its_state_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_bundle(RECURRENT).sampler() as sampler:
        state = StateSpec(name="h", shape=(9, 4), grows=0)
        spec = structs.replace(sampler.manifest.sampler, states=(state,))
        monkeypatch.setattr(sampler, "_model", replace(sampler._model, sampler=spec))
        with pytest.raises(InputError, match=r"length is 10, the state 'h' holds 9 .*; --length 9"):
            sampler.sample(1, options=SamplingOptions(length=10))
        sampler.sample(1, options=SamplingOptions(length=9))


class Recorder(Closing):
    """Gives what it is told to, and keeps the names of what it was fed."""

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def __init__(self, **made: tuple[int, ...]) -> None:
        self._made = made
        self.fed: set[tuple[str, ...]] = set()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.fed.add(tuple(sorted(feeds)))
        batch = len(next(iter(feeds.values())))
        return {n: np.zeros((batch, *shape), np.float32) for n, shape in self._made.items()}

    def close(self) -> None:
        """Nothing is held."""


PRIORS = (NormalPrior(name="noise", shape=(3, 2)), NormalPrior(name="style", shape=(4,)))
LOOPS: list[tuple[SamplerSpec, dict[str, Recorder], dict[str, list[str]]]] = [
    (
        PixelsSpec(component="step", row="row", states=(), shape=(1, 3, 2), window=1, levels=2),
        {"step": Recorder(logits=(1, 2)), "row": Recorder(features=(5, 2))},
        {"step": ["features", "pixel", "style"], "row": ["above", "noise"]},
    ),
    (
        RecurrentSpec(component="step", whole="whole", states=(), sequences=("noise",), length=3),
        {"step": Recorder(x=(1,)), "whole": Recorder(x=(3, 1))},
        {"step": ["noise"], "whole": ["noise", "style"]},
    ),
    (
        TokensSpec(component="step", states=(), length=3, start=0),
        {"step": Recorder(logits=(5,))},
        {"step": ["position", "style", "token"]},
    ),
]


@pytest.mark.parametrize(("spec", "sessions", "takes"), LOOPS)
def test_each_graph_is_fed_by_the_priors_that_it_takes(
    spec: SamplerSpec, sessions: dict[str, Recorder], takes: dict[str, list[str]]
) -> None:
    model = LoopModel(
        sampler=spec,
        priors=PRIORS,
        output=OutputSpec(name="x", kind="tensor", range=(0.0, 1.0)),
        max_batch=4,
        sessions=sessions,
        takes=takes,
    )
    draw = Draw(seed=0, indices=range(2), feeds=LatentSource(PRIORS, 0).draw(range(2)))
    loop = find_sampler(spec.kind)
    for way in filter(None, (loop.steps, loop.other)):
        take_last(way(model, draw, SamplingOptions()))
    assert {name: session.fed for name, session in sessions.items()} == {
        name: {tuple(names)} for name, names in takes.items()
    }


def test_interpolation_keeps_the_noise_of_the_first_sample() -> None:
    with open_bundle(DIFFUSION).sampler() as sampler:
        ddpm = SamplingOptions(solver="ddpm")
        walk = next(sampler.interpolate(1, 3, 5, seed=5, options=ddpm))
        first = next(sampler.sample(1, seed=5, start=1, options=ddpm))
    assert walk.start == 0
    np.testing.assert_allclose(walk.output[0], first.output[0], atol=1e-5)
