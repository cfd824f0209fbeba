"""Noise schedules against values that are known, and what is refused."""

from __future__ import annotations

import itertools
import math

import msgspec
import numpy as np
import pytest

from genx_runtimes.errors import InputError
from genx_runtimes.samplers.schedules import make_betas, make_grid
from genx_runtimes.sampling_specs import DiffusionSpec, Schedule

LINEAR = Schedule(kind="linear", train_steps=1000)


def test_linear_betas_are_those_of_ddpm() -> None:
    betas = make_betas(LINEAR)
    assert betas[[0, 999]] == pytest.approx([1e-4, 0.02])
    assert np.diff(betas) == pytest.approx(np.full(999, (0.02 - 1e-4) / 999))
    # "L_T ... about 1e-5": hardly any signal is left, Ho et al., section 4
    assert make_grid(LINEAR, 1000).signal[0] ** 2 == pytest.approx(4.0358e-5, rel=1e-3)


def test_scaled_linear_betas_are_linear_in_their_roots() -> None:
    """Those of Stable Diffusion, whose noisiest signal is known to be far from 0 (Lin et al.)."""
    schedule = Schedule(kind="scaled_linear", train_steps=1000, beta_start=0.00085, beta_end=0.012)
    assert np.diff(np.sqrt(make_betas(schedule)), 2) == pytest.approx(np.zeros(998))
    assert make_grid(schedule, 1000).signal[0] == pytest.approx(0.068265, rel=1e-4)


def test_cosine_powers_are_those_of_the_paper() -> None:
    schedule = Schedule(kind="cosine", train_steps=1000)
    grid = make_grid(schedule, 1000)
    for place in (0, 499, 900):
        power = math.cos(((place + 1) / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2
        power /= math.cos(0.008 / 1.008 * math.pi / 2) ** 2
        assert grid.signal[999 - place] ** 2 == pytest.approx(power)
    assert make_betas(schedule).max() == 0.999


def test_a_flow_is_a_straight_line() -> None:
    grid = make_grid(Schedule(kind="flow", time_scale=1000.0), 4)
    assert grid.times == (1000.0, 750.0, 500.0, 250.0)
    assert grid.noise == (1.0, 0.75, 0.5, 0.25, 0.0)
    assert grid.signal == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert grid.flow


# Lin et al., arXiv:2305.08891, table 2 counts from 1: there 200, 400 ... 1000 for 5 trailing steps.
@pytest.mark.parametrize(
    ("spacing", "steps", "times"),
    [
        ("leading", 5, (800, 600, 400, 200, 0)),
        ("trailing", 5, (999, 799, 599, 399, 199)),
        ("linspace", 5, (999, 749, 500, 250, 0)),
        ("trailing", 3, (999, 666, 332)),
        ("leading", 3, (666, 333, 0)),
        ("leading", 1, (999,)),
        ("trailing", 1, (999,)),
        ("linspace", 1, (999,)),
    ],
)
def test_spacings(spacing: str, steps: int, times: tuple[int, ...]) -> None:
    schedule = msgspec.structs.replace(LINEAR, spacing=spacing)
    assert make_grid(schedule, steps).times == times


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_any_number_of_steps_goes_down_within_the_schedule(spacing: str) -> None:
    schedule = msgspec.structs.replace(LINEAR, spacing=spacing)
    for steps in (*range(1, 140), 333, 501, 667, 999, 1000):
        times = make_grid(schedule, steps).times
        assert len(times) == steps
        assert all(a > b for a, b in itertools.pairwise(times))
        assert times[0] <= 999
        assert times[-1] >= 0


def test_powers_of_signal_and_noise_add_up_and_end_clean() -> None:
    grid = make_grid(LINEAR, 17)
    assert np.square(grid.signal) + np.square(grid.noise) == pytest.approx(np.ones(18))
    assert (grid.signal[-1], grid.noise[-1]) == (1.0, 0.0)
    kept = make_grid(msgspec.structs.replace(LINEAR, final_one=False), 17)
    assert kept.signal[-1] ** 2 == pytest.approx(1 - 1e-4)
    assert kept.signal[:-1] == grid.signal[:-1]


def test_an_offset_moves_leading_steps() -> None:
    schedule = msgspec.structs.replace(LINEAR, spacing="leading", steps_offset=1)
    assert make_grid(schedule, 5).times == (801, 601, 401, 201, 1)
    with pytest.raises(InputError, match=r"steps is 1000: 1 on from there .*; --steps 999"):
        make_grid(schedule, 1000)
    assert make_grid(schedule, 999).times[0] == 999


@pytest.mark.parametrize("steps", [0, -3])
def test_less_than_one_step(steps: int) -> None:
    for schedule in (LINEAR, Schedule(kind="flow")):
        with pytest.raises(InputError, match=f"steps is {steps}, expected 1 or more"):
            make_grid(schedule, steps)


def test_more_steps_than_in_training() -> None:
    with pytest.raises(InputError, match="steps is 1001, the model was trained with 1000"):
        make_grid(LINEAR, 1001)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "linear"}, "a linear schedule needs train_steps"),
        ({"kind": "cosine"}, "a cosine schedule needs train_steps"),
        ({"kind": "betas"}, "a schedule of betas needs betas"),
        ({"kind": "betas", "betas": [0.1, 1.0, 0.2]}, "above 0 and below 1, the last at most 1"),
        ({"kind": "betas", "betas": [0.1, 1.5]}, "above 0 and below 1, the last at most 1"),
        ({"kind": "linear", "train_steps": 9, "beta_start": -1.0}, "betas are above 0"),
        ({"kind": "cosine", "train_steps": 9, "steps_offset": -1}, "steps_offset is -1"),
        ({"kind": "sigmoid", "train_steps": 9}, "Invalid enum value 'sigmoid'"),
    ],
)
def test_schedules_that_are_none(fields: dict[str, object], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(fields, Schedule)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": {"kind": "flow"}}, "x_0 cannot be told from noise"),
        (
            {"schedule": {"kind": "flow"}, "prediction": "flow", "solver": "ddpm"},
            "solver ddpm needs a schedule with steps of noise",
        ),
        ({"schedule": {"kind": "betas", "betas": [0.1, 1.0]}}, "x_0 cannot be told from noise"),
        ({"steps": 0}, "steps is 0, expected 1 or more"),
        ({"clip": [1.0, -1.0]}, r"clip is \[1.0, -1.0\], expected low < high"),
        ({"scaling": 0.0}, "scaling is 0"),
        ({"solver": "rk4"}, "Invalid enum value 'rk4'"),
    ],
)
def test_specs_that_contradict_themselves(fields: dict[str, object], message: str) -> None:
    whole = {"kind": "diffusion", "component": "denoiser", "schedule": msgspec.to_builtins(LINEAR)}
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({**whole, **fields}, DiffusionSpec)
