"""What must hold of a graph before TensorRT's parser sees it: the parser takes some of it silently.

An empty file parses to no layers, an input of unknown rank to a scalar, and opset 99 to whatever
fits (seen with TensorRT-RTX 1.7). onnxruntime, which is always there, checks a graph against the
ONNX specification as it loads it; nothing of it is run.
"""

from __future__ import annotations

import re

import numpy as np
import onnxruntime as ort

from genx_runtimes.errors import BackendError, InputError
from genx_runtimes.manifest import ComponentSpec, TensorSpec

# ONNX's element types, in onnxruntime's words, and numpy's names for them.
_DTYPES = {
    "float": "float32",
    "float16": "float16",
    "double": "float64",
    **{n: n for n in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool")},
}
_EXPORT_AGAIN = "export the bundle again"


def check_graph(model: bytes, component: ComponentSpec) -> None:
    """Raise unless a graph is valid ONNX and has the component's inputs and outputs.

    Args:
        model: the serialised ONNX file.
        component: what the manifest says of it.

    Raises:
        InputError: one clear line for what is wrong.
    """
    if not model:
        raise InputError(f"the graph of {component.name!r} is an empty file", fix=_EXPORT_AGAIN)
    session = _load(model, component.name)
    for kind, specs, nodes in (
        ("input", component.inputs, session.get_inputs()),
        ("output", component.outputs, session.get_outputs()),
    ):
        found = {node.name: node for node in nodes}
        if sorted(found) != sorted(spec.name for spec in specs):
            raise InputError(
                f"the graph of {component.name!r} has {kind}s {sorted(found)}, the manifest names "
                f"{sorted(spec.name for spec in specs)}",
                fix=_EXPORT_AGAIN,
            )
        for spec in specs:
            _check_port(kind, spec, found[spec.name].type, found[spec.name].shape)
    for spec in component.inputs:
        free = [d for d in spec.shape[1:] if not isinstance(d, int)]
        if free:
            raise InputError(
                f"input {spec.name!r} has the dimension {free[0]!r} with no bounds, which an "
                f"engine needs; only batch has any",
                fix="export the model with a fixed size there",
            )


def _check_port(kind: str, spec: TensorSpec, type_name: str, shape: list[int | str | None]) -> None:
    match = re.fullmatch(r"tensor\((\w+)\)", type_name)
    dtype = _DTYPES.get(match[1]) if match else None
    if dtype is None:
        raise InputError(
            f"{kind} {spec.name!r} is a {type_name}, which TensorRT does not have",
            fix="export a model whose inputs and outputs are numbers",
        )
    if np.dtype(dtype) != np.dtype(spec.dtype):
        raise InputError(
            f"{kind} {spec.name!r} is {dtype}, the manifest says {spec.dtype}", fix=_EXPORT_AGAIN
        )
    if len(shape) != len(spec.shape):
        got = f"rank {len(shape)}" if shape else "unknown rank, or none"
        raise InputError(
            f"{kind} {spec.name!r} has {got}, expected rank {len(spec.shape)}", fix=_EXPORT_AGAIN
        )
    for size, expected in zip(shape[1:], spec.shape[1:], strict=True):
        if isinstance(size, int) and isinstance(expected, int) and size != expected:
            raise InputError(
                f"{kind} {spec.name!r} has shape {tuple(shape)}, the manifest says "
                f"{tuple(spec.shape)}",
                fix=_EXPORT_AGAIN,
            )


def _load(model: bytes, name: str) -> ort.InferenceSession:
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.intra_op_num_threads = 1
    try:
        return ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    except Exception as err:  # onnxruntime's errors share no base but Exception
        raise _explain(str(err), name) from err


def _explain(text: str, name: str) -> InputError | BackendError:
    """Return onnxruntime's refusal in our words."""
    if "INVALID_PROTOBUF" in text or "No graph was found" in text:
        return InputError(
            f"the graph of {name!r} is truncated or no ONNX file",
            fix="copy the bundle again from where it was made",
        )
    if opset := re.search(r"[Oo]pset (\d+) is under development|opset (\d+)", text):
        number = opset[1] or opset[2]
        return InputError(
            f"the graph of {name!r} has opset {number}, which no released engine reads",
            fix=_EXPORT_AGAIN,
        )
    if foreign := re.search(r"error: ([\w.]+:\w+)\(.*not a registered", text):
        return InputError(
            f"the graph of {name!r} has the operator {foreign[1]}, which is not ONNX's own",
            fix="write that layer of the model with standard operators",
        )
    if unknown := re.search(r'In Node, \("([^"]*)", (\w+),', text):
        return InputError(
            f"the graph of {name!r} is not valid ONNX at {unknown[1]} ({unknown[2]})",
            fix=_EXPORT_AGAIN,
        )
    return BackendError(f"the graph of {name!r} is refused: {' '.join(text.split())}")
