"""Train the small StyleGAN: `python -m samples.stylegan_like.train`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from samples.stylegan_like.model import Discriminator, Generator
from samples.training.data import draw_batches, load_digits
from samples.training.loop import (
    average_weights,
    count_steps,
    descend,
    lay_out,
    learning_rate,
    prepare,
    save_weights,
)
from samples.training.losses import discriminator_loss, generator_loss, gradient_penalty
from torch import nn

WEIGHTS = Path(__file__).parent / "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the training depends on."""

    seed: int = 0
    steps: int = 5_000
    batch: int = 32
    latent_size: int = 64
    generator_rate: float = 5e-4
    discriminator_rate: float = 5e-4
    mapping_rate: float = 5e-5
    momenta: tuple[float, float] = (0.0, 0.99)
    penalty: float = 1.0
    penalty_every: int = 8
    decay: float = 0.998


def train(settings: Settings) -> nn.Module:
    """Train on all but the held-out digits; return the averaged generator in eval mode."""
    prepare(settings.seed)
    digits, _ = load_digits().split()
    batches = draw_batches(digits, settings.batch)
    generator = lay_out(Generator(settings.latent_size))
    discriminator = lay_out(Discriminator())
    whole = torch.ones(settings.batch)
    average = average_weights(generator, settings.decay)
    synthesis = [p for name, p in generator.named_parameters() if not name.startswith("mapping.")]
    groups = [
        {"params": synthesis},
        {"params": [*generator.mapping.parameters()], "lr": settings.mapping_rate},
    ]
    optimisers = [
        torch.optim.Adam(groups, lr=settings.generator_rate, betas=settings.momenta),
        torch.optim.Adam(
            discriminator.parameters(), lr=settings.discriminator_rate, betas=settings.momenta
        ),
    ]
    factor = learning_rate(settings.steps)
    schedules = [torch.optim.lr_scheduler.LambdaLR(each, factor) for each in optimisers]
    for step in count_steps("stylegan_like", settings.steps):
        images, _ = next(batches)
        real = 2.0 * images - 1.0
        fake = generator(torch.randn(settings.batch, settings.latent_size), whole)

        loss = discriminator_loss(discriminator(real), discriminator(fake.detach()))
        if step % settings.penalty_every == 0:
            weight = settings.penalty * settings.penalty_every
            loss = loss + weight * gradient_penalty(discriminator, real)
        descend(loss, optimisers[1])

        discriminator.requires_grad_(False)
        descend(generator_loss(discriminator(fake)), optimisers[0])
        discriminator.requires_grad_(True)

        average.update_parameters(generator)
        for schedule in schedules:
            schedule.step()
    with torch.inference_mode():
        drawn = torch.randn(10_000, settings.latent_size)
        average.module.mean.copy_(average.module.mapping(drawn).mean(dim=0))
    return average.module.eval()


if __name__ == "__main__":
    save_weights(train(Settings()), WEIGHTS)
