"""PNG files, read back by hand here and by an image library in tests/cli."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from genx_runtimes.images import save_png
from genx_runtimes.png import Pixels, encode_png


def read_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Split a PNG file into its chunks, checking each checksum."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = [], 8
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        (checksum,) = struct.unpack_from(">I", data, place + 8 + size)
        assert checksum == zlib.crc32(kind + body)
        chunks.append((kind, body))
        place += 12 + size
    return chunks


def random_pixels(height: int, width: int, channels: int, bits: int = 8) -> Pixels:
    rng = np.random.default_rng(channels)
    return rng.integers(0, 2**bits, (height, width, channels)).astype(f"u{bits // 8}")


@pytest.mark.parametrize(("channels", "colour"), [(1, 0), (2, 4), (3, 2), (4, 6)])
@pytest.mark.parametrize("bits", [8, 16])
def test_the_file_holds_the_pixels(channels: int, colour: int, bits: int) -> None:
    pixels = random_pixels(5, 7, channels, bits)
    header, body, end = read_chunks(encode_png(pixels))
    assert header == (b"IHDR", struct.pack(">IIBBBBB", 7, 5, bits, colour, 0, 0, 0))
    assert end == (b"IEND", b"")
    rows = np.frombuffer(zlib.decompress(body[1]), np.uint8).reshape(
        5, 1 + 7 * channels * bits // 8
    )
    assert (rows[:, 0] == 0).all()
    values = np.frombuffer(rows[:, 1:].tobytes(), f">u{bits // 8}")
    assert np.array_equal(values.reshape(pixels.shape), pixels)


def test_files_are_written_whole(tmp_path: Path) -> None:
    pixels = random_pixels(3, 3, 1)
    save_png(tmp_path / "x.png", pixels)
    assert (tmp_path / "x.png").read_bytes() == encode_png(pixels)
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]
