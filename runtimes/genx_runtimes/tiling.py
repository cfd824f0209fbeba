"""Cutting a picture into tiles of one size, and joining what became of them without seams.

Neighbours share `overlap` pixels or a few more. Next to a cut a net sees too little of the picture:
the outer quarter of the overlap is dropped, and over the half between a cosine fades one tile into
the next. So a net that looks no further than `overlap // 4` pixels around gives what it would give
of the whole picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The tiles along one side of a picture.

    Args:
        size: pixels of the picture, or of the tile where that is larger.
        tile: pixels of a tile.
        starts: of each tile, 0 first.
        weights: (tiles, tile * scale): how much each pixel of the output counts, adding up to 1.
    """

    size: int
    tile: int
    starts: tuple[int, ...]
    weights: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """Rows and columns of tiles.

    Args:
        rows: down the picture.
        columns: along it.
        scale: output pixels for each input pixel, along each side.
    """

    rows: Axis
    columns: Axis
    scale: int

    def __len__(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    def cut(self, image: Floats) -> Iterator[Floats]:
        """Yield the tiles (C, h, w) of an image (C, H, W), row by row.

        An image smaller than a tile is continued by its reflection, again and again if need be.
        """
        beyond = (self.rows.size - image.shape[1], self.columns.size - image.shape[2])
        if any(beyond):
            image = np.pad(image, ((0, 0), (0, beyond[0]), (0, beyond[1])), mode="symmetric")
        for top in self.rows.starts:
            for left in self.columns.starts:
                yield image[:, top : top + self.rows.tile, left : left + self.columns.tile]

    def join(self, tiles: Iterable[Floats]) -> Iterator[Floats]:
        """Yield the rows of the output (C, some, W * scale), from the top, as they become final.

        Args:
            tiles: (C, h * scale, w * scale) for each tile that `cut` gave, in that order.
        """
        scale, ahead = self.scale, iter(tiles)
        height, width = self.rows.tile * scale, self.columns.size * scale
        strip: Floats | None = None
        for row, top in enumerate(self.rows.starts):
            for column, left in enumerate(self.columns.starts):
                tile = next(ahead)
                if strip is None:
                    strip = np.zeros((len(tile), height, width), np.float32)
                weights = self.rows.weights[row][:, None] * self.columns.weights[column][None]
                place = strip[:, :, left * scale : left * scale + tile.shape[2]]
                place += tile * weights
            assert strip is not None  # there is a column
            following = self.rows.starts[row + 1 :]
            done = (following[0] - top) * scale if following else height
            yield strip[:, :done].copy()
            strip = np.concatenate([strip[:, done:], np.zeros_like(strip[:, :done])], axis=1)


def plan_tiles(size: tuple[int, int], tile: tuple[int, int], *, overlap: int, scale: int) -> Tiling:
    """Spread tiles evenly over a picture.

    Args:
        size: its rows and columns.
        tile: rows and columns of a tile.
        overlap: the least that neighbours share, at most half of a tile.
        scale: output pixels for each input pixel, along each side.
    """
    rows, columns = (_plan(s, t, overlap, scale) for s, t in zip(size, tile, strict=True))
    return Tiling(rows=rows, columns=columns, scale=scale)


def _plan(size: int, tile: int, overlap: int, scale: int) -> Axis:
    whole = max(size, tile)
    count = 1 + -(-(whole - tile) // (tile - overlap))
    starts = tuple(round(k * (whole - tile) / max(count - 1, 1)) for k in range(count))
    ramp = _fade(overlap, scale)
    windows = np.ones((count, tile * scale))
    if len(ramp):
        windows[1:, : len(ramp)] = ramp
        windows[:-1, -len(ramp) :] = np.minimum(windows[:-1, -len(ramp) :], ramp[::-1])
    total = np.zeros(whole * scale)
    for start, window in zip(starts, windows, strict=True):
        total[start * scale : (start + tile) * scale] += window
    weights = [
        window / total[start * scale : (start + tile) * scale]
        for start, window in zip(starts, windows, strict=True)
    ]
    return Axis(size=whole, tile=tile, starts=starts, weights=np.asarray(weights, np.float32))


def _fade(overlap: int, scale: int) -> NDArray[np.float64]:
    """Return the window over the overlap: zeros, half a cosine, ones."""
    dropped, faded = (overlap // 4) * scale, (overlap - 2 * (overlap // 4)) * scale
    rising = 0.5 - 0.5 * np.cos(np.pi * (np.arange(faded) + 0.5) / max(faded, 1))
    return np.concatenate([np.zeros(dropped), rising, np.ones(dropped)])
