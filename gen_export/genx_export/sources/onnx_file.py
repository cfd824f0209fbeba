"""Sources that are ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from genx_export.families import find_family
from genx_export.model import LoadedModel
from genx_export.onnx_component import OnnxComponent
from genx_export.sources.request import SourceRequest
from genx_runtimes.errors import InputError, SourceError, WeightsError


def load_onnx_file(source: str, request: SourceRequest) -> LoadedModel:
    """Load an `.onnx` file, external data included.

    Raises:
        SourceError: missing, truncated, or not valid ONNX.
        WeightsError: a weight is NaN or infinite.
    """
    path = Path(source)
    family = find_family(request.family or "generator")
    if len(family.calls) != 1 or request.weights is not None:
        raise InputError(
            f"{path} is one graph with its weights", fix="leave out --weights and --family"
        )
    if not path.is_file():
        raise SourceError(f"there is no file {path}", fix="give the path of an .onnx file")
    try:
        proto = onnx.load(path)
        onnx.checker.check_model(proto)
        model = ir.from_proto(proto)
    except Exception as err:  # protobuf, checker and file errors of many types
        raise SourceError(
            f"{path} is truncated or not valid ONNX: {str(err).strip().partition(chr(10))[0]}",
            fix="export it again; python -m onnx.checker FILE says more",
        ) from err
    for name, value in model.graph.initializers.items():
        array = value.const_value.numpy() if value.const_value is not None else None
        if array is not None and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise WeightsError(f"{name} in {path} holds NaN or infinite values")
    return LoadedModel(
        name=request.name or path.stem,
        family=family,
        sampler=family.describe_sampler({}, [family.sampled]),
        components=[OnnxComponent(family.sampled, model)],
        output_names={},
        priors=request.merge_priors(()),
        output=request.output,
        reference=f"onnxruntime {onnxruntime.__version__} on the original file",
    )
