"""Solvers of a bundle against the schedulers of diffusers, and against a loop written in PyTorch.

All start from the same noise and call the same denoiser; each step's guess of the sample is
compared, and the sample at the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
)
from diffusers.schedulers import scheduling_ddpm
from msgspec import convert, structs
from torch import Tensor, nn

from genx_export import export
from genx_runtimes import open_bundle
from genx_runtimes.latents import LatentSource
from genx_runtimes.noise import NoiseStream
from genx_runtimes.sampler import Sampler
from genx_runtimes.samplers.loop import SamplingOptions
from genx_runtimes.sampling_specs import DiffusionSpec
from genx_runtimes.session import Array

# numpy.array() of a tensor that is not one of float64, in diffusers
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# diffusers counts in float32, and a guess of x_0 from noise is that over the signal.
SAME = 1e-4
SEED, COUNT = 3, 2

MODEL = """
import torch
from torch import nn
from genx_export import ModelSpec


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.labels = nn.Embedding(4, 8)
        self.one = nn.Conv2d(1, 8, 3, 1, 1)
        self.two = nn.Conv2d(8, 1, 3, 1, 1)

    def forward(self, x, time, label):
        bias = self.labels(label) + torch.sin(time / 300)[:, None]
        return self.two(torch.tanh(self.one(x) + bias[:, :, None, None]))


def build():
    torch.manual_seed(0)
    return ModelSpec(
        module=Denoiser(),
        family="diffusion",
        priors={"x": "normal:1x8x8", "label": "categorical:3"},
        output="image=tensor",
        sampler={"schedule": {"kind": "linear", "train_steps": 1000}},
    )
"""


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sampler]:
    """A tiny denoiser of class pictures; tests give it other specs of the loop."""
    folder = tmp_path_factory.mktemp("diffusers")
    (folder / "tiny.py").write_text(MODEL)
    export(f"{folder / 'tiny.py'}:build", folder / "d.genx")
    with open_bundle(folder / "d.genx").sampler() as opened:
        yield opened


@pytest.fixture
def module(tmp_path: Path) -> nn.Module:
    """The denoiser in PyTorch."""
    names: dict[str, Any] = {}
    exec(compile(MODEL, str(tmp_path), "exec"), names)
    built: nn.Module = names["build"]().module
    return built


def _change(sampler: Sampler, **fields: object) -> Sampler:
    spec = convert({"kind": "diffusion", "component": "denoiser", **fields}, DiffusionSpec)
    return Sampler(structs.replace(sampler.manifest, sampler=spec), sampler.sessions)


def _watch(sampler: Sampler, **options: Any) -> list[Array]:
    asked = SamplingOptions(**options)
    return [batch.output for batch in sampler.watch(COUNT, seed=SEED, options=asked)]


def _draw(sampler: Sampler) -> tuple[Tensor, Array]:
    feeds = LatentSource(sampler.manifest.priors, SEED).draw(range(COUNT))
    return torch.from_numpy(np.array(feeds["x"])), feeds["label"]


def _predict(sampler: Sampler, x: Tensor, time: float, label: Array) -> Tensor:
    feeds = {"x": x.numpy(), "time": np.full(len(x), time, np.float32), "label": label}
    return torch.from_numpy(np.array(sampler.session.run(feeds)["prediction"]))


def _compare(got: list[Array], guesses: list[Tensor], last: Tensor) -> None:
    assert len(got) == len(guesses)
    for ours, theirs in zip(got, [*guesses[:-1], last], strict=True):
        scale = max(1.0, float(theirs.abs().max()))
        np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=SAME)


LINEAR = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
KINDS = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine"}
PREDICTIONS = {"epsilon": "noise", "v_prediction": "velocity", "sample": "sample"}


def _describe(
    betas: dict[str, Any],
    prediction: str,
    spacing: str,
    *,
    offset: int = 0,
    final_one: bool = True,
    clip: bool = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the same settings for diffusers and for genx."""
    shared = {k: v for k, v in betas.items() if k != "beta_schedule"}
    theirs = {
        **betas,
        "num_train_timesteps": 1000,
        "prediction_type": prediction,
        "timestep_spacing": spacing,
        "steps_offset": offset,
    }
    schedule = {
        **shared,
        "kind": KINDS[betas["beta_schedule"]],
        "train_steps": 1000,
        "spacing": spacing,
        "steps_offset": offset,
        "final_one": final_one,
    }
    ours = {"prediction": PREDICTIONS[prediction], "schedule": schedule}
    return theirs, {**ours, "clip": [-1.0, 1.0]} if clip else ours


