from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from genx_export.trace import trace_module, translate_program
from genx_runtimes.errors import TraceError
from genx_runtimes.manifest import BatchBounds

Build = Callable[[str], nn.Module]
BOUNDS = BatchBounds(min=1, max=4)
FEEDS = {"z": torch.zeros(2, 8)}


def test_the_graph_has_opset_20_and_a_free_batch(build: Build) -> None:
    program = trace_module("g", build("Flat").eval(), FEEDS, BOUNDS)
    model = translate_program("g", program, ["z"], ["y"])
    assert model.opset_imports[""] == 20
    assert [v.name for v in model.graph.inputs] == ["z"]
    assert not isinstance(model.graph.inputs[0].shape[0], int)  # type: ignore[index]


def test_equal_bounds_fix_the_batch(build: Build) -> None:
    program = trace_module("g", build("Flat").eval(), FEEDS, BatchBounds(min=2, max=2))
    model = translate_program("g", program, ["z"], ["y"])
    assert model.graph.inputs[0].shape[0] == 2  # type: ignore[index]


def test_a_batch_size_fixed_inside_is_named(build: Build) -> None:
    with pytest.raises(TraceError) as caught:
        trace_module("g", build("FixedBatch").eval(), FEEDS, BOUNDS)
    assert "fixes its batch size in forward()" in caught.value.message
    assert caught.value.fix.endswith("or export with --batch 2")


def test_control_flow_on_data_is_named_with_its_line(build: Build) -> None:
    with pytest.raises(TraceError, match=r"cannot be traced at tiny_models.py:\d+ `return self.li"):
        trace_module("g", build("DataDependent").eval(), FEEDS, BOUNDS)


def test_an_operator_without_onnx_form_is_named() -> None:
    class Special(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return torch.special.airy_ai(z)

    program = trace_module("g", Special(), FEEDS, BOUNDS)
    with pytest.raises(TraceError, match=r"component 'g' has no ONNX form: .*airy_ai"):
        translate_program("g", program, ["z"], ["y"])


def test_the_fused_attention_setting_is_put_back(build: Build) -> None:
    before = torch.backends.mha.get_fastpath_enabled()
    trace_module("g", build("Flat").eval(), FEEDS, BOUNDS)
    assert torch.backends.mha.get_fastpath_enabled() == before
