from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from genx_export.randomness import (
    refuse_frozen_noise,
    refuse_random_calls,
    refuse_random_nodes,
    refuse_unrepeatable,
)
from genx_export.trace import trace_module
from genx_runtimes.errors import RandomnessError
from genx_runtimes.manifest import BatchBounds

Build = Callable[[str], nn.Module]
BOUNDS = BatchBounds(min=1, max=4)
DROPOUT = "r = Constant<value_float=0.5>() t = Constant<value=bool {{{}}}>() y = Dropout(x, r, t)"


def _trace(module: nn.Module) -> torch.export.ExportedProgram:
    return trace_module("generator", module.eval(), {"z": torch.zeros(2, 8)}, BOUNDS)


class _Call(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.function(z)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda z: nn.functional.dropout(z, 0.5), "aten.dropout"),
        (lambda z: nn.functional.dropout2d(z[:, :, None, None], 0.5), "aten.feature_dropout"),
        (lambda z: z + torch.randn_like(z), "aten.randn_like"),
        (lambda z: z + torch.randn(z.shape), "aten.randn"),
        (lambda z: z + torch.rand(8), "aten.rand"),
        (lambda z: torch.normal(z, 1.0), "aten.normal"),
        (torch.bernoulli, "aten.bernoulli"),
        (lambda z: torch.multinomial(z.softmax(1), 1), "aten.multinomial"),
        (lambda z: z + torch.randint(0, 3, (8,)), "aten.randint"),
        (
            lambda z: nn.functional.scaled_dot_product_attention(
                z[:, None], z[:, None], z[:, None], dropout_p=0.5
            ),
            "aten.scaled_dot_product_attention",
        ),
        (lambda z: nn.functional.rrelu(z, training=True), "aten.rrelu"),
    ],
)
def test_random_calls_are_refused_by_name(
    function: Callable[[torch.Tensor], torch.Tensor], name: str
) -> None:
    with pytest.raises(RandomnessError) as caught:
        refuse_random_calls("generator", _trace(_Call(function)))
    assert f"component 'generator' draws its own random numbers: {name}" in caught.value.message
    assert "test_randomness.py:" in caught.value.message
    assert "--prior noise=normal:SHAPE" in caught.value.fix


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5)),
        _Call(
            lambda z: nn.functional.scaled_dot_product_attention(z[:, None], z[:, None], z[:, None])
        ),
        _Call(nn.functional.rrelu),
    ],
    ids=["dropout off", "attention", "rrelu off"],
)
def test_what_is_switched_off_is_allowed(module: nn.Module) -> None:
    name = "input" if isinstance(module, nn.Sequential) else "z"
    program = trace_module("g", module.eval(), {name: torch.zeros(2, 8)}, BOUNDS)
    refuse_random_calls("g", program)


def test_recurrent_dropout_in_eval_mode_is_allowed() -> None:
    lstm = nn.LSTM(8, 8, num_layers=2, dropout=0.5, batch_first=True).eval()
    program = trace_module("g", lstm, {"input": torch.zeros(2, 3, 8)}, BOUNDS)
    refuse_random_calls("g", program)


def test_runs_that_differ_are_refused() -> None:
    same = [np.ones(3, np.float32)]
    refuse_unrepeatable("g", same, [np.ones(3, np.float32)])
    with pytest.raises(RandomnessError, match=r"different outputs .*max difference 5.0e-01"):
        refuse_unrepeatable("g", same, [np.full(3, 1.5, np.float32)])


@pytest.mark.parametrize("name", ["FrozenNoise", "FrozenBuffer"])
def test_noise_made_with_the_model_is_refused(build: Build, name: str) -> None:
    first, second = build(name), build(name)
    refuse_frozen_noise(first, second, first.state_dict())  # the same seed: nothing to see
    noise = second.noise
    assert isinstance(noise, torch.Tensor)
    noise.add_(1)
    with pytest.raises(RandomnessError, match="tensor 'noise' is drawn anew"):
        refuse_frozen_noise(first, second, first.state_dict())


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("y = RandomNormalLike(x)", "RandomNormalLike"),
        ("y = Bernoulli(x)", "Bernoulli"),
        (
            "r = Constant<value_float=0.5>() t = Constant<value=bool {1}>() y = Dropout(x, r, t)",
            "D",
        ),
    ],
)
def test_random_nodes_are_refused_by_name(line: str, name: str) -> None:
    with pytest.raises(RandomnessError, match=name):
        refuse_random_nodes("g", _parse(line))


def test_dropout_in_inference_mode_is_allowed() -> None:
    refuse_random_nodes("g", _parse("y = Dropout(x)"))
    refuse_random_nodes("g", _parse(DROPOUT.format(0)))


def _parse(body: str) -> ir.Model:
    import onnx.parser

    text = f'<ir_version: 9, opset_import: ["" : 20]> g (float[2,4] x) => (float[2,4] y) {{{body}}}'
    return ir.from_proto(onnx.parser.parse_model(text))
