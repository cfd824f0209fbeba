"""Nodes that put the phases of a sub-pixel convolution side by side, and cut off the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from genx_export.passes.decision import NotRewritten
from genx_export.passes.subpixel import SubpixelAxis
from genx_export.passes.weights import add_constant

_TO_THE_END = np.iinfo(np.int64).max


def order_channels(
    split: NDArray[np.generic], axes: Sequence[SubpixelAxis], groups: int
) -> tuple[NDArray[np.generic], bool]:
    """Return the convolution's weights or bias with one dimension of channels, in shuffle order.

    Args:
        split: (C_out, *strides, ...).
        axes: one for each spatial axis.
        groups: of the convolution.

    Returns:
        (C_out * product of strides, ...), and whether the phases stand first. They do where they
        can: then a pixel's channels stay neighbours, which engines copy faster. Groups need them
        last.
    """
    count = len(axes)
    phases_first = groups == 1
    if phases_first:
        split = np.moveaxis(split, 0, count)
    return split.reshape(-1, *split.shape[count + 1 :]), phases_first


def shuffle_phases(
    graph: ir.Graph,
    value: ir.Value,
    axes: Sequence[SubpixelAxis],
    channels: int,
    spatial: Sequence[int | None],
    *,
    phases_first: bool,
    name: str,
) -> list[ir.Node]:
    """Return nodes from (B, channels * product of strides, *n) to (B, channels, *(n * stride)).

    Args:
        graph: where constants are added.
        value: what is shuffled.
        axes: one for each spatial axis.
        channels: C_out.
        spatial: n of each axis; None where it is not fixed.
        phases_first: the order of the channels.
        name: the beginning of the nodes' names.

    Raises:
        NotRewritten: a shape is needed and not fixed.
    """
    strides = [axis.stride for axis in axes]
    count = len(strides)
    if all(stride == 1 for stride in strides):
        return []
    if count == 2 and strides[0] == strides[1]:
        mode = "DCR" if phases_first else "CRD"
        node = ir.node(
            "DepthToSpace",
            [value],
            {"blocksize": strides[0], "mode": mode},
            name=f"{name}/DepthToSpace",
        )
        return [node]
    if any(size is None for size in spatial[1:]) or (spatial[0] is None and count > 1):
        raise NotRewritten("its input's height and width are not fixed, and the strides differ")
    # One dimension may be inferred: the batch, or the length of a sequence, whose batch is copied.
    sizes = [-1 if size is None else size for size in spatial]
    batch = 0 if -1 in sizes else -1
    body = [*strides, channels] if phases_first else [channels, *strides]
    apart = np.array([batch, *body, *sizes], np.int64)
    at = 1 + count if phases_first else 1
    first = 1 if phases_first else 2
    order = [0, at]
    for axis in range(count):
        order += [2 + count + axis, first + axis]
    together = [size if size == -1 else size * s for size, s in zip(sizes, strides, strict=True)]
    nodes = [
        ir.node(
            "Reshape", [value, add_constant(graph, f"{name}/apart", apart)], name=f"{name}/apart"
        )
    ]
    nodes.append(
        ir.node("Transpose", [nodes[-1].outputs[0]], {"perm": order}, name=f"{name}/Transpose")
    )
    shape = add_constant(
        graph, f"{name}/together", np.array([batch, channels, *together], np.int64)
    )
    nodes.append(ir.node("Reshape", [nodes[-1].outputs[0], shape], name=f"{name}/together"))
    return nodes


def crop(
    graph: ir.Graph, value: ir.Value, axes: Sequence[SubpixelAxis], *, name: str
) -> list[ir.Node]:
    """Return the node that cuts off what the shift and the padding ask for, if anything."""
    cut = [(i, a) for i, a in enumerate(axes, 2) if a.crop_begin or a.crop_end]
    if not cut:
        return []
    starts = [a.crop_begin for _, a in cut]
    ends = [-a.crop_end if a.crop_end else _TO_THE_END for _, a in cut]
    places = [i for i, _ in cut]
    constants = [
        add_constant(graph, f"{name}/{what}", np.array(numbers, np.int64))
        for what, numbers in (("starts", starts), ("ends", ends), ("axes", places))
    ]
    return [ir.node("Slice", [value, *constants], name=f"{name}/Slice")]
