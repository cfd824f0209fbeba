"""Which layers a Jetson's deep-learning accelerator cannot run, told before a build.

Source: TensorRT's developer guide, "DLA Supported Layers and Restrictions", for the layers that
generators are made of. Not yet run on a DLA.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from genx_runtimes.engines.network import Network

_LARGEST = 32
# What shapes are computed with.
_OF_SHAPES = ("CAST", "CONCATENATION", "ELEMENTWISE", "GATHER", "SHUFFLE", "SLICE")


def list_refusals(parsed: Network) -> tuple[str, ...]:
    """Return a line for each layer that a DLA cannot run: its name and why."""
    trt, network = parsed.loaded.trt, parsed.network
    checks: dict[str, tuple[type, Callable[[Any, Any], str]]] = {
        "DECONVOLUTION": (trt.IDeconvolutionLayer, _check_deconvolution),
        "CONVOLUTION": (trt.IConvolutionLayer, _check_convolution),
        "RESIZE": (trt.IResizeLayer, _check_resize),
        "ACTIVATION": (trt.IActivationLayer, _check_activation),
    }
    found = []
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        kind, name = layer.type.name, layer.name
        why = _check_type(layer)
        if not why and kind in checks:
            layer.__class__, check = checks[kind]
            why = check(trt, layer)
        if why:
            found.append(f"{name}: {why}")
    return tuple(found)


def _check_type(layer: Any) -> str:
    if layer.type.name in ("CONSTANT", "SHAPE"):
        return ""  # shapes and weights, which TensorRT computes as it builds
    if layer.get_output(0).dtype.name in ("INT32", "INT64") and layer.type.name in _OF_SHAPES:
        return ""
    kinds = {layer.get_output(i).dtype.name for i in range(layer.num_outputs)}
    return "" if kinds <= {"HALF", "INT8"} else f"computes in {' and '.join(sorted(kinds)).lower()}"


def _check_deconvolution(_: Any, layer: Any) -> str:
    if any(layer.pre_padding) or any(layer.post_padding):
        return f"transposed convolution with padding {tuple(layer.pre_padding)}, a DLA has 0"
    if layer.num_groups != 1:
        return f"transposed convolution in {layer.num_groups} groups, a DLA has 1"
    return _check_sizes(layer)


def _check_convolution(_: Any, layer: Any) -> str:
    return _check_sizes(layer)


def _check_sizes(layer: Any) -> str:
    sizes = (*layer.kernel_size_nd, *layer.stride_nd)
    if len(layer.kernel_size_nd) != 2:
        return f"{len(layer.kernel_size_nd)}-D, a DLA has 2-D"
    return "" if max(sizes) <= _LARGEST else f"kernel or stride above {_LARGEST}"


def _check_resize(trt: Any, layer: Any) -> str:
    if layer.resize_mode != trt.InterpolationMode.NEAREST:
        return "upsampling other than nearest"
    scales = list(layer.scales or ())
    whole = all(s == int(s) and 1 <= s <= _LARGEST for s in scales)
    return "" if whole else f"upsampling by {scales}, a DLA has whole numbers up to {_LARGEST}"


def _check_activation(_: Any, layer: Any) -> str:
    kind = layer.type.name
    known = ("RELU", "SIGMOID", "TANH", "CLIP", "LEAKY_RELU")
    return "" if kind in known else f"activation {kind.lower()}"
