"""Whether the categorical code, found without labels, stands for the digit."""

from pathlib import Path

from samples.classifier.figures import measure_accuracy
from samples.judging import Figure, Judge, coverage, draw, join, make_bundle, purity


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return purity and coverage of the categorical code."""
    drawn = join(draw(make_bundle("infogan", folder, precision), category="balanced"))
    named, codes = Judge().name(drawn["image"]), drawn["category"].argmax(axis=1)
    return [
        Figure(
            name="infogan: purity of the categorical code",
            value=purity(named, codes),
            bar=0.80,
            real=measure_accuracy(),
        ),
        Figure(
            name="infogan: digits that a code stands for",
            value=coverage(named, codes),
            bar=0.80,
            real=1.0,
        ),
    ]
