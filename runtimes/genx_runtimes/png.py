"""Writing PNG files.

An image library would do it too, but importing one takes a tenth of the time from process start to
the first picture, and nothing else of it is needed here.

Source: W3C, "Portable Network Graphics (PNG) Specification", third edition, sections 5 and 11.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # channels: greyscale, truecolour, truecolour with alpha


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return (H, W, C) uint8 pixels, C = 1, 3 or 4, as a PNG file of 8 bits a channel."""
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), dtype=np.uint8)  # each begins with filter 0
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
