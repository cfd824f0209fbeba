"""Noise that forward() draws becomes inputs; what cannot is refused by name and source line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from genx_export import export
from genx_export.families import find_family
from genx_export.hoisting import hoist_noise
from genx_export.model import LoadedModel
from genx_export.sources.python_callable import cut_components
from genx_export.torch_component import ModuleComponent
from genx_runtimes import open_bundle
from genx_runtimes.backends import open_session
from genx_runtimes.errors import GenxError, RandomnessError, SourceError
from genx_runtimes.manifest import BatchBounds, ComponentSpec, NormalPrior, Prior, UniformPrior
from genx_runtimes.sampling_specs import RecurrentSpec
from genx_runtimes.verify import verify_bundle

BOUNDS = BatchBounds(min=1, max=8)
Z = NormalPrior(name="z", shape=(8,))
ROUNDING = 1e-6
Function = Callable[[Tensor], Tensor]

STYLED = """
import torch
import torch.nn.functional as F
from torch import nn

class Noise(nn.Module):
    def __init__(self):
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(0.3))
    def forward(self, x):
        batch, _, height, width = x.shape
        return x + self.strength * torch.randn(batch, 1, height, width)

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.style = nn.Linear(8, 4)
        self.conv = nn.Conv2d(4, 4, 3, 1, 1)
        self.noise = Noise()
    def forward(self, x, w):
        return F.leaky_relu(self.noise(self.conv(x * self.style(w)[:, :, None, None])), 0.2)

class Styled(nn.Module):
    def __init__(self):
        super().__init__()
        self.start = nn.Parameter(torch.randn(1, 4, 4, 4))
        self.layers = nn.ModuleList(Block() for _ in range(3))
        self.output = nn.Conv2d(4, 1, 1)
    def forward(self, z):
        x = self.start.expand(z.shape[0], -1, -1, -1)
        for layer in self.layers:
            x = F.interpolate(layer(x, z), scale_factor=2.0)
        fine = torch.empty_like(x[:, :1]).uniform_(-0.1, 0.1)
        coarse = torch.normal(0.0, 0.1, fine.shape)
        return torch.tanh(self.output(F.dropout2d(x, 0.2)) + fine + coarse)
