"""From an nn.Module to a traced program, and from there to ONNX.

Source: PyTorch's `torch.export` and `torch.onnx` (dynamo=True) documentation.
"""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import onnx_ir as ir
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from genx_export.model import OPSET
from genx_runtimes.errors import TraceError
from genx_runtimes.manifest import BatchBounds


def trace_module(
    component: str,
    module: nn.Module,
    feeds: Mapping[str, torch.Tensor],
    batch: BatchBounds,
) -> ExportedProgram:
    """Trace a module with a dynamic first dimension.

    Args:
        component: its name, for messages.
        module: in eval mode.
        feeds: example inputs by parameter name, (B, ...); B should be 2 or more, since torch
            specialises on 0 and 1.
        batch: bounds of the first dimension; equal bounds make it fixed.

    Raises:
        TraceError: control flow depends on data, the batch size is fixed inside, ...
    """
    dynamic = batch.min < batch.max
    first = {0: Dim("batch", min=batch.min, max=batch.max)} if dynamic else None
    try:
        with _quiet_torch(), _slow_attention():
            return torch.export.export(
                module,
                (),
                dict(feeds),
                dynamic_shapes=dict.fromkeys(feeds, first),
                strict=False,
            )
    except Exception as err:  # torch.export raises a dozen types, several of them private
        text = str(err)
        if "Constraints violated" in text or "specializ" in text:
            size = len(next(iter(feeds.values())))
            raise TraceError(
                f"component {component!r} fixes its batch size in forward(){_user_line(err)}",
                fix=f"take it from the input, x.shape[0] or -1, or export with --batch {size}",
            ) from err
        raise TraceError(
            f"component {component!r} cannot be traced{_user_line(err)}: {_first_line(text)}",
            fix="see the traceback with: genx --debug export ...",
        ) from err


def translate_program(
    component: str, program: ExportedProgram, inputs: Sequence[str], outputs: Sequence[str]
) -> ir.Model:
    """Translate a traced program to ONNX at opset 20.

    Raises:
        TraceError: an operator has no ONNX form; the message names it.
    """
    try:
        with _quiet_torch():
            translated = torch.onnx.export(
                program,
                (),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                verbose=False,
                optimize=False,  # our own passes do it, and say what they did
            )
    except Exception as err:
        cause = err.__cause__ or err
        raise TraceError(
            f"component {component!r} has no ONNX form: {_first_line(str(cause))}",
            fix="replace that operation in forward(), or see: genx --debug export ...",
        ) from err
    assert translated is not None  # dynamo=True returns the program
    return translated.model


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no message")


def _user_line(err: BaseException) -> str:
    """Return " at file.py:12" for the innermost frame of the error outside torch and genx."""
    frames = traceback.extract_tb(err.__traceback__)
    for frame in reversed(frames):
        path = frame.filename.replace("\\", "/")
        if not any(part in path for part in ("/torch/", "/genx_export/", "<", "/lib/python")):
            return f" at {path.rsplit('/', 1)[-1]}:{frame.lineno} `{frame.line}`"
    return ""


@contextmanager
def _quiet_torch() -> Iterator[None]:
    """Keep torch's remarks on its own internals out of the user's terminal."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextmanager
def _slow_attention() -> Iterator[None]:
    """Switch off the fused inference path of nn.Transformer, which has no ONNX form."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
