"""The images that a command is given: picture files, folders of them, arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from genx_runtimes.encoder_spec import EncoderSpec
from genx_runtimes.encoding import Floats
from genx_runtimes.errors import InputError
from genx_runtimes.images import to_values
from genx_runtimes.pictures import CHANNELS, Pixels, list_pictures, read_picture
from genx_runtimes.session import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInput:
    """One image that was given.

    Args:
        name: how it is told: a file, or FILE[i] for an entry of an array.
        path: the file.
        values: (C, H, W), of an array; None of a picture, which is read when it is needed.
    """

    name: str
    path: Path
    values: Array | None = None


def find_images(paths: Sequence[Path], spec: EncoderSpec) -> list[ImageInput]:
    """List the images in files and folders, in the order given; a folder's sorted by name.

    Args:
        paths: pictures, folders of pictures, `.npy` of images (N, C, H, W) in the contract's
            range, or `.npz` that has such an array, named like the encoder's input if not alone.
        spec: of the encoder that they are for.

    Raises:
        InputError: there is no such file, a folder without pictures, or no such array; pictures
            for a model of other channels than a picture has.
    """
    found: list[ImageInput] = []
    for path in paths:
        if path.is_dir():
            found += [ImageInput(name=str(p), path=p) for p in list_pictures(path)]
        elif not path.is_file():
            raise InputError(f"there is no file {path}")
        elif path.suffix.lower() in (".npy", ".npz"):
            array = load_images(path, spec.image, spec.shape)
            found += [
                ImageInput(name=f"{path}[{i}]", path=path, values=values)
                for i, values in enumerate(array)
            ]
        else:
            found.append(ImageInput(name=str(path), path=path))
    if spec.shape[0] not in CHANNELS and any(image.values is None for image in found):
        raise InputError(
            f"the model takes images of {spec.shape[0]} channels, a picture has 1, 3 or 4",
            fix="give an array: NAME.npy of (N, C, H, W)",
        )
    return found


def read_images(
    inputs: Sequence[ImageInput],
    spec: EncoderSpec,
    *,
    fit: bool = False,
    tell: Callable[[str], None],
) -> Iterator[Floats]:
    """Yield each image as the encoder takes it, (C, H, W) float32 in the contract's range.

    Args:
        inputs: as `find_images` lists them.
        spec: of the encoder.
        fit: whether pictures of another size are scaled to cover the model's and cropped.
        tell: called with a line for each picture that was.

    Raises:
        InputError: a picture cannot be read, is transparent somewhere, or has another size;
            arrays are checked by `encode`.
    """
    channels, height, width = spec.shape
    low, high = spec.range
    for image in inputs:
        if image.values is not None:
            yield image.values  # type: ignore[misc] # the encoder checks the dtype
            continue
        pixels = read_opaque(image.path, channels)
        if pixels.shape[:2] != (height, width):
            size = f"{pixels.shape[1]}x{pixels.shape[0]}"
            if not fit:
                raise InputError(
                    f"{image.name} is {size} pixels, the model takes {width}x{height}",
                    fix="--fit scales it to cover that size, and crops it at the centre",
                )
            tell(f"{image.name} was scaled and cropped from {size} to {width}x{height} pixels")
            pixels = cover(pixels, height, width)
        yield to_values(pixels, low, high)


def read_opaque(path: Path, channels: int) -> Pixels:
    """Read a picture (H, W, C) for a model that sees no transparency.

    Raises:
        InputError: see `read_picture`; or it is transparent somewhere.
    """
    picture = read_picture(path, channels)
    if picture.alpha is not None and not (picture.alpha == 255).all():
        raise InputError(
            f"{path} is transparent in places, the model takes opaque pictures",
            fix="save it on the ground that it is to be seen on",
        )
    return picture.pixels


def cover(pixels: Pixels, height: int, width: int) -> Pixels:
    """Scale pixels (H, W, C) to cover a size, and crop them at the centre."""
    from PIL import Image, ImageOps

    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    fitted = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    return np.asarray(fitted).reshape(height, width, pixels.shape[2])


def load_images(
    path: Path, name: str, shape: tuple[int, int, int], *, by_name: bool = False
) -> Array:
    """Return the images (N, C, H, W) of an array file, in its own dtype.

    Args:
        path: `.npy`, or `.npz` with an array of that name.
        name: of the input that they are for.
        shape: of one image: C, H, W.
        by_name: whether the only array of an `.npz` is to have that name too.

    Raises:
        InputError: it cannot be read, or there is no such array.
    """
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (OSError, ValueError, EOFError, BadZipFile) as err:
        raise InputError(f"{path} cannot be read as an array: {err}") from err
    alone = len(arrays) == 1 and not by_name
    array = next(iter(arrays.values())) if alone else arrays.get(name)
    if array is None:
        raise InputError(
            f"{path} has {', '.join(arrays) or 'no array'}, expected {name!r}",
            fix="give pictures, or an array of images",
        )
    if array.ndim != 4 or array.shape[1:] != shape or not len(array):
        expected = ", ".join(map(str, shape))
        raise InputError(f"{path} has shape {array.shape}, expected (N, {expected})")
    images: Array = array
    return images