@pytest.mark.parametrize(
    ("betas", "prediction", "spacing", "more"),
    [
        (LINEAR, "epsilon", "leading", {}),
        (LINEAR, "epsilon", "leading", {"clip": True}),
        (LINEAR, "sample", "trailing", {}),
        (SCALED, "epsilon", "leading", {"offset": 1, "final_one": False}),
        (SCALED, "v_prediction", "trailing", {}),
        (COSINE, "v_prediction", "trailing", {"clip": True}),
        (COSINE, "sample", "leading", {"clip": True}),
    ],
)
def test_ddim(
    sampler: Sampler, betas: dict[str, Any], prediction: str, spacing: str, more: dict[str, Any]
) -> None:
    theirs, ours = _describe(betas, prediction, spacing, **more)
    scheduler = DDIMScheduler(
        **theirs,
        set_alpha_to_one=more.get("final_one", True),
        clip_sample=more.get("clip", False),
    )
    scheduler.set_timesteps(20)
    changed = _change(sampler, solver="ddim", **ours)
    x, label = _draw(changed)
    guesses = []
    for time in scheduler.timesteps:
        step = scheduler.step(_predict(changed, x, float(time), label), time, x)
        x = step.prev_sample
        guesses.append(step.pred_original_sample)
    _compare(_watch(changed, steps=20), guesses, x)


@pytest.mark.parametrize(
    ("betas", "prediction", "spacing", "steps", "clip"),
    [
        (LINEAR, "epsilon", "leading", 20, True),
        (LINEAR, "epsilon", "leading", 100, True),
        (COSINE, "v_prediction", "trailing", 25, False),
    ],
)
def test_ddpm(
    sampler: Sampler,
    monkeypatch: pytest.MonkeyPatch,
    betas: dict[str, Any],
    prediction: str,
    spacing: str,
    steps: int,
    clip: bool,
) -> None:
    theirs, ours = _describe(betas, prediction, spacing, clip=clip)
    scheduler = DDPMScheduler(**theirs, clip_sample=clip)
    scheduler.set_timesteps(steps)
    changed = _change(sampler, solver="ddpm", **ours)
    x, label = _draw(changed)
    shape, drawn = x.shape[1:], 0

    def draw_ours(*_: object, **__: object) -> Tensor:
        stream = NoiseStream(SEED, f"step/{drawn}")
        noise = [stream.at(i).standard_normal(shape) for i in range(COUNT)]
        return torch.from_numpy(np.asarray(noise, np.float32))

    monkeypatch.setattr(scheduling_ddpm, "randn_tensor", draw_ours)
    guesses = []
    for time in scheduler.timesteps:
        step = scheduler.step(_predict(changed, x, float(time), label), time, x)
        drawn += 1
        x = step.prev_sample
        guesses.append(step.pred_original_sample)
    _compare(_watch(changed, steps=steps), guesses, x)


@pytest.mark.parametrize(
    ("betas", "prediction", "spacing"),
    [
        (SCALED, "epsilon", "trailing"),
        (SCALED, "v_prediction", "leading"),
        (LINEAR, "v_prediction", "trailing"),
    ],
)
@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_euler_and_heun(
    sampler: Sampler, solver: str, betas: dict[str, Any], prediction: str, spacing: str
) -> None:
    """There the noisy sample is x / signal, and the noise's share noise / signal."""
    theirs, ours = _describe(betas, prediction, spacing)
    scheduler = (EulerDiscreteScheduler if solver == "euler" else HeunDiscreteScheduler)(**theirs)
    scheduler.set_timesteps(20)
    changed = _change(sampler, solver=solver, **ours)
    x, label = _draw(changed)
    x = x * torch.sqrt(scheduler.sigmas[0] ** 2 + 1)
    guesses = []
    for i, time in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(x, time)
        out = _predict(changed, scaled, float(time), label)
        if solver == "euler" or i % 2 == 0:
            sigma = float(scheduler.sigmas[i])
            signal, noise = 1 / math.hypot(1, sigma), sigma / math.hypot(1, sigma)
            guesses.append(
                (scaled - noise * out) / signal
                if prediction == "epsilon"
                else signal * scaled - noise * out
            )
        x = scheduler.step(out, time, x).prev_sample
    _compare(_watch(changed, steps=20), guesses, x)


