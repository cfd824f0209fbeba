"""Pictures, read back by an image library."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from genx_runtimes.png import encode_png


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
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


@pytest.mark.parametrize(("channels", "mode"), [(1, "I;16"), (2, "RGBA"), (3, "RGB"), (4, "RGBA")])
def test_an_image_library_reads_16_bits(channels: int, mode: str) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65536, (5, 7, channels)).astype(np.uint16)
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        image.load()
        assert image.mode == mode
        read = np.asarray(image).reshape(5, 7, -1)
    if channels == 1:
        assert np.array_equal(read, pixels)
    else:  # the library keeps the upper eight bits, and makes colours of grey with alpha
        places = [0, 3] if channels == 2 else list(range(channels))
        assert np.array_equal(read[..., places], pixels >> 8)
