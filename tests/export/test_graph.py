from __future__ import annotations

import onnx.parser
import onnx_ir as ir
import pytest

from genx_export import graph
from genx_export.graph import measure_graph, name_ports, serialise
from genx_runtimes.errors import ExportError, TraceError

TEXT = """<ir_version: 9, opset_import: ["" : 20]>
g (float[N,2] z) => (float[N,2] y) <float[2,2] w = {1.0, 2.0, 3.0, 4.0}> {y = MatMul(z, w)}"""


def _model() -> ir.Model:
    return ir.from_proto(onnx.parser.parse_model(TEXT))


def test_ports_are_named_and_the_batch_called_so() -> None:
    model = _model()
    name_ports(model, ["noise"], ["image"])
    proto = ir.to_proto(model)
    assert proto.graph.input[0].name == "noise"
    assert proto.graph.output[0].name == "image"
    assert proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    with pytest.raises(TraceError, match="the graph has 1 outputs, expected image, mask"):
        name_ports(model, ["noise"], ["image", "mask"])


def test_measures() -> None:
    assert measure_graph(_model()) == (1, 4)


def test_bytes_are_checked_and_repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert serialise("g", _model()) == serialise("g", _model())
    broken = _model()
    broken.graph.node(0).op_type = "NoSuchOperator"
    with pytest.raises(TraceError, match="component 'g' gave invalid ONNX"):
        serialise("g", broken)
    monkeypatch.setattr(graph, "MAX_GRAPH_BYTES", 10)
    with pytest.raises(ExportError, match="one ONNX file holds 2 GB"):
        serialise("g", _model())
