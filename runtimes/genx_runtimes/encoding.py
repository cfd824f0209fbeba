"""Encoders of autoencoders: from images to posteriors, latents and reconstructions.

Source: docs/bundle.md, "Encoders"; Kingma & Welling, "Auto-encoding variational Bayes", ICLR 2014.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import cast

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.conditions import ConditionValue
from genx_runtimes.encoder_spec import LOG_VARIANCE, MEAN, EncoderSpec, find_encoder
from genx_runtimes.errors import BackendError, InputError
from genx_runtimes.latents import LatentSource, check_indices
from genx_runtimes.manifest import NormalPrior
from genx_runtimes.sampler import Batch, Sampler, check_batch
from genx_runtimes.samplers.loop import Draw
from genx_runtimes.session import Array, Closing, Session

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """The latents of some consecutive images, and the posteriors that they are of.

    Args:
        start: the index of the first one.
        images: (B, C, H, W) float32, what was encoded.
        z: (B, *latent) float32: a sample of the posterior, or its mean, or the latent itself.
        mean: (B, *latent) float32; None of an encoder that gives the latent itself.
        log_variance: (B, *latent) float32, or None.
    """

    start: int
    images: Floats
    z: Floats
    mean: Floats | None = None
    log_variance: Floats | None = None

    def arrays(self, *, sample: bool) -> dict[str, Floats]:
        """Return what was found, by name: z only where it is not the mean."""
        if self.mean is None or self.log_variance is None:
            return {"z": self.z}
        found = {MEAN: self.mean, LOG_VARIANCE: self.log_variance}
        return {**found, "z": self.z} if sample else found


class Encoder(Closing):
    """Encodes images; a context manager that closes its session.

    Args:
        spec: what the encoder takes and gives.
        session: its loaded graph.
    """

    def __init__(self, spec: EncoderSpec, session: Session) -> None:
        self.spec = spec
        self._session = session

    def encode(
        self,
        images: Iterable[Floats],
        *,
        sample: bool = False,
        seed: int = 0,
        start: int = 0,
        batch: int = 16,
    ) -> Iterator[Encoding]:
        """Encode images `start, start + 1, ...`, a batch at a time.

        Args:
            images: each (C, H, W) float32 in the contract's range; an array (N, C, H, W) will do.
            sample: whether `z` is drawn from the posterior instead of its mean.
            seed: of that draw, 0 <= seed < 2^64; image i's noise depends on (seed, i) alone.
            start: index of the first image.
            batch: images a pass, within the bundle's bounds; the last one may be smaller.

        Raises:
            InputError: an argument is wrong, or an image has another shape, dtype or range.
            BackendError: the engine failed.
        """
        check_batch(self.spec.bounds, batch)
        check_indices(start, 1)
        if sample and not self.spec.posterior:
            raise InputError("the encoder gives the latent itself: there is no posterior to sample")
        return self._encode(iter(images), sample, seed, start, batch)

    def _encode(
        self, images: Iterator[Floats], sample: bool, seed: int, start: int, batch: int
    ) -> Iterator[Encoding]:
        while chunk := list(islice(images, batch)):
            for offset, image in enumerate(chunk):
                self._check(image, start + offset)
            if len(chunk) < self.spec.bounds.min:
                raise InputError(
                    f"{len(chunk)} images are left over, the bundle's smallest batch is "
                    f"{self.spec.bounds.min}"
                )
            stacked = np.stack(chunk)
            outputs = self._session.run({self.spec.image: stacked})
            encoding = self._read(outputs, stacked, start, seed if sample else None)
            if not np.isfinite(encoding.z).all():
                raise BackendError(f"the latents of images from {start} on hold NaN or infinity")
            yield encoding
            start += len(chunk)

    def _read(
        self, outputs: Mapping[str, Array], images: Floats, start: int, seed: int | None
    ) -> Encoding:
        """Return the latents that a graph's outputs stand for; every graph gives float32."""
        if not self.spec.posterior:
            z = cast("Floats", outputs[self.spec.prior.name])
            return Encoding(start=start, images=images, z=z)
        mean = z = cast("Floats", outputs[MEAN])
        log_variance = cast("Floats", outputs[LOG_VARIANCE])
        if seed is not None:
            noise = draw_noise(self.spec.prior, seed, range(start, start + len(images)))
            z = reparameterise(mean, log_variance, noise)
        return Encoding(start=start, images=images, z=z, mean=mean, log_variance=log_variance)

    def _check(self, image: Floats, index: int) -> None:
        low, high = self.spec.range
        if image.dtype != np.float32:
            raise InputError(
                f"image {index} has dtype {image.dtype}, expected float32 in {low:g}..{high:g}"
            )
        if image.shape != self.spec.shape:
            raise InputError(
                f"image {index} has shape {image.shape}, expected {self.spec.shape} (C, H, W)"
            )
        least, most = float(image.min()), float(image.max())
        if not (low <= least and most <= high):
            raise InputError(
                f"image {index} has values {least:g} to {most:g}, expected {low:g} to {high:g}"
            )

    def close(self) -> None:
        """Free the engine."""
        self._session.close()


def draw_noise(prior: NormalPrior, seed: int, indices: range) -> Floats:
    """Return the noise (B, *latent) of posterior samples, of stream `posterior/PRIOR`."""
    draw = Draw(seed=seed, indices=indices, feeds={})
    return draw.normal(f"posterior/{prior.name}", prior.shape)


def reparameterise(mean: Floats, log_variance: Floats, noise: Floats) -> Floats:
    """Return samples (B, *latent) of posteriors, with noise of N(0, 1) from outside.

    Source: Kingma & Welling, ICLR 2014, section 2.4.
    """
    z: Floats = mean + np.exp(np.float32(0.5) * log_variance) * noise
    return z


def reconstruct(
    sampler: Sampler,
    encodings: Iterable[Encoding],
    *,
    seed: int = 0,
    conditions: Mapping[str, ConditionValue] | None = None,
) -> Iterator[tuple[Encoding, Batch]]:
    """Decode the latents of encodings; what else feeds the decoder is drawn, image i as sample i.

    Args:
        sampler: of the same bundle as the encoder.
        encodings: as `Encoder.encode` yields them.
        seed: of the other priors.
        conditions: what of them is fixed instead, see `conditions.py`.

    Raises:
        InputError: a condition is wrong, or of the latent itself; raised here.
    """
    latent = find_encoder(sampler.manifest).prior.name
    if any(name.partition("[")[0] == latent for name in conditions or ()):
        raise InputError(
            f"{latent!r} is the encoding, it cannot be set", fix="genx traverse moves its values"
        )
    latents = LatentSource(sampler.manifest.priors, seed, conditions=conditions)
    return _decode(sampler, encodings, latents, latent, seed)


def _decode(
    sampler: Sampler, encodings: Iterable[Encoding], latents: LatentSource, latent: str, seed: int
) -> Iterator[tuple[Encoding, Batch]]:
    for encoding in encodings:
        indices = range(encoding.start, encoding.start + len(encoding.z))
        feeds = {**latents.draw(indices), latent: encoding.z}
        yield encoding, next(sampler.decode([Draw(seed=seed, indices=indices, feeds=feeds)]))
