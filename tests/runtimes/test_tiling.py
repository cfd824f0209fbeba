"""Cutting pictures into tiles and joining them, without a model."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from genx_runtimes.tiling import plan_tiles

SIZES = [(16, 16), (17, 40), (61, 33), (5, 3), (1, 100), (32, 7)]


def _average(image: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Return the mean over a square around each pixel, zeros outside, as a padded net sees it."""
    side = 2 * radius + 1
    padded = np.pad(image, ((0, 0), (radius, radius), (radius, radius)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    return windows.mean(axis=(3, 4), dtype=np.float32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("overlap", "scale"), [(0, 1), (5, 2), (8, 1), (8, 3)])
def test_what_is_not_changed_comes_back(size: tuple[int, int], overlap: int, scale: int) -> None:
    image = np.random.RandomState(0).random_sample((2, *size)).astype(np.float32)
    tiling = plan_tiles(size, (16, 16), overlap=overlap, scale=scale)
    tiles = list(tiling.cut(image))
    assert len(tiles) == len(tiling)
    assert {tile.shape for tile in tiles} == {(2, 16, 16)}
    enlarged = [tile.repeat(scale, 1).repeat(scale, 2) for tile in tiles]
    made = np.concatenate(list(tiling.join(enlarged)), axis=1)
    expected = image.repeat(scale, 1).repeat(scale, 2)
    np.testing.assert_allclose(made[:, : size[0] * scale, : size[1] * scale], expected, atol=1e-6)
    for axis in (tiling.rows, tiling.columns):
        shared = np.diff(axis.starts)
        assert all(16 - step >= overlap for step in shared)


@pytest.mark.parametrize("size", [(16, 40), (61, 33), (47, 16)])
def test_tiles_equal_the_whole_where_the_net_sees_no_further_than_a_quarter_of_the_overlap(
    size: tuple[int, int],
) -> None:
    image = np.random.RandomState(1).random_sample((1, *size)).astype(np.float32)
    tiling = plan_tiles(size, (16, 16), overlap=8, scale=1)

    def translate(radius: int) -> NDArray[np.float32]:
        averaged = [_average(tile, radius) for tile in tiling.cut(image)]
        return np.concatenate(list(tiling.join(averaged)), axis=1)

    np.testing.assert_allclose(translate(2), _average(image, 2), atol=1e-6)
    assert np.abs(translate(6) - _average(image, 6)).max() > 1e-3


def test_a_seam_is_faded_over() -> None:
    tiling = plan_tiles((16, 24), (16, 16), overlap=8, scale=1)
    dark, bright = np.zeros((1, 16, 16), np.float32), np.ones((1, 16, 16), np.float32)
    line = np.concatenate(list(tiling.join([dark, bright])), axis=1)[0, 0]
    np.testing.assert_array_equal(line[:10], 0)  # a quarter of the overlap is still all dark
    np.testing.assert_array_equal(line[14:], 1)
    assert np.all(np.diff(line[9:15]) > 0)


def test_small_images_are_continued_by_their_reflection() -> None:
    image = np.arange(3, dtype=np.float32).reshape(1, 1, 3)
    (tile,) = plan_tiles((1, 3), (2, 8), overlap=0, scale=1).cut(image)
    np.testing.assert_array_equal(tile[0], [[0, 1, 2, 2, 1, 0, 0, 1]] * 2)
