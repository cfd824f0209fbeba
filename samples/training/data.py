"""The digits in `samples/data`, padded to 32x32 and scaled, and endless batches of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

__all__ = ["HELD_OUT", "Digits", "draw_batches", "load_digits"]

ARCHIVE = Path(__file__).parents[1] / "data" / "mnist-10k.npz"
PADDING = 2
HELD_OUT = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """Images (N, 1, 32, 32) float32 in 0..1 with 1 as ink, and labels (N,) int64 in 0..9.

    Source: LeCun, Bottou, Bengio, Haffner 1998, "Gradient-Based Learning Applied to Document
    Recognition" (MNIST, there too padded from 28x28 to 32x32).
    """

    images: Tensor
    labels: Tensor

    def split(self) -> tuple["Digits", "Digits"]:
        """Cut the digits in two: for training, and the last `HELD_OUT` for measuring."""
        return (
            Digits(images=self.images[:-HELD_OUT], labels=self.labels[:-HELD_OUT]),
            Digits(images=self.images[-HELD_OUT:], labels=self.labels[-HELD_OUT:]),
        )


def load_digits(archive: Path = ARCHIVE) -> Digits:
    """Read all 10,000 digits: images (10000, 1, 32, 32) float32 in 0..1, labels (10000,) int64."""
    with np.load(archive) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    border = ((0, 0), (PADDING, PADDING), (PADDING, PADDING))
    padded = np.pad(images, border).astype(np.float32) / 255.0
    return Digits(
        images=torch.from_numpy(padded).unsqueeze(1),
        labels=torch.from_numpy(labels.astype(np.int64)),
    )


def draw_batches(digits: Digits, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches of `size` without end: images (size, 1, 32, 32) and labels (size,)."""
    while True:
        order = torch.randperm(len(digits.labels))
        # The remainder is left out, because batch normalisation wants batches of one size.
        for start in range(0, len(order) - size + 1, size):
            chosen = order[start : start + size]
            yield digits.images[chosen], digits.labels[chosen]
