"""Train the deep InfoGAN, without the labels: `python -m samples.deep_infogan.train`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from samples.deep_infogan.model import Codes, Discriminator, Generator
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
    steps: int = 2_600
    batch: int = 64
    latent_size: int = 24
    generator_rate: float = 1e-3
    discriminator_rate: float = 2e-4
    momenta: tuple[float, float] = (0.5, 0.99)
    category_weight: float = 1.0
    style_weight: float = 0.1
    variant_weight: float = 0.3
    stroke_weight: float = 0.2
    shear: float = 0.3
    shift: float = 0.12
    decay: float = 0.998


def draw_inputs(settings: Settings) -> tuple[Tensor, Codes]:
    """Draw z (B, Z) ~ N(0, 1) and codes: one-hot float32, and uniform in -1..1."""
    count = settings.batch

    def choose(classes: int) -> Tensor:
        return functional.one_hot(torch.randint(classes, (count,)), classes).float()

    noise = torch.randn(count, settings.latent_size)
    return noise, Codes(
        category=choose(10),
        style=2.0 * torch.rand(count, 2) - 1.0,
        variant=choose(3),
        stroke=2.0 * torch.rand(count, 1) - 1.0,
    )


def judge_fakes(
    discriminator: Discriminator, fake: Tensor, settings: Settings
) -> tuple[Tensor, Codes]:
    """Return the scores (B,) of fakes (B, 1, 32, 32) in -1..1 and the codes read from them.

    The category is read from a distorted copy, which stays the same digit; all else is read from
    the image itself.

    Source: Hu, Miyato, Tokui, Matsumoto, Sugiyama 2017, "Learning Discrete Representations via
    Information Maximizing Self-Augmented Training", arXiv:1702.08720, section 2.3.
    """
    score, read = discriminator(fake)
    distorted = distort(fake + 1, settings.shear, settings.shift) - 1  # 0 is what moves in
    _, other = discriminator(distorted)
    return score, read._replace(category=other.category)


def information_loss(read: Codes, drawn: Codes, settings: Settings) -> Tensor:
    """Weigh what the codes read from the images miss of those drawn."""
    return (
        settings.category_weight * category_information(read.category, drawn.category)
        + settings.style_weight * style_information(read.style, drawn.style)
        + settings.variant_weight * category_information(read.variant, drawn.variant)
        + settings.stroke_weight * style_information(read.stroke, drawn.stroke)
    )


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
    for _ in count_steps("deep_infogan", settings.steps):
        images, _ = next(batches)
        z, drawn = draw_inputs(settings)
        fake = generator(z, *drawn)

        real_score, _ = discriminator(2.0 * images - 1.0)
        fake_score, read = judge_fakes(discriminator, fake.detach(), settings)
        loss = discriminator_loss(real_score, fake_score)
        descend(loss + information_loss(read, drawn, settings), optimisers[1])

        discriminator.requires_grad_(False)
        fake_score, read = judge_fakes(discriminator, fake, settings)
        loss = generator_loss(fake_score)
        descend(loss + information_loss(read, drawn, settings), optimisers[0])
        discriminator.requires_grad_(True)

        average.update_parameters(generator)
        for schedule in schedules:
            schedule.step()

    def draw() -> tuple[Tensor, ...]:
        noise, codes = draw_inputs(settings)
        return (noise, *codes)

    estimate_normalisation(average.module, draw)
    return average.module


if __name__ == "__main__":
    save_weights(train(Settings()), WEIGHTS)
