"""Images from folders, in the place of what an input is otherwise calibrated with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from genx_export.quantisation.recipe import QuantisationRecipe
from genx_runtimes.errors import InputError, suggest
from genx_runtimes.manifest import Manifest, UniformPrior
from genx_runtimes.session import Array

Folders = Mapping[str, str | PathLike[str]]
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")
_LEAST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What inputs are fed with instead of draws from their prior, (N, C, H, W) by input.

    Args:
        calibration: to find ranges.
        fresh: other images, to measure the quality.
        files: how many there are.
    """

    calibration: Mapping[str, Array]
    fresh: Mapping[str, Array]
    files: int = 0


NOTHING = Given(calibration={}, fresh={})


def read_images(
    folders: Folders, manifest: Manifest, recipe: QuantisationRecipe, counts: tuple[int, int]
) -> Given:
    """Read the images of each input: one part of the files for ranges, the rest for the quality.

    Each is turned as its EXIF orientation says, made grey or colour as the input wants it, scaled
    to cover the input's size and cropped at the centre. Fewer files than samples are taken again.

    Args:
        folders: by input.
        manifest: with the shapes of inputs, and their ranges: of a uniform prior, or of the output.
        recipe: with the seed that the files are shuffled by.
        counts: samples for ranges, and for the quality.

    Raises:
        InputError: an input takes no images; a folder has fewer than 16, or one that is broken.
    """
    sides: tuple[dict[str, Array], dict[str, Array]] = ({}, {})
    files = 0
    for name, folder in folders.items():
        shape, low, high = _find_contract(name, manifest)
        paths = _list_files(Path(folder))
        order = np.random.RandomState(recipe.seed).permutation(len(paths))
        split = max(_LEAST // 2, round(len(paths) * counts[0] / sum(counts)))
        split = min(split, len(paths) - _LEAST // 2)
        for side, count, chosen in zip(sides, counts, (order[:split], order[split:]), strict=True):
            images = np.stack([_read(paths[i], shape) for i in chosen[:count]])
            scaled = (low + (high - low) * (images / np.float32(255))).astype(np.float32)
            side[name] = scaled[np.arange(count) % len(scaled)]
        files += len(paths)
    return Given(calibration=sides[0], fresh=sides[1], files=files)


def _find_contract(name: str, manifest: Manifest) -> tuple[tuple[int, int, int], float, float]:
    """Return shape and range of an input that takes images."""
    inputs = {i.name: i for c in manifest.components for i in c.inputs}
    if name not in inputs:
        raise InputError(f"the model has no input {name!r}", fix=suggest(name, inputs))
    shape = inputs[name].shape[1:]
    if len(shape) != 3 or shape[0] not in _MODES or not all(isinstance(d, int) for d in shape):
        raise InputError(
            f"input {name!r} has shape {shape}, an image has 1, 3 or 4 channels, rows and columns"
        )
    for prior in manifest.priors:
        if prior.name == name and isinstance(prior, UniformPrior):
            return shape, prior.low, prior.high  # type: ignore[return-value]
    if name == manifest.output.name and manifest.output.range is not None:
        return shape, *manifest.output.range  # type: ignore[return-value]
    raise InputError(
        f"the range of input {name!r} is not known",
        fix=f"export with --prior {name}=uniform:{'x'.join(map(str, shape))}:-1..1",
    )


def _list_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder", fix="--images NAME=FOLDER")
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in _ENDINGS)
    if len(paths) < _LEAST:
        raise InputError(f"{folder} has {len(paths)} images, expected {_LEAST} or more")
    return paths


def _read(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Return an image (C, H, W), uint8."""
    try:
        with Image.open(path) as opened:
            if opened.mode[0] in "IF":
                raise InputError(
                    f"{path} has pixels of more than 8 bits (mode {opened.mode})",
                    fix="save it with 8 bits a channel",
                )
            image = ImageOps.exif_transpose(opened).convert(_MODES[shape[0]])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as err:
        raise InputError(f"{path} cannot be read as an image: {err}") from err
    fitted = ImageOps.fit(image, (shape[2], shape[1]), Image.Resampling.LANCZOS)
    return np.asarray(fitted).reshape(shape[1], shape[2], shape[0]).transpose(2, 0, 1)
