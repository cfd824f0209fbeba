"""Writing animated GIF files.

Source: CompuServe, "Graphics Interchange Format", version 89a.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.errors import OutputError


def encode_gif(frames: NDArray[np.uint8], *, milliseconds: int = 100) -> bytes:
    """Return frames as a GIF that repeats without end.

    Args:
        frames: (F, H, W, C) uint8, C = 1 or 3; colours are reduced to 256 a frame.
        milliseconds: that each frame stays.

    Raises:
        OutputError: Pillow is not installed, or the frames are not grey or RGB of 8 bits.
    """
    try:
        from PIL import Image
    except ImportError as err:
        raise OutputError("a GIF needs Pillow", fix="pip install pillow, or write a .png") from err
    if frames.shape[3] not in (1, 3) or frames.dtype != np.uint8:
        raise OutputError(
            f"a GIF holds grey or RGB of 8 bits, these frames have {frames.shape[3]} channels of "
            f"{frames.dtype.itemsize * 8}",
            fix="write a .png",
        )
    images = [Image.fromarray(f[:, :, 0] if f.shape[2] == 1 else f) for f in frames]
    file = io.BytesIO()
    images[0].save(
        file,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=milliseconds,
        loop=0,
        optimize=False,
    )
    return file.getvalue()
