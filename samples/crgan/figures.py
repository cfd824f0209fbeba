"""Whether the recurrent generator draws the digit that it is asked for, all digits, all ways."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from samples.classifier.figures import measure_accuracy
from samples.judging import Figure, Judge, agreement, draw, join, make_bundle, smallest_share
from samples.training.data import PADDING, load_digits

_BORDER = ((0, 0), (PADDING, PADDING), (PADDING, PADDING))


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return agreement with the label, the share of the rarest digit, and how digits vary."""
    drawn = join(draw(make_bundle("crgan", folder, precision), label="balanced"))
    images = np.pad(drawn["image"], _BORDER)[:, None]
    named = Judge().name(images)
    _, held_out = load_digits().split()
    labels = held_out.labels.numpy()
    return [
        Figure(
            name="crgan: digits as requested",
            value=agreement(named, drawn["label"]),
            bar=0.80,
            real=measure_accuracy(),
        ),
        Figure(
            name="crgan: rarest digit",
            value=smallest_share(named),
            bar=0.05,
            real=smallest_share(labels),
        ),
        Figure(
            name="crgan: how far a digit's images are apart, of real",
            value=_spread(images, drawn["label"]) / _spread(held_out.images.numpy(), labels),
            bar=0.60,
            real=1.0,
        ),
    ]


def _spread(images: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """Return the mean absolute difference of images (N, ...) to others of the same label."""
    order = np.argsort(labels, kind="stable")
    first, second = order[:-1], order[1:]
    alike = labels[first] == labels[second]
    return float(np.abs(images[first[alike]] - images[second[alike]]).mean())
