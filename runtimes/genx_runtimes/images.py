"""From a model's output to pixels, grids and files.

Source: docs/bundle.md, "Output".
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.errors import InputError
from genx_runtimes.manifest import OutputSpec
from genx_runtimes.png import encode_png
from genx_runtimes.session import Array
from genx_runtimes.writing import write_whole

_GAP = 2


def to_pixels(output: Array, spec: OutputSpec) -> NDArray[np.uint8]:
    """Map (B, C, H, W) values in the contract's range to (B, H, W, C) uint8.

    Raises:
        InputError: the contract is not an image, or the array is not one.
    """
    if spec.kind != "image" or spec.range is None:
        raise InputError(
            f"the output of this bundle is a {spec.kind}, not an image",
            fix="write it as an array: genx sample BUNDLE -o NAME.npy",
        )
    if output.ndim != 4 or output.shape[1] not in (1, 3, 4):
        raise InputError(f"an image has shape (B, 1|3|4, H, W), this output has {output.shape}")
    low, high = spec.range
    scale = np.float32(255.0 / (high - low))
    scaled = (output.astype(np.float32, copy=False) - np.float32(low)) * scale
    np.rint(scaled, out=scaled).clip(0, 255, out=scaled)
    return np.ascontiguousarray(scaled.astype(np.uint8).transpose(0, 2, 3, 1))


def make_grid(images: NDArray[np.uint8], *, columns: int | None = None) -> NDArray[np.uint8]:
    """Lay images out in rows on a mid-grey ground with a gap of two pixels.

    Args:
        images: (B, H, W, C) uint8.
        columns: images a row; None makes the grid as square as it goes.

    Returns:
        (rows * (H + 2) - 2, columns * (W + 2) - 2, C) uint8.
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cells = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels)
    grid = np.full(cells, 128, dtype=np.uint8)
    for index, image in enumerate(images):
        top = index // columns * (height + _GAP)
        left = index % columns * (width + _GAP)
        grid[top : top + height, left : left + width] = image
    return grid


def save_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write (H, W, C) uint8 pixels as a PNG, whole or not at all."""
    with write_whole(path) as file:
        file.write(encode_png(pixels))
