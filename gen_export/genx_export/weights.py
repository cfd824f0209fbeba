"""Loading weights without running anybody's code, and fitting them to a model."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn

from genx_runtimes.errors import WeightsError

_LISTED = 5
_SAVE_AGAIN = (
    "save the state dict alone: safetensors.torch.save_file(model.state_dict(), 'w.safetensors')"
)


def load_weights(
    path: Path, *, key: str | None = None, prefix: str = ""
) -> dict[str, torch.Tensor]:
    """Load a state dict from a `.safetensors` file, or from a torch file with `weights_only=True`.

    Args:
        path: the file.
        key: the entry of a checkpoint that holds the state dict, such as "ema".
        prefix: take only the tensors whose names start so, and cut it off.

    Raises:
        WeightsError: missing, truncated, needs unpickling code, or holds no state dict.
    """
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}", fix="--weights FILE")
    loaded: object = _load_safetensors(path) if path.suffix == ".safetensors" else _load_torch(path)
    if key is not None:
        if not isinstance(loaded, Mapping) or key not in loaded:
            raise WeightsError(f"{path} has no entry {key!r}", fix=_list_keys(loaded))
        loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(tensor, torch.Tensor) for tensor in loaded.values()
    ):
        raise WeightsError(
            f"{path} holds no plain state dict",
            fix=f"name the entry that does with --weights-key; {_list_keys(loaded)}",
        )
    state = {str(n)[len(prefix) :]: t for n, t in loaded.items() if str(n).startswith(prefix)}
    if not state:
        raise WeightsError(f"no tensor in {path} starts with {prefix!r}", fix=_list_keys(loaded))
    return state


def apply_weights(module: nn.Module, state: Mapping[str, torch.Tensor]) -> list[str]:
    """Put a state dict into a model, all of it and nothing else.

    Returns:
        warnings: conversions of precision that took place.

    Raises:
        WeightsError: missing or unexpected keys (the first five and the count), or other shapes.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    if missing or unexpected:
        parts = [f"{_list(missing)} missing"] if missing else []
        parts += [f"{_list(unexpected)} unexpected"] if unexpected else []
        raise WeightsError(
            f"the weights do not fit the model: {'; '.join(parts)}",
            fix=_suggest_prefix(own, state) or "check that they belong to this model",
        )
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            raise WeightsError(
                f"{name} has shape {tuple(state[name].shape)}, expected {tuple(tensor.shape)}",
                fix="build the model with the sizes it was trained with",
            )
    module.load_state_dict(dict(state))
    changed = {
        f"{state[name].dtype} weights are computed in {tensor.dtype}".replace("torch.", "")
        for name, tensor in own.items()
        if state[name].dtype != tensor.dtype
    }
    return sorted(changed)


def check_tensors(module: nn.Module) -> None:
    """Refuse a model whose tensors are not finite float32 on the CPU.

    Raises:
        WeightsError: the message names the tensor.
    """
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if not tensor.is_floating_point():
            continue
        if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
            raise WeightsError(
                f"{name} is {str(tensor.dtype)[6:]} on {tensor.device}, expected float32 on cpu",
                fix="return model.float().cpu() from the callable",
            )
        if not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise WeightsError(
                f"{name} holds {bad} NaN or infinite values of {tensor.numel()}",
                fix="take an earlier checkpoint: this training diverged",
            )


def _load_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as err:
        raise WeightsError(
            f"{path} is truncated or not a safetensors file: {err}",
            fix="copy it again from where it was made",
        ) from err


def _load_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        match = re.search(r"GLOBAL ([\w.]+)", str(err))
        what = f"it would run {match[1]}" if match else "it is not a plain state dict"
        raise WeightsError(
            f"{path} is refused: loading it needs unpickling code ({what})", fix=_SAVE_AGAIN
        ) from err
    except (RuntimeError, EOFError, ValueError) as err:
        first = str(err).partition("\n")[0]
        raise WeightsError(
            f"{path} is truncated or not a torch file: {first}",
            fix="copy it again from where it was made",
        ) from err


def _list(names: list[str]) -> str:
    shown = ", ".join(names[:_LISTED])
    return f"{len(names)} ({shown}{', ...' if len(names) > _LISTED else ''})"


def _list_keys(loaded: object) -> str:
    if not isinstance(loaded, Mapping):
        return f"it holds a {type(loaded).__name__}"
    return f"it has {_list([str(key) for key in loaded])}"


def _suggest_prefix(own: Mapping[str, object], state: Mapping[str, object]) -> str:
    """Notice that the model's names stand in the file with something in front."""
    probe = next(iter(own), "")
    for name in state:
        prefix = name.removesuffix(probe)
        if probe and prefix != name and all(prefix + n in state for n in own):
            return f"--weights-prefix {prefix}" if prefix else ""
    return ""
