"""Whether all digits come out of the prior."""

from pathlib import Path

from samples.judging import Figure, Judge, draw, join, make_bundle, smallest_share
from samples.training.data import load_digits


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return the share of the rarest digit."""
    drawn = join(draw(make_bundle("vae", folder, precision)))
    _, held_out = load_digits().split()
    real = smallest_share(held_out.labels.numpy())
    value = smallest_share(Judge().name(drawn["image"]))
    return [Figure(name="vae: rarest digit", value=value, bar=0.03, real=real)]
