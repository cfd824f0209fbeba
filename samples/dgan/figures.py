"""Whether all digits come out of the prior, and look like digits."""

from pathlib import Path

from samples.judging import Figure, Judge, draw, frechet_distance, join, make_bundle, smallest_share
from samples.training.data import load_digits


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return the share of the rarest digit, and the distance from the held-out digits."""
    drawn = join(draw(make_bundle("dgan", folder, precision)))["image"]
    seen, held_out = load_digits().split()
    judge = Judge()
    real = judge.features(held_out.images.numpy())
    same = judge.features(seen.images[: len(drawn)].numpy())
    return [
        Figure(
            name="dgan: rarest digit",
            value=smallest_share(judge.name(drawn)),
            bar=0.005,
            real=smallest_share(held_out.labels.numpy()),
        ),
        Figure(
            name="dgan: Fréchet distance from held-out digits",
            value=frechet_distance(judge.features(drawn), real),
            bar=6.0,
            real=frechet_distance(same, real),
            unit="units",
            lower=True,
        ),
    ]
