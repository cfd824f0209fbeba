"""Engines of the real TensorRT-RTX, which compiles without a GPU: what it builds and refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.export.test_variants import fake_measure

from genx_export import QuantisationRecipe, export
from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.engines.build import Job, build_engine
from genx_runtimes.engines.build_bundle import build_bundle, plan_bundle
from genx_runtimes.engines.dla import list_refusals
from genx_runtimes.engines.flavours import load_flavour
from genx_runtimes.engines.network import parse_network
from genx_runtimes.engines.rtx import list_compute_capabilities
from genx_runtimes.engines.settings import BatchProfile, BuildSettings
from genx_runtimes.engines.store import list_engines, read_engine
from genx_runtimes.errors import BackendError, BackendUnavailableError, GenxError, InputError
from genx_runtimes.manifest import ComponentSpec, TensorSpec

SAMPLES = Path(__file__).parents[2] / "samples"
RECIPE = QuantisationRecipe(target="tensorrt", samples=32, calibration=32)
NAMES = ("dcgan", "infogan", "vae")
SETTINGS = BuildSettings(
    target="tensorrt-rtx",
    batch=BatchProfile(min=1, opt=8, max=32),
    compute_capabilities=("8.6", "12.0"),
)


@pytest.fixture(scope="module", params=NAMES)
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A sample model in fp32, fp16 and int8 for TensorRT."""
    path = tmp_path_factory.mktemp("rtx") / f"{request.param}.genx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genx_export.quantisation.extend.measure", fake_measure(()))
        export(SAMPLES / request.param, path, precision=("fp32", "fp16", "int8"), recipe=RECIPE)
    return open_bundle(path)


def test_every_sample_builds_in_the_precision_of_its_graph(sample: Bundle) -> None:
    expected = {"fp32": "float", "fp16": "half", "int8": "int8"}
    built = list(build_bundle(sample, SETTINGS))
    assert len(built) == 3 * len(sample.manifest.components)
    for each in built:
        sidecar = each.engine.sidecar
        assert sidecar.layers, "no layer that multiplies was found in the network"
        asked = [layer.asked for layer in sidecar.layers]
        assert [layer.runs for layer in sidecar.layers] == asked
        assert set(asked) <= {expected[sidecar.variant], "float"}
        assert expected[sidecar.variant] in asked
        if sidecar.variant == "int8":
            convolutions = [x for x in sidecar.layers if "conv" in x.kind]
            assert all(layer.runs == "int8" for layer in convolutions)
        assert sidecar.max_error is None  # it has not run: there is no GPU
        assert sidecar.key.environment.gpu == ""
    assert not any(each.is_new for each in build_bundle(sample, SETTINGS))
    assert all(each.exists for each in plan_bundle(sample, SETTINGS))
    sizes = {b.engine.sidecar.variant: b.engine.sidecar.bytes for b in built}
    assert sizes["int8"] < sizes["fp32"]
    assert sizes["fp16"] < sizes["fp32"]


def test_int8_that_tensorrt_turns_back_is_told(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genx_export.quantisation.extend.measure", fake_measure(()))
        path = tmp_path / "native.genx"
        export(SAMPLES / "dcgan", path, precision=("int8",), form="native", recipe=RECIPE)
    (built,) = build_bundle(open_bundle(path), SETTINGS)
    turned = [x for x in built.engine.sidecar.layers if x.kind == "deconvolution"]
    assert turned
    assert all(layer.is_dequantised for layer in turned)


def test_a_graph_for_the_cpu_is_refused_in_our_words(tmp_path: Path) -> None:
    recipe = QuantisationRecipe(target="cpu", samples=32, calibration=32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genx_export.quantisation.extend.measure", fake_measure(()))
        path = tmp_path / "cpu.genx"
        export(SAMPLES / "dcgan", path, precision=("int8",), form="rewritten", recipe=recipe)
    with pytest.raises(BackendError, match=r"does not run \w+Linear in node") as caught:
        list(build_bundle(open_bundle(path), SETTINGS))
    assert caught.value.fix.endswith("genx quantize BUNDLE --target tensorrt")
    assert list_engines(path) == []


class Bad(NamedTuple):
    """A graph that no engine can be built from, and what is said of it."""

    make: Callable[[], bytes]
    said: str
    shape: Sequence[int | str] = ("batch", 4)
    dtype: str = "float32"


def make_model(
    operator: str,
    *,
    shape: Sequence[int | str] | None = ("batch", 4),
    kind: int = TensorProto.FLOAT,
    domain: str = "",
    opset: int = 17,
) -> bytes:
    """Return a graph y = operator(x), named like a layer of a model."""
    ports = [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "y")]
    node = helper.make_node(operator, ["x"], ["y"], name=f"decoder.3/{operator}", domain=domain)
    imports = [helper.make_opsetid("", opset)]
    if domain:
        imports.append(helper.make_opsetid(domain, 1))
    graph = helper.make_graph([node], "g", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def make_det() -> bytes:
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 4]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"]),
    ]
    node = helper.make_node("Det", ["x"], ["y"], name="decoder.3/Det")
    graph = helper.make_graph([node], "g", ports[:1], ports[1:])
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bytes(model.SerializeToString())


