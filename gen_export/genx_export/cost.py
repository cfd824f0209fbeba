"""What each graph of a bundle takes at least, for the manifest: see `GraphCost`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod

import numpy as np
import onnx
import onnx_ir as ir
from msgspec import structs
from onnx import helper, shape_inference
from onnxscript import optimizer

from genx_export.multiply_adds import count_macs, name_output, open_scope
from genx_runtimes.errors import ExportError
from genx_runtimes.manifest import (
    BatchBounds,
    ComponentSpec,
    GraphCost,
    Manifest,
    NodeCost,
    TensorSpec,
)

# The rest of a large graph's nodes take next to nothing, and a manifest is read at every start.
MAX_NODES = 32
# What is larger is weights; shapes and loop bounds, whose values shape inference reads, are not.
_SMALL = 1024


def state_costs(
    manifest: Manifest, files: Mapping[str, bytes], tell: Callable[[str], None]
) -> Manifest:
    """Return a manifest whose variants say what their graphs take.

    Args:
        manifest: of the bundle.
        files: its graphs, by path.
        tell: called with a line for each graph that cannot be counted; it is left out.
    """
    variants = []
    for variant in manifest.variants:
        costs: dict[str, GraphCost] = {}
        for component in manifest.components:
            model = files[variant.graphs[component.name].path]
            try:
                costs[component.name] = count_cost(model, component, manifest.batch)
            except ExportError as err:
                tell(
                    f"the multiply-adds of {component.name!r} in {variant.name!r} are not counted: "
                    f"{err.message}"
                )
        variants.append(structs.replace(variant, costs=costs))
    return structs.replace(manifest, variants=tuple(variants))


def count_cost(model: bytes, component: ComponentSpec, bounds: BatchBounds) -> GraphCost:
    """Count what a graph takes, from its shapes at two batch sizes.

    What does not grow with the batch can be computed once and is not counted.

    Args:
        model: the serialised ONNX model.
        component: its inputs and outputs.
        bounds: batch sizes that it accepts.

    Raises:
        ExportError: see `count_macs`; or a dimension other than the batch has no size.
    """
    proto = onnx.load_from_string(model)
    tables = {t.name: _bits(t) for t in proto.graph.initializer if _is_table(proto.graph, t.name)}
    constants = [t for graph in _walk(proto.graph) for t in _list_constants(graph)]
    names = {name_output(node): node.name for node in proto.graph.node}
    weights = sum(prod(t.dims) * _bits(t) for t in constants if t.name not in tables)
    _lighten(proto)

    def measure(batch: int) -> tuple[dict[str, int], int]:
        graph = _infer_shapes(proto, component, batch)
        scope = open_scope(graph)
        rows = sum(
            prod(scope.shape(node, node.output[0])) * tables[node.input[0]]
            for node in graph.node
            if node.op_type == "Gather" and node.input[0] in tables
        )
        return count_macs(graph), rows

    counts, rows = measure(bounds.min)
    size = bounds.min
    if bounds.max > bounds.min:
        more, more_rows = measure(bounds.min + 1)
        counts = {output: macs - counts.get(output, 0) for output, macs in more.items()}
        rows, size = more_rows - rows, 1
    macs = {output: count // size for output, count in counts.items() if count >= size}
    heaviest = sorted(macs.items(), key=lambda item: -item[1])[:MAX_NODES]
    ports = (*component.inputs, *component.outputs)
    return GraphCost(
        macs=sum(macs.values()),
        weight_bytes=-(-weights // 8),
        io_bytes=sum(map(_count_bytes, ports)) + rows // size // 8,
        nodes=tuple(
            NodeCost(name=names.get(output, ""), output=output, macs=count)
            for output, count in heaviest
        ),
    )


def _walk(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _walk(attribute.g)


def _list_constants(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        if node.op_type == "Constant":
            yield from (a.t for a in node.attribute if a.name == "value")


def _bits(tensor: onnx.TensorProto) -> int:
    return ir.DataType(tensor.data_type).bitwidth


def _count_bytes(spec: TensorSpec) -> int:
    """Return the bytes of one sample of an input or output."""
    sizes = [size for size in spec.shape[1:] if isinstance(size, int)]
    if len(sizes) < len(spec.shape) - 1:
        raise ExportError(f"{spec.name!r} has the shape {spec.shape}, not known at export")
    return prod(sizes) * np.dtype(spec.dtype).itemsize


def _is_table(graph: onnx.GraphProto, name: str) -> bool:
    """Whether rows of a constant are looked up and nothing else: few of them are read."""
    users = [node for node in graph.node if name in node.input]
    return bool(users) and all(n.op_type == "Gather" and n.input[0] == name for n in users)


def _lighten(proto: onnx.ModelProto) -> None:
    """Keep of large weights their shapes alone, and of packed products the float ones."""
    graph = proto.graph
    given = {value.name for value in graph.input}
    kept = onnx.GraphProto()
    for tensor in graph.initializer:
        if prod(tensor.dims) <= _SMALL:
            kept.initializer.append(tensor)
        elif tensor.name not in given:
            shape = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            graph.input.append(shape)
    graph.ClearField("initializer")
    graph.initializer.extend(kept.initializer)
    for node in graph.node:
        if (node.domain, node.op_type) == ("com.microsoft", "MatMulNBits"):
            sizes = {a.name: a.i for a in node.attribute}
            weights = f"{node.output[0]}/unpacked"
            matrix = helper.make_tensor_value_info(
                weights, onnx.TensorProto.FLOAT, [sizes["K"], sizes["N"]]
            )
            graph.input.append(matrix)
            unpacked = helper.make_node(
                "MatMul", [node.input[0], weights], node.output, name=node.name
            )
            node.CopyFrom(unpacked)
    for inner in _walk(graph):
        inner.ClearField("value_info")


def _infer_shapes(proto: onnx.ModelProto, component: ComponentSpec, batch: int) -> onnx.GraphProto:
    """Return the graph with all shapes that can be found at a batch size."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    ports = {spec.name for spec in component.inputs}
    for value in model.graph.input:
        if value.name in ports:
            value.type.tensor_type.shape.dim[0].dim_value = batch
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True)
        if _settle_loops(inferred.graph):
            inferred = shape_inference.infer_shapes(inferred, data_prop=True)
        shapes = open_scope(inferred.graph).shapes
        if any(name not in shapes for node in inferred.graph.node for name in node.output if name):
            # At one batch size all shapes that the graph computes are constants.
            folded = ir.from_proto(inferred)
            optimizer.fold_constants(folded)
            inferred = shape_inference.infer_shapes(ir.to_proto(folded), data_prop=True)
    except Exception as err:  # onnx raises its own types from C++
        raise ExportError(f"shape inference fails: {str(err).partition(chr(10))[0]}") from err
    return inferred.graph


def _settle_loops(graph: onnx.GraphProto) -> bool:
    """Give what a loop carries the shape that it starts with, which onnx leaves open.

    Returns:
        whether there is a loop. `count_macs` refuses one in which a shape changes after all.
    """
    loops = [node for node in graph.node if node.op_type == "Loop"]
    shapes = open_scope(graph).shapes if loops else {}
    for node in loops:
        (body,) = (a.g for a in node.attribute if a.name == "body")
        for carried, start in zip(body.input[2:], node.input[2:], strict=True):
            if start in shapes:
                shape = carried.type.tensor_type.shape
                shape.ClearField("dim")
                for size in shapes[start]:
                    shape.dim.add().dim_value = size
    return bool(loops)
