"""Train the recurrent GAN: `python -m samples.crgan.train`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from samples.crgan.model import LENGTH, NOISE, Discriminator, Generator
from samples.training.data import PADDING, Digits, draw_batches, load_digits
from samples.training.loop import (
    average_weights,
    count_steps,
    descend,
    learning_rate,
    prepare,
    save_weights,
)
from samples.training.losses import discriminator_loss, generator_loss
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = Path(__file__).parent / "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the training depends on."""

    seed: int = 0
    steps: int = 4_000
    batch: int = 64
    generator_rate: float = 1e-3
    discriminator_rate: float = 6e-4
    digit_weight: float = 0.3
    momenta: tuple[float, float] = (0.5, 0.99)
    decay: float = 0.995


def draw_inputs(settings: Settings) -> tuple[Tensor, Tensor]:
    """Draw the generator's inputs: noise (B, 28, NOISE) ~ N(0, 1) and label (B,) int64 in 0..9."""
    noise = torch.randn(settings.batch, LENGTH, NOISE)
    return noise, torch.randint(10, (settings.batch,))


def to_rows(digits: Digits) -> Digits:
    """Return the digits as sequences of rows (N, 28, 28) in -1..1, without their border."""
    inner = digits.images[:, 0, PADDING:-PADDING, PADDING:-PADDING]
    return Digits(images=2.0 * inner - 1.0, labels=digits.labels)


def train(settings: Settings) -> nn.Module:
    """Train on all digits and return the averaged generator in eval mode."""
    prepare(settings.seed)
    batches = draw_batches(to_rows(load_digits()), settings.batch)
    generator, discriminator = Generator(), Discriminator()
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
    for _ in count_steps("crgan", settings.steps, every=250):
        real, labels = next(batches)
        noise, wanted = draw_inputs(settings)
        fake = generator(noise, wanted)

        pairs = torch.cat([real, fake.detach()]), torch.cat([labels, wanted])
        scores, digits = discriminator(*pairs)
        loss = discriminator_loss(*scores.chunk(2))
        loss = loss + functional.cross_entropy(digits[: len(labels)], labels)
        descend(loss, optimisers[1])

        discriminator.requires_grad_(False)
        score, digits = discriminator(fake, wanted)
        loss = generator_loss(score)
        loss = loss + settings.digit_weight * functional.cross_entropy(digits, wanted)
        descend(loss, optimisers[0])
        discriminator.requires_grad_(True)

        average.update_parameters(generator)
        for schedule in schedules:
            schedule.step()
    average.module.eval()
    return average.module


if __name__ == "__main__":
    save_weights(train(Settings()), WEIGHTS)
