"""The multiply-adds of a graph's matrix products and convolutions, node by node.

Counted is what the operator's definition multiplies: of a convolution also its padding, of a
transposed one not the zeros that it puts between the elements of its input. Additions, activations
and normalisations are not counted. A graph with QuantizeLinear and DequantizeLinear has the
products of the float one.

Source: the ONNX operator specification. `torch.utils.flop_counter` counts the same products, each
as two FLOPs.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import onnx
from onnx import numpy_helper

from genx_runtimes.errors import ExportError

_STANDARD = ("", "ai.onnx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is known of the values that a graph sees.

    Args:
        shapes: of each value, where all its dimensions are numbers.
        constants: the small ones that are in the file.
    """

    shapes: ChainMap[str, tuple[int, ...]]
    constants: ChainMap[str, onnx.TensorProto]

    def shape(self, node: onnx.NodeProto, value: str) -> tuple[int, ...]:
        """Return the shape of a value that `node` takes or makes.

        Raises:
            ExportError: shape inference did not find it.
        """
        if value not in self.shapes:
            raise _refuse(node, f"the shape of {value!r} is not known")
        return self.shapes[value]


def open_scope(graph: onnx.GraphProto, outer: Scope | None = None) -> Scope:
    """Return what a graph says of its values, and what an enclosing one does."""
    shapes: dict[str, tuple[int, ...]] = {t.name: tuple(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            shapes[value.name] = tuple(d.dim_value for d in tensor.shape.dim)
    constants = {t.name: t for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and "value" in (given := _attributes(node)):
            constants[node.output[0]] = given["value"].t
    if outer is None:
        return Scope(shapes=ChainMap(shapes), constants=ChainMap(constants))
    return Scope(
        shapes=outer.shapes.new_child(shapes), constants=outer.constants.new_child(constants)
    )


def count_macs(graph: onnx.GraphProto, outer: Scope | None = None) -> dict[str, int]:
    """Return the multiply-adds of each node that has some, by its first output.

    A loop has those of its body times its iterations, a branch those of the cheaper side.

    Args:
        graph: after shape inference at one batch size.
        outer: what the enclosing graph knows.

    Raises:
        ExportError: a shape or a number of iterations is not known before the graph runs, or an
            operator is of a domain that nothing is known of.
    """
    scope = open_scope(graph, outer)
    counts: dict[str, int] = {}
    for node in graph.node:
        if node.domain not in _STANDARD:
            raise _refuse(node, f"the domain {node.domain!r} is not known")
        rule = _RULES.get(node.op_type)
        macs = 0 if rule is None else rule(node, scope)
        if macs:
            counts[name_output(node)] = macs
    return counts


def name_output(node: onnx.NodeProto) -> str:
    """Return the first output that somebody takes."""
    return str(next(name for name in node.output if name))


def _refuse(node: onnx.NodeProto, why: str) -> ExportError:
    return ExportError(f"node {node.name or name_output(node)!r} ({node.op_type}): {why}")


def _attributes(node: onnx.NodeProto) -> dict[str, onnx.AttributeProto]:
    return {a.name: a for a in node.attribute}


def _count_conv(node: onnx.NodeProto, scope: Scope, weight: int = 1) -> int:
    """Each element of the output sums a window of its group's channels."""
    kernel = scope.shape(node, node.input[weight])
    return prod(scope.shape(node, node.output[0])) * prod(kernel[1:])


def _count_conv_transpose(node: onnx.NodeProto, scope: Scope) -> int:
    """Each element of the input is spread over a window of its group's channels."""
    kernel = scope.shape(node, node.input[1])
    return prod(scope.shape(node, node.input[0])) * prod(kernel[1:])


def _count_matmul(node: onnx.NodeProto, scope: Scope) -> int:
    summed = scope.shape(node, node.input[0])[-1]
    return prod(scope.shape(node, node.output[0])) * summed


def _count_gemm(node: onnx.NodeProto, scope: Scope) -> int:
    transposed = _attributes(node).get("transA")
    left = scope.shape(node, node.input[0])
    summed = left[0] if transposed is not None and transposed.i else left[1]
    return prod(scope.shape(node, node.output[0])) * summed


def _count_recurrent(node: onnx.NodeProto, scope: Scope) -> int:
    """Each step of each sequence multiplies with the input's and the state's weights."""
    steps = prod(scope.shape(node, node.input[0])[:2])
    return steps * sum(prod(scope.shape(node, weights)) for weights in node.input[1:3])


def _count_einsum(node: onnx.NodeProto, scope: Scope) -> int:
    """Each element of the output sums over the labels that it lacks."""
    equation = _attributes(node)["equation"].s.decode().replace(" ", "")
    sides, arrow, result = equation.partition("->")
    terms = sides.split(",")
    if len(terms) == 1:
        return 0
    if len(terms) > 2 or not arrow:
        raise _refuse(node, f"{equation!r} is no product of two tensors with a named result")
    sizes: dict[str, int] = {}
    for term, value in zip(terms, node.input, strict=True):
        shape = scope.shape(node, value)
        before, _, after = term.partition("...")
        sizes |= dict(zip(before, shape, strict=False))
        sizes |= dict(zip(reversed(after), reversed(shape), strict=False))
    summed = [size for label, size in sizes.items() if label not in result]
    return prod(scope.shape(node, node.output[0])) * prod(summed)


def _count_if(node: onnx.NodeProto, scope: Scope) -> int:
    return min(sum(count_macs(a.g, scope).values()) for a in node.attribute)


def _count_loop(node: onnx.NodeProto, scope: Scope) -> int:
    trips = scope.constants.get(node.input[0])
    if trips is None:
        raise _refuse(node, "the number of iterations is not a constant")
    body = _attributes(node)["body"].g
    shapes = open_scope(body, scope).shapes
    for before, after in zip(body.input[2:], body.output[1:], strict=False):
        if shapes.get(before.name) != shapes.get(after.name):
            raise _refuse(node, f"the shape of {before.name!r} may change from step to step")
    return int(numpy_helper.to_array(trips)) * sum(count_macs(body, scope).values())


def _count_scan(node: onnx.NodeProto, scope: Scope) -> int:
    given = _attributes(node)
    scanned = given["num_scan_inputs"].i
    axes = given["scan_input_axes"].ints if "scan_input_axes" in given else [0]
    length = scope.shape(node, node.input[-scanned])[axes[0]]
    return length * sum(count_macs(given["body"].g, scope).values())


_RULES: Mapping[str, Callable[[onnx.NodeProto, Scope], int]] = {
    "Conv": _count_conv,
    "ConvInteger": _count_conv,
    "DeformConv": _count_conv,
    "QLinearConv": lambda node, scope: _count_conv(node, scope, weight=3),
    "ConvTranspose": _count_conv_transpose,
    "MatMul": _count_matmul,
    "MatMulInteger": _count_matmul,
    "QLinearMatMul": _count_matmul,
    "Gemm": _count_gemm,
    "LSTM": _count_recurrent,
    "GRU": _count_recurrent,
    "RNN": _count_recurrent,
    "Einsum": _count_einsum,
    "If": _count_if,
    "Loop": _count_loop,
    "Scan": _count_scan,
}
