"""ConvTranspose on a grid of one pixel as a matrix product."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from genx_export.passes.decision import Decision, NotRewritten, rewrite_each
from genx_export.passes.rewrite_conv_transpose import read_axes
from genx_export.passes.weights import add_constant, read_constant, read_optional, replace_node


class RewriteUnitGrid(InPlacePass):
    """Multiply by a matrix where there is one pixel: the first layer of most GAN generators.

    Given: ConvTranspose on (B, C, 1, ..., 1) with constant weights and one group.
    Result: Reshape to (B, C), Gemm, Reshape to the output; a Reshape or Unsqueeze in front goes.
    """

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def call(self, model: ir.Model) -> PassResult:
        """Run the pass."""
        return rewrite_each(self, model, ("ConvTranspose",), _rewrite)


def _rewrite(graph: ir.Graph, node: ir.Node) -> str:
    source = node.inputs[0]
    if source is None or source.shape is None or any(d != 1 for d in source.shape.dims[2:]):
        raise NotRewritten("its input has more than one pixel")
    if node.attributes.get_int("group", 1) != 1:
        raise NotRewritten("it has groups")
    weights = read_constant(node.inputs[1], "weight")
    bias = read_optional(node, 2, "bias")
    inputs, channels = weights.shape[:2]
    axes = read_axes(node, weights.shape[2:])
    matrix = np.zeros((inputs, channels, *(a.offset for a in axes)), weights.dtype)
    # Output o is tap k with o + p = k * d; there is one input, so nothing is summed.
    for place in np.ndindex(*weights.shape[2:]):
        out = [k * a.dilation - a.pad_begin for k, a in zip(place, axes, strict=True)]
        if all(0 <= o < a.offset for o, a in zip(out, axes, strict=True)):
            matrix[(slice(None), slice(None), *out)] = weights[(slice(None), slice(None), *place)]
    name = str(node.name)
    flat = add_constant(graph, f"{name}/flat", np.array([-1, inputs], np.int64))
    shape = add_constant(
        graph, f"{name}/shape", np.array([-1, channels, *(a.offset for a in axes)], np.int64)
    )
    operands = [add_constant(graph, f"{name}/matrix", matrix.reshape(inputs, -1))]
    if bias is not None:
        spread = np.repeat(bias, matrix[0, 0].size)
        operands.append(add_constant(graph, f"{name}/bias", spread))
    vector = _find_vector(source, inputs)
    nodes = []
    if vector is None:
        nodes.append(ir.node("Reshape", [source, flat], name=f"{name}/flat"))
        vector = nodes[0].outputs[0]
    nodes.append(ir.node("Gemm", [vector, *operands], name=f"{name}/Gemm"))
    nodes.append(ir.node("Reshape", [nodes[-1].outputs[0], shape], name=f"{name}/shape"))
    replace_node(graph, node, nodes)
    return f"a {inputs} x {matrix[0].size} matrix"


def _find_vector(source: ir.Value, channels: int) -> ir.Value | None:
    """Return the (B, C) value that a Reshape or Unsqueeze made into `source`, if one did."""
    producer = source.producer()
    while producer is not None and producer.op_type in ("Reshape", "Unsqueeze"):
        value = producer.inputs[0]
        if value is None or value.shape is None:
            return None
        if len(value.shape) == 2 and value.shape[1] == channels:
            return value
        producer = value.producer()
    return None
