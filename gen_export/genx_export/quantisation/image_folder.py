"""Images from folders and archives, in the place of what an input is otherwise calibrated with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from genx_export.model import LoadedModel
from genx_export.quantisation.recipe import QuantisationRecipe
from genx_runtimes.encoding import Floats
from genx_runtimes.errors import InputError, suggest
from genx_runtimes.image_inputs import cover, load_images, read_opaque
from genx_runtimes.images import to_values
from genx_runtimes.manifest import Manifest, UniformPrior
from genx_runtimes.pictures import ENDINGS, Pixels, read_picture
from genx_runtimes.sampling_specs import SamplerSpec, TranslateSpec
from genx_runtimes.session import Array

Folders = Mapping[str, str | PathLike[str]]
_CHANNELS = (1, 3, 4)
_LEAST = 16
# Of pictures that are cut into tiles one serves for the ranges, and another for the quality.
_FEWEST_TO_CUT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What inputs are fed with instead of draws from their prior, (N, C, H, W) by input.

    Args:
        calibration: to find ranges.
        fresh: other images, to measure the quality.
        files: how many images there are.
    """

    calibration: Mapping[str, Array]
    fresh: Mapping[str, Array]
    files: int = 0


NOTHING = Given(calibration={}, fresh={})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contract:
    """What an input takes: its shape (C, H, W), the values of black and white, tiles or wholes."""

    shape: tuple[int, int, int]
    low: float
    high: float
    cut: bool = False

    @property
    def least(self) -> int:
        """How many files it takes."""
        return _FEWEST_TO_CUT if self.cut else _LEAST

    def read(self, path: Path) -> Pixels:
        """Return a picture, scaled to cover the input and cropped, (H, W, C)."""
        channels, height, width = self.shape
        return cover(read_opaque(path, channels), height, width)

    def scale(self, pixels: Iterable[Pixels]) -> Floats:
        """Return pictures (H, W, C) as the input takes them, (N, C, H, W)."""
        return np.stack([to_values(each, self.low, self.high) for each in pixels])


