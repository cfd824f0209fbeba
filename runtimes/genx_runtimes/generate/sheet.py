"""The contact sheet: the first images of a data set side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from genx_runtimes.images import make_grid, save_png
from genx_runtimes.sampler import Batch

SHEET = "contact-sheet.png"
_COUNT = 64
_SIDE = 4096  # of the sheet at most, in pixels


def make_sheet(folder: Path, batches: Iterator[Batch]) -> Iterator[Batch]:
    """Pass the first batches on, and write the sheet of them: 64 images, fewer of large ones.

    Raises:
        OutputError: it cannot be written.
    """
    kept: list[np.ndarray] = []
    wanted, done = 0, False
    for batch in batches:
        if not done:
            images = batch.images()
            if not kept:
                rows = max(1, min(8, _SIDE // max(images.shape[1:3])))
                wanted = min(_COUNT, rows * rows)
            kept += list(images[: wanted - len(kept)])
            if len(kept) == wanted:
                done = True
                save_png(folder / SHEET, make_grid(np.stack(kept)))
        yield batch
    if kept and not done:
        save_png(folder / SHEET, make_grid(np.stack(kept)))
