"""The game of a generator and a discriminator, on digits without labels."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from samples.training.data import draw_batches, load_digits
from samples.training.loop import (
    average_weights,
    count_steps,
    descend,
    estimate_normalisation,
    learning_rate,
    prepare,
)
from samples.training.losses import discriminator_loss, generator_loss
from torch import nn

__all__ = ["Settings", "play"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the training depends on."""

    seed: int = 0
    steps: int = 6_000
    batch: int = 64
    latent_size: int = 64
    generator_rate: float
    discriminator_rate: float
    momenta: tuple[float, float] = (0.5, 0.99)
    decay: float = 0.998


def play(
    name: str,
    settings: Settings,
    make_generator: Callable[[int], nn.Module],
    make_discriminator: Callable[[], nn.Module],
) -> nn.Module:
    """Train on all but the held-out digits; return the averaged generator in eval mode.

    Args:
        name: in the progress.
        settings: of the training.
        make_generator: from the latent's size; the model draws images (B, 1, 32, 32) in 0..1.
        make_discriminator: the model gives a logit for each image.

    Source: Goodfellow et al. 2014, "Generative Adversarial Nets", arXiv:1406.2661, algorithm 1.
    """
    prepare(settings.seed)
    digits, _ = load_digits().split()
    batches = draw_batches(digits, settings.batch)
    generator, discriminator = make_generator(settings.latent_size), make_discriminator()
    average = average_weights(generator, settings.decay)
    optimisers = [
        torch.optim.Adam(model.parameters(), lr=rate, betas=settings.momenta)
        for model, rate in (
            (generator, settings.generator_rate),
            (discriminator, settings.discriminator_rate),
        )
    ]
    factor = learning_rate(settings.steps)
    schedules = [torch.optim.lr_scheduler.LambdaLR(each, factor) for each in optimisers]
    for _ in count_steps(name, settings.steps):
        images, _ = next(batches)
        fake = generator(torch.randn(settings.batch, settings.latent_size))

        loss = discriminator_loss(discriminator(images), discriminator(fake.detach()))
        descend(loss, optimisers[1])

        discriminator.requires_grad_(False)
        descend(generator_loss(discriminator(fake)), optimisers[0])
        discriminator.requires_grad_(True)

        average.update_parameters(generator)
        for schedule in schedules:
            schedule.step()
    estimate_normalisation(
        average.module, lambda: (torch.randn(settings.batch, settings.latent_size),)
    )
    return average.module
