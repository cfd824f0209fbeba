"""Whether all digits come out of the prior, and look like digits."""

from pathlib import Path

from samples.judging import Figure, measure_likeness


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return the share of the rarest digit, and the distance from the held-out digits."""
    return measure_likeness("gan", folder, precision, rarest=0.01, distance=5.0)
