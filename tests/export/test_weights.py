from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from genx_export.weights import apply_weights, check_tensors, load_weights
from genx_runtimes.errors import WeightsError

Build = Callable[[str], nn.Module]


class _Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_both_kinds_of_file(build: Build, tmp_path: Path) -> None:
    model = build("Tiny")
    safetensors.torch.save_file(model.state_dict(), tmp_path / "w.safetensors")
    torch.save(model.state_dict(), tmp_path / "w.pt")
    other = build("Tiny")
    for name in ("w.safetensors", "w.pt"):
        for parameter in other.parameters():
            nn.init.zeros_(parameter)
        assert apply_weights(other, load_weights(tmp_path / name)) == []
        for key, tensor in model.state_dict().items():
            assert torch.equal(other.state_dict()[key], tensor)


def test_key_and_prefix(build: Build, tmp_path: Path) -> None:
    state = build("Flat").state_dict()
    torch.save({"step": 3, "ema": {f"g.{k}": v for k, v in state.items()}}, tmp_path / "c.pt")
    loaded = load_weights(tmp_path / "c.pt", key="ema", prefix="g.")
    assert list(loaded) == list(state)
    with pytest.raises(WeightsError, match=r"no plain state dict; .*--weights-key; it has 2 "):
        load_weights(tmp_path / "c.pt")
    with pytest.raises(WeightsError, match=r"has no entry 'emma'; it has 2 \(step, ema\)"):
        load_weights(tmp_path / "c.pt", key="emma")
    with pytest.raises(WeightsError, match=r"no tensor in .* starts with 'h.'"):
        load_weights(tmp_path / "c.pt", key="ema", prefix="h.")


def test_a_forgotten_prefix_is_suggested(build: Build) -> None:
    model = build("Flat")
    with pytest.raises(WeightsError, match=r"--weights-prefix module\.$"):
        apply_weights(model, {f"module.{k}": v for k, v in model.state_dict().items()})


def test_pickled_code_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"weight": _Trap(mark)}, tmp_path / "bad.pt")
    with pytest.raises(WeightsError, match=r"needs unpickling code \(it would run \w+\.system\)"):
        load_weights(tmp_path / "bad.pt")
    assert not mark.exists()


def test_a_whole_pickled_model_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="save the state dict alone"):
        load_weights(tmp_path / "model.pt")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_truncated_and_missing(build: Build, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(WeightsError, match=f"there is no weights file .*{name}"):
        load_weights(path)
    state = build("Flat").state_dict()
    if path.suffix == ".pt":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(WeightsError, match=f"{name} is truncated"):
        load_weights(path)


def test_keys_are_listed_first_five_and_count(build: Build) -> None:
    model = build("Tiny")
    state = dict(model.state_dict())
    removed = list(state)[:6]
    for name in removed:
        del state[name]
    state |= {f"extra.{i}": torch.zeros(1) for i in range(7)}
    with pytest.raises(WeightsError) as caught:
        apply_weights(model, state)
    message = str(caught.value)
    assert f"6 ({', '.join(removed[:5])}, ...) missing" in message
    assert "7 (extra.0, extra.1, extra.2, extra.3, extra.4, ...) unexpected" in message


def test_shapes(build: Build) -> None:
    model = build("Flat")
    state = {**model.state_dict(), "linear.bias": torch.zeros(9)}
    with pytest.raises(WeightsError, match=r"linear.bias has shape \(9,\), expected \(8,\)"):
        apply_weights(model, state)


def test_a_change_of_precision_is_told(build: Build) -> None:
    model = build("Flat")
    state = {name: tensor.half() for name, tensor in model.state_dict().items()}
    assert apply_weights(model, state) == ["float16 weights are computed in float32"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(build: Build, value: float) -> None:
    model = build("Flat")
    with torch.no_grad():
        model.get_parameter("linear.weight")[0, 0] = value
    with pytest.raises(WeightsError, match=r"linear.weight holds 1 NaN or infinite values of 64"):
        check_tensors(model)


def test_other_precisions_are_refused(build: Build) -> None:
    with pytest.raises(WeightsError, match=r"linear.weight is float64 on cpu, expected float32"):
        check_tensors(build("Flat").double())
