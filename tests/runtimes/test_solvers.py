"""Solvers against cases with an answer in closed form: data from Gaussians, exact denoisers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from genx_runtimes.samplers.schedules import Grid, make_grid
from genx_runtimes.samplers.solvers import SOLVERS, Denoise, Floats
from genx_runtimes.sampling_specs import Schedule, Solver

Values = NDArray[np.float64]

# What the measured order may miss, since steps are finite; and down to no noise at all, where the
# logarithm of the ratio of signal and noise has no end, and steps of it are never small.
ORDER = 0.15
ORDER_AT_THE_END = 0.75
TRAIN_STEPS = 5_040


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Data in one dimension: Gaussians of given shares, means and deviations."""

    shares: tuple[float, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    def denoise(self, x: Values, signal: float, noise: float) -> Values:
        """Return E[x_0 | x], with Bayes' rule."""
        odds, guesses = [], []
        for share, mean, deviation in self._parts():
            variance = (signal * deviation) ** 2 + noise**2
            away = x - signal * mean
            odds.append(share * np.exp(-(away**2) / variance / 2) / math.sqrt(variance))
            guesses.append(mean + signal * deviation**2 / variance * away)
        return np.asarray(np.average(guesses, axis=0, weights=odds))

    def below(self, x: Values, signal: float, noise: float) -> Values:
        """Return the share of noisy samples that are below x."""
        total = np.zeros_like(x)
        for share, mean, deviation in self._parts():
            spread = math.hypot(signal * deviation, noise)
            total += share * np.vectorize(math.erf)((x - signal * mean) / spread / math.sqrt(2))
        return 0.5 + 0.5 * total

    def solve(self, x: Values, grid: Grid) -> Values:
        """Return where the probability flow ends: in one dimension it keeps all quantiles."""
        wanted = self.below(x, grid.signal[0], grid.noise[0])
        low, high = np.full_like(x, -20.0), np.full_like(x, 20.0)
        for _ in range(60):
            middle = (low + high) / 2
            under = self.below(middle, grid.signal[-1], grid.noise[-1]) < wanted
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        return np.asarray((low + high) / 2)

    def _parts(self) -> list[tuple[float, float, float]]:
        return list(zip(self.shares, self.means, self.deviations, strict=True))


GAUSSIAN = Mixture(shares=(1.0,), means=(1.5,), deviations=(0.6,))
MIXTURE = Mixture(shares=(0.3, 0.7), means=(-1.0, 1.0), deviations=(0.5, 0.8))
POINT = Mixture(shares=(1.0,), means=(0.7,), deviations=(1e-9,))

# cos(t pi / 2) without the usual offset at t = 0, where the solutions are not smooth.
_ANGLES = np.linspace(0.0, 0.98, TRAIN_STEPS + 1) * math.pi / 2
_POWERS = np.cos(_ANGLES) ** 2
PRESERVING = Schedule(kind="betas", betas=tuple(1 - _POWERS[1:] / _POWERS[:-1]))
FLOW = Schedule(kind="flow")
SCHEDULES = pytest.mark.parametrize("schedule", [PRESERVING, FLOW], ids=["preserving", "flow"])
DATA = pytest.mark.parametrize("data", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture"])


def _make_denoiser(data: Mixture, grid: Grid, told: list[int] | None = None) -> Denoise:
    def denoise(x: Floats, k: int) -> tuple[Floats, Floats]:
        if told is not None:
            told.append(k)
        x0 = data.denoise(np.asarray(x, np.float64), grid.signal[k], grid.noise[k])
        return x0, (x - grid.signal[k] * x0) / grid.noise[k]

    return denoise


def _no_noise(k: int) -> Floats:
    raise AssertionError(f"a deterministic solver drew noise in step {k}")


def _solve(
    solver: Solver,
    data: Mixture,
    grid: Grid,
    x: Values,
    noise: Callable[[int], Floats] = _no_noise,
) -> list[Floats]:
    return [x for x, _ in SOLVERS[solver](_make_denoiser(data, grid), x, grid, noise)]


def _measure_errors(solver: Solver, data: Mixture, grids: list[Grid]) -> list[float]:
    x = np.linspace(-2.0, 2.0, 21)
    return [
        float(np.sqrt(np.mean((_solve(solver, data, grid, x)[-1] - data.solve(x, grid)) ** 2)))
        for grid in grids
    ]


ORDERS = pytest.mark.parametrize(
    ("solver", "order"), [("ddim", 1), ("euler", 1), ("heun", 2), ("dpmpp_2m", 2)]
)


@pytest.mark.parametrize("flow", [False, True], ids=["preserving", "flow"])
@DATA
@ORDERS
def test_solvers_converge_at_their_order(
    solver: Solver, order: int, data: Mixture, flow: bool
) -> None:
    """From much noise to some, on grids that only get finer."""

    def make(steps: int) -> Grid:
        t = np.linspace(0.9, 0.2, steps + 1)
        signal, noise = (1 - t, t) if flow else (np.cos(t * math.pi / 2), np.sin(t * math.pi / 2))
        return Grid(times=tuple(t[:-1]), signal=tuple(signal), noise=tuple(noise), flow=flow)

    errors = _measure_errors(solver, data, [make(steps) for steps in (50, 100, 200)])
    measured = math.log2(errors[0] / errors[2]) / 2
    assert measured == pytest.approx(order, abs=ORDER), errors


@SCHEDULES
@DATA
@ORDERS
def test_solvers_reach_the_sample(
    solver: Solver, order: int, data: Mixture, schedule: Schedule
) -> None:
    errors = _measure_errors(solver, data, [make_grid(schedule, n) for n in (60, 120, 240)])
    assert math.log2(errors[0] / errors[2]) / 2 > order - ORDER_AT_THE_END, errors
    assert errors[2] < (0.01 if order == 1 else 5e-4)


@pytest.mark.parametrize("steps", [4, 50])
def test_ddpm_draws_from_the_posterior_of_each_step(steps: int) -> None:
    """Of a single point the noisy samples are N(signal * point, noise^2) after any step."""
    rng = np.random.default_rng(0)
    grid = make_grid(PRESERVING, steps)
    start = grid.signal[0] * 0.7 + grid.noise[0] * rng.standard_normal(40_000)
    after = _solve("ddpm", POINT, grid, start, lambda _: rng.standard_normal(40_000))
    for x, signal, noise in zip(after, grid.signal[1:], grid.noise[1:], strict=True):
        assert np.mean(x) == pytest.approx(signal * 0.7, abs=0.025)
        assert np.std(x) == pytest.approx(noise, rel=0.025, abs=1e-6)


@DATA
def test_ddpm_ends_in_the_distribution_of_the_data(data: Mixture) -> None:
    rng = np.random.default_rng(1)
    grid = make_grid(PRESERVING, 252)
    got = _solve(
        "ddpm", data, grid, rng.standard_normal(40_000), lambda _: rng.standard_normal(40_000)
    )[-1]
    weights = np.asarray(data.shares)
    means, deviations = np.asarray(data.means), np.asarray(data.deviations)
    mean = weights @ means
    assert np.mean(got) == pytest.approx(mean, abs=0.02)
    assert np.var(got) == pytest.approx(weights @ (deviations**2 + means**2) - mean**2, rel=0.03)
    inner = data.below(np.asarray([0.0, 1.0]), 1.0, 0.0)
    assert np.mean(got[:, None] < [0.0, 1.0], axis=0) == pytest.approx(inner, abs=0.015)


@SCHEDULES
def test_calls_of_the_denoiser(schedule: Schedule) -> None:
    grid = make_grid(schedule, 6)
    calls = {}
    for name, solve in SOLVERS.items():
        told: list[int] = []
        denoise = _make_denoiser(GAUSSIAN, grid, told)
        steps = list(solve(denoise, np.zeros(2), grid, lambda _: np.zeros(2)))
        assert len(steps) == 6
        calls[name] = told
    once = list(range(6))
    twice = [*itertools.chain.from_iterable((k, k + 1) for k in range(5)), 5]
    assert calls == {"ddpm": once, "ddim": once, "euler": once, "heun": twice, "dpmpp_2m": once}


@SCHEDULES
@pytest.mark.parametrize("solver", ["ddim", "euler", "heun", "dpmpp_2m"])
def test_a_point_is_reached_in_one_step_and_in_float32(schedule: Schedule, solver: Solver) -> None:
    x = np.asarray([-1.0, 0.5], np.float32)
    for steps in (1, 2, 7):
        grid = make_grid(schedule, steps)

        def denoise(x: Floats, k: int, grid: Grid = grid) -> tuple[Floats, Floats]:
            x0 = np.full_like(x, 0.7)
            return x0, (x - grid.signal[k] * x0) * (1 / grid.noise[k])

        made = list(SOLVERS[solver](denoise, x, grid, _no_noise))
        assert all(each.dtype == np.float32 for pair in made for each in pair)
        assert made[-1][0] == pytest.approx(0.7, abs=1e-6)


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_a_start_with_no_signal_at_all(solver: Solver) -> None:
    """Betas that end at 1: every solver takes the first step from what the denoiser says alone."""
    schedule = Schedule(kind="betas", betas=(*np.linspace(1e-3, 0.2, 39), 1.0))
    grid = make_grid(schedule, 40)
    rng = np.random.default_rng(2)
    assert grid.signal[0] == 0
    x = rng.standard_normal(20_000)

    made = _solve(solver, GAUSSIAN, grid, x, lambda _: rng.standard_normal(20_000))[-1]
    assert np.mean(made) == pytest.approx(1.5, abs=0.02)
    assert np.std(made) == pytest.approx(0.6, rel=0.15)


def test_heun_corrects_by_what_was_clipped() -> None:
    """Euler and Heun follow the clipped x_0; DDIM keeps the e that the denoiser gave."""
    grid = make_grid(PRESERVING, 3)
    e = np.asarray([0.1])

    def denoise(x: Floats, k: int) -> tuple[Floats, Floats]:
        return np.clip(x, -0.2, 0.2), e

    x = np.asarray([1.0])
    first = {n: next(iter(SOLVERS[n](denoise, x, grid, _no_noise)))[0] for n in ("ddim", "euler")}
    clipped = (1.0 - grid.signal[0] * 0.2) / grid.noise[0]
    assert first["ddim"] == pytest.approx(grid.signal[1] * 0.2 + grid.noise[1] * 0.1)
    assert first["euler"] == pytest.approx(grid.signal[1] * 0.2 + grid.noise[1] * clipped)
