"""The command line as a user has it: real processes where it matters, in-process elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from genx_cli.app import app

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
SOURCES = [str(ROOT / folder) for folder in ("gen_export", "cli", "runtimes")]

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 8, 8)).astype(np.uint8)

MODELS = '''
import torch
import torch.nn.functional as F
from torch import nn


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, z):
        return self.linear(z)


class Shuffle(Flat):
    def forward(self, z):
        return self.linear(z)[:, torch.randperm(8)]


class Slow(Flat):
    def forward(self, z):
        import time
        open("started", "w").close()
        time.sleep(30)
        return self.linear(z)


class TutorialGenerator(nn.Module):
    """The DCGAN generator of the PyTorch tutorial, narrower."""

    def __init__(self, nz=100, ngf=8, nc=3):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 8, 4, 1, 0, bias=False),
            nn.BatchNorm2d(ngf * 8),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 8, ngf * 4, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf * 4),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 4, ngf * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, input):
        return self.main(input)


class LinearGenerator(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(62, 16 * 7 * 7)
        self.first = nn.ConvTranspose2d(16, 8, 5, stride=2, padding=2, output_padding=1)
        self.second = nn.ConvTranspose2d(8, 1, 5, stride=2, padding=2, output_padding=1)

    def forward(self, z):
        image = F.relu(self.linear(z)).view(-1, 16, 7, 7)
        return torch.sigmoid(self.second(F.relu(self.first(image))))


class TransformerGenerator(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 32)
        self.places = nn.Parameter(torch.zeros(6, 32))
        self.transformer = nn.Transformer(32, 4, 1, 1, 64, batch_first=True)
        self.head = nn.Linear(32, 3)

    def forward(self, z, label):
        target = self.places.expand(z.shape[0], -1, -1)
        return self.head(self.transformer(z + self.embedding(label)[:, None], target))
'''


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing that was measured before, or is now, stay in the user's cache."""
    monkeypatch.setenv("GENX_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True, scope="session")
def _hear_ctrl_c() -> Iterator[None]:
    """Let SIGINT reach child processes: what a shell runs in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def genx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Done:
        result = CliRunner().invoke(app, [str(a) for a in arguments], prog_name="genx")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(code=result.exit_code, out=result.stdout, err=result.stderr)

    return run


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A file with small models in the working folder."""
    path = tmp_path / "models.py"
    path.write_text(MODELS, encoding="utf-8")
    return path


@pytest.fixture
def tiny() -> Path:
    """Z (8,), label of circle, square, star, wave -> image (1, 8, 8)."""
    return DATA / "tiny.genx"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """The three pictures of `PIXELS`, a.png, b.png and c.png, in a folder."""
    from PIL import Image

    folder = tmp_path / "in"
    folder.mkdir()
    for name, pixels in zip("abc", PIXELS, strict=True):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE whose decoder takes a label as well."""
    from tests.kinds import make_vae

    return make_vae("labelled", tmp_path_factory.mktemp("labelled"))


def start(folder: Path, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Start a command as a real process."""
    path = os.pathsep.join([environment.pop("PYTHONPATH", ""), *SOURCES]).strip(os.pathsep)
    return subprocess.Popen(
        [sys.executable, "-m", "genx_cli", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **environment, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Done:
    """Wait for a started command."""
    out, err = process.communicate(timeout=120)
    return Done(code=process.returncode, out=out, err=err)


def list_files(folder: Path) -> set[str]:
    """Return what lies in a folder, hidden files too, caches left out."""
    return {p.name for p in folder.iterdir() if p.name != "__pycache__"}