"""


class _Call(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, z: Tensor) -> Tensor:
        return self.function(z)


def _load(module: nn.Module, *priors: Prior, family: str = "generator") -> LoadedModel:
    found = find_family(family)
    return LoadedModel(
        name="g",
        family=found,
        sampler=found.describe_sampler({}, []),
        components=cut_components(module, found, found.calls),
        output_names={},
        priors=priors or (Z,),
        output=None,
        reference="torch",
    )


def _run(model: LoadedModel, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return next(iter(model.components[0].run(feeds).values()))


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("styled")
    (folder / "styled.py").write_text(STYLED, encoding="utf-8")
    report = export(
        f"{folder}/styled.py:Styled",
        folder / "styled.genx",
        priors=["z=normal:8"],
        output="image:-1..1",
        batch="1:8",
    )
    told = " ".join(report.warnings)
    assert "(styled.py:12 `return x + self.strength * torch.randn(" in told
    assert "layers_2_noise (normal, 1x16x16)" in told
    return folder / "styled.genx"


def test_a_styled_generator_has_a_prior_for_each_noise(styled: Path) -> None:
    bundle = open_bundle(styled)
    priors = {prior.name: prior for prior in bundle.manifest.priors}
    assert {n: p.shape for n, p in priors.items() if isinstance(p, NormalPrior)} == {
        "z": (8,),
        "layers_0_noise": (1, 4, 4),
        "layers_1_noise": (1, 8, 8),
        "layers_2_noise": (1, 16, 16),
        "noise_1": (1, 32, 32),
    }
    assert {n: p.shape for n, p in priors.items() if isinstance(p, UniformPrior)} == {
        "noise_0": (1, 32, 32),
        "noise_2": (4, 1, 1),
    }
    assert verify_bundle(bundle).passed


def test_a_sample_depends_on_seed_and_index_alone(styled: Path) -> None:
    with open_bundle(styled).sampler() as sampler:
        all_at_once = next(sampler.sample(8, batch=8, seed=3)).output
        again = next(sampler.sample(8, batch=8, seed=3)).output
        alone = np.concatenate([b.output for b in sampler.sample(8, batch=1, seed=3)])
        late = next(sampler.sample(2, batch=2, seed=3, start=5)).output
        still = {f"layers_{i}_noise": np.zeros((1, 4 << i, 4 << i), "f4") for i in range(3)}
        quiet = next(sampler.sample(8, batch=8, seed=3, conditions=still)).output
    np.testing.assert_array_equal(all_at_once, again)
    np.testing.assert_allclose(alone, all_at_once, atol=ROUNDING)
    np.testing.assert_allclose(late, all_at_once[5:7], atol=ROUNDING)
    assert np.abs(quiet - all_at_once).max() > 0.01


def test_a_hoisted_model_is_timed_with_the_priors_of_its_bundle(styled: Path) -> None:
    from genx_export.sources import SourceRequest, load_source

    manifest = open_bundle(styled).manifest
    source = f"{styled.parent}/styled.py:Styled"
    model = load_source(source, SourceRequest(priors=manifest.priors, output=manifest.output))
    assert model.priors == manifest.priors


def _plus(z: Tensor, n: Tensor) -> Tensor:
    return z + n


FUNCTIONS: list[tuple[str, Function, Callable[[Tensor, Tensor], Tensor]]] = [
    ("normal", lambda z: z + torch.randn(z.shape), _plus),
    ("normal", lambda z: z + torch.randn(z.shape[0], 8), _plus),
    ("normal", lambda z: z + torch.randn(size=(z.shape[0], 8)), _plus),
    ("normal", lambda z: z + torch.randn(*z.shape, dtype=torch.float64).float(), _plus),
    ("normal", lambda z: z + torch.randn_like(z), _plus),
    ("uniform", lambda z: z + torch.rand(z.shape), _plus),
    ("uniform", lambda z: z + torch.rand_like(z), _plus),
    ("normal", lambda z: torch.normal(z, 2.0), lambda z, n: z + 2 * n),
    ("normal", lambda z: torch.normal(z, z.abs()), lambda z, n: z + z.abs() * n),
    ("normal", lambda z: torch.normal(1.0, z.abs()), lambda z, n: 1 + z.abs() * n),
    ("normal", lambda z: z + torch.normal(1.0, 2.0, z.shape), lambda z, n: z + 1 + 2 * n),
    ("normal", lambda z: z + z.new_empty(z.shape).normal_(1, 2), lambda z, n: z + 1 + 2 * n),
    ("normal", lambda z: z + torch.empty_like(z).normal_(std=3), lambda z, n: z + 3 * n),
    ("uniform", lambda z: z + torch.empty_like(z).uniform_(-1, 3), lambda z, u: z - 1 + 4 * u),
    ("uniform", lambda z: z + torch.empty_like(z).uniform_(to=2), lambda z, u: z + 2 * u),
    (
        "normal",
        lambda z: torch.distributions.Normal(z, 2.0, False).rsample(),
        lambda z, n: z + 2 * n,
    ),
    ("uniform", lambda z: torch.bernoulli(z.sigmoid()), lambda z, u: (u < z.sigmoid()).float()),
    ("uniform", lambda z: z.sigmoid().bernoulli(), lambda z, u: (u < z.sigmoid()).float()),
    ("uniform", lambda z: z * torch.bernoulli(z, p=0.3), lambda z, u: z * (u < 0.3)),
    ("uniform", lambda z: z * z.new_empty(z.shape).bernoulli_(0.3), lambda z, u: z * (u < 0.3)),
    (
        "uniform",
        lambda z: z * torch.empty(z.shape, dtype=torch.bool).bernoulli_(),
        lambda z, u: z * (u < 0.5),
    ),
    ("uniform", lambda z: functional.dropout(z, 0.2), lambda z, u: z * (u >= 0.2) / 0.8),
    ("uniform", lambda z: torch.dropout(z, 0.2, train=True), lambda z, u: z * (u >= 0.2) / 0.8),
    (
        "uniform",
        lambda z: functional.dropout(z + 0, 0.2, inplace=True),
        lambda z, u: z * (u >= 0.2) / 0.8,
    ),
]


@pytest.mark.parametrize(("kind", "function", "expected"), FUNCTIONS)
def test_each_function_makes_of_given_noise_what_torch_makes_of_its_own(
    kind: str, function: Function, expected: Callable[[Tensor, Tensor], Tensor]
) -> None:
    model = hoist_noise(_load(_Call(function)))
    assert [(p.name, p.kind) for p in model.priors] == [("z", "normal"), ("noise_0", kind)]
    assert len(model.warnings) == 1
    assert "(test_hoisting.py:" in model.warnings[0]
    torch.manual_seed(0)
    z, noise = torch.randn(5, 8), (torch.randn if kind == "normal" else torch.rand)(5, 8)
    made = _run(model, {"z": z.numpy(), "noise_0": noise.numpy()})
    np.testing.assert_allclose(made, expected(z, noise).numpy(), atol=ROUNDING)
    # The rule for these numbers gives the distribution that torch draws from.
    many = torch.randn(8).expand(50_000, 8)
    drawn = (torch.randn if kind == "normal" else torch.rand)(many.shape)
    ours, theirs = expected(many, drawn), function(many.clone())
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), atol=0.05, rtol=0.02)
    torch.testing.assert_close(ours.std(0), theirs.std(0), atol=0.05, rtol=0.02)


def test_graphs_draw_nothing_and_equal_torch() -> None:
    parts = [(kind, function) for kind, function, _ in FUNCTIONS]

    def forward(z: Tensor) -> Tensor:
        for _, function in parts:
            z = function(z) + z
        return functional.dropout1d(z[:, :, None], 0.5)[:, :, 0]

    model = hoist_noise(_load(_Call(forward)))
    assert len(model.priors) == len(parts) + 2
    rng = np.random.default_rng(0)
    shapes = {p.name: (3, *p.shape) for p in model.priors if not hasattr(p, "classes")}
    feeds = {n: rng.random(shape).astype(np.float32) for n, shape in shapes.items()}
    component = model.components[0]
    graph = component.translate({n: a[:2] for n, a in feeds.items()}, BOUNDS)
    from genx_export.graph import name_ports, serialise

    name_ports(graph, list(feeds), ["y"])
    spec = ComponentSpec(
        name="generator",
        inputs=tuple(_describe(n, a, "prior") for n, a in feeds.items()),
        outputs=(_describe("y", feeds["z"], "output"),),
    )
    with open_session(serialise("generator", graph), spec) as session:
        np.testing.assert_allclose(session.run(feeds)["y"], _run(model, feeds), rtol=1e-4)


def _describe(name: str, array: np.ndarray, role: str) -> object:
    from genx_runtimes.manifest import TensorSpec

    return TensorSpec(name=name, dtype="float32", shape=("batch", *array.shape[1:]), role=role)  # type: ignore[arg-type]


def test_channels_are_dropped_whole() -> None:
    model = hoist_noise(
        _load(_Call(lambda z: functional.dropout2d(z[:, :, None, None].expand(-1, -1, 3, 3), 0.5)))
    )
    assert model.priors[1] == UniformPrior(name="noise_0", shape=(8, 1, 1), low=0.0, high=1.0)


def test_names_follow_the_modules_and_are_unique() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.randn_like(x) + torch.randn_like(x)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(8, 8), Twice())
            self.noise = Twice()

        def forward(self, z: Tensor, noise_1: Tensor) -> Tensor:
            looped = z + noise_1
            for _ in range(2):
                looped = looped + torch.rand_like(z)
            return self.noise(self.layers(looped))

    priors = hoist_noise(_load(Net(), Z, NormalPrior(name="noise_1", shape=(8,)))).priors
    assert [p.name for p in priors] == [
        "z", "noise_1", "noise_0", "noise_2",
        "layers_1_noise", "layers_1_noise_1", "noise", "noise_3",
    ]  # fmt: skip


@pytest.mark.parametrize("function", [nn.Identity(), lambda z: functional.dropout(z, 0.5, False)])
def test_what_draws_nothing_stays_as_it_is(function: Function) -> None:
    model = _load(_Call(function))
    assert hoist_noise(model) is model


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda z: z + torch.randn(8),
            r"normal noise \(test_hoisting.py:\d+ .* of shape \(8,\) for a batch of 2 and \(8,\)",
        ),
        (lambda z: z + torch.rand(2, 8)[:1], r"uniform noise .* of shape \(2, 8\) for a batch"),
        (lambda z: z + torch.randn(3, z.shape[0], 8)[0], r"expected the batch first"),
        (
            lambda z: z + sum(torch.randn_like(z) for _ in range(z.shape[0])),
            "for some samples and not for others",
        ),
    ],
)
def test_noise_that_does_not_follow_the_batch_is_refused(function: Function, message: str) -> None:
    with pytest.raises(RandomnessError, match=message):
        hoist_noise(_load(_Call(function)))


def test_noise_that_depends_on_the_data_is_refused_when_it_shows() -> None:
    model = hoist_noise(_load(_Call(lambda z: z + torch.randn_like(z) if z.max() < 1e6 else z)))
    feeds = {"z": np.full((2, 8), 1e9, np.float32), "noise_0": np.zeros((2, 8), np.float32)}
    with pytest.raises(RandomnessError, match="draws other numbers than when it was tried"):
        _run(model, feeds)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda z: z + torch.randint(0, 3, z.shape), "aten.randint"),
        (lambda z: z[torch.randperm(z.shape[0])], "aten.randperm"),
        (lambda z: z + torch.multinomial(z.softmax(1), 1), "aten.multinomial"),
        (lambda z: functional.rrelu(z, training=True), "aten.rrelu"),
    ],
)
def test_what_cannot_be_hoisted_is_refused_by_name_and_line(function: Function, name: str) -> None:
    component = hoist_noise(_load(_Call(function))).components[0]
    with pytest.raises(RandomnessError, match=rf"{name}.* \(test_hoisting.py:\d+ ") as caught:
        component.translate({"z": np.ones((2, 8), np.float32)}, BOUNDS)
    assert "--prior noise=normal:SHAPE" in caught.value.fix


class _Vae(nn.Module):
    """Its methods look at `training`, which eval() of the whole must have switched off."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def encoder(self, image: Tensor) -> Tensor:
        hidden = self.linear(image)
        return hidden + torch.randn_like(hidden)

    def decoder(self, z: Tensor) -> Tensor:
        return functional.dropout(self.linear(z), 0.5, training=self.training)


