from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnx.parser
import pytest
import torch

from genx_export import export
from genx_export.torch_contender import prepare_torch
from genx_runtimes.bench import BenchOptions, Contender, genx_contender, run_bench
from genx_runtimes.bench.case import Case
from genx_runtimes.bundle import open_bundle
from genx_runtimes.child import run_child
from genx_runtimes.errors import SourceError

MODEL = """
import torch
from torch import nn
from genx_export import ModelSpec


class Generator(nn.Module):
    def __init__(self, size=4):
        super().__init__()
        torch.manual_seed(1)
        self.size = size
        self.linear = nn.Linear(6, size * size)

    def forward(self, noise):
        return torch.tanh(self.linear(noise)).reshape(-1, 1, self.size, self.size)


def make():
    return ModelSpec(module=Generator(), priors={"z": "normal:6"}, output="image:-1..1", name="t")


def larger():
    return Generator(8)
"""
GRAPH = """<ir_version: 8, opset_import: ["" : 17]>
g (float[batch,6] z) => (float[batch,6] image) { image = Tanh(z) }"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contender")
    (folder / "model.py").write_text(MODEL)
    export(f"{folder / 'model.py'}:make", folder / "t.genx")
    return folder


def make_case(folder: Path, source: str) -> Case:
    return Case(
        bundle=str(folder / "t.genx"),
        precision=None,
        backend="",
        source=str(folder / source),
        batch=3,
        threads=1,
        seed=2,
        start=7,
        seconds=0.01,
        warm_up_s=0.01,
    )


@pytest.fixture
def one_interop_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # torch takes this setting once in a process; here are several tests in one.
    monkeypatch.setattr(torch, "set_num_interop_threads", lambda _: None)


@pytest.mark.usefixtures("one_interop_thread")
def test_it_draws_the_samples_that_genx_draws(folder: Path) -> None:
    threads = torch.get_num_threads()
    try:
        with prepare_torch(make_case(folder, "model.py:make")) as contender:
            assert torch.get_num_threads() == 1
            got = np.concatenate([contender.draw(3), contender.draw(3)])  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(threads)
    with open_bundle(folder / "t.genx").sampler() as sampler:
        (expected,) = sampler.sample(6, seed=2, start=7)
    assert got.dtype == np.uint8
    assert got.shape == (6, 4, 4, 1)
    assert np.abs(got.astype(int) - expected.images()).max() <= 1  # a value on the edge of two
    assert contender.versions["torch"] == torch.__version__


@pytest.mark.usefixtures("one_interop_thread")
def test_another_model_is_refused(folder: Path) -> None:
    with (
        pytest.raises(SourceError, match=r"\(1, 8, 8\)"),
        prepare_torch(make_case(folder, "model.py:larger")),
    ):
        pass


@pytest.mark.usefixtures("one_interop_thread")
def test_an_onnx_file_is_no_torch_model(folder: Path) -> None:
    onnx.save(onnx.parser.parse_model(GRAPH), folder / "graph.onnx")
    with (
        pytest.raises(SourceError, match="there is no torch model to compare with"),
        prepare_torch(make_case(folder, "graph.onnx")),
    ):
        pass


def test_it_is_measured_beside_genx(folder: Path) -> None:
    source = str(folder / "model.py:make")
    bundle = open_bundle(folder / "t.genx")
    torch_contender = Contender(
        bundle=bundle,
        name="torch",
        module="genx_export.torch_contender",
        backend="torch",
        source=source,
    )
    contenders = [genx_contender(bundle, "onnxruntime", "fp32"), torch_contender]
    options = BenchOptions(batches=(2,), threads=1, min_duration_s=0.01, rounds=1, warm_up_s=0.05)
    genx, eager = run_bench(contenders, options).rows
    assert genx.latency is not None
    assert eager.latency is not None, eager.reasons
    assert eager.parts is not None
    assert {"torch", "numpy"} == set(eager.versions)
    assert eager.memory is not None
    assert eager.memory.engine is None


def test_a_source_that_is_not_there_is_one_line(folder: Path) -> None:
    outcome = run_child(
        (sys.executable, "-m", "genx_export.torch_contender"),
        data=msgspec.json.encode(make_case(folder, "nothing")),
        timeout_s=120,
    )
    assert outcome.failure.startswith(f"{folder / 'nothing'} is not there; ")
