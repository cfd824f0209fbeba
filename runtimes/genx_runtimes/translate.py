"""Translating pictures of any size with an image-to-image bundle, tile by tile.

with open_bundle("translator.genx").translator() as translator:
    restored = translator.translate(pixels)  # (H, W, C) uint8
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.conditions import ConditionValue
from genx_runtimes.errors import BackendError, InputError
from genx_runtimes.images import to_pixels, to_values
from genx_runtimes.latents import LatentSource
from genx_runtimes.manifest import Manifest
from genx_runtimes.sampler import check_batch
from genx_runtimes.sampling_specs import TranslateSpec
from genx_runtimes.session import Array, Closing, Session, run_batches
from genx_runtimes.tiling import Floats, Tiling, plan_tiles

Pixels = NDArray[np.uint8]


class Translator(Closing):
    """Translates pictures with the session of a bundle; a context manager that closes it.

    Args:
        manifest: the bundle's manifest.
        session: the loaded graph of the component that the sampler runs.
        batch: tiles a pass, within the bundle's bounds; None takes 16, or what the bundle allows.

    Raises:
        InputError: the bundle does not translate pictures, or the batch is outside its bounds.
    """

    def __init__(self, manifest: Manifest, session: Session, *, batch: int | None = None) -> None:
        self.spec = check_translates(manifest)
        self.manifest = manifest
        self.session = session
        bounds = manifest.batch
        self._batch = bounds.usual if batch is None else batch
        check_batch(bounds, self._batch)

    def plan(self, height: int, width: int) -> Tiling:
        """Return the tiles of a picture; `len` of it is how many."""
        _, *tile = self.spec.tile
        return plan_tiles(
            (height, width),
            (tile[0], tile[1]),
            overlap=self.spec.overlap,
            scale=self.spec.scale,
        )

    def translate(
        self,
        image: Pixels,
        *,
        seed: int = 0,
        index: int = 0,
        conditions: Mapping[str, ConditionValue] | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Pixels:
        """Translate one picture.

        Args:
            image: (H, W, C) uint8, C as many channels as the model's tiles have.
            seed: of the model's priors, where it has any.
            index: of the picture: sample `index` of each prior is used for all of its tiles.
            conditions: what is fixed of the priors instead of drawn.
            progress: called with the number of tiles that have been done since the last call.

        Returns:
            (H * scale, W * scale, C') uint8.

        Raises:
            InputError: the array is no picture of the model's channels, or a condition is wrong.
            BackendError: the engine failed, or gave NaN or infinity.
        """
        channels = self.spec.tile[0]
        if (
            image.dtype != np.uint8
            or image.ndim != 3
            or image.shape[2] != channels
            or not image.size
        ):
            raise InputError(
                f"the image is {image.dtype.name} {image.shape}, expected uint8 (H, W, {channels})"
            )
        drawn = LatentSource(self.manifest.priors, seed, conditions=conditions).draw([index])
        height, width = image.shape[:2]
        tiling = self.plan(height, width)
        low, high = self.spec.range
        values = to_values(image, low, high)
        rows = tiling.join(self._run(tiling.cut(values), drawn, progress))
        made = np.concatenate([to_pixels(row[None], self.manifest.output)[0] for row in rows])
        scale = self.spec.scale
        return np.ascontiguousarray(made[: height * scale, : width * scale])

    def _run(
        self, tiles: Iterable[Floats], drawn: Mapping[str, Array], progress: Callable[[int], None]
    ) -> Iterator[Floats]:
        """Yield what the model makes of each tile, a batch at a time."""
        counts: list[int] = []

        def feed() -> Iterator[dict[str, Array]]:
            for group in _group(tiles, self._batch):
                counts.append(len(group))
                # A batch below the smallest is filled up with its last tile; samples do not mix.
                filled = group + group[-1:] * (self.manifest.batch.min - len(group))
                yield {
                    self.spec.image: np.stack(filled),
                    **{n: np.repeat(array, len(filled), axis=0) for n, array in drawn.items()},
                }

        for outputs in run_batches(self.session, feed()):
            made = outputs[self.manifest.output.name]
            if not np.isfinite(made).all():
                raise BackendError(
                    "the translation holds NaN or infinity: this engine or precision breaks the "
                    "model",
                    fix="genx verify shows whether the golden samples come out right",
                )
            count = counts.pop(0)
            progress(count)
            yield from made[:count].astype(np.float32, copy=False)

    def close(self) -> None:
        """Free the engine."""
        self.session.close()


def check_translates(manifest: Manifest) -> TranslateSpec:
    """Return what the manifest says of the translation.

    Raises:
        InputError: the bundle does not translate pictures.
    """
    if not isinstance(manifest.sampler, TranslateSpec):
        raise InputError(
            f"{manifest.name} makes samples, it does not translate pictures",
            fix="draw from it: genx sample",
        )
    if manifest.output.kind != "image" or manifest.output.bits != 8:
        raise InputError(
            f"{manifest.name} makes no images of 8 bits a channel",
            fix="export it again with --output image:LOW..HIGH",
        )
    return manifest.sampler


def _group(tiles: Iterable[Floats], size: int) -> Iterator[list[Floats]]:
    group: list[Floats] = []
    for tile in tiles:
        group.append(tile)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
