"""Group normalisation without a reshape of the pixels."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import InPlacePass, PassResult

from genx_export.passes.decision import Decision, NotRewritten, rewrite_each
from genx_export.passes.weights import add_constant, read_constant, replace_node

# ReduceMean takes its axes as an input.
_LEAST_OPSET = 18


class RewriteGroupNorm(InPlacePass):
    """Average over pixels for each channel, then over the channels of a group.

    Given: Reshape to groups, InstanceNormalization, Reshape back, and Mul and Add by constants for
    each channel: what exporters make of torch.nn.GroupNorm.
    Result: ReduceMean and arithmetic for each channel; only (B, C) values are reshaped, so that an
    engine that keeps channels innermost, as OpenVINO, need not turn all pixels around and back.
    The variance is that of centred values, as in the original.

    Source: Wu & He 2018, "Group normalization", arXiv:1803.08494, equations 1 to 3.
    """

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def call(self, model: ir.Model) -> PassResult:
        """Run the pass."""
        return rewrite_each(self, model, ("InstanceNormalization",), _rewrite)


def _rewrite(graph: ir.Graph, node: ir.Node) -> str:
    if graph.opset_imports.get("", 0) < _LEAST_OPSET:
        raise NotRewritten(f"the file is older than opset {_LEAST_OPSET}")
    source, groups = _find_source(node)
    assert source.shape is not None
    channels, rank = source.shape[1], len(source.shape)
    if not isinstance(channels, int) or channels % groups:
        raise NotRewritten("the number of channels is not known")
    last, scale, shift = _find_affine(node, channels, source)
    name, width = str(node.name), channels // groups
    nodes: list[ir.Node] = []

    def add(operator: str, what: str, *inputs: ir.Value | None) -> ir.Value:
        nodes.append(ir.node(operator, list(inputs), name=f"{name}/{what}"))
        return nodes[-1].outputs[0]

    def constant(what: str, array: NDArray[np.generic]) -> ir.Value:
        return add_constant(graph, f"{name}/{what}", array)

    pixels = constant("pixels", np.arange(2, rank, dtype=np.int64))
    group = constant("group", np.array([2], np.int64))
    grouped = constant("grouped", np.array([-1, groups, width], np.int64))
    single = constant("single", np.array([-1, channels, *[1] * (rank - 2)], np.int64))

    def average(value: ir.Value, what: str) -> ir.Value:
        each = add("ReduceMean", f"{what}_each", value, pixels)
        return add("ReduceMean", what, add("Reshape", f"{what}_grouped", each, grouped), group)

    ones = constant("ones", np.ones((1, 1, width), np.float32))
    mean = add("Mul", "mean_spread", average(source, "mean"), ones)
    centred = add("Sub", "centred", source, add("Reshape", "mean_single", mean, single))
    variance = average(add("Mul", "squared", centred, centred), "variance")
    epsilon = constant("epsilon", np.array(node.attributes.get_float("epsilon", 1e-5), np.float32))
    deviation = add("Sqrt", "deviation", add("Add", "safe", variance, epsilon))
    factor = constant("scale", scale.reshape(1, groups, width))
    gain = add("Reshape", "gain", add("Div", "divided", factor, deviation), single)
    add("Mul", "scaled", centred, gain)
    if shift is not None:
        offset = constant("shift", shift.reshape(channels, *[1] * (rank - 2)))
        add("Add", "shifted", nodes[-1].outputs[0], offset)
    replace_node(graph, last, nodes)
    return f"{groups} groups of {width} channels"


def _find_source(node: ir.Node) -> tuple[ir.Value, int]:
    """Return the value that is normalised, before its reshape, and the number of groups."""
    scale, shift = read_constant(node.inputs[1], "scale"), read_constant(node.inputs[2], "bias")
    if (scale != 1).any() or shift.any():
        raise NotRewritten("it scales or shifts each group")
    value = node.inputs[0]
    reshape = value.producer() if value is not None else None
    if reshape is None or reshape.op_type != "Reshape":
        raise NotRewritten("its groups are channels: nothing is reshaped")
    source, shape = reshape.inputs[0], read_constant(reshape.inputs[1], "shape")
    if source is None or source.shape is None or len(source.shape) < 3:
        raise NotRewritten("the shape in front is not known")
    # 0 keeps the batch: a reshape that joins or splits samples, as of video, is another matter.
    if (
        tuple(shape[:2].tolist()) != (0, scale.size)
        or reshape.attributes.get_int("allowzero", 0) != 0
    ):
        raise NotRewritten("its Reshape makes no groups of channels")
    return source, scale.size


def _find_affine(
    node: ir.Node, channels: int, source: ir.Value
) -> tuple[ir.Node, NDArray[np.generic], NDArray[np.generic] | None]:
    """Return the last node of the pattern, and the scale and shift (C,) of channels."""
    last = _follow(node, "Reshape")
    if last is None or not _is_shape_of(last.inputs[1], source):
        raise NotRewritten("no Reshape brings the channels back")
    rank = len(source.shape or ())
    scale: NDArray[np.generic] = np.ones(channels, np.float32)
    shift = None
    for operator in ("Mul", "Add"):
        after = _follow(last, operator)
        if after is None:
            continue
        other = next(v for v in after.inputs if v is not last.outputs[0])
        try:
            array = read_constant(other, "operand")
        except NotRewritten:
            break  # a condition of the caller's: it stays behind the normalisation
        if array.size != channels or array.shape[1 - rank :] != (channels, *[1] * (rank - 2)):
            break
        last = after
        if operator == "Mul":
            scale = array.reshape(-1)
        else:
            shift = array.reshape(-1)
    return last, scale, shift


def _is_shape_of(shape: ir.Value | None, source: ir.Value) -> bool:
    producer = shape.producer() if shape is not None else None
    return producer is not None and producer.op_type == "Shape" and producer.inputs[0] is source


def _follow(node: ir.Node, operator: str) -> ir.Node | None:
    """Return the only user of a node's output, if it is of this operator."""
    value = node.outputs[0]
    users = list(value.uses())
    if len(users) != 1 or value.is_graph_output() or users[0].node.op_type != operator:
        return None
    return users[0].node