BAD = {
    "custom domain": Bad(
        lambda: make_model("Snake", domain="my.domain"), "has the operator my.domain:Snake"
    ),
    "unsupported": Bad(
        make_det, "does not run Det in layer 'decoder.3' of the model", ("batch", 4, 4)
    ),
    "truncated": Bad(lambda: make_model("Relu")[:-20], "is truncated or no ONNX file"),
    "empty": Bad(lambda: b"", "is an empty file"),
    "no such operator": Bad(lambda: make_model("Reluu"), "is not valid ONNX at decoder.3/Reluu"),
    "unknown rank": Bad(lambda: make_model("Relu", shape=None), "has unknown rank, or none"),
    "opset 99": Bad(lambda: make_model("Relu", opset=99), "has opset 99"),
    "string": Bad(
        lambda: make_model("Identity", kind=TensorProto.STRING), "is a tensor\\(string\\)"
    ),
    "no bounds": Bad(
        lambda: make_model("Relu", shape=("batch", "n")),
        "has the dimension 'n' with no bounds",
        ("batch", "n"),
    ),
    "another dtype": Bad(
        lambda: make_model("Relu", kind=TensorProto.FLOAT16), "is float16, the manifest says"
    ),
    "another shape": Bad(lambda: make_model("Relu", shape=("batch", 5)), "has shape"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_graphs_are_one_clear_error(name: str, tmp_path: Path) -> None:
    bad = BAD[name]
    rest = ("batch",) if name == "unsupported" else tuple(bad.shape)
    component = ComponentSpec(
        name="decoder",
        inputs=(TensorSpec(name="x", dtype="float32", shape=tuple(bad.shape), role="data"),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=rest, role="output"),),
    )
    job = Job(
        model=bad.make(), component=component, variant="fp32", settings=SETTINGS, folder=tmp_path
    )
    with pytest.raises(GenxError, match=bad.said) as caught:
        build_engine(load_flavour("tensorrt-rtx"), None, job)
    assert "\n" not in str(caught.value)
    assert caught.value.fix
    assert not list(tmp_path.rglob("*.engine"))


def test_a_good_graph_of_the_same_kind_builds(tmp_path: Path) -> None:
    port = TensorSpec(name="x", dtype="float32", shape=("batch", 4), role="data")
    component = ComponentSpec(
        name="decoder",
        inputs=(port,),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 4), role="output"),),
    )
    job = Job(
        model=make_model("Relu"),
        component=component,
        variant="fp32",
        settings=SETTINGS,
        folder=tmp_path,
    )
    heard: list[tuple[str, int, int]] = []
    built = build_engine(
        load_flavour("tensorrt-rtx"), None, job, progress=lambda *told: heard.append(told)
    )
    engine = read_engine(built.engine.path)
    assert hashlib.sha256(engine.data).hexdigest() == engine.sidecar.sha256
    assert heard[-1][1] == heard[-1][2] > 0


def test_gpus_that_tensorrt_rtx_does_not_know(tmp_path: Path) -> None:
    known = list_compute_capabilities(load_flavour("tensorrt-rtx").trt)
    assert {"7.5", "8.6", "8.9", "12.0"} <= set(known)
    job = Job(
        model=make_model("Relu"),
        component=ComponentSpec(
            name="c",
            inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 4), role="data"),),
            outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 4), role="output"),),
        ),
        variant="fp32",
        settings=BuildSettings(
            target="tensorrt-rtx", batch=SETTINGS.batch, compute_capabilities=("8.7",)
        ),
        folder=tmp_path,
    )
    with pytest.raises(InputError, match="does not build for compute capability"):
        build_engine(load_flavour("tensorrt-rtx"), None, job)


def test_running_it_needs_a_gpu(sample: Bundle) -> None:
    component = sample.manifest.components[0].name
    with pytest.raises(BackendUnavailableError, match="no NVIDIA GPU can be used here"):
        sample.session(component, backend="tensorrt-rtx")


def conv_transpose(padding: int, groups: int) -> bytes:
    weights = np.ones((4, 4 // groups, 3, 3), np.float16)
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["batch", 4, 5, 5]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT16, None),
    ]
    node = helper.make_node(
        "ConvTranspose", ["x", "w"], ["y"], name="up", pads=[padding] * 4, group=groups
    )
    tensor = onnx.numpy_helper.from_array(weights, "w")
    graph = helper.make_graph([node], "g", ports[:1], ports[1:], [tensor])
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("padding", "groups", "refused"),
    [(0, 1, ""), (1, 1, "with padding (1, 1)"), (0, 2, "in 2 groups")],
)
def test_what_a_dla_cannot_run(padding: int, groups: int, refused: str) -> None:
    model = conv_transpose(padding, groups)
    found = list_refusals(parse_network(load_flavour("tensorrt-rtx"), model, "decoder"))
    if not refused:
        assert found == ()
        return
    (line,) = found
    assert line.startswith("up: transposed convolution")
    assert refused in line


def test_a_dla_has_no_float32(sample: Bundle) -> None:
    component = sample.manifest.components[-1]
    model = sample.read_graph(component.name, "fp32")
    found = list_refusals(parse_network(load_flavour("tensorrt-rtx"), model, component.name))
    assert any("computes in float" in line for line in found)