def read_images(
    folders: Folders,
    model: Manifest | LoadedModel,
    recipe: QuantisationRecipe,
    counts: tuple[int, int],
) -> Given:
    """Read the images of each input: one part of the files for ranges, the rest for the quality.

    Each is turned as its EXIF orientation says, scaled to cover the input's size and cropped at the
    centre; grey becomes RGB where the input wants it. Fewer files than samples are taken again.
    Of an input that takes the tiles of larger pictures, tiles are cut from random places instead.

    Args:
        folders: by input: a folder, or an `.npz` with an array (N, C, H, W) in the input's shape,
            uint8 or floating point in the input's range.
        model: the manifest, with the shapes of inputs, and their ranges: of a uniform prior, or of
            the output; of an image-to-image model, the model itself will do.
        recipe: with the seed that the files are shuffled by.
        counts: samples for ranges, and for the quality.

    Raises:
        InputError: an input takes no images; there are too few, one that is broken, or one that
            would lose something: colours, transparency, more than 8 bits a channel.
    """
    sides: tuple[dict[str, Array], dict[str, Array]] = ({}, {})
    files = 0
    for name, folder in folders.items():
        contract, path = _find_contract(name, model), Path(folder)
        archive = _read_archive(path, name, contract) if path.suffix == ".npz" else None
        paths = [] if archive is not None else _list_files(path, contract.least)
        found, least = (len(paths), contract.least) if archive is None else (len(archive), _LEAST)
        random = np.random.RandomState(recipe.seed)
        order = random.permutation(found)
        split = max(least // 2, round(found * counts[0] / sum(counts)))
        split = min(split, found - least // 2)
        for side, count, chosen in zip(sides, counts, (order[:split], order[split:]), strict=True):
            if archive is not None:
                side[name] = archive[chosen[np.arange(count) % len(chosen)]]
            elif contract.cut:
                side[name] = _cut([paths[i] for i in chosen], contract, count, random)
            else:
                images = contract.scale(contract.read(paths[i]) for i in chosen[:count])
                side[name] = images[np.arange(count) % len(images)]
        files += found
    return Given(calibration=sides[0], fresh=sides[1], files=files)


def require_images(sampler: SamplerSpec, precisions: Sequence[str], images: Folders) -> None:
    """Refuse to quantise an image-to-image model without real images.

    Raises:
        InputError: a precision but fp32 is wanted, and there are none.
    """
    if not isinstance(sampler, TranslateSpec) or sampler.image in images:
        return
    wanted = [name for name in precisions if name != "fp32"]
    if wanted:
        raise InputError(
            f"{wanted[0]} of an image-to-image model is calibrated and measured with real images, "
            f"and there are none",
            fix=f"--images {sampler.image}=FOLDER, or [images] in the recipe",
        )


def _find_contract(name: str, model: Manifest | LoadedModel) -> _Contract:
    """Return what an input takes, if it takes images."""
    if isinstance(model.sampler, TranslateSpec) and name == model.sampler.image:
        low, high = model.sampler.range
        return _Contract(shape=model.sampler.tile, low=low, high=high, cut=True)
    if isinstance(model, LoadedModel):
        assert isinstance(model.sampler, TranslateSpec)  # others are read with the manifest
        raise InputError(
            f"the model has no input {name!r}", fix=suggest(name, [model.sampler.image])
        )
    inputs = {i.name: i for c in model.components for i in c.inputs}
    if name not in inputs:
        raise InputError(f"the model has no input {name!r}", fix=suggest(name, inputs))
    shape = inputs[name].shape[1:]
    if len(shape) != 3 or shape[0] not in _CHANNELS or not all(isinstance(d, int) for d in shape):
        raise InputError(
            f"input {name!r} has shape {shape}, an image has 1, 3 or 4 channels, rows and columns"
        )
    sizes = (int(shape[0]), int(shape[1]), int(shape[2]))
    for prior in model.priors:
        if prior.name == name and isinstance(prior, UniformPrior):
            return _Contract(shape=sizes, low=prior.low, high=prior.high)
    if name == model.output.name and model.output.range is not None:
        low, high = model.output.range
        return _Contract(shape=sizes, low=low, high=high)
    raise InputError(
        f"the range of input {name!r} is not known",
        fix=f"export with --prior {name}=uniform:{'x'.join(map(str, shape))}:-1..1",
    )


def _read_archive(path: Path, name: str, contract: _Contract) -> Floats:
    """Return the images (N, C, H, W) of an .npz, in the range of the input."""
    images = load_images(path, name, contract.shape, by_name=True)
    if len(images) < _LEAST:
        raise InputError(f"{path}: {name!r} has {len(images)} images, expected {_LEAST} or more")
    if images.dtype == np.uint8:
        return contract.scale(np.moveaxis(images, 1, 3))
    if not np.issubdtype(images.dtype, np.floating):
        raise InputError(f"{path}: {name!r} is {images.dtype.name}, expected uint8 or float32")
    if not (images.min() >= contract.low and images.max() <= contract.high):
        raise InputError(
            f"{path}: {name!r} spans {images.min():g} to {images.max():g}, the input takes "
            f"{contract.low:g} to {contract.high:g}"
        )
    return np.asarray(images, np.float32)


def _list_files(folder: Path, least: int) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder", fix="--images NAME=FOLDER")
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in ENDINGS)
    if len(paths) < least:
        raise InputError(f"{folder} has {len(paths)} images, expected {least} or more")
    return paths


def _cut(
    paths: Sequence[Path], contract: _Contract, count: int, random: np.random.RandomState
) -> Floats:
    """Return `count` tiles from random places of pictures, each in turn, (N, C, H, W)."""
    channels, *tile = contract.shape
    tiles: dict[int, Pixels] = {}
    for first, path in enumerate(paths[:count]):
        pixels = read_picture(path, channels).pixels
        beyond = [(0, max(0, t - s)) for t, s in zip(tile, pixels.shape[:2], strict=True)]
        pixels = np.pad(pixels, (*beyond, (0, 0)), mode="symmetric")
        for index in range(first, count, len(paths)):
            top, left = (
                random.randint(s - t + 1) for t, s in zip(tile, pixels.shape[:2], strict=True)
            )
            tiles[index] = pixels[top : top + tile[0], left : left + tile[1]]
    return contract.scale(tiles[index] for index in range(count))
