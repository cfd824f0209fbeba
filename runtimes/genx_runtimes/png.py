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

Pixels = NDArray[np.unsignedinteger]  # uint8 or uint16

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Channels: greyscale, greyscale with alpha, truecolour, truecolour with alpha.
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def encode_png(pixels: Pixels, *, compression: int = 6) -> bytes:
    """Return pixels as a PNG file of as many bits a channel as they have.

    Args:
        pixels: (H, W, C), uint8 or uint16; C is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).
        compression: of zlib, 0 (none) to 9 (smallest).
    """
    height, width, channels = pixels.shape
    bits = pixels.itemsize * 8
    values = pixels if bits == 8 else pixels.astype(">u2").view(np.uint8)
    values = values.reshape(height, -1)
    rows = np.zeros((height, 1 + values.shape[1]), dtype=np.uint8)  # each begins with filter 0
    rows[:, 1:] = values
    header = struct.pack(">IIBBBBB", width, height, bits, _COLOUR_TYPES[channels], 0, 0, 0)
    data = zlib.compress(rows.tobytes(), compression)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
