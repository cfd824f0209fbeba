"""How close one set of samples is to another, sample by sample and as a distribution."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from genx_runtimes.session import Array

_WINDOW = 11
_SIGMA = 1.5
_CHUNK = 16
_DIRECTIONS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How close samples are to those of the original model.

    Args:
        psnr_db: mean over the samples of the peak signal-to-noise ratio in dB.
        worst_psnr_db: of the worst sample.
        ssim: mean structural similarity; None for what is no image.
        worst_ssim: of the worst sample.
        distance: sliced Wasserstein distance of the two sets, over that of two sets of the original
            model with other seeds: well below 1, quantising changes less than chance. None where
            there is no other set.
    """

    psnr_db: float
    worst_psnr_db: float
    ssim: float | None = None
    worst_ssim: float | None = None
    distance: float | None = None

    def to_json(self) -> dict[str, float]:
        """Return what was measured; an infinite PSNR, of equal samples, is left out."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {n: value for n, value in fields.items() if value is not None and isfinite(value)}


def measure_psnr(got: Array, expected: Array, scale: float) -> NDArray[np.float64]:
    """Return the PSNR of each sample in dB, (N,); NaN and infinity in `got` give -inf.

    Args:
        got: (N, ...).
        expected: (N, ...).
        scale: the peak-to-peak range that errors are related to.
    """
    error = (got.astype(np.float64) - expected.astype(np.float64)) / scale
    square = np.square(error).reshape(len(error), -1).mean(axis=1)
    with np.errstate(divide="ignore"):
        ratios: NDArray[np.float64] = -10 * np.log10(square)
    return np.where(np.isfinite(square), ratios, -np.inf)


def measure_ssim(got: Array, expected: Array, scale: float) -> NDArray[np.float64]:
    """Return the structural similarity of each image, (N,), the mean over channels and pixels.

    Args:
        got: (N, C, H, W), or (N, H, W).
        expected: the same.
        scale: the range of values, L in the paper.

    Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural
    similarity", equation 13, with its Gaussian window of 11 x 11 and sigma 1.5 (smaller for smaller
    images).
    """
    if got.ndim == 3:
        got, expected = got[:, None], expected[:, None]
    size = min(_WINDOW, *got.shape[2:])
    line = torch.exp(-((torch.arange(size) - (size - 1) / 2) ** 2) / (2 * _SIGMA**2)).double()
    line = (line / line.sum())[None, None, None]
    c1, c2 = (0.01 * scale) ** 2, (0.03 * scale) ** 2
    means = []
    for first in range(0, len(got), _CHUNK):
        x, y = (
            torch.from_numpy(a[first : first + _CHUNK].astype(np.float64)).flatten(0, 1)[:, None]
            for a in (got, expected)
        )
        # Along rows, then along columns: the window is a product, and 121 taps become 22.
        mx, my, xx, yy, xy = (
            functional.conv2d(functional.conv2d(v, line), line.mT)
            for v in (x, y, x * x, y * y, x * y)
        )
        vx, vy, cov = xx - mx * mx, yy - my * my, xy - mx * my
        index = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
        means.append(index.reshape(-1, got.shape[1], *index.shape[2:]).mean(dim=(1, 2, 3)))
    similarities: NDArray[np.float64] = torch.cat(means).numpy()
    return similarities


def measure_distance(a: Array, b: Array) -> float:
    """Return the sliced Wasserstein-1 distance of two sets of equally many samples (N, ...).

    Source: Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures".
    """
    flat_a, flat_b = (x.reshape(len(x), -1).astype(np.float32) for x in (a, b))
    directions = np.random.default_rng(0).standard_normal((flat_a.shape[1], _DIRECTIONS))
    directions = (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)
    along_a, along_b = (np.sort(x @ directions, axis=0) for x in (flat_a, flat_b))
    return float(np.abs(along_a - along_b).mean())


def measure_quality(
    got: Array, expected: Array, scale: float, *, image: bool, others: Array | None = None
) -> Quality:
    """Compare samples (N, ...) with those of the original model.

    Args:
        got: of the variant.
        expected: of the original model, for the same inputs.
        scale: the range of values.
        image: whether they are images (N, C, H, W) or (N, H, W).
        others: of the original model, for other inputs.
    """
    psnr = measure_psnr(got, expected, scale)
    finite = bool(np.isfinite(got).all())
    ssim = measure_ssim(got, expected, scale) if image and finite else None
    distance = None
    if others is not None and finite:
        count = min(len(others), len(expected))
        chance = measure_distance(others[:count], expected[:count])
        distance = measure_distance(got[:count], expected[:count]) / chance if chance else None
    return Quality(
        psnr_db=float(psnr.mean()),
        worst_psnr_db=float(psnr.min()),
        ssim=None if ssim is None else float(ssim.mean()),
        worst_ssim=None if ssim is None else float(ssim.min()),
        distance=distance,
    )
