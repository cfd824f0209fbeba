"""Picture files: what is read as it is, and what is refused because something would be lost."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genx_runtimes.errors import InputError
from genx_runtimes.pictures import Picture, enlarge_alpha, read_picture, write_picture

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.random.RandomState(0).randint(0, 256, (3, 4, 3)).astype(np.uint8)
ALPHA = np.arange(12, dtype=np.uint8).reshape(3, 4)[::-1] * 23


def _save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def test_grey_and_colour(tmp_path: Path) -> None:
    grey = _save(tmp_path / "grey.png", GREY)
    colour = _save(tmp_path / "colour.png", COLOUR)
    np.testing.assert_array_equal(read_picture(grey, 1).pixels[:, :, 0], GREY)
    np.testing.assert_array_equal(read_picture(grey, 3).pixels, np.dstack([GREY] * 3))
    np.testing.assert_array_equal(read_picture(colour, 3).pixels, COLOUR)
    opaque = read_picture(colour, 4)
    np.testing.assert_array_equal(opaque.pixels, np.dstack([COLOUR, np.full((3, 4), 255)]))
    assert opaque.alpha is None
    same = _save(tmp_path / "same.png", np.dstack([GREY] * 3))
    np.testing.assert_array_equal(read_picture(same, 1).pixels[:, :, 0], GREY)
    with pytest.raises(InputError, match=r"colour\.png has colours, the model takes grey"):
        read_picture(colour, 1)


def test_palettes_and_two_levels(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).quantize(12).save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "palette.png", 3).pixels, COLOUR)
    Image.fromarray(GREY > 100).save(tmp_path / "levels.png")
    levels = read_picture(tmp_path / "levels.png", 1).pixels[:, :, 0]
    np.testing.assert_array_equal(levels, np.where(GREY > 100, 255, 0))
    Image.fromarray(COLOUR).quantize(12).save(tmp_path / "clear.png", transparency=3)
    clear = read_picture(tmp_path / "clear.png", 3)
    assert clear.alpha is not None
    assert sorted(set(clear.alpha.ravel().tolist())) == [0, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_exif_says(tmp_path: Path, orientation: int) -> None:
    upright = np.kron(np.array([[0, 90, 180], [250, 200, 30]], np.uint8), np.ones((8, 8), np.uint8))
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, 3),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = _save(tmp_path / "turned.png", np.ascontiguousarray(stored), exif=exif)
    np.testing.assert_array_equal(read_picture(path, 1).pixels[:, :, 0], upright)


def test_alpha_is_kept_beside_the_colours(tmp_path: Path) -> None:
    path = _save(tmp_path / "clear.png", np.dstack([COLOUR, ALPHA]))
    picture = read_picture(path, 3)
    np.testing.assert_array_equal(picture.pixels, COLOUR)
    np.testing.assert_array_equal(picture.alpha, ALPHA)
    with (tmp_path / "again.png").open("xb") as file:
        write_picture(file, picture)
    with Image.open(tmp_path / "again.png") as image:
        np.testing.assert_array_equal(np.asarray(image), np.dstack([COLOUR, ALPHA]))
    whole = read_picture(path, 4)
    assert whole.alpha is None
    np.testing.assert_array_equal(whole.pixels[:, :, 3], ALPHA)
    grey = read_picture(_save(tmp_path / "la.png", np.dstack([GREY, ALPHA])), 1)
    np.testing.assert_array_equal(grey.alpha, ALPHA)
    assert enlarge_alpha(ALPHA, 2).shape == (6, 8)


def test_a_colour_profile_stays(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = _save(tmp_path / "colour.png", COLOUR, icc_profile=profile)
    picture = read_picture(path, 3)
    assert picture.profile == profile
    written = BytesIO()
    write_picture(written, picture)
    with Image.open(written) as image:
        assert image.info["icc_profile"] == profile
    grey = _save(tmp_path / "grey.png", GREY, icc_profile=profile)
    assert read_picture(grey, 3).profile is None


def _write_bomb(path: Path) -> None:
    """Write a PNG whose header promises 30,000 x 30,000 pixels."""
    picture = BytesIO()
    write_picture(picture, Picture(pixels=GREY[:, :, None]))
    data = bytearray(picture.getvalue())
    import zlib

    data[16:24] = struct.pack(">II", 30_000, 30_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.png", "there is no file"),
        ("text.png", "cannot be read as a picture: cannot identify image file"),
        ("cut.jpg", "cannot be read as a picture: image file is truncated"),
        ("bomb.png", "has more pixels than Pillow opens.*cut it into parts"),
        ("deep.png", "has pixels of more than 8 bits a channel"),
        ("deep.tif", "has pixels of more than 8 bits a channel"),
        ("print.jpg", "has colours of mode CMYK, expected grey or RGB"),
        ("moves.gif", "holds 2 pictures"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "text.png").write_text("no picture")
    large = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    whole = _save(tmp_path / "whole.jpg", large).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    _write_bomb(tmp_path / "bomb.png")
    _save(tmp_path / "deep.png", GREY.astype(np.uint16) * 257)
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "deep.tif")
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "print.jpg")
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=message):
        read_picture(tmp_path / name, 3)


def test_sixteen_bits_of_colour_are_refused_though_pillow_reads_eight(tmp_path: Path) -> None:
    import zlib

    rows = np.zeros((3, 1 + 4 * 6), np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body
        data += struct.pack(">I", zlib.crc32(kind + body))
    (tmp_path / "deep.png").write_bytes(data)
    with Image.open(tmp_path / "deep.png") as image:
        assert image.mode == "RGB"
    with pytest.raises(InputError, match="has pixels of more than 8 bits a channel"):
        read_picture(tmp_path / "deep.png", 3)


def test_a_file_that_another_program_would_run_is_refused(tmp_path: Path) -> None:
    """Pillow gives PostScript to Ghostscript."""
    path = tmp_path / "picture.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    with pytest.raises(InputError, match="cannot be read as a picture: cannot identify"):
        read_picture(path, 3)
