"""From a model's output to pixels, grids and files, and from pixels to its input.

Source: docs/bundle.md, "Output".
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.errors import InputError
from genx_runtimes.manifest import OutputSpec
from genx_runtimes.png import Pixels, encode_png
from genx_runtimes.session import Array
from genx_runtimes.writing import write_whole

CHANNELS = (1, 2, 3, 4)
ALPHA = (2, 4)  # how many channels there are where the last one is opacity
_GAP = 2


def to_values(pixels: NDArray[np.uint8], low: float, high: float) -> NDArray[np.float32]:
    """Return pixels as a model takes them: the values of black and white are `low` and `high`.

    Args:
        pixels: (..., H, W, C) uint8.
        low: the value of 0.
        high: the value of 255.

    Returns:
        (..., C, H, W) float32.
    """
    levels = (low + (high - low) * (np.arange(256) / 255)).astype(np.float32)
    return np.ascontiguousarray(levels[np.moveaxis(pixels, -1, -3)])


def to_pixels(output: Array, spec: OutputSpec) -> Pixels:
    """Map values in the contract's range to pixels; values outside are cut off to the ends.

    Args:
        output: (B, C, H, W) with C of 1 to 4, or (B, H, W) where the layout is NHW.
        spec: the contract.

    Returns:
        (B, H, W, C), uint8, or uint16 where the contract has 16 bits.

    Raises:
        InputError: the contract is not an image, or the array is not one.
    """
    if spec.kind != "image" or spec.range is None:
        raise InputError(
            f"the output of this bundle is {spec.noun}, not an image",
            fix="write it as an array: genx sample BUNDLE -o NAME.npy",
        )
    if spec.layout == "NHW":
        if output.ndim != 3:
            raise InputError(
                f"an image of layout NHW has shape (B, H, W), this output has {output.shape}"
            )
        output = output[:, None]
    if output.ndim != 4 or output.shape[1] not in CHANNELS:
        raise InputError(f"an image has shape (B, 1 to 4, H, W), this output has {output.shape}")
    low, high = spec.range
    deep = spec.bits == 16  # of 65536 levels float32 would miss some at their edges
    top = 65535 if deep else 255
    values: NDArray[np.floating] = output.astype(np.float64 if deep else np.float32, copy=False)
    scaled = (values - low) * (top / (high - low))
    np.rint(scaled, out=scaled).clip(0, top, out=scaled)
    levels = scaled.transpose(0, 2, 3, 1)
    if deep:
        return np.ascontiguousarray(levels, np.uint16)
    return np.ascontiguousarray(levels, np.uint8)


def make_grid(images: Pixels, *, columns: int | None = None) -> Pixels:
    """Lay images out in rows on an opaque mid-grey ground with a gap of two pixels.

    Args:
        images: (B, H, W, C) uint8 or uint16.
        columns: images a row; None makes the grid as square as it goes.

    Returns:
        (rows * (H + 2) - 2, columns * (W + 2) - 2, C), as the images.
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cells = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels)
    top = int(np.iinfo(images.dtype).max)
    grid = np.full(cells, top // 2 + 1, dtype=images.dtype)
    if channels in ALPHA:
        grid[..., -1] = top
    for index, image in enumerate(images):
        above = index // columns * (height + _GAP)
        left = index % columns * (width + _GAP)
        grid[above : above + height, left : left + width] = image
    return grid


def save_png(path: Path, pixels: Pixels) -> None:
    """Write (H, W, C) pixels, uint8 or uint16, as a PNG, whole or not at all."""
    with write_whole(path) as file:
        file.write(encode_png(pixels))
