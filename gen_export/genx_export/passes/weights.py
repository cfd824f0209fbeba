"""Reading and writing constants, and putting nodes in the place of another."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from genx_export.passes.decision import NotRewritten


def read_constant(value: ir.Value | None, what: str) -> NDArray[np.generic]:
    """Return a constant as an array.

    Raises:
        NotRewritten: it is computed in the graph, or given by the caller.
    """
    tensor = None
    if value is not None and not value.is_graph_input():
        tensor = ir.convenience.get_const_tensor(value)
    if tensor is None:
        raise NotRewritten(f"its {what} is not a constant")
    array: NDArray[np.generic] = tensor.numpy()
    return array


def read_optional(node: ir.Node, index: int, what: str) -> NDArray[np.generic] | None:
    """Return the constant input `index` of a node, or None where it is left out."""
    if index >= len(node.inputs) or node.inputs[index] is None:
        return None
    return read_constant(node.inputs[index], what)


def add_constant(graph: ir.Graph, name: str, array: NDArray[np.generic]) -> ir.Value:
    """Add an initializer under a free name that starts with `name`."""
    free, number = name, 2
    while free in graph.initializers:
        free, number = f"{name}_{number}", number + 1
    value = ir.Value(name=free, const_value=ir.tensor(np.asarray(array, order="C"), name=free))
    value.shape = ir.Shape(array.shape)
    value.type = ir.TensorType(ir.DataType.from_numpy(array.dtype))
    graph.register_initializer(value)
    return value


def replace_node(graph: ir.Graph, node: ir.Node, nodes: list[ir.Node]) -> None:
    """Put a chain of nodes in the place of one node with one output."""
    old, new = node.outputs[0], nodes[-1].outputs[0]
    new.name, new.shape, new.type = old.name, old.shape, old.type
    for made in nodes[:-1]:
        made.outputs[0].type = old.type
    ir.convenience.replace_nodes_and_values(graph, node, [node], nodes, [old], [new])
