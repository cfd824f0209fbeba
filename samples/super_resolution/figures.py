"""How much closer to the photograph the enlarged picture is than bicubic interpolation."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from samples.judging import Figure
from samples.super_resolution.photographs import load_parts, shrink

from genx_export import export
from genx_runtimes.bundle import Bundle, open_bundle

Pixels = NDArray[np.uint8]
# A border of some pixels is left out, as is usual: there both have to guess.
BORDER = 4
BARS = {2: 0.5, 4: 0.2}
FOLDER = Path(__file__).parent
RECIPES = {2: FOLDER, 4: FOLDER / "x4"}


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return the gain in PSNR over Pillow's bicubic filter, at both scales."""
    figures = []
    for scale, recipe in RECIPES.items():
        path = folder / f"super_resolution_x{scale}.genx"
        export(recipe, path, precision=(precision,), force=True)
        bundle = open_bundle(path)
        gains = []
        for part in load_parts(held_out=True):
            small = shrink(part, scale)
            gains.append(
                measure_psnr(enlarge(bundle, small), part)
                - measure_psnr(enlarge_bicubic(small, scale), part)
            )
        figures.append(
            Figure(
                name=f"super_resolution: x{scale}, gain over bicubic",
                value=float(np.mean(gains)),
                bar=BARS[scale],
                unit="dB",
            )
        )
    return figures


def enlarge(bundle: Bundle, pixels: Pixels) -> Pixels:
    """Return a picture (H, W, 3) enlarged by the bundle."""
    with bundle.translator() as translator:
        return translator.translate(pixels)


def enlarge_bicubic(pixels: Pixels, scale: int) -> Pixels:
    """Return a picture (H, W, 3) enlarged by Pillow's bicubic filter."""
    height, width, _ = pixels.shape
    size = (width * scale, height * scale)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def measure_psnr(got: Pixels, expected: Pixels) -> float:
    """Return the PSNR in dB of a picture over all channels, without its border."""
    inner = slice(BORDER, -BORDER)
    error = got[inner, inner].astype(np.float64) - expected[inner, inner]
    return float(-10 * np.log10(np.mean(np.square(error / 255))))
