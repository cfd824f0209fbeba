"""Multiply-adds and bytes, by hand and as PyTorch counts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from onnx import TensorProto, helper
from torch.utils.flop_counter import FlopCounterMode

from genx_export import QuantisationRecipe, export, quantize
from genx_export.cost import count_cost, state_costs
from genx_export.feeding import feed_components, run_model_loop
from genx_export.graph import name_ports, serialise
from genx_export.passes import run_passes
from genx_export.quantisation.extend import Form
from genx_export.quantisation.weight_only import shrink_weights
from genx_export.sources import SourceRequest, load_source
from genx_runtimes.bench.matmul_graph import Dtype, describe_chain, make_chain
from genx_runtimes.bundle import open_bundle
from genx_runtimes.errors import ExportError
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import BatchBounds, ComponentSpec, GraphCost, NodeCost, Role, TensorSpec
from genx_runtimes.samplers.loop import Draw
from genx_runtimes.samplers.translate import add_images

TINY = Path(__file__).parents[1] / "data" / "tiny.genx"
SAMPLES = Path(__file__).parents[2] / "samples"
BOUNDS = BatchBounds(min=1, max=8)
HEAD = '<ir_version: 9, opset_import: ["" : 20]>\n'

# A graph from x (batch, ...) to y, and the multiply-adds of one sample.
BY_HAND = {
    "conv with padding, stride and groups": (
        "g (float[batch,4,8,8] x) => (float[batch,6,4,4] y) <float[6,2,3,3] w> "
        "{ y = Conv <pads = [1,1,1,1], strides = [2,2], group = 2> (x, w) }",
        6 * 4 * 4 * 2 * 3 * 3,
    ),
    "transposed conv, without the zeros between": (
        "g (float[batch,4,5,5] x) => (float[batch,3,10,10] y) <float[4,3,4,4] w> "
        "{ y = ConvTranspose <pads = [1,1,1,1], strides = [2,2]> (x, w) }",
        4 * 5 * 5 * 3 * 4 * 4,
    ),
    "matrix product with a constant": (
        "g (float[batch,3,5] x) => (float[batch,3,7] y) <float[5,7] w> { y = MatMul(x, w) }",
        3 * 5 * 7,
    ),
    "attention: products of two computed tensors": (
        "g (float[batch,2,6,4] x) => (float[batch,2,6,4] y) { t = Transpose <perm = [0,1,3,2]> (x)"
        " s = MatMul(x, t) p = Softmax(s) y = MatMul(p, x) }",
        2 * (2 * 6 * 6 * 4),
    ),
    "gemm with a transposed weight": (
        "g (float[batch,5] x) => (float[batch,7] y) <float[7,5] w, float[7] b> "
        "{ y = Gemm <transB = 1> (x, w, b) }",
        5 * 7,
    ),
    "gemm with a transposed input": (
        "g (float[batch,5] x) => (float[batch,7] y) <float[5,7] w> "
        "{ t = Transpose(x) y = Gemm <transA = 1> (t, w) }",
        5 * 7,
    ),
    "einsum": (
        "g (float[batch,3,5] x) => (float[batch,3,7] y) <float[5,7] w> "
        '{ y = Einsum <equation = "...i,ij->...j"> (x, w) }',
        3 * 5 * 7,
    ),
    "int8 products by their float ones": (
        "g (float[batch,5] x) => (float[batch,7] y) <int8[5,7] w, float s = {0.5}, int8 z = {0}> "
        "{ q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) "
        "v = DequantizeLinear(w, s, z) y = MatMul(d, v) }",
        5 * 7,
    ),
    "integer product": (
        "g (uint8[batch,5] x) => (int32[batch,7] y) <int8[5,7] w> { y = MatMulInteger(x, w) }",
        5 * 7,
    ),
    "one that needs shapes computed in the graph": (
        "g (float[batch,4,6] x) => (float[batch,48] y) <float[24,48] w, int64[1] m = {-1}, "
        "int64[1] zero = {0}> { s = Shape(x) n = Gather(s, zero) t = Concat <axis = 0> (n, m) "
        "r = Reshape(x, t) y = MatMul(r, w) }",
        24 * 48,
    ),
    "loop of three": (
        "g (float[batch,5] x) => (float[batch,5] y) <float[5,5] w, int64 m = {3}, bool c = {1}> "
        "{ y = Loop (m, c, x) <body = b (int64 i, bool ci, float[N,5] v) => (bool co, float[N,5] u)"
        " { co = Identity(ci) u = MatMul(v, w) }> }",
        3 * 5 * 5,
    ),
    "scan along the second axis": (
        "g (float[batch,5] h, float[batch,4,5] x) => (float[batch,5] y, float[batch,4,5] s) "
        "<float[5,5] w> { y, s = Scan <num_scan_inputs = 1, scan_input_axes = [1], "
        "scan_output_axes = [1], body = b (float[N,5] v, float[N,5] e) => (float[N,5] u, "
        "float[N,5] o) { a = Add(v, e) u = MatMul(a, w) o = Identity(u) }> (h, x) }",
        4 * 5 * 5,
    ),
    "branch: the cheaper side": (
        "g (float[batch,5] x, bool[batch] k) => (float[batch,5] y) <float[5,5] w, float[5,2] a, "
        "float[2,5] b, int64 zero = {0}> { c = Gather(k, zero) y = If (c) "
        "<then_branch = t () => (float[N,5] u) { u = MatMul(x, w) }, "
        "else_branch = e () => (float[N,5] o) { h = MatMul(x, a) o = MatMul(h, b) }> }",
        2 * 5 * 2,
    ),
    "what is the same for every batch": (
        "g (float[batch,5] x) => (float[batch,5] y) <float[1,5] w, float[5,5] v> "
        "{ u = MatMul(w, v) y = Add(x, u) }",
        0,
    ),
}


def make_model(text: str) -> onnx.ModelProto:
    """Parse a graph; weights without values get zeros."""
    model = onnx.parser.parse_model(HEAD + text)
    for value in model.graph.value_info:
        tensor = value.type.tensor_type
        shape = [size.dim_value for size in tensor.shape.dim]
        zeros = np.zeros(shape, helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        model.graph.initializer.append(onnx.numpy_helper.from_array(zeros, value.name))
    model.graph.ClearField("value_info")
    return model


def describe(model: onnx.ModelProto) -> ComponentSpec:
    """Return the ports of a model."""

    def specs(values: Sequence[onnx.ValueInfoProto], role: Role) -> Iterator[TensorSpec]:
        for value in values:
            tensor = value.type.tensor_type
            dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
            shape = tuple(d.dim_param or d.dim_value for d in tensor.shape.dim)
            yield TensorSpec(name=value.name, dtype=dtype, shape=shape, role=role)

    return ComponentSpec(
        name="g",
        inputs=tuple(specs(model.graph.input, "data")),
        outputs=tuple(specs(model.graph.output, "output")),
    )


def count(model: onnx.ModelProto, bounds: BatchBounds = BOUNDS) -> GraphCost:
    return count_cost(model.SerializeToString(), describe(model), bounds)


@pytest.mark.parametrize("case", BY_HAND)
@pytest.mark.parametrize("bounds", [BOUNDS, BatchBounds(min=3, max=3)], ids=["any", "fixed"])
def test_counted_by_hand(case: str, bounds: BatchBounds) -> None:
    text, macs = BY_HAND[case]
    if case == "what is the same for every batch" and bounds.min == bounds.max:
        pytest.skip("one batch size alone does not tell what grows with it")
    assert count(make_model(text), bounds).macs == macs


def make_recurrent(kind: str, gates: int) -> onnx.ModelProto:
    length, width, hidden = 6, 3, 5
    node = helper.make_node(kind, ["t", "w", "r"], ["o", ""], hidden_size=hidden, name="cell")
    before = helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2])
    after = helper.make_node("Transpose", ["o"], ["y"], perm=[2, 0, 1, 3])
    weights = {"w": (1, gates * hidden, width), "r": (1, gates * hidden, hidden)}
    graph = helper.make_graph(
        [before, node, after],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", length, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", length, 1, hidden])],
        [onnx.numpy_helper.from_array(np.zeros(s, np.float32), n) for n, s in weights.items()],
    )
    return helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 20)])


@pytest.mark.parametrize(("kind", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_recurrent_layers(kind: str, gates: int) -> None:
    cost = count(make_recurrent(kind, gates))
    assert cost.macs == 6 * gates * 5 * (3 + 5)
    assert cost.nodes == (NodeCost(name="cell", output="o", macs=cost.macs),)


def test_bytes() -> None:
    text = (
        "g (int64[batch] label, float[batch,5] x) => (float[batch,7] y) <float[100,5] table, "
        "int8[5,7] w, float s = {0.5}, int8 z = {0}> { e = Gather(table, label) a = Add(x, e) "
        "v = DequantizeLinear(w, s, z) y = MatMul(a, v) }"
    )
    cost = count(make_model(text))
    assert cost.weight_bytes == 5 * 7 + 4 + 1  # as stored; the table is looked up
    assert cost.io_bytes == 8 + 4 * 5 + 4 * 7 + 4 * 5


def test_large_weights_are_not_needed_for_their_shapes() -> None:
    text = (
        "g (float[batch,64] x) => (float[batch,64] y) <float[64,64] w> "
        "{ h = MatMul(x, w) y = MatMul(h, w) }"
    )
    cost = count(make_model(text))
    assert (cost.macs, cost.weight_bytes) == (2 * 64 * 64, 4 * 64 * 64)


def test_weights_of_four_bits() -> None:
    model = make_model(
        "g (float[batch,256] x) => (float[batch,128] y) <float[256,128] w> "
        "{ h = MatMul(x, w) y = Relu(h) }"
    )
    (model.graph.node[0].name, model.graph.node[1].name) = ("product", "relu")
    data = shrink_weights(model.SerializeToString(), 4)
    packed = onnx.load_from_string(data)
    assert [n.op_type for n in packed.graph.node] == ["MatMulNBits", "Relu"]
    cost = count_cost(data, describe(model), BOUNDS)
    assert cost.macs == 256 * 128
    (node,) = cost.nodes
    assert (node.name, node.output) == (packed.graph.node[0].name, "h")
    assert 256 * 128 // 2 < cost.weight_bytes < 256 * 128  # and the scales


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "g (float[batch,5] x, int64[batch] n) => (float[batch,5] y) <float[5,5] w, "
            "int64 zero = {0}, bool c = {1}> { m = Gather(n, zero) y = Loop (m, c, x) <body = b "
            "(int64 i, bool ci, float[N,5] v) => (bool co, float[N,5] u) "
            "{ co = Identity(ci) u = MatMul(v, w) }> }",
            "the number of iterations is not a constant",
        ),
        (
            "g (float[batch,5] x) => (float[k,5] y) <float[5,5] w> "
            "{ n = NonZero(x) t = Transpose(n) f = Cast <to = 1> (t) g = Transpose(f) "
            "h = MatMul(x, w) y = MatMul(g, f) }",
            "the shape of .* is not known",
        ),
    ],
    ids=["loop", "shape"],
)
def test_what_cannot_be_counted_is_told(text: str, message: str) -> None:
    model = make_model(text)
    with pytest.raises(ExportError, match=message):
        count(model)


def test_an_unknown_domain_is_told() -> None:
    model = make_model("g (float[batch,5] x) => (float[batch,5] y) { y = Relu(x) }")
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(ExportError, match=r"the domain 'com\.example' is not known"):
        count(model)


@pytest.mark.filterwarnings("ignore:TF32 acceleration:UserWarning")  # of oneDNN, on Intel GPUs
@pytest.mark.parametrize("sample", ["dcgan", "diffusion", "char_transformer", "crgan"])
def test_pytorch_counts_the_same(sample: str) -> None:
    """PyTorch counts FLOPs, two a multiply-add, and transposed convolutions as we do."""
    model = load_source(str(SAMPLES / sample), SourceRequest())
    counted: dict[str, list[int]] = {}
    graphs: dict[str, GraphCost] = {}
    for size in (2, 3):
        indices = range(size)
        feeds = LatentSource(model.priors, 0).draw(indices)
        draw = add_images(model.sampler, Draw(seed=0, indices=indices, feeds=feeds))
        loop = run_model_loop(model, draw, size=size, max_batch=8)
        for fed in feed_components(model, draw.feeds, size=size, loop=loop):
            name = fed.component.name
            # oneDNN's recurrent layers are one operator, which PyTorch does not count.
            plain = torch.backends.mkldnn.flags(enabled=False)
            with plain, FlopCounterMode(display=False) as counter:
                fed.component.run(fed.feeds)
            counted.setdefault(name, []).append(counter.get_total_flops())
            if name not in graphs:
                graph = fed.component.translate(fed.feeds, BOUNDS)
                name_ports(graph, list(fed.ports.values()), list(fed.outputs))
                run_passes(graph)
                graphs[name] = count_cost(serialise(name, graph), fed.describe(), BOUNDS)
    assert graphs
    for name, cost in graphs.items():
        assert 2 * cost.macs == counted[name][1] - counted[name][0], name


FLAGS: dict[str, Any] = {"priors": ["z=normal:8", "label=categorical:4"], "output": "image:-1..1"}


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("form", ["native", "rewritten"])
def test_an_export_says_what_its_graphs_take(models: str, tmp_path: Path, form: Form) -> None:
    export(f"{models}:Tiny", tmp_path / "x.genx", form=form, **FLAGS)
    bundle = open_bundle(tmp_path / "x.genx")
    (variant,) = bundle.manifest.variants
    cost = variant.costs["generator"]
    assert cost.io_bytes == 4 * 8 + 8 + 4 * 64 + 4 * 4  # z, label, image, a row of the embedding
    assert sum(node.macs for node in cost.nodes) == cost.macs
    first, second = 12 * 8 * 4 * 4, 8 * 4 * 4 * 4 * 4
    if form == "native":
        assert cost.macs == first + second
    else:
        assert cost.macs > first + second  # a rewritten form multiplies with zeros too


@pytest.mark.usefixtures("unmeasured")
def test_quantising_counts_the_graphs_of_an_older_bundle(tmp_path: Path) -> None:
    assert not open_bundle(TINY).manifest.variants[0].costs
    recipe = QuantisationRecipe(samples=16, calibration=16)
    quantize(TINY, tmp_path / "x.genx", form="native", recipe=recipe)
    bundle = open_bundle(tmp_path / "x.genx")
    fp32, int8 = (bundle.variant(name).costs["generator"] for name in ("fp32", "int8"))
    assert int8.macs == fp32.macs > 0
    assert int8.weight_bytes < fp32.weight_bytes / 2
    assert int8.io_bytes == fp32.io_bytes


def test_a_graph_that_cannot_be_counted_is_left_out() -> None:
    bundle = open_bundle(TINY)
    model = onnx.load_from_string(bundle.read_graph("generator"))
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    path = bundle.manifest.variants[0].graphs["generator"].path
    told: list[str] = []
    manifest = state_costs(bundle.manifest, {path: model.SerializeToString()}, told.append)
    assert not manifest.variants[0].costs
    assert told[0].startswith("the multiply-adds of 'generator' in 'fp32' are not counted: node ")


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "int8"])
def test_the_products_that_a_machine_is_timed_by_are_valid_and_counted(dtype: Dtype) -> None:
    """The runtime writes this file without the onnx package."""
    size, depth = 40, 3
    data = make_chain(dtype, size, depth)
    onnx.checker.check_model(data, full_check=True)
    cost = count_cost(data, describe_chain(dtype, size), BOUNDS)
    assert cost.macs == depth * size * size