def test_an_encoder_that_draws_is_told_to_return_its_parameters() -> None:
    model = hoist_noise(_load(_Vae(), family="vae"))
    assert model.priors == (Z,)
    encoder = next(c for c in model.components if c.name == "encoder")
    with pytest.raises(RandomnessError, match=r"component 'encoder' .*aten.randn_like") as caught:
        encoder.translate({"image": np.ones((2, 8), np.float32)}, BOUNDS)
    assert "return what the noise is put on, such as mean and log-variance" in caught.value.fix


def test_steps_of_a_loop_keep_their_noise_and_are_refused() -> None:
    component = ModuleComponent("step", _Call(lambda z: z + torch.randn_like(z)))
    model = replace(
        _load(nn.Identity()),
        family=find_family("recurrent"),
        sampler=RecurrentSpec(component="step", states=(), sequences=("z",), length=3),
        components=[component],
    )
    assert hoist_noise(model) is model
    with pytest.raises(RandomnessError, match=r"aten.randn_like \(test_hoisting.py"):
        component.translate({"z": np.ones((2, 8), np.float32)}, BOUNDS)


def test_a_prior_of_the_noise_s_name_must_be_its_own() -> None:
    model = _load(
        _Call(lambda z: z + torch.randn_like(z)), Z, NormalPrior(name="noise_0", shape=(8,))
    )
    assert hoist_noise(model).priors == model.priors
    other = replace(model, priors=(Z, NormalPrior(name="noise_0", shape=(4,))))
    with pytest.raises(SourceError, match=r"'noise_0' feeds normal noise .*expected normal, 8"):
        hoist_noise(other)


