"""The arithmetic that turns a transposed convolution into a convolution and a pixel shuffle.

Along one axis a transposed convolution is `y[o] = sum w[k] x[i]` over all `o + p = i*s + k*d`
(n inputs, stride s, dilation d, kernel K, cut off p at the beginning). Outputs are numbered
`o + c = q*s + r`, with the phase r in 0..s-1 and a shift c. Then tap k belongs to the phase
`r = (k*d + c - p) mod s` alone and reads `x[q - t]`, `t = floor((k*d + c - p) / s)`: for each
phase a convolution on the n inputs, and a shuffle that puts the s phases side by side. The first c
outputs are cut off. c is chosen for the fewest taps, and among these for the least cutting: a
kernel of 4 with stride 2 and padding 1 needs c = 1 and two taps a phase, one of 5 with padding 2 no
cut.

Source: Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?",
arXiv:1609.07009, for kernels that are a multiple of the stride.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TransposedAxis:
    """One spatial axis of a transposed convolution, in ONNX's terms."""

    kernel: int
    stride: int
    dilation: int
    pad_begin: int
    pad_end: int
    output_padding: int

    @property
    def offset(self) -> int:
        """The output length is `(n - 1) * stride + offset`."""
        reach = self.dilation * (self.kernel - 1) + 1
        return reach + self.output_padding - self.pad_begin - self.pad_end


@dataclass(frozen=True, slots=True, kw_only=True)
class SubpixelAxis:
    """The same axis as a convolution of stride 1 and a shuffle.

    Args:
        phases: (K,) the phase r of each tap of the transposed kernel.
        taps: (K,) where in the convolution's kernel it goes.
        kernel: length of the convolution's kernel.
        stride: how many phases are shuffled together.
        pad_begin: zeros before the input.
        pad_end: zeros behind it.
        crop_begin: outputs to cut off after the shuffle, at the beginning.
        crop_end: and at the end.
    """

    phases: tuple[int, ...]
    taps: tuple[int, ...]
    kernel: int
    stride: int
    pad_begin: int
    pad_end: int
    crop_begin: int
    crop_end: int


def split_phases(axis: TransposedAxis) -> SubpixelAxis:
    """Return the convolution with the fewest taps, and of these the one with the least cutting."""
    made = [_shift(axis, shift) for shift in range(axis.stride)]
    return min(made, key=lambda a: (a.kernel, a.crop_begin + a.crop_end))


def _shift(axis: TransposedAxis, shift: int) -> SubpixelAxis:
    # Padding that reaches beyond the kernel would ask for less than no zeros: cut more off instead.
    reach = (axis.dilation * (axis.kernel - 1) + shift - axis.pad_begin) // axis.stride
    shift += axis.stride * max(0, -reach)
    places = [k * axis.dilation + shift - axis.pad_begin for k in range(axis.kernel)]
    delays = [place // axis.stride for place in places]
    first, last = delays[0], delays[-1]
    extra = (axis.offset - 1 + shift) // axis.stride
    pad_end = extra - first
    surplus = max(0, -pad_end)
    return SubpixelAxis(
        phases=tuple(place % axis.stride for place in places),
        taps=tuple(last - delay for delay in delays),
        kernel=last - first + 1,
        stride=axis.stride,
        pad_begin=last,
        pad_end=pad_end + surplus,
        crop_begin=shift,
        crop_end=axis.stride * (extra + surplus + 1) - shift - axis.offset,
    )


def split_weights(
    weights: NDArray[np.generic], axes: Sequence[SubpixelAxis], groups: int
) -> NDArray[np.generic]:
    """Return the convolution's weights.

    Args:
        weights: (C_in, C_out / groups, *K) of the transposed convolution.
        axes: one for each spatial axis.
        groups: 1, or how many.

    Returns:
        (C_out, *strides, C_in / groups, *kernels): the channels of a group stay together.
    """
    inputs, outputs = weights.shape[:2]
    made = np.zeros(
        (
            groups,
            outputs,
            *(a.stride for a in axes),
            inputs // groups,
            *(a.kernel for a in axes),
        ),
        weights.dtype,
    )
    grouped = weights.reshape(groups, inputs // groups, outputs, *weights.shape[2:])
    for place in itertools.product(*(range(len(a.taps)) for a in axes)):
        phase = tuple(a.phases[k] for a, k in zip(axes, place, strict=True))
        tap = tuple(a.taps[k] for a, k in zip(axes, place, strict=True))
        block = np.moveaxis(grouped, (0, 1, 2), (-3, -2, -1))[place]
        np.moveaxis(made, (0, 1, 2 + len(axes)), (-3, -2, -1))[(*phase, *tap)] = block.swapaxes(
            1, 2
        )
    return made.reshape(groups * outputs, *made.shape[2:])


def sum_repeats(weights: NDArray[np.generic], factors: Sequence[int]) -> NDArray[np.generic]:
    """Return the transposed kernel that repeats each pixel and then convolves.

    Nearest upsampling by f and a convolution with w (K taps, padding p, stride 1) is a transposed
    convolution of stride f with `v[m] = sum over a in 0..f-1 of w[a + K - 1 - m]`, K + f - 1 taps
    and padding K - 1 - p.

    Args:
        weights: (C_out, C_in, *K) of the convolution, of one group.
        factors: of the upsampling, one for each spatial axis.

    Returns:
        (C_in, C_out, *(K + f - 1)).
    """
    summed = np.flip(weights.astype(np.float64), axis=tuple(range(2, weights.ndim)))
    for axis, factor in enumerate(factors, 2):
        widths = [(0, 0)] * summed.ndim
        # A running sum over `factor` neighbours, beyond both ends.
        parts = []
        for shift in range(factor):
            widths[axis] = (shift, factor - 1 - shift)
            parts.append(np.pad(summed, widths))
        summed = np.sum(parts, axis=0)
    return np.ascontiguousarray(summed.swapaxes(0, 1)).astype(weights.dtype)
