"""Families with a sampling loop, from tiny modules to samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec import structs

from genx_export import export
from genx_export.loop_feeding import LoopRun, run_loop
from genx_runtimes import open_bundle
from genx_runtimes.errors import InputError, SourceError, VerificationError
from genx_runtimes.latents import LatentSource
from genx_runtimes.samplers.loop import Draw, SamplingOptions
from genx_runtimes.verify import verify_bundle

DATA = Path(__file__).parents[1] / "data"

MODELS = '''
import torch
from torch import nn
from genx_export import ModelSpec


class Rows(nn.Module):
    """noise (B, T, 3) -> rows (B, T, 5)."""

    def __init__(self, wrong=False):
        super().__init__()
        self.lstm = nn.LSTM(3, 6, 2, batch_first=True)
        self.out = nn.Linear(6, 5)
        self.wrong = wrong

    def forward(self, noise):
        hidden, _ = self.lstm(noise)
        return torch.tanh(self.out(hidden)) + self.wrong

    def step(self, noise, h, c):
        hidden, (h, c) = self.lstm(noise[:, None], (h.transpose(0, 1), c.transpose(0, 1)))
        return torch.tanh(self.out(hidden[:, 0])), h.transpose(0, 1), c.transpose(0, 1)


def recurrent(wrong=False):
    states = [{"name": "h", "shape": [2, 6]}, {"name": "c", "shape": [2, 6]}]
    return ModelSpec(
        module=Rows(wrong),
        family="recurrent",
        priors={"noise": "normal:7x3"},
        output="rows=sequence",
        sampler={"sequences": ["noise"], "length": 7, "states": states},
    )


def classes():
    made = recurrent()
    made.priors["noise"] = "one_hot:7"
    return made


def endless():
    made = recurrent()
    made.sampler["length"] = 0
    return made


def idle():
    made = recurrent()
    made.priors["style"] = "normal:3"
    return made


def unlike():
    return recurrent(wrong=True)


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.labels = nn.Embedding(4, 8)
        self.one = nn.Conv2d(1, 8, 3, 1, 1)
        self.two = nn.Conv2d(8, 1, 3, 1, 1)

    def forward(self, x, time, label):
        bias = self.labels(label) + torch.sin(time / 100)[:, None]
        return self.two(torch.tanh(self.one(x) + bias[:, :, None, None]))


def diffusion(**more):
    return ModelSpec(
        module=Denoiser(),
        family="diffusion",
        priors={"x": "normal:1x8x8", "label": "categorical:3"},
        output="image:-1..1",
        sampler={
            "schedule": {"kind": "linear", "train_steps": 1000},
            "steps": 5,
            "guidance": {"condition": "label", "null": 3, "default": 2.0},
            **more,
        },
    )
'''


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "loops.py"
    path.write_text(MODELS)
    return path


def test_a_recurrent_model_in_one_graph_and_step_by_step(source: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    export(f"{source}:recurrent", tmp_path / "r.genx")
    bundle = open_bundle(tmp_path / "r.genx")
    assert [c.name for c in bundle.manifest.components] == ["step", "whole"]
    report = verify_bundle(bundle)
    assert report.passed
    assert report.loop is not None
    assert len(report.loop.curve) == 7
    with bundle.sampler() as sampler:
        one = next(sampler.sample(2, seed=3)).output
        longer = next(sampler.sample(2, seed=3, options=SamplingOptions(length=11))).output
        apart = next(sampler.sample(1, seed=3, start=1)).output
        watched = [b.output.shape[1] for b in sampler.watch(2, seed=3)]
        with pytest.raises(InputError, match="length is 0, expected 1 or more"):
            sampler.sample(1, options=SamplingOptions(length=0))
        with pytest.raises(InputError, match=r"--steps has no meaning for this bundle.*--length"):
            sampler.sample(1, options=SamplingOptions(steps=3))
    assert one.shape == (2, 7, 5)
    assert watched == [1, 2, 3, 4, 5, 6, 7]
    np.testing.assert_allclose(longer[:, :7], one, atol=1e-5)
    np.testing.assert_allclose(apart[0], one[1], atol=1e-5)


def test_steps_that_differ_from_the_whole_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="whole sequence and its steps differ by"):
        export(f"{source}:unlike", tmp_path / "r.genx")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("classes", "sequences has 'noise', one class a sample: only a prior with a shape has"),
        ("endless", "of family 'recurrent': length is 0, expected 1 or more"),
        ("idle", "prior 'style' feeds nothing: no such input in 'step' or 'whole'"),
    ],
)
def test_recurrent_models_that_cannot_be(
    kind: str, message: str, source: Path, tmp_path: Path
) -> None:
    with pytest.raises((InputError, SourceError), match=message):
        export(f"{source}:{kind}", tmp_path / "r.genx")


def test_a_diffusion_model(source: Path, tmp_path: Path) -> None:
    export(f"{source}:diffusion", tmp_path / "d.genx")
    bundle = open_bundle(tmp_path / "d.genx")
    report = verify_bundle(bundle)
    assert report.passed
    assert report.loop is not None
    assert len(report.loop.curve) == 5
    with bundle.sampler() as sampler:
        together = next(sampler.sample(3, seed=1, conditions={"label": 2})).output
        apart = next(sampler.sample(1, seed=1, start=2, conditions={"label": 2})).output
        watched = list(sampler.watch(3, seed=1, conditions={"label": 2}))
        other = next(
            sampler.sample(3, seed=1, conditions={"label": 2}, options=SamplingOptions(guidance=1))
        ).output
    np.testing.assert_allclose(apart[0], together[2], rtol=1e-4, atol=1e-3)
    assert len(watched) == 5
    np.testing.assert_array_equal(watched[-1].output, together)
    assert np.abs(other - together).max() > 1e-2


def test_a_loop_that_drifts_fails_verify(source: Path, tmp_path: Path) -> None:
    export(f"{source}:diffusion", tmp_path / "d.genx")
    bundle = open_bundle(tmp_path / "d.genx")
    golden = bundle.golden()
    golden["loop/out/image"][1] += 0.1
    bundle.golden = lambda: golden  # type: ignore[method-assign]
    report = verify_bundle(bundle)
    assert not report.passed
    with pytest.raises(VerificationError, match=r"the sampling loop .* drifts by"):
        report.require()


def test_each_pass_keeps_other_steps_of_the_loop(source: Path, tmp_path: Path) -> None:
    export(f"{source}:diffusion", tmp_path / "d.genx", batch="1:2")
    times = open_bundle(tmp_path / "d.genx").golden()["denoiser/in/time"]
    assert len(times) == 8
    assert len({tuple(pair) for pair in times.reshape(4, 2).tolist()}) > 1


def run_tiny(samples: int, wanted: int | None, *, decodes: bool = False) -> LoopRun:
    """Run the five steps of the tiny diffusion, four samples a pass, and a decoder after them."""
    bundle = open_bundle(DATA / "tiny_diffusion.genx")
    manifest = bundle.manifest
    feeds = LatentSource(manifest.priors, 0).draw(range(samples))
    decoder = "decoder" if decodes else None
    with bundle.sampler() as sampler:
        return run_loop(
            structs.replace(manifest.sampler, decoder=decoder),
            manifest.priors,
            manifest.output,
            {
                "denoiser": sampler.session.run,
                "decoder": lambda feeds: {manifest.output.name: feeds["latent"]},
            },
            {"denoiser": ("x", "time", *feeds), "decoder": ("latent",)},
            Draw(seed=0, indices=range(samples), feeds=feeds),
            size=4,
            max_batch=16,
            wanted=wanted,
        )


def test_several_calls_of_few_samples_are_kept() -> None:
    run = run_tiny(16, 16)
    assert len(run.output) == 4
    times = run.feeds["denoiser"]["time"].reshape(4, 4)  # four of the five steps of each sample
    assert all(len(set(kept)) == 4 for kept in times.T.tolist()), "no call twice"
    assert len({tuple(sorted(kept)) for kept in times.T.tolist()}) > 1, "each sample its own"
    own = LatentSource(open_bundle(DATA / "tiny_diffusion.genx").manifest.priors, 0).draw(range(4))
    labels = run.feeds["denoiser"]["label"].reshape(4, 4)
    assert ((labels == own["label"]) | (labels == 3)).all(), "a sample's rows stay its own"


def test_as_many_samples_as_calls_where_a_graph_runs_once() -> None:
    run = run_tiny(16, 16, decodes=True)
    assert len(run.feeds["decoder"]["latent"]) == len(run.feeds["denoiser"]["time"]) == 16
    assert len(run.output) == 16


@pytest.mark.parametrize("wanted", [None, 400])
def test_every_call_is_equally_likely_to_be_kept(wanted: int | None) -> None:
    run = run_tiny(400, wanted)
    _, counts = np.unique(run.feeds["denoiser"]["time"], return_counts=True)
    assert len(counts) == 5
    assert counts.min() > 0.6 * counts.mean()
