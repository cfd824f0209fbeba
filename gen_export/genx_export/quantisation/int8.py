"""A float graph as one with int8 weights and activations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np
import onnx
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import save_and_reload_model_with_shape_infer

from genx_export.graph import frees_graphs
from genx_export.quantisation.ranges import Ranges
from genx_export.quantisation.recipe import Target
from genx_export.quantisation.weight_only import list_stored, store_weights

# Operators with weights, and those that only move values and so stay in int8 between them.
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MOVING = ("Reshape", "Transpose", "Slice", "Squeeze", "Unsqueeze")
_MOVED = ("DepthToSpace", *_MOVING)
_SETTINGS = {"WeightSymmetric": True, "QuantizeBias": False}


def list_layers(model: bytes) -> list[str]:
    """Return the nodes that can be quantised, in order: those with constant weights."""
    graph = onnx.load_from_string(model).graph
    constants = {tensor.name for tensor in graph.initializer}
    stored = set(list_stored(model))
    return [
        n.name
        for n in graph.node
        if n.name in stored or (n.op_type in WEIGHTED and n.input[1] in constants)
    ]


def list_joins(model: bytes) -> list[str]:
    """Return the nodes that add two computed tensors, such as the ends of residual blocks."""
    graph = onnx.load_from_string(model).graph
    constants = {tensor.name for tensor in graph.initializer}
    return [n.name for n in graph.node if n.op_type == "Add" and constants.isdisjoint(n.input)]


@frees_graphs
def quantise(
    model: bytes,
    ranges: Ranges,
    *,
    target: Target = "cpu",
    kept: Collection[str] = (),
    joins: bool = False,
) -> bytes:
    """Return a graph with QuantizeLinear and DequantizeLinear around its layers.

    Given: a float32 graph. Result: the same with weights stored as int8, one scale for each output
    channel, and activations rounded to 8 bits, one scale for each tensor. Biases stay in float32.
    For "cpu" the weights alone of embeddings and recurrent layers are int8.

    Args:
        model: the serialised ONNX file.
        ranges: of each activation.
        target: "cpu" rounds activations to uint8 with a zero point, which halves the error behind a
            ReLU and is what the instructions of x86 multiply with int8; "tensorrt" to int8 without
            one, as TensorRT takes no other.
        kept: layers that stay in float32.
        joins: whether residual additions take and give 8 bits too. What lies between them then does
            as well: OpenVINO gains, onnxruntime loses.

    Source: onnxruntime's quantiser.
    """
    symmetric = target == "tensorrt"
    if not symmetric and list_stored(model):
        model = store_weights(model, kept=kept)
    proto = save_and_reload_model_with_shape_infer(onnx.load_from_string(model))
    layers = set(list_layers(model))
    if joins:
        layers.update(list_joins(model))
    operators = (*WEIGHTED, *_MOVING, *(("Add",) if joins else ()))
    computing = {*WEIGHTED, "Add"}
    apart = [n.name for n in proto.graph.node if n.op_type in computing and n.name not in layers]
    bounds = {
        name: (np.array(low, np.float32), np.array(high, np.float32))
        for name, (low, high) in ranges.items()
    }
    quantiser = QDQQuantizer(
        proto,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if symmetric else QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, bounds),
        nodes_to_quantize=[],
        nodes_to_exclude=[*apart, *kept],
        op_types_to_quantize=list(operators),
        extra_options={**_SETTINGS, "ActivationSymmetric": symmetric},
    )
    quantiser.quantize_model()
    quantiser.model.topological_sort()
    made = quantiser.model.model
    _round_before_moving(made.graph)
    _drop_rounding(made.graph)
    made.producer_name = "genx"
    made.ClearField("producer_version")
    del made.metadata_props[:]
    onnx.checker.check_model(made)
    data: bytes = made.SerializeToString(deterministic=True)
    return data


def _drop_rounding(graph: onnx.GraphProto) -> None:
    """Leave the outputs of layers unrounded where that costs precision and gains nothing.

    Given: a layer, QuantizeLinear, DequantizeLinear, then QuantizeLinear, or Relu and that; or
    whatever leads to no other QuantizeLinear, as behind the last layer.
    Result: without the first two: engines fuse the layer with Relu and the rounding behind it, and
    the last layer gives float32. Elsewhere onnxruntime has no int8 kernel for a layer whose output
    is not rounded.
    """
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    rounded: set[str] = set()  # values that lead to a QuantizeLinear
    for node in reversed(graph.node):
        if node.op_type == "QuantizeLinear" or rounded.intersection(node.output):
            rounded.update(node.input)
    dropped = []
    for layer in graph.node:
        after = users.get(layer.output[0], [])
        if layer.op_type not in WEIGHTED or [n.op_type for n in after] != ["QuantizeLinear"]:
            continue
        (restored,) = users[after[0].output[0]]
        behind = users.get(restored.output[0], [])
        last = restored.output[0] not in rounded
        if last or all(_is_rounded(node, users) for node in behind):
            layer.output[0] = restored.output[0]
            dropped += [after[0], restored]
    for node in dropped:
        graph.node.remove(node)


def _is_rounded(node: onnx.NodeProto, users: Mapping[str, list[onnx.NodeProto]]) -> bool:
    if node.op_type == "Relu":
        return all(user.op_type == "QuantizeLinear" for user in users.get(node.output[0], []))
    return node.op_type == "QuantizeLinear"


def _round_before_moving(graph: onnx.GraphProto) -> None:
    """Let pixel shuffles and crops move int8 instead of float32.

    Given: x, DepthToSpace or another operator that only moves values, QuantizeLinear.
    Result: x, QuantizeLinear, DequantizeLinear, the move, QuantizeLinear, all with one scale: the
    layer that made x writes int8, and the values are the same.
    """
    producers = {name: node for node in graph.node for name in node.output}
    users = Counter(name for node in graph.node for name in node.input)
    users.update(output.name for output in graph.output)
    nodes = []
    starts: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        if node.op_type != "QuantizeLinear":
            continue
        first, moved = node.input[0], None
        while users[first] == 1 and first in producers and producers[first].op_type in _MOVED:
            moved = producers[first]
            first = moved.input[0]
        if moved is not None and first in producers:
            starts[moved.output[0]] = node
    for node in graph.node:
        quantize = starts.get(node.output[0])
        if quantize is not None:
            value = node.input[0]
            names = [f"{value}/rounded", f"{value}/moved"]
            for kind, source, name in (
                ("QuantizeLinear", value, names[0]),
                ("DequantizeLinear", names[0], names[1]),
            ):
                nodes.append(
                    onnx.helper.make_node(kind, [source, *quantize.input[1:]], [name], name=name)
                )
            node.input[0] = names[1]
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
