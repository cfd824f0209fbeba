"""Diffusion and flow matching: a solver's steps over the bundle's denoiser.

Source: Ho & Salimans, "Classifier-free diffusion guidance", arXiv:2207.12598; Salimans & Ho,
"Progressive distillation", arXiv:2202.00512, appendix D (velocity); Lipman et al.,
arXiv:2210.02747 (flow). The solvers' own are in `solvers.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from genx_runtimes.batches import find_bounds
from genx_runtimes.errors import InputError, suggest
from genx_runtimes.manifest import BatchBounds, CategoricalPrior, NormalPrior
from genx_runtimes.samplers.loop import Draw, LoopModel, SampleLoop, SamplingOptions
from genx_runtimes.samplers.schedules import Grid, make_grid
from genx_runtimes.samplers.solvers import SOLVERS, Denoise, Floats
from genx_runtimes.sampling_specs import DiffusionSpec
from genx_runtimes.session import Array


def sample_diffusion(model: LoopModel, draw: Draw, options: SamplingOptions) -> Iterator[Array]:
    """Yield the samples; where they are watched, before that what each step takes them to be."""
    spec = _spec(model)
    _check_priors(model)
    grid = make_grid(spec.schedule, options.steps or spec.steps)
    solve = SOLVERS[options.solver or spec.solver]  # type: ignore[index]
    noisy = np.asarray(draw.feeds[spec.x], np.float32)
    denoise = _make_denoiser(model, draw, grid, options)

    def noise(k: int) -> Floats:
        return draw.normal(f"step/{k}", noisy.shape[1:])

    for k, (latent, guess) in enumerate(solve(denoise, noisy, grid, noise), 1):
        if k == len(grid):
            yield _decode(model, draw, latent)
        elif draw.watched:
            yield _decode(model, draw, guess)


def _make_denoiser(model: LoopModel, draw: Draw, grid: Grid, options: SamplingOptions) -> Denoise:
    """Return the bundle's denoiser under the conditions and the guidance of a draw."""
    spec = _spec(model)
    session = model.sessions[spec.component]
    limit = find_bounds([session], BatchBounds(min=1, max=model.max_batch)).max
    conditions = {n: a for n, a in model.feed(spec.component, draw).items() if n != spec.x}
    weight = _weigh(spec, options)

    def predict(x: Floats, time: float, given: Mapping[str, Array]) -> Floats:
        times = np.full(len(x), time, np.float32)
        outputs = session.run({spec.x: x, spec.time: times, **given})
        return next(iter(outputs.values())).astype(np.float32, copy=False)

    def predict_guided(x: Floats, time: float) -> Floats:
        if weight == 1.0 or spec.guidance is None:
            return predict(x, time, conditions)
        name = spec.guidance.condition
        without = {**conditions, name: np.full_like(conditions[name], spec.guidance.null)}
        if 2 * len(x) <= limit:
            both = {n: np.concatenate([a, without[n]]) for n, a in conditions.items()}
            with_it, plain = np.split(predict(np.concatenate([x, x]), time, both), 2)
        else:
            with_it, plain = predict(x, time, conditions), predict(x, time, without)
        guided: Floats = plain + np.float32(weight) * (with_it - plain)
        return guided

    def denoise(x: Floats, k: int) -> tuple[Floats, Floats]:
        x0, e = _read(spec, predict_guided(x, grid.times[k]), x, grid.signal[k], grid.noise[k])
        return (x0 if spec.clip is None else x0.clip(*spec.clip)), e

    return denoise


def _read(
    spec: DiffusionSpec, out: Floats, x: Floats, signal: float, noise: float
) -> tuple[Floats, Floats]:
    """Return x_0 and e from what the denoiser predicts."""
    if spec.prediction == "noise":
        return (x - noise * out) * (1 / signal), out
    if spec.prediction == "sample":
        return out, (x - signal * out) * (1 / noise)
    if spec.prediction == "velocity":
        power = signal**2 + noise**2  # 1, but for a flow
        return (signal * x - noise * out) * (1 / power), (noise * x + signal * out) * (1 / power)
    total = signal + noise  # 1 in a flow
    return (x - noise * out) * (1 / total), (x + signal * out) * (1 / total)


def _decode(model: LoopModel, draw: Draw, latent: Floats) -> Array:
    spec = _spec(model)
    if spec.decoder is None:
        return latent
    feeds = {**model.feed(spec.decoder, draw), spec.latent: latent / np.float32(spec.scaling)}
    return model.sessions[spec.decoder].run(feeds)[model.output.name]


def _weigh(spec: DiffusionSpec, options: SamplingOptions) -> float:
    if options.guidance is not None:
        return options.guidance
    return spec.guidance.default if spec.guidance is not None else 1.0


def _check_priors(model: LoopModel) -> None:
    """Raise InputError unless what the spec names is there to be drawn."""
    spec = _spec(model)
    priors = {prior.name: prior for prior in model.priors}
    if not isinstance(priors.get(spec.x), NormalPrior):
        raise InputError(
            f"diffusion starts from a normal prior called {spec.x!r}, the priors are "
            f"{', '.join(priors)}",
            fix=f"--prior {spec.x}=normal:CxHxW",
        )
    if spec.guidance is None:
        return
    condition = priors.get(spec.guidance.condition)
    if not isinstance(condition, CategoricalPrior) or condition.encoding != "index":
        raise InputError(
            f"guidance needs a categorical prior of indices called {spec.guidance.condition!r}, "
            f"the priors are {', '.join(priors)}",
            fix=f"--prior {spec.guidance.condition}=categorical:N",
        )


def _check(model: LoopModel, options: SamplingOptions) -> None:
    spec = _spec(model)
    _check_priors(model)
    solver = spec.solver if options.solver is None else options.solver
    if solver not in SOLVERS:
        raise InputError(f"unknown solver {solver!r}", fix=suggest(solver, SOLVERS))
    if solver == "ddpm" and spec.schedule.kind == "flow":
        raise InputError(
            "ddpm needs a schedule with steps of noise, this bundle has a flow",
            fix="--solver euler, heun or dpmpp_2m",
        )
    make_grid(spec.schedule, spec.steps if options.steps is None else options.steps)
    if options.guidance is None:
        return
    if not math.isfinite(options.guidance):
        raise InputError(f"guidance is {options.guidance}, expected a number")
    if spec.guidance is None:
        classes = any(isinstance(prior, CategoricalPrior) for prior in model.priors)
        why = "was trained with no class for none" if classes else "has no condition"
        raise InputError(f"guidance needs a condition: this bundle {why}", fix="leave it out")


def _spec(model: LoopModel) -> DiffusionSpec:
    assert isinstance(model.sampler, DiffusionSpec)
    return model.sampler


DIFFUSION = SampleLoop(
    steps=sample_diffusion,
    takes=frozenset({"steps", "solver", "guidance"}),
    check=_check,
)
