"""Train the deep GAN: `python -m samples.dgan.train`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from samples.dgan.model import Discriminator, Generator
from samples.training.data import draw_batches, load_digits
from samples.training.loop import (
    average_weights,
    count_steps,
    descend,
    estimate_normalisation,
    learning_rate,
    prepare,
    save_weights,
)
from samples.training.losses import discriminator_loss, generator_loss
from torch import nn

WEIGHTS = Path(__file__).parent / "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the training depends on."""

    seed: int = 0
    steps: int = 6_000
    batch: int = 64
    latent_size: int = 64
    generator_rate: float = 5e-4
    discriminator_rate: float = 5e-4
    momenta: tuple[float, float] = (0.5, 0.99)
    decay: float = 0.998


def train(settings: Settings) -> nn.Module:
    """Train on all but the held-out digits; return the averaged generator in eval mode."""
    prepare(settings.seed)
    digits, _ = load_digits().split()
    batches = draw_batches(digits, settings.batch)
    generator, discriminator = Generator(settings.latent_size), Discriminator()
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
    for _ in count_steps("dgan", settings.steps):
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


if __name__ == "__main__":
    save_weights(train(Settings()), WEIGHTS)
