"""Reading and writing picture files; what would change a picture unnoticed is refused.

Pillow is imported when a file is read, not before.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.errors import BackendUnavailableError, GenxError, InputError

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
CHANNELS = (1, 3, 4)  # that a picture is read as: grey, RGB, RGBA
# Pillow's names of them. Of others, some are run by programs that are not to see a stranger's file.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
# Formats whose further frames are previews of the first one, not an animation.
_PREVIEWS = ("MPO",)
_MODES = {"1": "L", "L": "L", "LA": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA"}
_WITH_ALPHA = {"L": "LA", "RGB": "RGBA"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture as it is seen: turned as its EXIF orientation says.

    Args:
        pixels: (H, W, C) uint8.
        alpha: (H, W) uint8; None where there is none, or where it is among the C channels.
        profile: the ICC profile that the pixels are to be read by; None where there is none.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    profile: bytes | None = None


def read_picture(
    source: Path | BinaryIO, channels: int, *, max_pixels: int | None = None
) -> Picture:
    """Read a picture for a model of 1 (grey), 3 (RGB) or 4 (RGBA) channels.

    Nothing is lost: grey becomes RGB, and RGB grey only where its three channels are equal.

    Args:
        source: a file, or what was opened for binary reading.
        channels: of the model.
        max_pixels: more are refused before they are decoded; None leaves it to Pillow.

    Raises:
        InputError: the file is missing, damaged, too large, an animation, has more than 8 bits a
            channel, or colours that the model does not take.
    """
    image, profile = _load(source, max_pixels)
    alpha = None
    if image.mode in ("LA", "RGBA") and channels != 4:
        alpha = np.asarray(image.getchannel("A"))
        image = image.convert(image.mode[:-1])
    if channels == 4:
        wanted = "RGBA"
    elif channels == 3:
        wanted = "RGB"
    else:
        wanted = "L"
        if image.mode == "RGB":
            image = _make_grey(image, _name(source))
    kept = profile if image.mode == wanted else None
    pixels = np.asarray(image.convert(wanted))
    return Picture(pixels=pixels.reshape(*pixels.shape[:2], channels), alpha=alpha, profile=kept)


def write_picture(file: BinaryIO, picture: Picture) -> None:
    """Write a picture as PNG, with its alpha and its profile.

    Args:
        file: opened for binary writing.
        picture: of 1, 3 or 4 channels.
    """
    from PIL import Image

    pixels = picture.pixels
    if picture.alpha is not None:
        pixels = np.dstack([pixels, picture.alpha])
    if pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    Image.fromarray(pixels).save(file, "PNG", icc_profile=picture.profile)


def enlarge_alpha(alpha: Pixels, scale: int) -> Pixels:
    """Return alpha (H, W) at `scale` times its size, by Pillow's bicubic filter."""
    if scale == 1:
        return alpha
    from PIL import Image

    height, width = alpha.shape
    size = (width * scale, height * scale)
    return np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.BICUBIC))


def list_pictures(folder: Path) -> list[Path]:
    """Return the picture files straight in a folder, by name.

    Raises:
        InputError: there is none.
    """
    found = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in ENDINGS)
    if not found:
        raise InputError(f"{folder} holds no picture", fix=f"it may be {', '.join(ENDINGS)}")
    return found


def _name(source: Path | BinaryIO) -> str:
    return str(source) if isinstance(source, Path) else "the picture"


def _load(source: Path | BinaryIO, max_pixels: int | None) -> tuple[Image.Image, bytes | None]:
    """Return the decoded picture in mode L, LA, RGB or RGBA, turned upright, and its profile."""
    try:
        from PIL import Image, ImageOps
    except ImportError as err:
        raise BackendUnavailableError(
            "picture files need Pillow, which is not installed", fix="pip install pillow"
        ) from err
    if isinstance(source, Path) and not source.exists():
        raise InputError(f"there is no file {source}")
    name = _name(source)
    try:
        with warnings.catch_warnings():
            # Half of what is refused as a bomb: large, and no harm.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source, formats=_FORMATS) as opened:
                _check(opened, name, max_pixels)
                profile = opened.info.get("icc_profile")
                opened.load()
                image = ImageOps.exif_transpose(opened)
                mode = _MODES[image.mode]
                if image.has_transparency_data:
                    mode = _WITH_ALPHA.get(mode, mode)
                return image.convert(mode), profile
    except GenxError:
        raise
    except Image.DecompressionBombError as err:
        raise InputError(
            f"{name} has more pixels than Pillow opens ({err})", fix="cut it into parts"
        ) from err
    except Exception as err:  # a damaged file makes decoders raise anything
        raise InputError(f"{name} cannot be read as a picture: {err}") from err


def _check(opened: Image.Image, name: str, max_pixels: int | None) -> None:
    """Refuse what Pillow would read, and lose something of."""
    pixels = opened.width * opened.height
    if max_pixels is not None and pixels > max_pixels:
        raise InputError(f"{name} has {pixels} pixels, {max_pixels} are allowed")
    deep = opened.mode[0] in "IF" or any(";16" in str(tile[3]) for tile in _tiles(opened))
    if deep:
        raise InputError(
            f"{name} has pixels of more than 8 bits a channel",
            fix="save it with 8 bits a channel",
        )
    if opened.mode not in _MODES:
        raise InputError(
            f"{name} has colours of mode {opened.mode}, expected grey or RGB",
            fix="save it as RGB",
        )
    frames = getattr(opened, "n_frames", 1)
    if frames > 1 and opened.format not in _PREVIEWS:
        raise InputError(f"{name} holds {frames} pictures", fix="save each as a file of its own")


def _tiles(opened: Image.Image) -> list[tuple[object, ...]]:
    """Return how Pillow is going to decode the file, where it says so: the fourth is the mode."""
    return [tuple(tile) for tile in getattr(opened, "tile", ()) if len(tuple(tile)) > 3]


def _make_grey(image: Image.Image, name: str) -> Image.Image:
    red, green, blue = (np.asarray(band) for band in image.split())
    if not (np.array_equal(red, green) and np.array_equal(red, blue)):
        raise InputError(f"{name} has colours, the model takes grey", fix="save it as grey")
    return image.getchannel("R")
