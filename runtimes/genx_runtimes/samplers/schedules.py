"""How much signal and noise a noisy sample holds at each time of a diffusion schedule.

Source: Ho et al., "Denoising diffusion probabilistic models", arXiv:2006.11239 (linear); Nichol &
Dhariwal, arXiv:2102.09672, equation 17 (cosine); Rombach et al., arXiv:2112.10752 (scaled linear);
Lipman et al., "Flow matching for generative modeling", arXiv:2210.02747; Lin et al., "Common
diffusion noise schedules and sample steps are flawed", arXiv:2305.08891, table 2 (spacings).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.errors import InputError
from genx_runtimes.sampling_specs import Schedule

_MAX_BETA = 0.999
_COSINE_OFFSET = 0.008


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The times of one run, from noise to sample.

    Args:
        times: what the denoiser is told at each step, S values.
        signal: the factor of x_0 before each step, and after the last, S + 1 values.
        noise: the factor of e, likewise.
        flow: whether signal and noise add up to 1, and not their squares.
    """

    times: tuple[float, ...]
    signal: tuple[float, ...]
    noise: tuple[float, ...]
    flow: bool

    def __len__(self) -> int:
        return len(self.times)


def make_grid(schedule: Schedule, steps: int) -> Grid:
    """Return the times of a run of `steps` steps.

    Raises:
        InputError: steps is below 1, or above the steps in training.
    """
    if steps < 1:
        raise InputError(f"steps is {steps}, expected 1 or more")
    if schedule.kind == "flow":
        t = [1.0 - k / steps for k in range(steps)] + [0.0]
        return Grid(
            times=tuple(x * schedule.time_scale for x in t[:-1]),
            signal=tuple(1.0 - x for x in t),
            noise=tuple(t),
            flow=True,
        )
    signal_power = np.cumprod(1.0 - make_betas(schedule))
    count = len(signal_power)
    if steps > count:
        raise InputError(f"steps is {steps}, the model was trained with {count}")
    places = _space(schedule, steps, count)
    final = 1.0 if schedule.final_one else float(signal_power[0])
    powers = [float(signal_power[place]) for place in places] + [final]
    return Grid(
        times=tuple(float(place) for place in places),
        signal=tuple(math.sqrt(p) for p in powers),
        noise=tuple(math.sqrt(1.0 - p) for p in powers),
        flow=False,
    )


def make_betas(schedule: Schedule) -> NDArray[np.float64]:
    """Return the variances of the noise that each of the discrete steps in training adds."""
    count = schedule.train_steps
    if schedule.kind == "betas":
        return np.array(schedule.betas)
    if schedule.kind == "cosine":
        shifted = (np.arange(count + 1) / count + _COSINE_OFFSET) / (1 + _COSINE_OFFSET)
        power = np.cos(shifted * math.pi / 2) ** 2
        betas: NDArray[np.float64] = np.minimum(1 - power[1:] / power[:-1], _MAX_BETA)
        return betas
    start, end = schedule.beta_start, schedule.beta_end
    if schedule.kind == "scaled_linear":
        return np.square(np.linspace(math.sqrt(start), math.sqrt(end), count))
    return np.linspace(start, end, count)


def _space(schedule: Schedule, steps: int, count: int) -> list[int]:
    """Return the discrete steps that a run takes, the noisiest first; one alone is the noisiest.

    Raises:
        InputError: the steps' offset leads beyond the last of them.
    """
    if steps == 1:
        return [count - 1]
    if schedule.spacing == "leading":
        first = (steps - 1) * (count // steps) + schedule.steps_offset
        if first >= count:
            raise InputError(
                f"steps is {steps}: {schedule.steps_offset} on from there is beyond the {count} "
                f"that the model was trained with",
                fix=f"--steps {count - schedule.steps_offset}",
            )
        return [first - k * (count // steps) for k in range(steps)]
    if schedule.spacing == "trailing":
        return [int(p) - 1 for p in np.round(count - np.arange(steps) * (count / steps))]
    return [int(p) for p in np.round(np.linspace(0, count - 1, steps))[::-1]]
