"""Train the InfoGAN, without the labels: `python -m samples.infogan.train`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from samples.infogan.model import Discriminator, Generator
from samples.training.data import draw_batches, load_digits
from samples.training.distortion import distort
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
from samples.training.losses import (
    category_information,
    discriminator_loss,
    generator_loss,
    style_information,
)
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = Path(__file__).parent / "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the training depends on."""

    seed: int = 0
    steps: int = 4_000
    batch: int = 64
    latent_size: int = 62
    generator_rate: float = 1e-3
    discriminator_rate: float = 2e-4
    momenta: tuple[float, float] = (0.5, 0.99)
    category_weight: float = 1.0
    style_weight: float = 0.1
    shear: float = 0.3
    shift: float = 0.12
    decay: float = 0.998


def draw_inputs(settings: Settings) -> tuple[Tensor, Tensor, Tensor]:
    """Draw z (B, Z) ~ N(0, 1), category (B, 10) one-hot float32 and style (B, 2) ~ U(-1, 1)."""
    noise = torch.randn(settings.batch, settings.latent_size)
    category = functional.one_hot(torch.randint(10, (settings.batch,)), 10).float()
    return noise, category, 2.0 * torch.rand(settings.batch, 2) - 1.0


def judge_fakes(
    discriminator: Discriminator, fake: Tensor, settings: Settings
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the scores (B,) of fakes (B, 1, 32, 32) in -1..1 and the codes read from them.

    The category is read from a distorted copy: slant and place could be read as well as the digit,
    and a distortion changes them and not the digit.

    Source: Hu, Miyato, Tokui, Matsumoto, Sugiyama 2017, "Learning Discrete Representations via
    Information Maximizing Self-Augmented Training", arXiv:1702.08720, section 2.3.
    """
    score, _, style = discriminator(fake)
    distorted = distort(fake + 1, settings.shear, settings.shift) - 1  # 0 is what moves in
    _, category, _ = discriminator(distorted)
    return score, (category, style)


def information_loss(
    read: tuple[Tensor, Tensor], drawn: tuple[Tensor, Tensor], settings: Settings
) -> Tensor:
    """Weigh what the codes (category, style) read from the images miss of those drawn."""
    category = category_information(read[0], drawn[0])
    style = style_information(read[1], drawn[1])
    return settings.category_weight * category + settings.style_weight * style


def train(settings: Settings) -> nn.Module:
    """Train on all images, never on their labels; return the averaged generator in eval mode."""
    prepare(settings.seed)
    batches = draw_batches(load_digits(), settings.batch)
    generator = lay_out(Generator(settings.latent_size))
    discriminator = lay_out(Discriminator())
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
    for _ in count_steps("infogan", settings.steps):
        images, _ = next(batches)
        z, *codes = draw_inputs(settings)
        drawn = (codes[0], codes[1])
        fake = generator(z, *drawn)

        real_score, *_ = discriminator(2.0 * images - 1.0)
        fake_score, read = judge_fakes(discriminator, fake.detach(), settings)
        loss = discriminator_loss(real_score, fake_score)
        loss = loss + information_loss(read, drawn, settings)
        descend(loss, optimisers[1])

        discriminator.requires_grad_(False)
        fake_score, read = judge_fakes(discriminator, fake, settings)
        loss = generator_loss(fake_score)
        loss = loss + information_loss(read, drawn, settings)
        descend(loss, optimisers[0])
        discriminator.requires_grad_(True)

        average.update_parameters(generator)
        for schedule in schedules:
            schedule.step()
    estimate_normalisation(average.module, lambda: draw_inputs(settings))
    return average.module


if __name__ == "__main__":
    save_weights(train(Settings()), WEIGHTS)
