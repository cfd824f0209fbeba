"""What commands that are given images share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from genx_runtimes.encoder_spec import EncoderSpec
    from genx_runtimes.encoding import Floats
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
        self.spec = spec
        self._fit = fit
        self.names = [image.name for image in inputs]
        self.notes: list[str] = []

    def words(self) -> list[str]:
        """Return the first one's words on a command line; none where its file holds several."""
        image = self._inputs[0]
        if image.values is not None:
            return []
        return [str(image.path), *(["--fit"] if self._fit else [])]

    def __len__(self) -> int:
        return len(self._inputs)

    def __iter__(self) -> Iterator[Floats]:
        from genx_runtimes.image_inputs import read_images

        return read_images(self._inputs, self.spec, fit=self._fit, tell=self.notes.append)


def open_images(manifest: Manifest, paths: Sequence[Path], *, fit: bool) -> GivenImages:
    """Return the images of a command line for a bundle's encoder.

    Raises:
        InputError: the bundle has no encoder; there is no such file.
    """
    from genx_runtimes.encoder_spec import find_encoder
    from genx_runtimes.image_inputs import find_images

    spec = find_encoder(manifest)
    return GivenImages(find_images(paths, spec), spec, fit=fit)
