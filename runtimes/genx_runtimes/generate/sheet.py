"""The contact sheet: the first images of a data set side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from genx_runtimes.generate.publishing import publish
from genx_runtimes.images import make_grid
from genx_runtimes.png import Pixels, encode_png
from genx_runtimes.sampler import Batch

SHEET = "contact-sheet.png"
_COLUMNS = 8
_SIDE = 4096  # of the sheet, in pixels: of large images there are fewer


def make_sheet(folder: Path, batches: Iterator[Batch]) -> Iterator[Batch]:
    """Pass batches on, and write the sheet of the first 64 images, or of as many as there are.

    Raises:
        OutputError: it cannot be written.
    """
    kept: list[Pixels] = []
    wanted = _COLUMNS**2
    for batch in batches:
        if len(kept) < wanted:
            images = batch.images()
            wanted = max(1, min(_COLUMNS, _SIDE // max(images.shape[1:3]))) ** 2
            kept += list(images[: wanted - len(kept)])
        yield batch
    with publish(folder / SHEET) as temporary:
        temporary.write_bytes(encode_png(make_grid(np.stack(kept))))
