from __future__ import annotations

import numpy as np
import onnx.parser
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch import nn

from genx_export.passes import PASSES, run_passes
from genx_export.passes.name_nodes import NameNodes
from genx_export.passes.simplify import Simplify
from genx_export.trace import trace_module, translate_program
from genx_runtimes.manifest import BatchBounds

# One layer folded into another is the same arithmetic in another order.
FOLD_TOLERANCE = 1e-5


def _run(model: ir.Model, feeds: dict[str, np.ndarray]) -> np.ndarray:  # type: ignore[type-arg]
    session = ort.InferenceSession(
        ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, feeds)[0])


def _parse(body: str) -> ir.Model:
    text = f'<ir_version: 9, opset_import: ["" : 20]> g (float[2,4] x) => (float[2,4] y) {{{body}}}'
    return ir.from_proto(onnx.parser.parse_model(text))


def _translate(module: nn.Module, z: torch.Tensor) -> ir.Model:
    program = trace_module("g", module.eval(), {"input": z}, BatchBounds(min=1, max=8))
    return translate_program("g", program, ["input"], ["y"])


def _randomise(norm: nn.Module) -> None:
    assert isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d))
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        assert tensor is not None
        nn.init.uniform_(tensor, 0.5, 1.5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.ConvTranspose2d(6, 4, 4, 2, 1), (6, 5, 5)),
        (nn.ConvTranspose2d(6, 4, 3, 2, 1, 1, groups=2, bias=False), (6, 4, 4)),
        (nn.Conv2d(6, 4, 3, padding=1, bias=False), (6, 5, 5)),
        (nn.Linear(6, 4), (6,)),
    ],
    ids=["conv transpose", "grouped", "conv", "linear"],
)
def test_batch_norm_goes_into_the_layer_before(layer: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(4) if len(shape) == 1 else nn.BatchNorm2d(4)
    _randomise(norm)
    module = nn.Sequential(layer, norm).eval()
    z = torch.randn(3, *shape)
    model = _translate(module, z)
    assert "BatchNormalization" in {node.op_type for node in model.graph}
    assert Simplify()(model).modified
    assert len(model.graph) == 1
    expected = module(z).detach().numpy()
    assert np.abs(_run(model, {"input": z.numpy()}) - expected).max() < FOLD_TOLERANCE


def test_nothing_to_simplify_is_said_so() -> None:
    text = (
        '<ir_version: 9, opset_import: ["" : 20]> g (float[2,4] x) => (float[2,4] y) {y = Relu(x)}'
    )
    model = ir.from_proto(onnx.parser.parse_model(text))
    assert not Simplify()(model).modified


def test_constants_are_folded_and_dead_code_goes() -> None:
    model = _parse("""
        a = Constant<value_float=2.0>()
        b = Constant<value_float=3.0>()
        c = Mul(a, b)
        dead = Sin(x)
        y = Mul(x, c)
    """)
    assert Simplify()(model).modified
    assert [node.op_type for node in model.graph] == ["Mul"]
    x = np.ones((2, 4), np.float32)
    assert (_run(model, {"x": x}) == 6).all()


def test_nodes_are_called_after_their_layers() -> None:
    class Waves(nn.Module):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return input.sin().exp().sin()

    model = _translate(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), Waves()), torch.zeros(2, 4))
    Simplify()(model)
    assert NameNodes()(model).modified
    names = [node.name for node in model.graph]
    assert names == ["0/Gemm", "1/Relu", "2/Sin", "2/Exp", "2/Sin_2"]


def test_without_scopes_every_node_gets_a_name_of_its_own() -> None:
    text = (
        '<ir_version: 9, opset_import: ["" : 20]> g (float[2,4] x) => (float[2,4] y)'
        "{a = Relu(x)  b = Tanh(a)  c = Relu(b)  y = Tanh(c)}"
    )
    model = ir.from_proto(onnx.parser.parse_model(text))
    for node, name in zip(model.graph, ("", "mine", "", "mine"), strict=True):
        node.name = name
    assert NameNodes()(model).modified
    assert [node.name for node in model.graph] == ["Relu", "mine", "Relu_2", "mine_2"]
    assert not NameNodes()(model).modified


def test_no_path_of_the_exporting_machine_stays() -> None:
    model = _translate(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.zeros(2, 4))
    assert b".py" in ir.to_proto(model).SerializeToString()
    assert "Simplify" not in run_passes(model, PASSES[1:])
    assert b".py" not in ir.to_proto(model).SerializeToString()