@pytest.mark.parametrize(
    ("betas", "prediction", "steps"),
    [(SCALED, "epsilon", 20), (LINEAR, "v_prediction", 10), (COSINE, "sample", 20)],
)
def test_dpm_solver_pp_2m(
    sampler: Sampler, betas: dict[str, Any], prediction: str, steps: int
) -> None:
    theirs, ours = _describe(betas, prediction, "trailing")
    scheduler = DPMSolverMultistepScheduler(**theirs, final_sigmas_type="zero")
    scheduler.set_timesteps(steps)
    changed = _change(sampler, solver="dpmpp_2m", **ours)
    x, label = _draw(changed)
    guesses = []
    for time in scheduler.timesteps:
        x = scheduler.step(_predict(changed, x, float(time), label), time, x).prev_sample
        assert scheduler.model_outputs[-1] is not None
        guesses.append(scheduler.model_outputs[-1])
    _compare(_watch(changed, steps=steps), guesses, x)


FLOW = {"prediction": "flow", "schedule": {"kind": "flow", "time_scale": 1000.0}}


def test_flow_matching_with_euler(sampler: Sampler) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 0.1, 10).tolist())
    changed = _change(sampler, solver="euler", **FLOW)
    x, label = _draw(changed)
    guesses = []
    for time in scheduler.timesteps:
        out = _predict(changed, x, float(time), label)
        guesses.append(x - float(time) / 1000 * out)
        x = scheduler.step(out, time, x).prev_sample
    _compare(_watch(changed, steps=10), guesses, x)


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_a_plain_loop_with_guidance(sampler: Sampler, module: nn.Module, weight: float) -> None:
    """DDIM over the cosine schedule, as one would write it in PyTorch."""
    guidance = {"condition": "label", "null": 3}
    schedule = {"kind": "cosine", "train_steps": 1000}
    changed = _change(
        sampler, solver="ddim", prediction="velocity", schedule=schedule, guidance=guidance
    )
    x, drawn = _draw(changed)
    label = torch.from_numpy(np.array(drawn))
    powers = torch.cos((torch.arange(1001) / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = (1 - powers[1:] / powers[:-1]).clamp(max=0.999)
    powers = torch.cat([torch.ones(1), torch.cumprod(1 - betas, 0)])
    guesses = []
    with torch.inference_mode():
        for place in range(1000, 0, -50):
            time = torch.full((COUNT,), place - 1.0)
            with_it = module(x, time, label)
            without = module(x, time, torch.full_like(label, 3))
            velocity = without + weight * (with_it - without)
            signal, noise = powers[place].sqrt(), (1 - powers[place]).sqrt()
            guesses.append(signal * x - noise * velocity)
            e = noise * x + signal * velocity
            before = powers[place - 50]
            x = before.sqrt() * guesses[-1] + (1 - before).sqrt() * e
    _compare(_watch(changed, steps=20, guidance=weight), guesses, x)


def test_a_plain_loop_with_heun_on_a_flow(sampler: Sampler, module: nn.Module) -> None:
    changed = _change(sampler, solver="heun", **FLOW)
    x, drawn = _draw(changed)
    label = torch.from_numpy(np.array(drawn))
    guesses = []

    def slope(x: Tensor, t: float) -> Tensor:
        out: Tensor = module(x, torch.full((COUNT,), 1000 * t), label)
        return out

    with torch.inference_mode():
        for k in range(10):
            t, then = 1 - k / 10, 1 - (k + 1) / 10
            first = slope(x, t)
            guesses.append(x - t * first)
            ahead = x + (then - t) * first
            if k < 9:
                ahead = x + (then - t) * (first + slope(ahead, then)) / 2
            x = ahead
    _compare(_watch(changed, steps=10), guesses, x)
