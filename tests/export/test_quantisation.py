"""Ranges, quality, the floor, and the graphs of lower precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest

from genx_export.loop_feeding import LoopRun, run_loop
from genx_export.quantisation.calibration import Activation, observe_activations
from genx_export.quantisation.floor import hold_floor
from genx_export.quantisation.half import halve
from genx_export.quantisation.int8 import list_joins, list_layers, quantise
from genx_export.quantisation.material import draw_from_bundle, find_base, run_in_passes
from genx_export.quantisation.quality import (
    Quality,
    measure_distance,
    measure_psnr,
    measure_quality,
    measure_ssim,
)
from genx_export.quantisation.ranges import Ranges, estimate_ranges
from genx_export.quantisation.recipe import QuantisationRecipe, Target
from genx_runtimes.backends import open_session
from genx_runtimes.bundle import Bundle, open_bundle
from genx_runtimes.errors import InputError, QualityError
from genx_runtimes.manifest import BatchBounds

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def bundle(native: Path) -> Bundle:
    return open_bundle(native)


def activation(values: np.ndarray) -> dict[str, Activation]:
    low, high = float(values.min()), float(values.max())
    return {"x": Activation(low=low, high=high, values=values.astype(np.float32))}


def test_estimators_cut_off_a_lone_outlier_as_far_as_they_should() -> None:
    values = np.append(np.random.default_rng(0).standard_normal(100_000), 60.0)
    found = {
        name: estimate_ranges(activation(values), name, percentile=99.9)["x"][1]
        for name in ("minmax", "percentile", "mse", "entropy")
    }
    assert found["minmax"] == 60.0
    assert found["percentile"] == pytest.approx(3.29, abs=0.1)  # of |x|, N(0, 1)
    assert 3 < found["entropy"] < 60
    assert found["mse"] < 60


def test_ranges_do_not_reach_beyond_what_was_seen() -> None:
    values = np.abs(np.random.default_rng(0).standard_normal(1000))
    for name in ("minmax", "percentile", "mse"):
        low, high = estimate_ranges(activation(values), name)["x"]
        assert low >= 0
        assert high <= values.max() + 1e-6
    assert estimate_ranges(activation(np.zeros(10)), "mse")["x"] == (0, 0)


def test_psnr_of_a_known_error() -> None:
    expected = np.zeros((3, 1, 4, 4), np.float32)
    got = expected.copy()
    got[1] += 0.02
    got[2, 0, 0, 0] = np.nan
    psnr = measure_psnr(got, expected, 2.0)
    assert psnr[0] == np.inf
    assert psnr[1] == pytest.approx(40)
    assert psnr[2] == -np.inf


def test_ssim_against_the_definition() -> None:
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (1, 1, 11, 11))
    y = x + random.normal(0, 0.2, x.shape)
    line = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    w = np.outer(line, line) / line.sum() ** 2
    mx, my = (w * x).sum(), (w * y).sum()
    vx, vy, cov = (w * x * x).sum() - mx**2, (w * y * y).sum() - my**2, (w * x * y).sum() - mx * my
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    by_hand = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert measure_ssim(y, x, 2.0)[0] == pytest.approx(by_hand)
    assert measure_ssim(x, x, 2.0)[0] == pytest.approx(1)
    assert measure_ssim(y[:, 0], x[:, 0], 2.0)[0] == pytest.approx(by_hand), "without channels"


def test_distance_tells_a_shift_from_chance() -> None:
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, 256, 1, 4, 4))
    assert measure_distance(a, a[::-1]) == pytest.approx(0, abs=1e-6)
    assert measure_distance(a, a + 1) > 3 * measure_distance(a, b)
    quality = measure_quality(a, a, 1.0, image=True, others=b)
    assert quality.distance == 0
    assert quality.to_json().keys() == {"ssim", "worst_ssim", "distance"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"samples": 3}, "samples is 3"),
        ({"calibration": 3}, "calibration is 3"),
        ({"estimator": "guess"}, "unknown estimator 'guess'"),
        ({"percentile": 30.0}, "percentile is 30"),
        ({"min_ssim": 1.5}, "min_ssim is 1.5"),
        ({"target": "tpu"}, "unknown target 'tpu'"),
    ],
)
def test_recipes_are_checked(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        QuantisationRecipe(**fields)  # type: ignore[arg-type]


def judge(harm: dict[str, float]) -> tuple[Callable[..., bytes], Callable[[bytes], Quality]]:
    """Return a fake of building and measuring: a layer that is not kept costs its harm in dB."""

    def build(kept: Sequence[str]) -> bytes:
        return ",".join(sorted(set(harm) - set(kept))).encode()

    def measure(model: bytes) -> Quality:
        lost = sum(harm[name] for name in model.decode().split(",") if name)
        return Quality(psnr_db=60 - lost, worst_psnr_db=50 - lost)

    return build, measure


@pytest.mark.parametrize(
    ("floor", "kept"), [(0, ()), (30, ("c",)), (45, ("c", "a")), (54, ("c", "a", "d"))]
)
def test_the_fewest_and_most_harmful_layers_are_kept(floor: float, kept: tuple[str, ...]) -> None:
    build, measure = judge({"a": 15, "b": 5, "c": 30, "d": 8})
    recipe = QuantisationRecipe(min_psnr_db=floor)
    held = hold_floor("int8", "abcd", build, measure, measure, recipe)
    assert held.kept == kept
    assert held.quality.psnr_db >= floor
    assert (held.layers, held.model) == (4, build(kept))


def test_a_floor_out_of_reach_says_what_was_reached() -> None:
    build, measure = judge({"a": 15, "b": 5})
    recipe = QuantisationRecipe(min_psnr_db=58)
    with pytest.raises(QualityError, match=r"reaches 55\.0 dB .*floor is 58 dB; --min-psnr 55"):
        hold_floor("int8", "ab", build, measure, measure, recipe)


def test_the_floor_of_similarity() -> None:
    recipe = QuantisationRecipe(min_psnr_db=10, min_ssim=0.99)

    def measure(model: bytes) -> Quality:
        return Quality(psnr_db=40, worst_psnr_db=40, ssim=0.9 if b"a" in model else 0.995)

    build, _ = judge({"a": 1, "b": 1})
    assert hold_floor("int8", "ab", build, measure, measure, recipe).kept == ("a",)


def test_calibration_covers_every_class_and_sees_every_tensor(bundle: Bundle) -> None:
    recipe = QuantisationRecipe(samples=32, calibration=32)
    material = draw_from_bundle(bundle, find_base(bundle.manifest), recipe)["generator"]
    assert set(np.bincount(material.calibration["label"])) == {8}
    assert not np.array_equal(material.calibration["z"], material.fresh["z"])
    model = bundle.read_graph("generator")
    seen = observe_activations(model, material.calibration, bundle.manifest.batch)
    z, image = material.calibration["z"], material.calibrated["image"]
    assert (seen["z"].low, seen["z"].high) == (z.min(), z.max())
    assert seen["image"].high == pytest.approx(image.max(), abs=1e-5)
    layers = [n for n in onnx.load_from_string(model).graph.node if n.name in list_layers(model)]
    assert layers
    assert all(node.input[0] in seen and node.output[0] in seen for node in layers)


def test_a_loop_gives_several_calls_of_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[LoopRun] = []

    def note(*arguments: Any, **named: Any) -> LoopRun:
        runs.append(run_loop(*arguments, **named))
        return runs[-1]

    monkeypatch.setattr("genx_export.quantisation.material.run_loop", note)
    bundle = open_bundle(DATA / "tiny_diffusion.genx")
    recipe = QuantisationRecipe(samples=64, calibration=16)
    material = draw_from_bundle(bundle, find_base(bundle.manifest), recipe)["denoiser"]
    assert [len(run.output) for run in runs] == [16, 16]
    assert (len(material.calibration["time"]), len(material.fresh["time"])) == (16, 64)
    with bundle.session("denoiser") as session:
        got = run_in_passes(session, material.fresh, bundle.manifest.batch)
    np.testing.assert_allclose(got["prediction"], material.expected["prediction"], atol=1e-5)


@pytest.mark.parametrize("target", ["cpu", "tensorrt"])
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_int8_is_close_and_a_wrong_range_is_not(
    bundle: Bundle, target: Target, engine: str
) -> None:
    recipe = QuantisationRecipe(samples=32, calibration=32)
    spec = bundle.manifest.component("generator")
    material = draw_from_bundle(bundle, find_base(bundle.manifest), recipe)["generator"]
    model = bundle.read_graph("generator")
    seen = observe_activations(model, material.calibration, bundle.manifest.batch)
    ranges = estimate_ranges(seen, "minmax")

    def measure(graph: bytes) -> float:
        with open_session(graph, spec, backend=engine) as session:
            got = run_in_passes(session, material.fresh, bundle.manifest.batch)
        return float(measure_psnr(got["image"], material.expected["image"], 2.0).mean())

    made = quantise(model, ranges, target=target)
    assert measure(made) > 35
    narrow = {name: (low / 8, high / 8) for name, (low, high) in ranges.items()}
    assert measure(quantise(model, narrow, target=target)) < 35


def test_what_an_int8_graph_holds(bundle: Bundle) -> None:
    model = bundle.read_graph("generator")
    feeds = {"z": np.ones((4, 8), np.float32), "label": np.arange(4)}
    seen = observe_activations(model, feeds, bundle.manifest.batch)
    ranges = estimate_ranges(seen, "minmax")
    layers = list_layers(model)
    made = onnx.load_from_string(quantise(model, ranges, target="tensorrt", kept=layers[-1:]))
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in made.graph.initializer}
    zeros = [n.input[2] for n in made.graph.node if n.op_type == "QuantizeLinear"]
    assert zeros
    assert all(constants[z].dtype == np.int8 and not constants[z].any() for z in zeros)
    producers = {name: node for node in made.graph.node for name in node.output}
    for node in made.graph.node:
        if node.name in layers[:-1]:
            weight = producers[node.input[1]]
            assert weight.op_type == "DequantizeLinear"
            assert constants[weight.input[0]].dtype == np.int8
            assert constants[weight.input[1]].ndim == 1  # a scale for each channel
            assert all(constants[name].dtype == np.float32 for name in node.input[2:])
        if node.name == layers[-1]:
            assert constants[node.input[1]].dtype == np.float32


def test_residual_additions_in_int8(tmp_path: Path) -> None:
    text = (
        '<ir_version: 9, opset_import: ["" : 20]> '
        "g (float[batch,4,6,6] x) => (float[batch,4,6,6] y) <float[4,4,3,3] w, float[1,4,1,1] b> {"
        "a = Conv<pads=[1,1,1,1]>(x, w)  shifted = Add(a, b)  y = Add(shifted, x)}"
    )
    model = onnx.parser.parse_model(text)
    for index, name in enumerate(("", "shift", "join")):
        model.graph.node[index].name = name or "conv"
    random = np.random.default_rng(0)
    arrays = {"w": random.normal(0, 0.2, (4, 4, 3, 3)), "b": random.normal(size=(1, 4, 1, 1))}
    del model.graph.initializer[:]
    for name, array in arrays.items():
        tensor = onnx.numpy_helper.from_array(array.astype(np.float32), name)
        model.graph.initializer.append(tensor)
    data = model.SerializeToString()
    assert list_joins(data) == ["join"]
    x = random.standard_normal((8, 4, 6, 6)).astype(np.float32)
    ranges = estimate_ranges(
        observe_activations(data, {"x": x}, BatchBounds(min=1, max=8)), "minmax"
    )
    plain, joined = (onnx.load_from_string(quantise(data, ranges, joins=j)) for j in (False, True))
    for made, rounded in ((plain, False), (joined, True)):
        producers = {name: node.op_type for node in made.graph.node for name in node.output}
        (join,) = (node for node in made.graph.node if node.name == "join")
        found = [producers.get(name) == "DequantizeLinear" for name in join.input]
        assert all(found) is rounded


def make_wide_graph(factor: float) -> bytes:
    """Return y = (x * factor) / factor, whose middle leaves the range of float16."""
    number = onnx.helper.make_tensor("factor", onnx.TensorProto.FLOAT, [], [factor])
    nodes = [
        onnx.helper.make_node("Mul", ["x", "factor"], ["wide"], name="mul"),
        onnx.helper.make_node("Div", ["wide", "factor"], ["near"], name="div"),
        onnx.helper.make_node("Tanh", ["near"], ["y"], name="tanh"),
    ]
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 4])
        for name in ("x", "y")
    ]
    graph = onnx.helper.make_graph(nodes, "wide", ports[:1], ports[1:], [number])
    imports = [onnx.helper.make_opsetid("", 20)]
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=9)
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize(("factor", "kept"), [(100.0, ()), (50_000.0, ("mul", "div"))])
def test_fp16_keeps_what_does_not_fit(bundle: Bundle, factor: float, kept: tuple[str, ...]) -> None:
    x = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    model = make_wide_graph(factor)
    seen = observe_activations(model, {"x": x}, bundle.manifest.batch)
    made, wide = halve(model, seen)
    assert wide == kept
    session = ort.InferenceSession(made, providers=["CPUExecutionProvider"])
    assert [p.type for p in (*session.get_inputs(), *session.get_outputs())] == [
        "tensor(float)",
        "tensor(float)",
    ]
    np.testing.assert_allclose(session.run(None, {"x": x})[0], np.tanh(x), atol=2e-3)


def test_fp16_leaves_the_sizes_of_upsampling_alone(bundle: Bundle) -> None:
    """Two nodes that share their scales, which are no number of float16."""
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 20]> g (float[batch,1,30,30] x) => (y, z) '
        "<float[4] s = {1, 1, 1.1, 1.1}> "
        '{ y = Resize<mode="nearest">(x, , s) z = Resize<mode="nearest">(x, , s) }'
    )
    for node, name in zip(model.graph.node, "ab", strict=True):
        node.name = name
    data = onnx.shape_inference.infer_shapes(model).SerializeToString()
    x = np.random.default_rng(0).standard_normal((1, 1, 30, 30)).astype(np.float32)
    expected = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    made, wide = halve(data, observe_activations(data, {"x": x}, bundle.manifest.batch))
    assert wide == ()
    got = ort.InferenceSession(made, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    assert expected[0].shape == (1, 1, 33, 33)
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-3)


def make_convolutions(outputs: str, body: str) -> tuple[bytes, np.ndarray, Ranges]:
    """Return a graph of 3x3 convolutions `Conv(., w)` of 4 channels, an input, and its ranges."""
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 20]> '
        f"g (float[batch,4,6,6] x) => ({outputs}) {{{body}}}".replace(
            "Conv", "Conv<pads=[1,1,1,1]>"
        )
    )
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    random = np.random.default_rng(0)
    weights = random.normal(0, 0.2, (4, 4, 3, 3)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    data = model.SerializeToString()
    x = random.standard_normal((8, 4, 6, 6)).astype(np.float32)
    seen = observe_activations(data, {"x": x}, BatchBounds(min=1, max=8))
    return data, x, estimate_ranges(seen, "minmax")


def test_where_layers_give_unrounded_values() -> None:
    """In front of ReLU and at the end; in front of Tanh onnxruntime needs the rounding."""
    data, _, ranges = make_convolutions(
        "float[batch,4,6,6] y",
        "a = Conv(x, w)  b = Relu(a)  c = Conv(b, w)  d = Tanh(c)  e = Conv(d, w)  y = Sigmoid(e)",
    )
    made = onnx.load_from_string(quantise(data, ranges)).graph
    users = {name: node.op_type for node in made.node for name in node.input}
    after = [users[n.output[0]] for n in made.node if n.op_type == "Conv"]
    assert after == ["Relu", "QuantizeLinear", "Sigmoid"]
    assert users[next(n.output[0] for n in made.node if n.op_type == "Relu")] == "QuantizeLinear"


def test_layers_whose_value_is_an_output_give_it_unrounded() -> None:
    data, x, ranges = make_convolutions(
        "float[batch,4,6,6] features, float[batch,4,6,6] y",
        "features = Conv(x, w)  b = Relu(features)  y = Conv(b, w)",
    )
    made = quantise(data, ranges)
    layers = [n for n in onnx.load_from_string(made).graph.node if n.op_type == "Conv"]
    assert [layer.output[0] for layer in layers] == ["features", "y"]
    outputs, expected = (
        ort.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {"x": x})
        for graph in (made, data)
    )
    for got, wanted in zip(outputs, expected, strict=True):
        assert measure_psnr(got, wanted, float(np.ptp(wanted))).min() > 35
