"""What a bundle is said to draw, run and make, and what is suggested."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import DATA

from genx_cli.descriptions import describe_prior, describe_sampler
from genx_cli.next_steps import suggest_sampling
from genx_runtimes import open_bundle
from genx_runtimes.manifest import (
    CategoricalPrior,
    ConstantPrior,
    NormalPrior,
    Prior,
    UniformPrior,
)
from genx_runtimes.sampling_specs import DiffusionSpec, PixelsSpec, Schedule, StateSpec


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        (NormalPrior(name="z", shape=(4, 2)), "z: 4 x 2 standard normal values"),
        (UniformPrior(name="c", shape=(2,), low=-1, high=1), "c: 2 uniform values in -1 to 1"),
        (CategoricalPrior(name="k", classes=3), "k: one of 3 classes (0 to 2)"),
        (ConstantPrior(name="t", value=0.7, low=0, high=1), "t: 0.7 unless set, 0 to 1"),
    ],
)
def test_priors(prior: Prior, said: str) -> None:
    assert describe_prior(prior) == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tiny", "feedforward: generator, one pass"),
        ("tiny_recurrent", "recurrent: step, 7 steps, states (h 4)"),
        (
            "tiny_tokens",
            "tokens: step, looks back on 12 tokens, temperature 1, states (cache 12x4, growing), "
            "stops at 0",
        ),
        (
            "tiny_diffusion",
            "diffusion: denoiser, 5 steps of ddim, predicts noise, linear schedule of 100 steps, "
            "guided by label, weight 2",
        ),
    ],
)
def test_samplers(name: str, said: str) -> None:
    assert describe_sampler(open_bundle(DATA / f"{name}.genx").manifest.sampler) == said


def test_samplers_of_several_graphs() -> None:
    pixels = PixelsSpec(
        component="step",
        row="row",
        states=(StateSpec(name="h", shape=(8,)),),
        shape=(1, 16, 12),
        window=3,
        levels=4,
    )
    assert describe_sampler(pixels) == (
        "pixels: step, a step for each of 1 x 16 x 12 pixels, row for each row, 4 levels, "
        "temperature 1, states (h 8)"
    )
    flow = DiffusionSpec(
        component="d", prediction="flow", schedule=Schedule(kind="flow"), decoder="decoder"
    )
    assert describe_sampler(flow).endswith("a straight flow, then decoder")


@pytest.mark.parametrize(
    ("name", "plain", "balanced"),
    [
        ("tiny", "-n 64 -o grid.png", "-n 64 --set label=balanced -o balanced.png"),
        ("tiny_codes", "-n 64 -o samples.npy", "-n 64 --set label=balanced -o balanced.npy"),
        ("tiny_recurrent", "-n 64 -o samples.csv", "-n 64 --set label=balanced -o balanced.csv"),
        (
            "tiny_tokens",
            "-n 1 --prompt a -o -",
            "-n 16 --set label=balanced --prompt a -o balanced.txt",
        ),
    ],
)
def test_suggestions(name: str, plain: str, balanced: str) -> None:
    manifest = open_bundle(DATA / f"{name}.genx").manifest
    assert suggest_sampling(Path("b"), manifest) == f"genx sample b {plain}"
    assert suggest_sampling(Path("b"), manifest, settings=["label=balanced"]) == (
        f"genx sample b {balanced}"
    )
