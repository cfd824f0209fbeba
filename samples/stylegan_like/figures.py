"""Whether all digits come out, look like digits, and grow more alike as truncation asks."""

from pathlib import Path

from samples.judging import (
    Figure,
    Judge,
    draw,
    frechet_distance,
    join,
    make_bundle,
    smallest_share,
)
from samples.training.data import load_digits

TRUNCATED = "0.5"


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return the rarest digit's share, the distance from held-out digits, and what is left of the
    features' variance at truncation 0.5.
    """
    bundle = make_bundle("stylegan_like", folder, precision)
    drawn = join(draw(bundle))["image"]
    truncated = join(draw(bundle, truncation=TRUNCATED))["image"]
    seen, held_out = load_digits().split()
    judge = Judge()
    real = judge.features(held_out.images.numpy())
    same = judge.features(seen.images[: len(drawn)].numpy())
    made, alike = judge.features(drawn), judge.features(truncated)
    return [
        Figure(
            name="stylegan_like: rarest digit",
            value=smallest_share(judge.name(drawn)),
            bar=0.04,
            real=smallest_share(held_out.labels.numpy()),
        ),
        Figure(
            name="stylegan_like: Fréchet distance from held-out digits",
            value=frechet_distance(made, real),
            bar=0.5,
            real=frechet_distance(same, real),
            unit="units",
            lower=True,
        ),
        Figure(
            name="stylegan_like: variance left at truncation 0.5",
            value=float(alike.var(axis=0).sum() / made.var(axis=0).sum()),
            bar=0.9,
            lower=True,
        ),
    ]
