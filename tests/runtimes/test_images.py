from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genx_runtimes.errors import InputError
from genx_runtimes.images import make_grid, to_pixels
from genx_runtimes.manifest import OutputSpec

SIGNED = OutputSpec(name="x", kind="image", range=(-1.0, 1.0))


def test_the_range_is_mapped_to_all_of_0_to_255() -> None:
    values = np.array([-9, -1, -0.998, 0, 0.999, 1, 9], np.float32).reshape(1, 1, 1, 7)
    assert to_pixels(values, SIGNED).ravel().tolist() == [0, 0, 0, 128, 255, 255, 255]
    bytes_ = OutputSpec(name="x", kind="image", range=(0.0, 255.0))
    every = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)
    assert to_pixels(every, bytes_).ravel().tolist() == list(range(256))


def test_every_one_of_65536_levels() -> None:
    spec = OutputSpec(name="x", kind="image", range=(-1.0, 1.0), bits=16)
    levels = np.arange(65536)
    # Just inside the upper edge of each level, where a float32 subtraction would go astray.
    values = ((levels + 0.499) / 65535 * 2 - 1).astype(np.float64).reshape(1, 1, 256, 256)
    pixels = to_pixels(values, spec)
    assert pixels.dtype == np.uint16
    assert pixels.ravel().tolist() == levels.tolist()
    assert to_pixels(np.full((1, 1, 1, 1), 7.0), spec).item() == 65535


def test_images_without_channels() -> None:
    spec = OutputSpec(name="x", kind="image", range=(0.0, 1.0), layout="NHW")
    values = np.array([[[0, 0.2, 1]], [[1, 1, 0]]], np.float32)
    pixels = to_pixels(values, spec)
    assert pixels.shape == (2, 1, 3, 1)
    assert pixels.ravel().tolist() == [0, 51, 255, 255, 255, 0]
    with pytest.raises(InputError, match=r"layout NHW has shape \(B, H, W\), this output has"):
        to_pixels(values[:1, None], spec)


@pytest.mark.parametrize(("kind", "top"), [(np.uint8, 255), (np.uint16, 65535)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_ground_of_a_grid_is_mid_grey_and_opaque(
    kind: type[np.unsignedinteger], top: int, channels: int
) -> None:
    grid = make_grid(np.zeros((3, 2, 2, channels), kind), columns=2)
    assert grid.dtype == kind
    ground = [top // 2 + 1] * channels
    if channels in (2, 4):
        ground[-1] = top
    for place in ((0, 2), (2, 0), (5, 5)):  # between columns, between rows, where none is left
        assert grid[place].tolist() == ground


def test_channels_come_last_and_the_input_is_left_alone() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (2, 3, 4, 5)).astype(np.float32)
    before = values.copy()
    pixels = to_pixels(values, SIGNED)
    assert pixels.shape == (2, 4, 5, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert np.array_equal(values, before)
    assert pixels[1, 2, 3, 0] == round((float(values[1, 0, 2, 3]) + 1) * 127.5)


def test_what_is_no_image() -> None:
    tensor = OutputSpec(name="x", kind="tensor")
    with pytest.raises(InputError, match=r"is a tensor, not an image; write it as an array"):
        to_pixels(np.zeros((1, 1, 2, 2)), tensor)
    for shape in ((1, 5, 4, 4), (1, 3, 4), (4, 4)):
        with pytest.raises(InputError, match=r"an image has shape \(B, 1 to 4, H, W\)"):
            to_pixels(np.zeros(shape), SIGNED)


@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 6), st.none() | st.integers(1, 7))
def test_grids(count: int, height: int, width: int, columns: int | None) -> None:
    images = np.arange(count * height * width, dtype=np.uint64).reshape(count, height, width, 1)
    grid = make_grid((images % 251).astype(np.uint8), columns=columns)
    across = columns or int(np.ceil(np.sqrt(count)))
    down = -(-count // across)
    assert grid.shape == (down * (height + 2) - 2, across * (width + 2) - 2, 1)
    last = count - 1
    top, left = last // across * (height + 2), last % across * (width + 2)
    cell = grid[top : top + height, left : left + width]
    assert np.array_equal(cell, images[last] % 251)
