"""Weights in 8 and 4 bits, activations in float32."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest

from genx_export import QuantisationRecipe, export, quantize
from genx_export.quantisation.int8 import list_layers
from genx_export.quantisation.weight_only import (
    list_stored,
    list_weight_layers,
    shrink_weights,
    store_weights,
)
from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import InputError
from genx_runtimes.verify import verify_bundle

RECIPE = QuantisationRecipe(samples=16, calibration=16, min_psnr_db=25)
# ids (B, 6) -> embedding -> recurrence over time -> two layers; `small` is not worth a change.
TEXT = """<ir_version: 9, opset_import: ["" : 20]>
g (int64[batch,6] ids) => (float[batch,8] y) {
  embedded = Gather(table, ids)
  steps = Transpose<perm=[1,0,2]>(embedded)
  OUTPUTS = OPERATOR<hidden_size=64>(steps, w, r, b)
  axes = Constant<value_ints=[0]>()
  flat = Squeeze(last, axes)
  wide = MatMul(flat, first)
  active = Relu(wide)
  turned = Gemm<transB=1>(active, second, bias)
  y = MatMul(turned, small)
}"""
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def make_graph(operator: str = "LSTM") -> bytes:
    outputs = "all, last, cell" if operator == "LSTM" else "all, last"
    model = onnx.parser.parse_model(TEXT.replace("OPERATOR", operator).replace("OUTPUTS", outputs))
    for node in model.graph.node:
        node.name = {"first": "first", "second": "second", "small": "small"}.get(
            next(iter(node.input[1:2]), ""), node.op_type
        )
    gates = GATES[operator]
    shapes = {
        "table": (300, 64),
        "w": (1, gates * 64, 64),
        "r": (1, gates * 64, 64),
        "b": (1, 2 * gates * 64),
        "first": (64, 128),
        "second": (128, 128),
        "bias": (128,),
        "small": (128, 8),
    }
    random = np.random.default_rng(0)
    for name, shape in shapes.items():
        array = (random.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    data: bytes = model.SerializeToString()
    return data


def run(model: bytes) -> np.ndarray:
    ids = np.random.default_rng(1).integers(0, 300, (16, 6))
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    output: np.ndarray = session.run(None, {"ids": ids})[0]
    return output


def measure(model: bytes, base: bytes) -> float:
    """Return the PSNR in dB over the spread of the output."""
    expected = run(base)
    error = np.sqrt(np.mean((run(model) - expected) ** 2)) / np.ptp(expected)
    return float(-20 * np.log10(error))


def list_operators(model: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(model).graph.node]


@pytest.mark.parametrize("operator", list(GATES))
def test_embeddings_and_recurrence_are_stored_in_int8(operator: str) -> None:
    model = make_graph(operator)
    assert list_stored(model) == ["Gather", operator]
    assert list_weight_layers(model) == ["Gather", operator, "first", "second"]
    assert list_layers(model) == ["Gather", operator, "first", "second", "small"]
    made = store_weights(model)
    assert measure(made, model) > 50
    constants = {t.name: t for t in onnx.load_from_string(made).graph.initializer}
    assert not {"table", "w", "r"} & constants.keys()
    stored = [t for t in constants.values() if t.data_type == onnx.TensorProto.INT8]
    assert sorted(tuple(t.dims) for t in stored)[-1] == (300, 64)
    assert len(stored) == 3
    unchanged = store_weights(model, kept=["Gather", operator])
    assert list_operators(unchanged) == list_operators(model)


def test_scales_follow_the_rows_and_the_gates() -> None:
    """One large row, or gate, must not cost the others their resolution."""
    proto = onnx.load_from_string(make_graph())
    for tensor in proto.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor).copy()
        if tensor.name == "table":
            array[299] *= 1000
        if tensor.name == "r":
            array[:, -1] *= 1000
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    model = proto.SerializeToString()
    made = onnx.load_from_string(store_weights(model))
    for name in ("Gather/scales", "LSTM/state/steps"):
        (scales,) = (
            onnx.numpy_helper.to_array(t) for t in made.graph.initializer if t.name == name
        )
        spread = np.abs(np.log(scales / np.median(scales))).max()
        assert spread > np.log(100)


@pytest.mark.parametrize(("bits", "least", "most"), [(8, 45, 90), (4, 25, 45)])
def test_matrix_products_in_blocks(bits: int, least: float, most: float) -> None:
    model = make_graph()
    made = shrink_weights(model, bits)
    assert list_operators(made).count("MatMulNBits") == 2
    assert list_operators(made).count("MatMul") == 1  # the small one
    assert "Gemm" not in list_operators(made)
    assert least < measure(made, model) < most
    # Without it onnxruntime multiplies 8-bit weights 80 times slower.
    products = [n for n in onnx.load_from_string(made).graph.node if n.op_type == "MatMulNBits"]
    assert all({a.name: a.i for a in node.attribute}["accuracy_level"] == 4 for node in products)
    assert len(made) < (0.31 if bits == 8 else 0.27) * len(model)


@pytest.mark.parametrize("kept", [("second",), ("first", "Gather")])
def test_kept_layers_keep_their_weights(kept: Collection[str]) -> None:
    model = make_graph()
    nodes = {
        n.name: n for n in onnx.load_from_string(shrink_weights(model, 4, kept=kept)).graph.node
    }
    before = {n.name: n for n in onnx.load_from_string(model).graph.node}
    for name in kept:
        assert nodes[name].op_type == before[name].op_type
        assert nodes[name].input == before[name].input
    assert measure(shrink_weights(model, 4, kept=kept), model) > measure(
        shrink_weights(model, 4), model
    )


@pytest.mark.parametrize("attributes", ["transA=1", "alpha=2.0", "beta=0.5"])
def test_an_odd_gemm_stays(attributes: str) -> None:
    model = onnx.parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : 20]>
        g (float[64,64] x) => (float[64,64] y) {{ y = Gemm<{attributes}>(x, w, b) }}"""
    )
    for name, shape in (("w", (64, 64)), ("b", (64,))):
        array = np.ones(shape, np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    assert list_weight_layers(model.SerializeToString()) == []


def test_the_quantiser_leaves_logging_alone(caplog: pytest.LogCaptureFixture) -> None:
    before = (logging.root.level, list(logging.root.handlers))
    shrink_weights(make_graph(), 8)
    assert (logging.root.level, logging.root.handlers) == before


@pytest.mark.usefixtures("unmeasured")
def test_a_model_of_words_with_fewer_bits(models: str, tmp_path: Path) -> None:
    path = tmp_path / "w.genx"
    precisions = ("fp32", "int8", "int8-weights", "int4-weights")
    export(
        f"{models}:Words",
        path,
        priors=["word=categorical:256"],
        precision=precisions,
        recipe=RECIPE,
    )
    bundle = open_bundle(path)
    assert tuple(v.name for v in bundle.manifest.variants) == precisions
    sizes = [sum(r.bytes for r in v.graphs.values()) for v in bundle.manifest.variants]
    assert sizes[1] < 0.35 * sizes[0]
    assert sizes[3] < sizes[2] < 0.35 * sizes[0]
    for precision in precisions:
        for backend in ("onnxruntime", "openvino"):
            verify_bundle(bundle, precision=precision, backend=backend).require()


def test_models_and_targets_without_such_weights(models: str, tmp_path: Path) -> None:
    source = f"{models}:Flat"
    path = tmp_path / "f.genx"
    with pytest.raises(InputError, match="no large embedding, recurrent layer or matrix product"):
        export(
            source, path, priors=["z=normal:8"], precision=("fp32", "int4-weights"), recipe=RECIPE
        )
    assert not path.exists()
    export(source, path, priors=["z=normal:8"])
    with pytest.raises(InputError, match=r"int8-weights: TensorRT has no operator .*--target cpu"):
        quantize(path, precision=("int8-weights",), recipe=QuantisationRecipe(target="tensorrt"))
