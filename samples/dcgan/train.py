"""Train the class-conditional DCGAN: `python -m samples.dcgan.train`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from samples.dcgan.model import Discriminator, Generator
from samples.training.data import draw_batches, load_digits
from samples.training.loop import (
    average_weights,
    count_steps,
    descend,
    estimate_normalisation,
    lay_out,
    learning_rate,
    prepare,
    save_weights,
)
from samples.training.losses import discriminator_loss, generator_loss
from torch import Tensor, nn

WEIGHTS = Path(__file__).parent / "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the training depends on."""

    seed: int = 0
    steps: int = 5_000
    batch: int = 64
    latent_size: int = 64
    rate: float = 4e-4
    momenta: tuple[float, float] = (0.5, 0.99)
    decay: float = 0.998


def draw_inputs(settings: Settings) -> tuple[Tensor, Tensor]:
    """Draw the generator's inputs: z (B, Z) ~ N(0, 1) and label (B,) int64 in 0..9."""
    noise = torch.randn(settings.batch, settings.latent_size)
    return noise, torch.randint(10, (settings.batch,))


def train(settings: Settings) -> nn.Module:
    """Train on all digits and return the averaged generator in eval mode."""
    prepare(settings.seed)
    batches = draw_batches(load_digits(), settings.batch)
    generator = lay_out(Generator(settings.latent_size))
    discriminator = lay_out(Discriminator())
    average = average_weights(generator, settings.decay)
    optimisers = [
        torch.optim.Adam(model.parameters(), lr=settings.rate, betas=settings.momenta)
        for model in (generator, discriminator)
    ]
    factor = learning_rate(settings.steps)
    schedules = [torch.optim.lr_scheduler.LambdaLR(each, factor) for each in optimisers]
    for _ in count_steps("dcgan", settings.steps):
        images, labels = next(batches)
        z, wanted = draw_inputs(settings)
        fake = generator(z, wanted)

        pairs = torch.cat([2.0 * images - 1.0, fake.detach()]), torch.cat([labels, wanted])
        loss = discriminator_loss(*discriminator(*pairs).chunk(2))
        descend(loss, optimisers[1])

        discriminator.requires_grad_(False)
        loss = generator_loss(discriminator(fake, wanted))
        descend(loss, optimisers[0])
        discriminator.requires_grad_(True)

        average.update_parameters(generator)
        for schedule in schedules:
            schedule.step()
    estimate_normalisation(average.module, lambda: draw_inputs(settings))
    return average.module


if __name__ == "__main__":
    save_weights(train(Settings()), WEIGHTS)
