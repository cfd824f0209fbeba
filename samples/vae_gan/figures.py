"""Whether samples look like digits, all of them, and reconstructions stay the same digit."""

from pathlib import Path

import numpy as np
from samples.judging import (
    Figure,
    Judge,
    agreement,
    draw,
    frechet_distance,
    join,
    make_bundle,
    smallest_share,
)
from samples.training.data import load_digits

from genx_runtimes.encoding import reconstruct


def measure(folder: Path, precision: str) -> list[Figure]:
    """Return figures of samples from the prior, and of held-out digits that are reconstructed."""
    bundle = make_bundle("vae_gan", folder, precision)
    judge = Judge()
    samples = join(draw(bundle))["image"]
    known, held_out = load_digits().split()
    images, labels = held_out.images.numpy(), held_out.labels.numpy()
    real = judge.features(images)
    with bundle.encoder() as encoder, bundle.sampler() as sampler:
        made = reconstruct(sampler, encoder.encode(images))
        reconstructions = np.concatenate([batch.output for _, batch in made])
    return [
        Figure(
            name="vae_gan: rarest digit",
            value=smallest_share(judge.name(samples)),
            bar=0.02,
            real=smallest_share(labels),
        ),
        Figure(
            name="vae_gan: Fréchet distance to held-out digits",
            value=frechet_distance(judge.features(samples), real),
            bar=1.5,
            real=frechet_distance(judge.features(known.images[: len(samples)].numpy()), real),
            unit="FD",
            lower=True,
        ),
        Figure(
            name="vae_gan: held-out digits that stay the same",
            value=agreement(judge.name(reconstructions), judge.name(images)),
            bar=0.90,
            real=1.0,
        ),
    ]
