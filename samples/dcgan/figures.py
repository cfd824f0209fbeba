"""Whether the generator draws the digit that it is asked for."""

from pathlib import Path

from samples.classifier.figures import measure_accuracy
from samples.judging import Figure, Judge, agreement, draw, join, make_bundle


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return the digit classifier's agreement with the label asked for."""
    drawn = join(draw(make_bundle("dcgan", folder, precision), label="balanced"))
    value = agreement(Judge().name(drawn["image"]), drawn["label"])
    return [
        Figure(name="dcgan: digits as requested", value=value, bar=0.90, real=measure_accuracy())
    ]
