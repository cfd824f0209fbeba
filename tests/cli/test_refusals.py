"""Models and weights that cannot become a bundle, each told by name; and bundles without torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.cli.conftest import Run, finish, list_files, start

MODELS = """
import numpy as np
import torch
from torch import nn

from genx_export import ModelSpec


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, z):
        return self.linear(z)


class Randn(Flat):
    def forward(self, z):
        return self.linear(z) + torch.randn(8)


class Numpy(Flat):
    def forward(self, z):
        return self.linear(z) + torch.from_numpy(np.random.randn(8).astype("float32"))


class Frozen(Flat):
    def __init__(self):
        super().__init__()
        self.noise = torch.randn(8)

    def forward(self, z):
        return self.linear(z) + self.noise


class Text(Flat):
    def forward(self, z):
        return "an image"


class Mean(Flat):
    def forward(self, z):
        return self.linear(z).mean()


class NoNumber(Flat):
    def forward(self, z):
        return self.linear(z) / 0


def build_with(size):
    return Flat()


def build_list():
    return [Flat()]


def build_spec():
    return ModelSpec(module=Flat(), priors={"z": "normal:8"}, name="said")
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    path = tmp_path / "models.py"
    path.write_text(MODELS)
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Randn", "draws normal noise (models.py:20 `return "),
        ("Numpy", "gives different outputs for the same inputs (max difference "),
        ("Frozen", "tensor 'noise' is drawn anew each time the model is built and is not in the"),
        ("Text", "component 'generator' returns a str as 'output', expected tensors"),
        ("Mean", "has shape (), expected the batch of "),
        ("NoNumber", "the original model's output 'output' holds NaN or infinity"),
        ("build_with", "models.py:build_with failed: TypeError: "),
        ("build_list", "models.py:build_list returned a list, expected an nn.Module"),
    ],
)
def test_models_that_are_refused(
    genx: Run, models: Path, tmp_path: Path, name: str, message: str
) -> None:
    done = genx("export", f"models.py:{name}", "--prior", "z=normal:8", "-o", "x.genx")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert message in done.err
    assert "; " in done.err, "a refusal says what to do"
    assert len(done.err.splitlines()) == 1
    assert list_files(tmp_path) == {"models.py"}


def test_a_callable_that_says_all_by_itself(genx: Run, models: Path) -> None:
    assert genx("export", "models.py:build_spec", "-o", "x.genx").code == 0
    assert genx("inspect", "x.genx").out.startswith("said  (generator, format 1)\n")


def test_weights_of_another_size_and_cut_short(genx: Run, models: Path, tmp_path: Path) -> None:
    torch.save({"linear.weight": torch.zeros(8, 9), "linear.bias": torch.zeros(8)}, "wide.pt")
    (tmp_path / "short.pt").write_bytes((tmp_path / "wide.pt").read_bytes()[:-200])
    (tmp_path / "empty.pt").write_bytes(b"")
    for name, message in (
        ("wide.pt", "linear.weight has shape (8, 9), expected (8, 8); build the model with the s"),
        ("short.pt", "short.pt is truncated or not a torch file: "),
        ("empty.pt", "empty.pt is truncated or not a torch file: "),
    ):
        options = ("--weights", name, "--prior", "z=normal:8", "-o", "x.genx")
        done = genx("export", "models.py:Flat", *options)
        assert done.code == 1
        assert done.err.startswith(f"error: {message}")
        assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "x.genx").exists()


BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "onnx", "onnx_ir", "onnxscript", "genx_export"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
"""


@pytest.mark.parametrize(
    "command", [("sample", "-o", "x.png"), ("verify",), ("inspect",), ("doctor",)]
)
def test_sampling_needs_no_torch(tiny: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "sitecustomize.py").write_text(BLOCK)
    bundle = () if command[0] == "doctor" else (tiny,)
    path = str(tmp_path / "block")
    done = finish(start(tmp_path, command[0], *bundle, *command[1:], PYTHONPATH=path))
    assert (done.code, done.err) == (0, "")


def test_both_ends_of_a_walk_are_the_samples_themselves(genx: Run, tiny: Path) -> None:
    options = ("--set", "label=star", "--seed", 3)
    assert genx("sample", tiny, "-n", 6, *options, "-o", "all.npy").code == 0
    walk = ("-n", 4, "--interpolate", "2:5", "--batch", 3)
    assert genx("sample", tiny, *walk, *options, "-o", "walk.npy").code == 0
    every, walked = np.load("all.npy"), np.load("walk.npy")
    assert len(walked) == 4
    assert np.abs(walked[[0, -1]] - every[[2, 5]]).max() < 1e-5
