"""How well damaged digits come back, over what needs no training."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from samples.classifier.figures import measure_accuracy
from samples.judging import Figure, Judge, agreement, make_bundle
from samples.training.data import load_digits
from samples.translator.damage import NOISE, add_noise, mask

from genx_runtimes.bundle import Bundle

COUNT = 500
BLOCK = 12

Images = NDArray[np.float32]


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return the gain in PSNR over a median filter and a mean fill, and the digits recognised."""
    _, held_out = load_digits().split()
    real, labels = held_out.images[:COUNT], held_out.labels[:COUNT].numpy()
    torch.manual_seed(0)
    noisy = add_noise(real, NOISE)
    masked, hidden = mask(real, BLOCK, BLOCK)
    bundle, judge = make_bundle("translator", folder, precision), Judge()
    expected = real.numpy()
    figures = []
    for damage, images, over, simple, bars in (
        ("noise", noisy.numpy(), "median filter", filter_median(noisy.numpy()), (6.0, 0.95)),
        (
            "block",
            masked.numpy(),
            "mean fill",
            fill_mean(masked.numpy(), hidden.numpy()),
            (4.0, 0.9),
        ),
    ):
        restored = restore(bundle, images)
        gain = measure_psnr(restored, expected) - measure_psnr(simple, expected)
        name = f"translator: {damage}, gain over {over}"
        figures += [
            Figure(name=name, value=gain, bar=bars[0], unit="dB"),
            Figure(
                name=f"translator: {damage}, digits named rightly",
                value=agreement(judge.name(restored), labels),
                bar=bars[1],
                real=measure_accuracy(),
            ),
        ]
    return figures


def restore(bundle: Bundle, images: Images) -> Images:
    """Return images (N, 1, H, W) in 0..1 translated, as files of them would be."""
    with bundle.translator() as translator:
        made = [translator.translate(image) for image in _to_pixels(images)]
    return np.stack(made).transpose(0, 3, 1, 2) / np.float32(255)


def filter_median(images: Images) -> Images:
    """Return the median of 3x3 pixels around each, images (N, 1, H, W)."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.median(windows, axis=(4, 5)).astype(np.float32)


def fill_mean(images: Images, hidden: NDArray[np.bool_]) -> Images:
    """Return images (N, 1, H, W) with the hidden pixels the mean of those next to the block."""
    padded = np.pad(hidden, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    border = windows.any(axis=(4, 5)) & ~hidden
    means = (images * border).sum(axis=(1, 2, 3)) / border.sum(axis=(1, 2, 3))
    return np.where(hidden, means[:, None, None, None], images).astype(np.float32)


def measure_psnr(got: Images, expected: Images) -> float:
    """Return the PSNR in dB of all pixels of images (N, ...) in 0..1."""
    return float(-10 * np.log10(np.mean(np.square(got - expected), dtype=np.float64)))


def _to_pixels(images: Images) -> NDArray[np.uint8]:
    return np.rint(images * 255).astype(np.uint8).transpose(0, 2, 3, 1)
