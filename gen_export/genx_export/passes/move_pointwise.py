"""Point-wise operators in front of a shuffle, where engines fuse them with the convolution."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import InPlacePass, PassResult

from genx_export.passes.decision import Decision, NotRewritten, rewrite_each
from genx_export.passes.weights import add_constant, read_constant, read_optional

_UNARY = frozenset(
    (
        *("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Clip", "Softplus"),
        *("Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Mish", "Gelu", "Swish", "Softsign"),
        *("Abs", "Neg", "Exp", "Sqrt", "Erf", "Identity"),
    )
)
_BINARY = frozenset(["Add", "Sub", "Mul", "Div", "PRelu"])


class MovePointwise(InPlacePass):
    """Apply activations and per-channel scales before pixels are moved instead of after.

    Given: DepthToSpace, or the crop behind it, followed by an activation, or by Add, Sub, Mul, Div
    or PRelu with a constant for all values or one for each channel; or a Reshape behind a matrix
    product, followed by an activation or by one of these with a constant for all values.
    Result: the two in the other order; the constants of channels are repeated for each phase.
    """

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def call(self, model: ir.Model) -> PassResult:
        """Run the pass."""
        return rewrite_each(self, model, _UNARY | _BINARY, _move)


def _move(graph: ir.Graph, node: ir.Node) -> str:
    passed = []
    while True:
        try:
            passed.append(_swap(graph, node))
        except NotRewritten:
            if not passed:
                raise
            return f"moved in front of {', '.join(passed)}"


def _swap(graph: ir.Graph, node: ir.Node) -> str:
    """Exchange a point-wise node with the shuffle in front of it; return the shuffle's operator."""
    at = 0
    if node.op_type in _BINARY and node.op_type != "PRelu":
        at = next((i for i, v in enumerate(node.inputs) if v is not None and v.producer()), 0)
    value = node.inputs[at]
    shuffle = value.producer() if value is not None else None
    if value is None or shuffle is None or not _moves_pixels(shuffle):
        raise NotRewritten("it does not follow a shuffle")
    if len(list(value.uses())) != 1 or value.is_graph_output():
        raise NotRewritten("the shuffled value has another user")
    inner = shuffle.inputs[0]
    constants = [
        (i, _repeat(read_constant(other, "other operand"), shuffle))
        for i, other in enumerate(node.inputs)
        if i != at and other is not None
    ]
    for i, array in constants:
        node.replace_input_with(i, add_constant(graph, f"{node.name}/operand", array))
    out = node.outputs[0]
    node.replace_input_with(at, inner)
    shuffle.replace_input_with(0, out)
    ir.convenience.replace_all_uses_with(out, value, replace_graph_outputs=True)
    shuffle.replace_input_with(0, out)
    # The shuffle now ends the pair and carries the value's name; the node's own output is new.
    value.name, value.shape, value.type, out.name = out.name, out.shape, out.type, None
    out.shape = inner.shape if inner is not None else None
    graph.remove(node)
    graph.insert_before(shuffle, node)
    return str(shuffle.op_type)


def _moves_pixels(node: ir.Node) -> bool:
    """Whether a node is a pixel shuffle, the crop behind one, or makes pixels of a vector.

    Other slices drop channels; other reshapes have nothing in front that an activation fuses with.
    """
    source = node.inputs[0].producer() if node.inputs[0] is not None else None
    if node.op_type == "Reshape":
        return source is not None and source.op_type in ("Gemm", "MatMul")
    if node.op_type != "Slice":
        return node.op_type == "DepthToSpace"
    axes = read_optional(node, 3, "axes")
    behind = source is not None and source.op_type == "DepthToSpace"
    return behind and axes is not None and min(axes.tolist()) >= 2


def _repeat(constant: NDArray[np.generic], shuffle: ir.Node) -> NDArray[np.generic]:
    """Return a constant as it must be before the shuffle."""
    if constant.size == 1:
        return constant.reshape(()) if shuffle.op_type == "Reshape" else constant
    if shuffle.op_type == "Reshape":
        raise NotRewritten("the other operand is not one value for all")
    if shuffle.op_type == "Slice":
        if any(d != 1 for d in constant.shape[-2:]) or constant.ndim < 3:
            raise NotRewritten("the other operand differs from pixel to pixel")
        return constant
    if constant.ndim < 3 or constant.size != constant.shape[-3]:
        raise NotRewritten("the other operand is not one value a channel")
    block = shuffle.attributes.get_int("blocksize", 1) ** 2
    if shuffle.attributes.get_string("mode", "DCR") == "DCR":
        return np.tile(constant.reshape(-1), block).reshape(-1, 1, 1)
    return np.repeat(constant.reshape(-1), block).reshape(-1, 1, 1)
