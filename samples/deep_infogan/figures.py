"""Whether the codes, found without labels, stand for the digit and for how it is drawn."""

from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from samples.classifier.figures import measure_accuracy
from samples.judging import Figure, Judge, coverage, draw, join, make_bundle, purity
from samples.training.data import load_digits

from genx_runtimes.bundle import Bundle

COUNT = 500
# The codes that must change a shape, and the values that each is set to.
ENDS = {"style[0]": ("-1", "1"), "style[1]": ("-1", "1")}
LEAST = 0.8
EDGE = 1e-6
Values = NDArray[np.float64]


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return purity and coverage of the category, and what the two styles change."""
    bundle = make_bundle("deep_infogan", folder, precision)
    drawn = join(draw(bundle, category="balanced"))
    named, codes = Judge().name(drawn["image"]), drawn["category"].argmax(axis=1)
    return [
        Figure(
            name="deep_infogan: purity of the categorical code",
            value=purity(named, codes),
            bar=0.75,
            real=measure_accuracy(),
        ),
        Figure(
            name="deep_infogan: digits that a code stands for",
            value=coverage(named, codes),
            bar=0.80,
            real=1.0,
        ),
        *(
            Figure(
                name=f"deep_infogan: what {code} changes",
                value=change(bundle, code),
                bar=LEAST,
                unit="sd",
            )
            for code in ENDS
        ),
    ]


def change(bundle: Bundle, code: str) -> float:
    """Return by how much a code changes a shape, all else equal, in deviations of real digits.

    Of the measures of `describe_shapes`, and of each two values of the code, the largest mean
    difference counts.
    """
    spread = describe_shapes(load_digits().images.numpy()).std(axis=0)
    shapes = [
        describe_shapes(
            join(draw(bundle, COUNT, 50, category="balanced", **{code: value}))["image"]
        )
        for value in ENDS[code]
    ]
    differences = [(b - a).mean(axis=0) / spread for a, b in combinations(shapes, 2)]
    return float(np.abs(differences).max())


def describe_shapes(images: NDArray[np.generic]) -> Values:
    """Return slant, width, height, place (x, y) and thickness of images (N, 1, 32, 32): (N, 6).

    The first five are moments of the ink, the last is ink per length of outline.

    Source: Hu 1962, "Visual pattern recognition by moment invariants" (moments).
    """
    ink = images[:, 0].astype(np.float64)
    y, x = np.mgrid[: ink.shape[1], : ink.shape[2]]
    total = ink.sum(axis=(1, 2)) + EDGE

    def average(values: Values) -> Values:
        means: Values = (ink * values).sum(axis=(1, 2)) / total
        return means

    centre_x, centre_y = average(x), average(y)
    off_x, off_y = x - centre_x[:, None, None], y - centre_y[:, None, None]
    tall = average(off_y**2)
    outline = sum(np.abs(np.diff(ink, axis=axis)).sum(axis=(1, 2)) for axis in (1, 2)) + EDGE
    return np.stack(
        [
            average(off_x * off_y) / tall,
            np.sqrt(average(off_x**2)),
            np.sqrt(tall),
            centre_x,
            centre_y,
            total / outline,
        ],
        axis=1,
    )
