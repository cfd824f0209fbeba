"""A float graph whose weights are stored in 8 or 4 bits, and whose activations are float32."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from genx_export.graph import frees_graphs
from genx_export.passes.weights import add_constant, read_constant, replace_node

if TYPE_CHECKING:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

PRODUCTS = ("Gemm", "MatMul")
RECURRENT = ("LSTM", "GRU", "RNN")
# Weights of one scale in a matrix: as small as engines have fast kernels for.
_BLOCK = 32
# MatMulNBits' `accuracy_level`: onnxruntime may round each block of activations to int8 while it
# multiplies. It has no other fast kernel for 8 bits: at one row of 1024 x 4096 that is 0.07 ms, all
# in float32 5.8 ms, and the product of float32 weights 0.21 ms.
_ROUND_BLOCKS = 4
# Fewer weights than these save less than the operators that bring them back cost.
_LEAST = 4096
_LEVELS = 127


def list_stored(model: bytes) -> list[str]:
    """Return the nodes whose weights alone are quantised in int8 too: embeddings and recurrence."""
    return [str(n.name) for n in _read(model).graph if _is_embedding(n) or _is_recurrent(n)]


def list_weight_layers(model: bytes) -> list[str]:
    """Return the nodes whose weights can be stored in fewer bits: these, and matrix products."""
    return [
        str(n.name)
        for n in _read(model).graph
        if _is_embedding(n) or _is_recurrent(n) or _is_product(n)
    ]


def store_weights(model: bytes, *, kept: Collection[str] = ()) -> bytes:
    """Store the weights of embeddings and recurrent layers as int8.

    Given: Gather from a constant table; LSTM, GRU or RNN with constant weights.
    Result: Gather from a table of int8 and from one of scales, one for each row, Cast, Mul; or
    Cast and Div in front of the weights, one divisor for each gate and unit: engines compute that
    once, as they load, where DequantizeLinear would run each time or be refused. What is small
    enough to cost more than it saves stays.

    Args:
        model: the serialised ONNX file.
        kept: nodes that stay as they are.
    """
    graph = _read(model)
    for node in list(graph.graph):
        if node.name in kept:
            continue
        if _is_embedding(node):
            _store_table(graph.graph, node)
        elif _is_recurrent(node):
            _store_gates(graph.graph, node)
    return _write(graph)


@frees_graphs
def shrink_weights(model: bytes, bits: int, *, kept: Collection[str] = ()) -> bytes:
    """Store the weights of matrix products in blocks of few bits, the others as `store_weights`.

    Given: Gemm or MatMul by a constant matrix. Result: MatMulNBits, and Add where there is a bias.

    Args:
        model: the serialised ONNX file.
        bits: 8 or 4, for matrix products.
        kept: nodes that stay as they are.

    Source: onnxruntime's quantiser, and its contributed operator MatMulNBits, version 1, which
    OpenVINO reads as well: blocks of 32 weights along the summed axis, each with scale and zero.
    """
    graph = _read(store_weights(model, kept=kept))
    chosen = []
    for node in list(graph.graph):
        if node.name not in kept and _is_product(node):
            if node.op_type == "Gemm":
                _split_gemm(graph.graph, node)
            chosen.append(str(node.name))
    proto = ir.to_proto(graph)
    quantiser = _import_quantiser()(
        proto,
        bits=bits,
        block_size=_BLOCK,
        is_symmetric=False,
        accuracy_level=_ROUND_BLOCKS,
        nodes_to_include=chosen,
        op_types_to_quantize=("by name alone",),
    )
    quantiser.process()
    return _write(ir.from_proto(quantiser.model.model))


def _import_quantiser() -> type[MatMulNBitsQuantizer]:
    """Import onnxruntime's quantiser; as it is imported it sets up logging, unless that is done."""
    silent = logging.NullHandler()
    logging.root.addHandler(silent)
    try:
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    finally:
        logging.root.removeHandler(silent)
    return MatMulNBitsQuantizer  # type: ignore[no-any-return]


