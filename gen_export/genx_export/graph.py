"""Small operations on a whole ONNX graph: its ports, its size, its bytes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

import onnx
import onnx_ir as ir

from genx_runtimes.errors import ExportError, TraceError

MAX_GRAPH_BYTES = 2**31 - 1


_LARGE = 2**24
_P = ParamSpec("_P")
_T = TypeVar("_T")


def frees_graphs(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Free the graphs that a function made of large ONNX files, given or returned, as bytes.

    An ir.Model is a web of references, which only the collector can free, and it counts objects,
    not the bytes of weights. With torch loaded a collection takes a third of a second: small graphs
    can wait for the next one.
    """

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        result = function(*args, **kwargs)
        if any(isinstance(v, bytes) and len(v) >= _LARGE for v in (*args, result)):
            gc.collect()
        return result

    return call


def name_ports(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Give a graph's inputs and outputs their names in the bundle, and call dimension 0 `batch`.

    Args:
        model: changed in place.
        inputs: in the graph's order.
        outputs: in the graph's order.

    Raises:
        TraceError: the graph has another number of them: the translation dropped one.
    """
    graph = model.graph
    ports = [v for v in graph.inputs if v.name not in graph.initializers]
    for kind, values, names in (("inputs", ports, inputs), ("outputs", graph.outputs, outputs)):
        if len(values) != len(names):
            raise TraceError(f"the graph has {len(values)} {kind}, expected {', '.join(names)}")
        for value, name in zip(values, names, strict=True):
            value.name = name
            if value.shape is not None and not isinstance(value.shape[0], int):
                value.shape = ir.Shape(["batch", *value.shape.dims[1:]])


def measure_graph(model: ir.Model) -> tuple[int, int]:
    """Return the number of operators and the number of weights."""
    weights = model.graph.initializers.values()
    return len(model.graph), sum(v.const_value.size for v in weights if v.const_value is not None)


def serialise(component: str, model: ir.Model) -> bytes:
    """Return the graph as a checked ONNX file.

    Raises:
        ExportError: larger than ONNX's 2 GB limit for one file.
    """
    size = sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value)
    if size > MAX_GRAPH_BYTES:
        raise ExportError(
            f"component {component!r} has {size / 1e9:.1f} GB of weights, one ONNX file holds 2 GB",
            fix="split the model into components; larger files are not supported yet",
        )
    proto = ir.to_proto(model)
    proto.producer_name = "genx"
    proto.ClearField("producer_version")
    data: bytes = proto.SerializeToString(deterministic=True)
    del proto  # each copy of a large model counts
    try:
        onnx.checker.check_model(data, full_check=True)
    except Exception as err:  # checker and shape inference raise different types
        raise TraceError(f"component {component!r} gave invalid ONNX: {err}") from err
    return data
