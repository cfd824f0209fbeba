"""What commands that are given images share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genx_runtimes.errors import InputError

if TYPE_CHECKING:
    from genx_runtimes.encoding import EncoderSpec, Floats
    from genx_runtimes.image_inputs import ImageInput
    from genx_runtimes.manifest import Manifest

ImagePaths = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT...",
        help="Pictures, folders of pictures, or arrays: .npy or .npz of (N, C, H, W).",
    ),
]
PosteriorSample = Annotated[
    bool, typer.Option("--sample", help="Draw latents from the posterior; else take its mean.")
]
Seed = Annotated[int, typer.Option(help="Seed of what is drawn.")]
Start = Annotated[int, typer.Option(help="Index of the first image; its noise depends on it.")]
Fit = Annotated[bool, typer.Option("--fit", help="Scale pictures of another size, and crop them.")]


class GivenImages:
    """The images that a command was given, read one after the other.

    Args:
        inputs: where they are.
        spec: of the encoder that they are for.
        fit: whether those of another size are resized.
    """

    def __init__(self, inputs: Sequence[ImageInput], spec: EncoderSpec, *, fit: bool) -> None:
        self._inputs = inputs
        self._spec = spec
        self._fit = fit
        self.names = [image.name for image in inputs]
        self.notes: list[str] = []

    def first(self) -> str:
        """Return the first one as an argument, where a file is one image: "" or " PATH"."""
        from genx_cli.next_steps import quote

        image = self._inputs[0]
        return f" {quote(image.path)}" if image.values is None else ""

    def __len__(self) -> int:
        return len(self._inputs)

    def __iter__(self) -> Iterator[Floats]:
        from genx_runtimes.image_inputs import read_images

        return read_images(self._inputs, self._spec, fit=self._fit, tell=self.notes.append)


def open_images(manifest: Manifest, paths: Sequence[Path], *, fit: bool) -> GivenImages:
    """Return the images of a command line for a bundle's encoder.

    Raises:
        InputError: the bundle has no encoder; there is no such file.
    """
    from genx_runtimes.encoding import find_encoder
    from genx_runtimes.image_inputs import find_images

    spec = find_encoder(manifest)
    return GivenImages(find_images(paths, spec), spec, fit=fit)


def check_output(path: Path, endings: Sequence[str], *, force: bool) -> None:
    """Raise InputError unless `path` has one of the endings and may be written."""
    if path.suffix not in endings:
        raise InputError(
            f"{path} ends in {path.suffix!r}",
            fix=f"write {' or '.join('NAME' + e for e in endings)}",
        )
    if path.is_dir():
        raise InputError(f"{path} is a folder", fix="choose another name with -o")
    if path.exists() and not force:
        raise InputError(f"{path} exists already", fix="--force replaces it")
