"""The loop of diffusion around a denoiser: what it is fed, guidance, previews, wrong options."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from msgspec import structs

from genx_runtimes.errors import InputError
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import CategoricalPrior, NormalPrior, OutputSpec, Prior
from genx_runtimes.samplers.diffusion import DIFFUSION
from genx_runtimes.samplers.loop import Draw, LoopModel, SamplingOptions
from genx_runtimes.samplers.schedules import make_grid
from genx_runtimes.sampling_specs import DiffusionSpec, Guidance, Schedule
from genx_runtimes.session import Array, Closing

Prediction = Literal["noise", "sample", "velocity", "flow"]

X = NormalPrior(name="x", shape=(1, 2, 2))
LABEL = CategoricalPrior(name="label", classes=3)
LINEAR = Schedule(kind="linear", train_steps=100, beta_end=0.2)
GUIDED = DiffusionSpec(
    component="denoiser",
    schedule=LINEAR,
    steps=6,
    guidance=Guidance(condition="label", null=3, default=2.0),
)


class Denoiser(Closing):
    """Knows that all data of a class is one picture, all of it of the class's number.

    Args:
        spec: says what it predicts; times are those of its schedule.
    """

    inputs = ()
    outputs = ()

    def __init__(self, spec: DiffusionSpec) -> None:
        self._spec = spec
        self.batches: list[int] = []
        self.times: list[float] = []
        schedule = spec.schedule
        grid = make_grid(schedule, 8 if schedule.kind == "flow" else schedule.train_steps)
        pairs = zip(grid.times, grid.signal[:-1], grid.noise[:-1], strict=True)
        self._shares = {time: (signal, noise) for time, signal, noise in pairs}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.fed = sorted(feeds)
        x, time, label = feeds["x"], feeds["time"], feeds["label"]
        assert time.dtype == np.float32
        assert time.shape == (len(x),)
        assert len(set(time.tolist())) == 1
        self.batches.append(len(x))
        self.times.append(float(time[0]))
        signal, noise = self._shares[float(time[0])]
        x0 = np.broadcast_to(label.astype(np.float32)[:, None, None, None], x.shape)
        e = (x - signal * x0) / noise
        out = {
            "noise": e,
            "sample": x0,
            "velocity": signal * e - noise * x0,
            "flow": e - x0,
        }[self._spec.prediction]
        return {"prediction": out.astype(np.float32)}

    def close(self) -> None:
        """Nothing is held."""


def _make_model(
    spec: DiffusionSpec = GUIDED, priors: tuple[Prior, ...] = (X, LABEL), max_batch: int = 64
) -> tuple[LoopModel, Denoiser]:
    denoiser = Denoiser(spec)
    model = LoopModel(
        sampler=spec,
        priors=priors,
        output=OutputSpec(name="image", kind="tensor"),
        max_batch=max_batch,
        sessions={"denoiser": denoiser},
        takes={"denoiser": ["x", "time", "label"]},
    )
    return model, denoiser


def _sample(
    model: LoopModel,
    indices: Sequence[int] = range(4),
    options: SamplingOptions | None = None,
    *,
    watched: bool = False,
) -> list[Array]:
    options = options or SamplingOptions()
    feeds = LatentSource(DIFFUSION.accept(model, options), 5).draw(indices)
    draw = Draw(seed=5, indices=indices, feeds=feeds, watched=watched)
    return list(DIFFUSION.steps(model, draw, options))


def _labels(indices: Sequence[int] = range(4)) -> Array:
    return LatentSource((X, LABEL), 5).draw(indices)["label"].astype(np.float32)


@pytest.mark.parametrize(
    ("prediction", "kind"),
    [
        *itertools.product(("noise", "sample", "velocity", "flow"), ("linear",)),
        *itertools.product(("sample", "velocity", "flow"), ("flow",)),
    ],
)
@pytest.mark.parametrize("solver", ["ddim", "heun", "dpmpp_2m"])
def test_whatever_is_predicted_the_way_is_the_same(
    prediction: Prediction, kind: str, solver: str
) -> None:
    schedule = LINEAR if kind == "linear" else Schedule(kind="flow")
    spec = structs.replace(GUIDED, prediction=prediction, schedule=schedule, steps=8)
    options = SamplingOptions(solver=solver, guidance=1.0)
    model, _ = _make_model(spec)
    steps = _sample(model, options=options, watched=True)
    assert len(steps) == 8
    for guess in steps:
        np.testing.assert_allclose(guess[:, 0, 0, 0], _labels(), atol=1e-4)


def test_guidance_is_one_call_where_the_batch_allows_it() -> None:
    model, together = _make_model()
    small, apart = _make_model(max_batch=7)
    last = _sample(model)[-1]
    assert together.batches == [8] * 6
    np.testing.assert_allclose(_sample(small)[-1], last, atol=1e-6)
    assert apart.batches == [4] * 12
    assert apart.times == [t for t in together.times for _ in range(2)]
    # null + 2 (label - null), of pictures that are their class's number
    np.testing.assert_allclose(last[:, 0, 1, 1], 3 + 2 * (_labels() - 3), atol=1e-4)


@pytest.mark.parametrize(("weight", "mean"), [(0.0, 0.0), (1.0, 1.0), (-1.0, -1.0), (3.5, 3.5)])
def test_the_weight_of_guidance(weight: float, mean: float) -> None:
    model, denoiser = _make_model()
    last = _sample(model, options=SamplingOptions(guidance=weight))[-1]
    np.testing.assert_allclose(last[:, 0, 0, 0], 3 + mean * (_labels() - 3), atol=1e-4)
    assert denoiser.batches == [4 if weight == 1.0 else 8] * 6


def test_a_guess_is_clipped() -> None:
    model, _ = _make_model(structs.replace(GUIDED, clip=(0.0, 1.5)))
    for guess in _sample(model, options=SamplingOptions(guidance=1.0), watched=True):
        assert guess.max() <= 1.5 + 1e-6


@pytest.mark.parametrize("solver", ["ddpm", "ddim"])
def test_samples_know_nothing_of_their_batch(solver: str) -> None:
    model, _ = _make_model(structs.replace(GUIDED, prediction="sample"))
    options = SamplingOptions(solver=solver, guidance=1.0, steps=5)
    together = _sample(model, range(8), options)[-1]
    for first in (0, 5):
        alone = _sample(model, [first], options)[-1]
        np.testing.assert_array_equal(alone[0], together[first])


def test_ddpm_draws_noise_of_its_own_in_each_step() -> None:
    spec = structs.replace(GUIDED, prediction="sample", solver="ddpm", steps=100)
    model, _ = _make_model(structs.replace(spec, schedule=structs.replace(LINEAR, final_one=False)))
    last = _sample(model, range(50), SamplingOptions(guidance=1.0))[-1]
    rest = last - _labels(range(50))[:, None, None, None]
    # what is left after the last step of a schedule that does not end clean
    assert np.std(rest) == pytest.approx(np.sqrt(1e-4), rel=0.1)
    assert np.std(rest.reshape(50, -1), axis=1).min() > 0


class Decoder(Closing):
    """Ten times the latent."""

    inputs = ()
    outputs = ()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self.fed = sorted(feeds)
        return {"image": feeds["code"] * 10}

    def close(self) -> None:
        """Nothing is held."""


def test_a_decoder_gets_the_latent_over_its_scale() -> None:
    plain, _ = _make_model()
    spec = structs.replace(GUIDED, decoder="decoder", latent="code", scaling=0.5)
    model = replace(
        plain,
        sampler=spec,
        sessions={**plain.sessions, "decoder": Decoder()},
        takes={**plain.takes, "decoder": ["code"]},
    )
    for latent, image in zip(
        _sample(plain, watched=True), _sample(model, watched=True), strict=True
    ):
        np.testing.assert_allclose(image, latent * 20, rtol=1e-6)


@pytest.mark.parametrize("takes", [["code"], ["code", "label"]])
def test_priors_feed_the_graphs_that_take_them(takes: list[str]) -> None:
    plain, denoiser = _make_model()
    decoder = Decoder()
    model = replace(
        plain,
        sampler=structs.replace(GUIDED, decoder="decoder", latent="code"),
        priors=(*plain.priors, NormalPrior(name="z", shape=(2,))),
        sessions={"denoiser": denoiser, "decoder": decoder},
        takes={**plain.takes, "decoder": takes},
    )
    _sample(model)
    assert decoder.fed == takes
    assert denoiser.fed == ["label", "time", "x"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0, expected 1 or more"),
        ({"steps": -1}, "steps is -1, expected 1 or more"),
        ({"steps": 101}, "steps is 101, the model was trained with 100"),
        ({"solver": "dppm"}, "unknown solver 'dppm'; did you mean 'ddpm'"),
        ({"solver": ""}, "unknown solver ''"),
        ({"guidance": float("nan")}, "guidance is nan, expected a number"),
        ({"guidance": float("inf")}, "guidance is inf, expected a number"),
        ({"length": 3}, "--length has no meaning for this bundle, whose sampler is 'diffusion'"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    model, denoiser = _make_model()
    with pytest.raises(InputError, match=message):
        DIFFUSION.accept(model, SamplingOptions(**options))  # type: ignore[arg-type]
    assert denoiser.batches == []


def test_ddpm_is_not_for_a_flow() -> None:
    spec = structs.replace(GUIDED, prediction="flow", schedule=Schedule(kind="flow"))
    model, _ = _make_model(spec)
    with pytest.raises(
        InputError, match=r"ddpm needs a schedule with steps of noise.*--solver eul"
    ):
        DIFFUSION.accept(model, SamplingOptions(solver="ddpm"))


@pytest.mark.parametrize(
    ("priors", "why"),
    [((X, LABEL), "was trained with no class for none"), ((X,), "has no condition")],
)
def test_guidance_on_an_unconditional_model(priors: tuple[Prior, ...], why: str) -> None:
    model, _ = _make_model(structs.replace(GUIDED, guidance=None), priors)
    DIFFUSION.accept(model, SamplingOptions())
    with pytest.raises(InputError, match=f"guidance needs a condition: this bundle {why}; leave"):
        DIFFUSION.accept(model, SamplingOptions(guidance=2.0))


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ((LABEL,), "diffusion starts from a normal prior called 'x', the priors are label"),
        ((X,), "guidance needs a categorical prior of indices called 'label', the priors are x"),
        ((X, structs.replace(LABEL, encoding="one_hot")), "a categorical prior of indices called"),
    ],
)
def test_priors_that_the_spec_names_must_be_there(priors: tuple[Prior, ...], message: str) -> None:
    model, _ = _make_model(priors=priors)
    with pytest.raises(InputError, match=message):
        DIFFUSION.accept(model, SamplingOptions())
