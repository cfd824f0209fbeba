"""Pictures, read back by an image library."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from genx_runtimes.png import encode_png


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (64, 33)])
def test_an_image_library_reads_the_same_pixels(
    channels: int, mode: str, size: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (*size, channels)).astype(np.uint8)
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        image.load()
        assert image.format == "PNG"
        assert image.mode == mode
        assert image.size == (size[1], size[0])
        assert np.array_equal(np.asarray(image).reshape(pixels.shape), pixels)