def _store_table(graph: ir.Graph, node: ir.Node) -> None:
    table, indices = node.inputs
    rows, scales = _round(read_constant(table, "table"), axes=(1,))
    name = str(node.name)
    kinds = (
        add_constant(graph, f"{name}/rows", rows),
        add_constant(graph, f"{name}/scales", scales),
    )
    row, scale = (ir.node("Gather", [kind, indices], name=kind.name) for kind in kinds)
    floats = ir.node(
        "Cast", [row.outputs[0]], {"to": int(ir.DataType.FLOAT)}, name=f"{name}/floats"
    )
    product = ir.node("Mul", [floats.outputs[0], scale.outputs[0]], name=name)
    replace_node(graph, node, [row, scale, floats, product])
    row.outputs[0].type = ir.TensorType(ir.DataType.INT8)


def _store_gates(graph: ir.Graph, node: ir.Node) -> None:
    for index, what in ((1, "input"), (2, "state")):
        if not _is_weight(node.inputs[index]):
            continue
        # (directions, gates and units, width)
        rounded, scales = _round(read_constant(node.inputs[index], what), axes=(2,))
        name = f"{node.name}/{what}"
        stored = add_constant(graph, f"{name}/int8", rounded)
        steps = add_constant(graph, f"{name}/steps", 1 / scales)
        floats = ir.node("Cast", [stored], {"to": int(ir.DataType.FLOAT)}, name=f"{name}/floats")
        restored = ir.node("Div", [floats.outputs[0], steps], name=f"{name}/restored")
        for made in (floats, restored):
            made.outputs[0].name = made.name
        graph.insert_before(node, [floats, restored])
        node.replace_input_with(index, restored.outputs[0])


def _split_gemm(graph: ir.Graph, node: ir.Node) -> None:
    """Given: Gemm. Result: MatMul of the same name, and Add where there is a bias."""
    matrix = read_constant(node.inputs[1], "weights")
    if node.attributes.get_int("transB", 0):
        matrix = matrix.T
    name = str(node.name)
    weights = add_constant(graph, f"{name}/matrix", np.ascontiguousarray(matrix))
    nodes = [ir.node("MatMul", [node.inputs[0], weights], name=name)]
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        nodes.append(ir.node("Add", [nodes[0].outputs[0], node.inputs[2]], name=f"{name}/bias"))
    replace_node(graph, node, nodes)


def _round(
    weights: NDArray[Any], axes: tuple[int, ...]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 weights, and the scale of those that lie along `axes`, in as many dimensions."""
    largest = np.abs(weights).max(axis=axes, keepdims=True)
    scales = np.where(largest > 0, largest / _LEVELS, 1).astype(np.float32)
    return np.rint(weights / scales).astype(np.int8), scales


def _is_embedding(node: ir.Node) -> bool:
    if node.op_type != "Gather" or node.attributes.get_int("axis", 0) != 0:
        return False
    return _is_matrix(node.inputs[0])


def _is_recurrent(node: ir.Node) -> bool:
    return node.op_type in RECURRENT and any(_is_weight(v) for v in node.inputs[1:3])


def _is_product(node: ir.Node) -> bool:
    if node.op_type not in PRODUCTS or not _is_matrix(node.inputs[1]):
        return False
    plain = {"transA": 0, "alpha": 1.0, "beta": 1.0}
    return all(node.attributes[k].value == v for k, v in plain.items() if k in node.attributes)


def _is_matrix(value: ir.Value | None) -> bool:
    return (
        _is_weight(value)
        and value is not None
        and value.shape is not None
        and len(value.shape) == 2
    )


def _is_weight(value: ir.Value | None) -> bool:
    """Whether a value is constant, float32, and large enough to be worth it."""
    if value is None or value.is_graph_input() or value.const_value is None:
        return False
    tensor = value.const_value
    return tensor.dtype == ir.DataType.FLOAT and tensor.size >= _LEAST


def _read(model: bytes) -> ir.Model:
    return ir.from_proto(onnx.load_from_string(model))


def _write(model: ir.Model) -> bytes:
    RemoveUnusedNodesPass()(model)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data
