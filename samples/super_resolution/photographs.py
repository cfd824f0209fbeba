"""Two photographs, a part of each held out, and the small pictures that they are guessed from."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["NAMES", "load_parts", "shrink"]

FOLDER = Path(__file__).parents[1] / "data" / "photographs"
NAMES = ("china", "flower")
# A strip through the pagoda and the flower is held out.
LEFT, RIGHT = 192, 320
HEIGHT = 424  # a multiple of 8

Pixels = NDArray[np.uint8]


def load_parts(held_out: bool) -> list[Pixels]:
    """Return parts (424, W, 3) uint8 of both: the strips held out, or what is beside them."""
    parts = []
    for name in NAMES:
        with Image.open(FOLDER / f"{name}.jpg") as image:
            pixels = np.asarray(image.convert("RGB"))[:HEIGHT]
        parts += [pixels[:, LEFT:RIGHT]] if held_out else [pixels[:, :LEFT], pixels[:, RIGHT:]]
    return parts


def shrink(pixels: Pixels, scale: int) -> Pixels:
    """Return a picture (H, W, 3) at 1 / scale of its size, by Pillow's bicubic filter."""
    height, width, _ = pixels.shape
    image = Image.fromarray(pixels)
    size = (width // scale, height // scale)
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))
