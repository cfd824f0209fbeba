"""A float32 graph as one that computes in float16 wherever its values fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, TopologicalSortPass
from onnxruntime.transformers.float16 import convert_float_to_float16

from genx_export.quantisation.calibration import Activation

# Half of float16's largest value: other samples may go further than those that were seen.
LARGEST = float(np.finfo(np.float16).max) / 2


def find_wide_nodes(model: bytes, activations: Mapping[str, Activation]) -> tuple[str, ...]:
    """Return the nodes that read, hold or make values beyond half of float16's range."""
    graph = onnx.load_from_string(model).graph
    wide = {n for n, seen in activations.items() if max(abs(seen.low), abs(seen.high)) > LARGEST}
    for tensor in graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size and float(np.abs(array).max()) > LARGEST:
            wide.add(tensor.name)
    return tuple(n.name for n in graph.node if wide.intersection((*n.input, *n.output)))


def halve(model: bytes, activations: Mapping[str, Activation]) -> tuple[bytes, tuple[str, ...]]:
    """Return the graph in float16, and the nodes that stayed in float32.

    Given: a float32 graph. Result: the same with float16 weights and arithmetic; inputs and outputs
    stay float32, and so do nodes whose values leave the range of float16 on the samples seen.

    Args:
        model: the serialised ONNX file.
        activations: what its tensors were seen to hold.
    """
    wide = find_wide_nodes(model, activations)
    original = onnx.load_from_string(model)
    scales = _read_scales(original)
    made = convert_float_to_float16(original, keep_io_types=True, node_block_list=list(wide))
    _restore_scales(made.graph, scales)
    graph = ir.from_proto(made)
    _join_casts(graph)
    RemoveUnusedNodesPass()(graph)
    TopologicalSortPass()(graph)  # the converter leaves its casts at the end
    proto = ir.to_proto(graph)
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data, wide


def _read_scales(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Return the constant scales of each Resize, by its output."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type == "Resize" and len(node.input) > 2 and node.input[2] in constants:
            tensor = onnx.TensorProto()
            tensor.CopyFrom(constants[node.input[2]])
            found[node.output[0]] = tensor
    return found


def _restore_scales(graph: onnx.GraphProto, scales: Mapping[str, onnx.TensorProto]) -> None:
    """Give each Resize its own scales in float32, which they are in any graph.

    The converter rounds them to float16 and casts them back, under one name where two nodes share
    them: a size could come out wrong, and the graph is invalid.
    """
    for node in graph.node:
        if node.op_type == "Resize" and node.output[0] in scales:
            tensor = scales[node.output[0]]
            tensor.name = f"{node.output[0]}/scales"
            graph.initializer.append(tensor)
            node.input[2] = tensor.name
    seen: set[str] = set()
    nodes = []
    for node in graph.node:
        if node.op_type != "Cast" or node.output[0] not in seen:
            nodes.append(node)
        seen.update(node.output)
    del graph.node[:]
    graph.node.extend(nodes)


def _join_casts(model: ir.Model) -> None:
    """Let values go from one float32 node to the next without a stop in float16.

    Given: Cast to float16 and Cast back to float32, which the converter puts between any two nodes
    that stay. Result: neither.
    """
    for node in model.graph:
        before = node.inputs[0].producer() if node.op_type == "Cast" and node.inputs[0] else None
        if before is None or before.op_type != "Cast" or before.inputs[0] is None:
            continue
        types = (_read_type(before), _read_type(node))
        if types == (ir.DataType.FLOAT16, ir.DataType.FLOAT):
            ir.convenience.replace_all_uses_with(node.outputs[0], before.inputs[0])


def _read_type(cast: ir.Node) -> ir.DataType:
    return ir.DataType(cast.attributes.get_int("to", 0))
