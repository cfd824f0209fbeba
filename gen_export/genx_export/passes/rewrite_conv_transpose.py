"""ConvTranspose as a convolution on the small grid and a pixel shuffle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from genx_export.passes.decision import Decision, NotRewritten, rewrite_each
from genx_export.passes.shuffle import crop, order_channels, shuffle_phases
from genx_export.passes.subpixel import (
    SubpixelAxis,
    TransposedAxis,
    split_phases,
    split_weights,
)
from genx_export.passes.weights import add_constant, read_constant, read_optional, replace_node

# Float32 or int32 values in a vector of AVX-512.
_VECTOR = 16


class RewriteConvTranspose(InPlacePass):
    """Compute the phases of a transposed convolution apart, without multiplying by zeros.

    Given: ConvTranspose with constant weights, of any kernel, stride, padding, output padding,
    groups and dilation, in 1, 2 or 3 dimensions.
    Result: Conv of stride 1 on the small grid, with a channel for each phase; DepthToSpace (or
    Reshape, Transpose, Reshape where strides differ or there are not two of them); Slice where
    something has to be cut off.

    Source: see `subpixel.py`.
    """

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def call(self, model: ir.Model) -> PassResult:
        """Run the pass."""
        return rewrite_each(self, model, ("ConvTranspose",), _rewrite)


class RewriteNarrowConvTranspose(InPlacePass):
    """Rewrite the transposed convolutions that engines are slow at, and leave the others.

    Given: as for `RewriteConvTranspose`.
    Result: the same, where there are fewer than 16 output channels. Engines compute these side by
    side, 16 in a vector of AVX-512; a narrow layer leaves most of it empty, and its phases fill it.
    """

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def call(self, model: ir.Model) -> PassResult:
        """Run the pass."""
        return rewrite_each(self, model, ("ConvTranspose",), _rewrite_narrow)


def _rewrite_narrow(graph: ir.Graph, node: ir.Node) -> str:
    weights = read_constant(node.inputs[1], "weight")
    channels = weights.shape[1] * node.attributes.get_int("group", 1)
    if channels >= _VECTOR:
        raise NotRewritten(f"it has {channels} output channels, enough to fill a vector")
    return _rewrite(graph, node)


def _rewrite(graph: ir.Graph, node: ir.Node) -> str:
    weights = read_constant(node.inputs[1], "weight")
    bias = read_optional(node, 2, "bias")
    axes = [split_phases(axis) for axis in read_axes(node, weights.shape[2:])]
    groups = node.attributes.get_int("group", 1)
    channels = weights.shape[1] * groups
    split = split_weights(weights, axes, groups)
    kernel, phases_first = order_channels(split, axes, groups)
    name = str(node.name)
    inputs = [node.inputs[0], add_constant(graph, f"{name}/weight", kernel)]
    if bias is not None:
        spread = np.broadcast_to(
            bias.reshape(-1, *(1 for _ in axes)), (channels, *(a.stride for a in axes))
        )
        inputs.append(add_constant(graph, f"{name}/bias", order_channels(spread, axes, groups)[0]))
    pads = [a.pad_begin for a in axes] + [a.pad_end for a in axes]
    nodes = [
        ir.node(
            "Conv",
            inputs,
            {"kernel_shape": [a.kernel for a in axes], "pads": pads, "group": groups},
            name=f"{name}/Conv",
        )
    ]
    spatial = _grid_sizes(node.inputs[0], axes)
    nodes += shuffle_phases(
        graph, nodes[-1].outputs[0], axes, channels, spatial, phases_first=phases_first, name=name
    )
    nodes += crop(graph, nodes[-1].outputs[0], axes, name=name)
    replace_node(graph, node, nodes)
    taps = " x ".join(str(a.kernel) for a in axes)
    cut = ", then a crop" if any(a.crop_begin or a.crop_end for a in axes) else ""
    return f"{taps} taps a phase on the small grid{cut}"


def read_axes(node: ir.Node, kernel: tuple[int, ...]) -> list[TransposedAxis]:
    """Return the geometry of a ConvTranspose.

    Raises:
        NotRewritten: the output's shape is given instead of the padding.
    """
    attributes = node.attributes
    if attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise NotRewritten("its padding is automatic (auto_pad)")
    if "output_shape" in attributes:
        raise NotRewritten("its output shape is given as an attribute")
    count = len(kernel)
    strides = attributes.get_ints("strides") or [1] * count
    dilations = attributes.get_ints("dilations") or [1] * count
    pads = attributes.get_ints("pads") or [0] * 2 * count
    extra = attributes.get_ints("output_padding") or [0] * count
    return [
        TransposedAxis(
            kernel=kernel[i],
            stride=strides[i],
            dilation=dilations[i],
            pad_begin=pads[i],
            pad_end=pads[count + i],
            output_padding=extra[i],
        )
        for i in range(count)
    ]


def _grid_sizes(value: ir.Value | None, axes: Sequence[SubpixelAxis]) -> list[int | None]:
    """Return the sizes of the convolution's output, None where they are not fixed."""
    if value is None or value.shape is None:
        return [None] * len(axes)
    sizes = value.shape.dims[2:]
    return [
        size + a.pad_begin + a.pad_end - a.kernel + 1 if isinstance(size, int) else None
        for size, a in zip(sizes, axes, strict=True)
    ]
