"""Whether the recurrent generator draws the digit that it is asked for, and all digits."""

from pathlib import Path

import numpy as np
from samples.classifier.figures import measure_accuracy
from samples.judging import Figure, Judge, agreement, draw, join, make_bundle, smallest_share
from samples.training.data import PADDING, load_digits

_BORDER = ((0, 0), (PADDING, PADDING), (PADDING, PADDING))


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return agreement with the label asked for, and the share of the rarest digit."""
    drawn = join(draw(make_bundle("crgan", folder, precision), label="balanced"))
    named = Judge().name(np.pad(drawn["image"], _BORDER)[:, None])
    _, held_out = load_digits().split()
    real = smallest_share(held_out.labels.numpy())
    return [
        Figure(
            name="crgan: digits as requested",
            value=agreement(named, drawn["label"]),
            bar=0.80,
            real=measure_accuracy(),
        ),
        Figure(name="crgan: rarest digit", value=smallest_share(named), bar=0.05, real=real),
    ]