def test_a_lone_prior_may_have_another_name() -> None:
    model = hoist_noise(
        _load(_Call(lambda z: z + torch.randn_like(z)), NormalPrior(name="latent", shape=(8,)))
    )
    assert [p.name for p in model.priors] == ["latent", "noise_0"]
    feeds = {"latent": np.ones((2, 8), np.float32), "noise_0": np.ones((2, 8), np.float32)}
    np.testing.assert_array_equal(_run(model, feeds), np.full((2, 8), 2, np.float32))


def test_a_model_that_fails_is_left_to_the_message_on_its_inputs() -> None:
    model = _load(nn.Linear(3, 3), Z)
    assert hoist_noise(model) is model
    with pytest.raises(GenxError, match="rejects its inputs"):
        _run(model, {"input": np.ones((2, 8), np.float32)})


class _Few(ModuleComponent):
    @property
    def bounds(self) -> BatchBounds | None:
        return BatchBounds(min=1, max=63)


def test_a_component_stays_what_it_is_when_its_noise_moves_out() -> None:
    model = _load(_Call(lambda z: z + torch.randn_like(z)))
    component = _Few("generator", model.components[0].module, noise_fix="ask")  # type: ignore[attr-defined]
    hoisted = hoist_noise(replace(model, components=[component])).components[0]
    assert list(hoisted.parameters) == ["z", "noise_0"]
    assert list(component.parameters) == ["z"]
    assert hoisted.bounds == BatchBounds(min=1, max=63)
    assert hoisted._noise_fix == "ask"  # type: ignore[attr-defined]
