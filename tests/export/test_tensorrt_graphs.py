"""Graphs for TensorRT in front of the real TensorRT-RTX parser and builder, which need no GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorrt_rtx as trt

from genx_export import QuantisationRecipe, export
from genx_runtimes.bundle import open_bundle
from genx_runtimes.manifest import BatchBounds, ComponentSpec

SAMPLES = Path(__file__).parents[2] / "samples"
RECIPE = QuantisationRecipe(target="tensorrt", samples=32, calibration=32)
# TensorRT takes the first logger of a process and no other.
LOGGER = trt.Logger(trt.Logger.ERROR)


def build(model: bytes, spec: ComponentSpec, bounds: BatchBounds) -> list[str]:
    """Parse and build an engine; return what the parser has against the graph."""
    builder = trt.Builder(LOGGER)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, LOGGER)
    if not parser.parse(model):
        return [parser.get_error(i).desc() for i in range(parser.num_errors)]
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for port in spec.inputs:
        rest = [int(d) for d in port.shape[1:]]
        profile.set_shape(port.name, [bounds.min, *rest], [8, *rest], [bounds.max, *rest])
    config.add_optimization_profile(profile)
    return [] if builder.build_serialized_network(network, config) else ["no engine was built"]


@pytest.fixture(autouse=True)
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genx_export.quantisation.extend.measure", lambda *_, **__: ())


@pytest.mark.parametrize("sample", ["dcgan", "infogan", "vae"])
@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_every_sample_is_accepted(sample: str, precision: str, tmp_path: Path) -> None:
    path = tmp_path / f"{sample}.genx"
    export(SAMPLES / sample, path, precision=(precision,), form="rewritten", recipe=RECIPE)
    bundle = open_bundle(path)
    for spec in bundle.manifest.components:
        assert build(bundle.read_graph(spec.name), spec, bundle.manifest.batch) == []


def test_a_graph_for_the_cpu_is_not(tmp_path: Path) -> None:
    path = tmp_path / "x.genx"
    recipe = QuantisationRecipe(target="cpu", samples=32, calibration=32)
    export(SAMPLES / "dcgan", path, precision=("int8",), form="rewritten", recipe=recipe)
    bundle = open_bundle(path)
    spec = bundle.manifest.component("generator")
    assert build(bundle.read_graph("generator"), spec, bundle.manifest.batch) != []
