"""The graph that `genx doctor` runs is bytes in the runtime's code; here is how it was made."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from genx_runtimes.probe import IDENTITY


def test_the_probe_graph_is_made_so() -> None:
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4])]
        for name in ("x", "y")
    ]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", *ends)
    model = helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)], producer_name="genx"
    )
    onnx.checker.check_model(model)
    assert model == onnx.load_from_string(IDENTITY)
    assert model.SerializeToString(deterministic=True) == IDENTITY
