"""Tiny models, built in code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from genx_export import export

MODELS = '''
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from genx_export import ModelSpec


class Tiny(nn.Module):
    """z (B, 8), label (B,) -> image (B, 1, 8, 8)."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(4, 4)
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(12, 8, 4, 1, 0, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 1, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, z, label):
        return self.layers(torch.cat([z, self.embedding(label)], 1)[:, :, None, None])


class Flat(nn.Module):
    """z (B, 8) -> (B, 8)."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, z):
        return self.linear(z)


class Words(nn.Module):
    """word (B,) -> features (B, 64) of a sequence that starts with it."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(256, 64)
        self.recurrence = nn.GRU(64, 64, batch_first=True)
        self.attention = nn.Linear(64, 192)
        self.output = nn.Linear(64, 64)

    def forward(self, word):
        steps = torch.stack([word, (word * 7 + 1) % 256, (word * 3 + 5) % 256], 1)
        hidden, _ = self.recurrence(self.embedding(steps))
        q, k, v = self.attention(hidden)[:, None].chunk(3, 3)
        return self.output(F.scaled_dot_product_attention(q, k, v)[:, 0].mean(1))


class Blur(nn.Module):
    """photo (B, 1, 8, 8) -> image (B, 1, 8, 8)."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, 1, 1)

    def forward(self, photo):
        return torch.tanh(self.conv(photo))


class SharedNoise(Flat):
    def forward(self, z):
        return self.linear(z) + torch.randn(8)


class Shuffle(Flat):
    def forward(self, z):
        return self.linear(z)[:, torch.randperm(8)]


class NumpyNoise(Flat):
    def forward(self, z):
        return self.linear(z) + torch.from_numpy(np.random.randn(8).astype("float32"))


class FrozenNoise(Flat):
    def __init__(self):
        super().__init__()
        self.noise = torch.randn(8)

    def forward(self, z):
        return self.linear(z) + self.noise


class FrozenBuffer(Flat):
    def __init__(self):
        super().__init__()
        self.register_buffer("noise", torch.randn(8), persistent=False)

    def forward(self, z):
        return self.linear(z) + self.noise


class FixedBatch(Flat):
    def forward(self, z):
        return self.linear(z).reshape(2, -1)[:, :8] if z.shape[0] == 2 else self.linear(z)


class DataDependent(Flat):
    def forward(self, z):
        return self.linear(z) if z.sum() > 0 else self.linear(z) * 1.0


class BatchDependent(Flat):
    def forward(self, z):
        return self.linear(z) - z.mean(0, keepdim=True)


class Scalar(Flat):
    def forward(self, z):
        return self.linear(z).mean()


class Text(Flat):
    def forward(self, z):
        return "no tensor"


class Pair(Flat):
    def forward(self, z):
        return self.linear(z), -self.linear(z)


class Named(Flat):
    def forward(self, z):
        return {"mean": self.linear(z), "scale": self.linear(z) ** 2}


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 8)

    def forward(self, image):
        return self.linear(image.flatten(1)).chunk(2, 1)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 64)

    def forward(self, z):
        return torch.sigmoid(self.linear(z)).view(-1, 1, 8, 8)


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.half = 0.5

    def decode_twice(self, z):
        return self.decoder(self.decoder(z).flatten(1)[:, :4])


def make_spec():
    return ModelSpec(
        module=Tiny(),
        priors={"z": "normal:8", "label": "categorical:4"},
        output="image:-1..1",
        name="specified",
    )


def make_with_argument(size):
    return Flat()


def make_nothing():
    return 3


def make_half():
    return Flat().half()
'''


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def models(tmp_path: Path) -> str:
    """The path of a file with tiny models; it is named so that `module:name` does not clash."""
    path = tmp_path / "tiny_models.py"
    path.write_text(MODELS, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of Tiny with fp32 alone, in which rewrites fire; not to be changed."""
    folder = tmp_path_factory.mktemp("native")
    (folder / "tiny_models.py").write_text(MODELS, encoding="utf-8")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    path = folder / "native.genx"
    priors = ["z=normal:8", "label=categorical:4"]
    export(f"{folder}/tiny_models.py:Tiny", path, priors=priors, output="image:-1..1")
    return path


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no form of a graph be timed: none is faster than another."""
    monkeypatch.setattr("genx_export.quantisation.extend.measure", lambda *_, **__: ())


@pytest.fixture
def build(models: str) -> Callable[[str], torch.nn.Module]:
    """Make a tiny model by its class name."""
    from genx_export.sources.python_callable import find_callable

    def make(name: str) -> torch.nn.Module:
        torch.manual_seed(0)
        made = find_callable(f"{models}:{name}")()
        assert isinstance(made, torch.nn.Module)
        return made

    return make
