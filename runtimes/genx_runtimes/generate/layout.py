"""What is written of a sample, whatever the format: its index, seed, conditions and the sample."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from genx_runtimes.errors import InputError
from genx_runtimes.generate.plan import ImageSettings, Settings
from genx_runtimes.manifest import CategoricalPrior, Manifest, NormalPrior, OutputKind, Prior
from genx_runtimes.npy import encode_array
from genx_runtimes.png import Pixels, encode_png
from genx_runtimes.sampler import Batch
from genx_runtimes.session import Array

INDEX, SEED = "index", "seed"
_CHANNELS = {"jpeg": {1: "L", 3: "RGB"}, "webp": {3: "RGB", 4: "RGBA"}}
_SUFFIXES: dict[OutputKind, str] = {"audio": "wav", "text": "txt"}
_ENDINGS = {"png": "png", "jpeg": "jpg", "webp": "webp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns of a data set.

    Args:
        manifest: of the bundle.
        seed: of all samples.
        last: the largest index.
        image: how images become bytes; None where none are.
        conditions: the priors that are columns, by the column's name: all but normal ones, which
            are noise that seed and index give again.
    """

    manifest: Manifest
    seed: int
    last: int
    image: ImageSettings | None
    conditions: dict[str, Prior]

    @classmethod
    def of(cls, manifest: Manifest, settings: Settings) -> Layout:
        """Return the columns of a bundle's samples."""
        taken = {INDEX, SEED, manifest.output.kind, *manifest.output.columns}
        conditions: dict[str, Prior] = {}
        for prior in manifest.priors:
            if not isinstance(prior, NormalPrior):
                name = re.sub(r"[^\w.-]", "_", prior.name)
                conditions[f"{name}_condition" if name in taken else name] = prior
        return cls(
            manifest=manifest,
            seed=settings.seed,
            last=settings.start + settings.n - 1,
            image=settings.image,
            conditions=conditions,
        )

    @property
    def column(self) -> str:
        """The name of the column that the sample is in: image, audio, text, sequence ..."""
        return self.manifest.output.kind

    @property
    def suffix(self) -> str:
        """The ending of a sample that is a file of its own, without a dot."""
        if self.image is not None:
            return _ENDINGS[self.image.encoding]
        return _SUFFIXES.get(self.manifest.output.kind, "npy")

    def key(self, index: int) -> str:
        """Return a sample's name: its index, as wide as the largest, nine digits at least."""
        return f"{index:0{max(9, len(str(self.last)))}d}"

    def read_conditions(self, batch: Batch) -> dict[str, Array]:
        """Return each condition of a batch: (B,) int64 classes, or (B, ...) float32 values."""
        found: dict[str, Array] = {}
        for name, prior in self.conditions.items():
            fed = batch.feeds[prior.name]
            is_one_hot = isinstance(prior, CategoricalPrior) and prior.encoding == "one_hot"
            found[name] = fed.argmax(axis=1) if is_one_hot else fed
        return found

    def list_records(self, batch: Batch) -> list[dict[str, object]]:
        """Return index, seed and conditions of each sample, as JSON has them."""
        conditions = {n: a.tolist() for n, a in self.read_conditions(batch).items()}
        return [
            {INDEX: batch.start + place, SEED: self.seed}
            | {name: values[place] for name, values in conditions.items()}
            for place in range(len(batch.output))
        ]

    def encode(self, batch: Batch) -> list[bytes]:
        """Return each sample as a file: a picture, WAV, text, or `.npy` of what has no other.

        Raises:
            InputError: JPEG or WebP cannot hold such an image.
        """
        kind = self.manifest.output.kind
        if self.image is not None:
            return list(map(_choose_encoder(self.image), batch.images()))
        if kind == "audio":
            from genx_runtimes.audio import encode_wav

            rate = batch.spec.sample_rate or 0
            return [encode_wav(sound, rate) for sound in batch.waves()]
        if kind == "text":
            return [text.encode() for text in batch.texts()]
        return [encode_array(np.asarray(sample)) for sample in batch.output]


def choose_dtype(largest: int) -> np.dtype[np.generic]:
    """Return int64 where all values up to the largest fit, else uint64."""
    return np.dtype(np.int64 if largest < 2**63 else np.uint64)


def _choose_encoder(image: ImageSettings) -> Callable[[Pixels], bytes]:
    if image.encoding == "png":
        level = image.compression or 0
        return lambda pixels: encode_png(pixels, compression=level)
    return lambda pixels: _encode_lossy(pixels, image)


def _encode_lossy(pixels: Pixels, image: ImageSettings) -> bytes:
    from PIL import Image

    modes = _CHANNELS[image.encoding]
    channels = pixels.shape[2]
    if pixels.dtype != np.uint8 or channels not in modes:
        raise InputError(
            f"{image.encoding} holds 8 bits of {' or '.join(modes.values())}, these images have "
            f"{channels} channels of {pixels.itemsize * 8} bits",
            fix="--image png",
        )
    buffer = io.BytesIO()
    flat = pixels[:, :, 0] if channels == 1 else pixels
    Image.fromarray(flat).save(buffer, image.encoding.upper(), quality=image.quality)
    return buffer.getvalue()
