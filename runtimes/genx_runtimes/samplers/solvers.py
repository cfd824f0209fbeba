"""Solvers: from noise to sample along a grid of times, as short functions over one denoiser.

A denoiser takes a noisy sample and a place in the grid, and gives what it holds: (x_0, e) with
x = signal * x_0 + noise * e. A solver yields (x, x_0) after each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.samplers.schedules import Grid
from genx_runtimes.sampling_specs import Solver

Floats = NDArray[np.floating]
Denoise = Callable[[Floats, int], tuple[Floats, Floats]]
Noise = Callable[[int], Floats]
Solve = Callable[[Denoise, Floats, Grid, Noise], Iterator[tuple[Floats, Floats]]]


def solve_ddim(
    denoise: Denoise, x: Floats, grid: Grid, noise: Noise
) -> Iterator[tuple[Floats, Floats]]:
    """First order, deterministic.

    Source: Song et al., "Denoising diffusion implicit models", arXiv:2010.02502, equation 12.
    """
    del noise
    for k in range(len(grid)):
        x0, e = denoise(x, k)
        x = _mix(x0, e, grid, k + 1)
        yield x, x0


def solve_ddpm(
    denoise: Denoise, x: Floats, grid: Grid, noise: Noise
) -> Iterator[tuple[Floats, Floats]]:
    """Ancestral: draws from the posterior of the step before; noise k comes from outside.

    Source: Ho et al., arXiv:2006.11239, equations 6 and 7.
    """
    for k in range(len(grid)):
        x0, _ = denoise(x, k)
        kept = (grid.signal[k] / grid.signal[k + 1]) ** 2
        before, here = grid.noise[k + 1] ** 2, grid.noise[k] ** 2
        mean = (grid.signal[k + 1] * (1 - kept) / here) * x0 + (math.sqrt(kept) * before / here) * x
        x = mean + math.sqrt(max(before / here * (1 - kept), 0.0)) * noise(k) if before else mean
        yield x, x0


def solve_euler(
    denoise: Denoise, x: Floats, grid: Grid, noise: Noise
) -> Iterator[tuple[Floats, Floats]]:
    """First order on the probability flow: along the line from x_0 through x.

    It differs from DDIM in that e follows x_0 where that was clipped.

    Source: Karras et al., "Elucidating the design space of diffusion-based generative models",
    arXiv:2206.00364, algorithm 1 without its correction; Lipman et al., arXiv:2210.02747.
    """
    del noise
    for k in range(len(grid)):
        x0, _ = denoise(x, k)
        x = _mix(x0, _part(x, x0, grid, k), grid, k + 1)
        yield x, x0


def solve_heun(
    denoise: Denoise, x: Floats, grid: Grid, noise: Noise
) -> Iterator[tuple[Floats, Floats]]:
    """Second order on the probability flow: two calls a step, one in the last.

    One, too, in a step from where there is no signal but in a flow: that way is infinitely long.

    Source: Karras et al., arXiv:2206.00364, algorithm 1.
    """
    del noise
    for k in range(len(grid)):
        x0, _ = denoise(x, k)
        e = _part(x, x0, grid, k)
        ahead = _mix(x0, e, grid, k + 1)
        if k + 1 < len(grid) and (grid.flow or grid.signal[k] > 0):
            there, _ = denoise(ahead, k + 1)
            e = (e + _part(ahead, there, grid, k + 1)) * 0.5
            ahead = _follow(x, e, (x0 + there) * 0.5, grid, k)
        x = ahead
        yield x, x0


def solve_dpmpp_2m(
    denoise: Denoise, x: Floats, grid: Grid, noise: Noise
) -> Iterator[tuple[Floats, Floats]]:
    """Second order with one call a step, from the one before.

    Source: Lu et al., "DPM-Solver++", arXiv:2211.01095, algorithm 2.
    """
    del noise
    previous: Floats | None = None
    log_ratios = [_log(a) - _log(s) for a, s in zip(grid.signal, grid.noise, strict=True)]
    for k in range(len(grid)):
        x0, _ = denoise(x, k)
        towards = x0
        step = log_ratios[k + 1] - log_ratios[k]
        if previous is not None and math.isfinite(step):
            share = step / (log_ratios[k] - log_ratios[k - 1]) / 2  # 0 after an infinite step
            towards = (1 + share) * x0 - share * previous
        shrink = math.exp(-step)
        x = (grid.noise[k + 1] / grid.noise[k]) * x + (grid.signal[k + 1] * (1 - shrink)) * towards
        previous = x0
        yield x, x0


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _mix(x0: Floats, e: Floats, grid: Grid, k: int) -> Floats:
    """Return x at place k."""
    return grid.signal[k] * x0 + grid.noise[k] * e


def _part(x: Floats, x0: Floats, grid: Grid, k: int) -> Floats:
    """Return e, given x and x_0 at place k."""
    e: Floats = (x - grid.signal[k] * x0) * (1 / grid.noise[k])
    return e


def _follow(x: Floats, e: Floats, x0: Floats, grid: Grid, k: int) -> Floats:
    """Go from place k to the next along a slope.

    It is d x / d noise = e - x_0 in a flow; otherwise d (x / signal) / d (noise / signal) = e.
    """
    if grid.flow:
        return x + (grid.noise[k + 1] - grid.noise[k]) * (e - x0)
    return (grid.signal[k + 1] / grid.signal[k]) * (x - grid.noise[k] * e) + grid.noise[k + 1] * e


SOLVERS: dict[Solver, Solve] = {
    "ddpm": solve_ddpm,
    "ddim": solve_ddim,
    "euler": solve_euler,
    "heun": solve_heun,
    "dpmpp_2m": solve_dpmpp_2m,
}
