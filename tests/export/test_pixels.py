"""Autoregressive images: row by row and pixel by pixel draws what whole passes draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genx_export import ModelSpec, export
from genx_export.sources.python_callable import find_callable
from genx_runtimes import open_bundle
from genx_runtimes.bundle import Bundle
from genx_runtimes.errors import InputError, ManifestError, SourceError
from genx_runtimes.noise import NoiseStream
from genx_runtimes.samplers.loop import SamplingOptions
from genx_runtimes.verify import verify_bundle

MODEL = '''
import torch
from torch import nn
from torch.nn import functional
from genx_export import ModelSpec

CHANNELS, LEVELS, HEIGHT, WIDTH = {channels}, 3, 5, 6


class Gated(nn.Module):
    """forward(image, label) is the truth; each layer is padded with zeros."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(CHANNELS, 16, (2, 3), padding=(0, 1))
        self.second = nn.Conv2d(8, 16, (2, 3), padding=(0, 1))
        self.across = nn.ModuleList([nn.Conv2d(CHANNELS, 16, 1), nn.Conv2d(16, 16, 1)])
        self.labels = nn.Embedding(3, 16)
        self.head = nn.Conv2d(8, CHANNELS * LEVELS, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(3)

    def forward(self, image, label):
        code = self.labels(label)[:, :, None, None]
        one = self.first(functional.pad(image, (0, 0, 2, 0)))[:, :, :-1] + code
        two = self.second(functional.pad(gate(one), (0, 0, 1, 0)))
        a = gate(self.across[0](right(image)) + one)
        b = gate(self.across[1](torch.cat([right(a), a], 1)) + two)
        return self.head(b).unflatten(1, (CHANNELS, LEVELS))

    def row(self, above, inside, label):
        one = self.first(above) + self.labels(label)[:, :, None, None]
        exists = functional.pad(inside, (0, 0, 0, 1), value=1.0)[:, :, -2:]
        two = self.second(gate(one) * exists)
        return torch.cat([one[:, :, -1], two[:, :, -1]], 1)

    def step(self, pixel, features, label, left):
        one, two = features[:, :, None, None].chunk(2, 1)
        a = gate(self.across[0](pixel) + one)
        b = gate(self.across[1](torch.cat([left, a], 1)) + two)
        return self.head(b)[:, :, 0, 0].unflatten(1, (CHANNELS, LEVELS)), a


def gate(mixed):
    value, opening = mixed.chunk(2, 1)
    return torch.tanh(value) * torch.sigmoid(opening)


def right(image):
    return functional.pad(image, (1, 0))[:, :, :, :-1]


def build(module=None, **more):
    return ModelSpec(
        module=module or Gated(),
        family="pixels",
        priors={{"label": "categorical:3"}},
        output="image:-1..1",
        sampler={{
            "inside": "inside",
            "shape": [CHANNELS, HEIGHT, WIDTH],
            "window": 3,
            "levels": LEVELS,
            "states": [{{"name": "left", "shape": [8, 1, 1]}}],
            **more,
        }},
    )


def too_many_levels():
    return build(levels=4)


class Swapped(Gated):
    def row(self, above, inside, label):
        return super().row(above, inside, label).transpose(1, 2)


def swapped():
    return build(Swapped())


def blind():
    return build(inside=None)
'''
VALUES = np.linspace(-1, 1, 3).astype(np.float32)


def write_model(folder: Path, channels: int = 1) -> Path:
    path = folder / f"gated{channels}.py"
    path.write_text(MODEL.format(channels=channels))
    return path


def load_module(path: Path) -> nn.Module:
    """The module with the weights that export gives it: those of seed 0."""
    build = find_callable(f"{path}:build")
    torch.manual_seed(0)
    spec = build()
    assert isinstance(spec, ModelSpec)
    return spec.module.eval()


@torch.inference_mode()
def draw_naively(
    module: nn.Module, labels: list[int], *, seed: int, channels: int = 1, temperature: float = 1.0
) -> NDArray[np.float32]:
    """One whole pass a pixel, from the definition in docs/bundle.md alone."""
    images = np.zeros((len(labels), channels, 5, 6), np.float32)
    for i, label in enumerate(labels):
        uniforms = NoiseStream(seed, "token").at(i).random_sample(5 * 6 * channels)
        for place, (y, x) in enumerate(np.ndindex(5, 6)):
            whole = module(torch.from_numpy(images[i : i + 1]), torch.tensor([label]))
            logits = whole[0, :, :, y, x].numpy().astype(np.float64)
            for c in range(channels):
                odds = np.exp(logits[c] / temperature) if temperature else logits[c]
                total = odds.cumsum()
                u = uniforms[place * channels + c] * total[-1]
                chosen = np.searchsorted(total, u, "right") if temperature else odds.argmax()
                images[i, c, y, x] = VALUES[chosen]
    return images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pixels")


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    export(f"{write_model(folder)}:build", folder / "p.genx")
    return open_bundle(folder / "p.genx")


def sample(bundle: Bundle, n: int, batch: int = 8, start: int = 0, **more: float) -> NDArray:
    options = SamplingOptions(**more)  # type: ignore[arg-type]
    with bundle.sampler() as sampler:
        batches = sampler.sample(
            n, seed=7, batch=batch, start=start, conditions={"label": "balanced"}, options=options
        )
        return np.concatenate([b.output for b in batches])


def test_the_network_sees_only_what_is_above_and_left(folder: Path) -> None:
    module = load_module(write_model(folder))
    image = torch.rand(1, 1, 5, 6, requires_grad=True)
    logits: Tensor = module(image, torch.tensor([1]))
    for y, x in ((0, 0), (2, 3), (4, 5)):
        (seen,) = torch.autograd.grad(logits[:, :, :, y, x].sum(), image, retain_graph=True)
        assert not seen.flatten()[y * 6 + x :].any()


@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.0])
def test_pixel_by_pixel_draws_what_whole_passes_draw(
    bundle: Bundle, folder: Path, temperature: float
) -> None:
    module = load_module(write_model(folder))
    expected = draw_naively(module, [0, 1, 2, 0], seed=7, temperature=temperature)
    got = sample(bundle, 4, temperature=temperature)
    np.testing.assert_array_equal(got, expected)
    if temperature:
        assert len(np.unique(got)) == 3
        assert np.any(got[0] != got[3])  # the same label, another index


def test_channels_are_drawn_one_after_another(tmp_path: Path) -> None:
    source = write_model(tmp_path, channels=3)
    export(f"{source}:build", tmp_path / "p.genx")
    expected = draw_naively(load_module(source), [0, 1, 2], seed=7, channels=3)
    np.testing.assert_array_equal(sample(open_bundle(tmp_path / "p.genx"), 3), expected)


def test_logits_equal_those_of_a_whole_pass(bundle: Bundle, folder: Path) -> None:
    module = load_module(write_model(folder))
    image = np.random.default_rng(0).choice(VALUES, (2, 1, 5, 6))
    label = np.array([2, 0])
    with torch.inference_mode():
        whole = module(torch.from_numpy(image), torch.from_numpy(label)).numpy()
    padded = np.pad(image, ((0, 0), (0, 0), (3, 0), (0, 0)))
    inside = np.pad(np.ones((2, 1, 5, 1), np.float32), ((0, 0), (0, 0), (3, 0), (0, 0)))
    with bundle.session("row") as row, bundle.session("step") as step:
        for y in range(5):
            rows = slice(y, y + 3)
            above = {"above": padded[:, :, rows].copy(), "inside": inside[:, :, rows].copy()}
            features = row.run({**above, "label": label})["features"]
            left, pixel = np.zeros((2, 8, 1, 1), np.float32), np.zeros((2, 1, 1, 1), np.float32)
            for x in range(6):
                column = np.ascontiguousarray(features[:, :, x])
                feeds = {"pixel": pixel, "features": column, "label": label, "left": left}
                outputs = step.run(feeds)
                np.testing.assert_allclose(outputs["logits"], whole[:, :, :, y, x], atol=1e-5)
                left, pixel = outputs["next_left"], image[:, :, y : y + 1, x : x + 1].copy()


def test_verify_runs_the_loop(bundle: Bundle) -> None:
    assert [c.name for c in bundle.manifest.components] == ["step", "row"]
    report = verify_bundle(bundle)
    assert report.passed
    assert report.loop is not None
    assert report.loop.discrete
    assert report.loop.error == 0
    assert len(report.loop.curve) == 5
    golden = bundle.golden()
    other = dict(golden)
    other["loop/out/image"] = golden["loop/out/image"].copy()
    other["loop/out/image"][:, :, 3, 0] *= -1
    other["loop/out/image"][:, :, 3, 0] += 0.5
    changed = open_bundle(bundle.path)
    changed.golden = lambda: other  # type: ignore[method-assign]
    failed = verify_bundle(changed)
    assert not failed.passed
    assert failed.loop is not None
    assert failed.loop.curve == (0, 0, 0, 1, 1)


def test_an_image_depends_on_seed_and_index_alone(bundle: Bundle) -> None:
    together = sample(bundle, 9, batch=8)
    np.testing.assert_array_equal(sample(bundle, 9, batch=1), together)
    np.testing.assert_array_equal(sample(bundle, 3, start=6), together[6:])


def test_the_condition_changes_the_image(bundle: Bundle) -> None:
    with bundle.sampler() as sampler:
        one, two = (next(sampler.sample(4, conditions={"label": label})).output for label in (0, 1))
    assert np.any(one != two, axis=(1, 2, 3)).all()


def test_watching_shows_row_after_row(bundle: Bundle) -> None:
    with bundle.sampler() as sampler:
        steps = [b.output for b in sampler.watch(2, seed=7)]
        whole = next(sampler.sample(2, seed=7)).output
    assert len(steps) == 5
    for y, step in enumerate(steps):
        np.testing.assert_array_equal(step[:, :, : y + 1], whole[:, :, : y + 1])
        assert not step[:, :, y + 1 :].any()


def test_top_k_and_top_p_leave_the_likeliest(bundle: Bundle) -> None:
    likeliest = sample(bundle, 3, temperature=0)
    np.testing.assert_array_equal(sample(bundle, 3, top_k=1), likeliest)
    np.testing.assert_array_equal(sample(bundle, 3, top_p=1e-9), likeliest)
    assert np.any(sample(bundle, 3) != likeliest)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0, expected 0 or more"),
        ({"temperature": float("nan")}, "temperature is nan, expected 0 or more"),
        ({"top_k": 0}, "top-k is 0, expected 1 or more"),
        ({"top_p": 0.0}, "top-p is 0.0, expected more than 0, up to 1"),
        ({"length": 3}, r"--length has no meaning for this bundle.*--temperature"),
        ({"prompt": "a"}, "--prompt has no meaning"),
    ],
)
def test_bad_options(bundle: Bundle, option: dict[str, float], message: str) -> None:
    with bundle.sampler() as sampler, pytest.raises(InputError, match=message):
        sampler.sample(1, options=SamplingOptions(**option))  # type: ignore[arg-type]


def test_a_sampler_that_the_graphs_do_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    source = write_model(folder)
    with pytest.raises(ManifestError, match=r"'step' gives \(\d+, 1, 3\).*ask for \(\d+, 1, 4\)"):
        export(f"{source}:too_many_levels", tmp_path / "p.genx")
    with pytest.raises(ManifestError, match=r"'row' gives \(\d+, 6, 32\).*ask for \(\d+, 6, 6\)"):
        export(f"{source}:swapped", tmp_path / "p.genx")
    with pytest.raises(SourceError, match="takes above, inside, label; the loop gives"):
        export(f"{source}:blind", tmp_path / "p.genx")
    assert not list(tmp_path.iterdir())
