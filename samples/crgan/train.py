"""Train the recurrent GAN: `python -m samples.crgan.train`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from samples.crgan.model import LENGTH, NOISE, Discriminator, Generator
from samples.training.data import PADDING, Digits, load_digits
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
    steps: int = 3_500
    pairs: int = 40
    generator_rate: float = 1e-3
    discriminator_rate: float = 6e-4
    digit_weight: float = 0.1
    spread_weight: float = 6.0
    momenta: tuple[float, float] = (0.5, 0.99)
    decay: float = 0.995


def draw_pairs(digits: Digits, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pairs of one digit without end: rows (B, 2, 28, 28) in -1..1 and labels (B,)."""
    inner = digits.images[:, 0, PADDING:-PADDING, PADDING:-PADDING]
    rows = 2.0 * inner - 1.0
    places = [torch.nonzero(digits.labels == digit).flatten() for digit in range(10)]
    while True:
        labels = torch.randint(10, (count,))
        chosen = [places[d][torch.randint(len(places[d]), (2,))] for d in labels.tolist()]
        yield rows[torch.stack(chosen)], labels


def draw_fakes(generator: nn.Module, labels: Tensor) -> Tensor:
    """Return pairs (B, 2, 28, 28) in -1..1 of the digits asked for (B,)."""
    noise = torch.randn(2 * len(labels), LENGTH, NOISE)
    rows: Tensor = generator(noise, labels.repeat_interleave(2))
    return rows.unflatten(0, (-1, 2))


def spread(pairs: Tensor) -> Tensor:
    """Return how far the two of each pair (B, 2, T, W) are apart: mean absolute difference."""
    return (pairs[:, 0] - pairs[:, 1]).abs().mean()


def train(settings: Settings) -> nn.Module:
    """Train on all digits and return the averaged generator in eval mode.

    Pairs of fakes are kept as far apart as pairs of real ones are.

    Source: Mao et al. 2019, "Mode Seeking Generative Adversarial Networks for Diverse Image
    Synthesis", arXiv:1903.05628 (there without the bound).
    """
    prepare(settings.seed)
    batches = draw_pairs(load_digits(), settings.pairs)
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
        wanted = torch.randint(10, (settings.pairs,))
        fake = draw_fakes(generator, wanted)

        both = torch.cat([real, fake.detach()]), torch.cat([labels, wanted])
        scores, digits = discriminator(*both)
        loss = discriminator_loss(*scores.chunk(2))
        loss = loss + functional.cross_entropy(digits[: len(labels)], labels)
        descend(loss, optimisers[1])

        discriminator.requires_grad_(False)
        score, digits = discriminator(fake, wanted)
        loss = generator_loss(score)
        loss = loss + settings.digit_weight * functional.cross_entropy(digits, wanted)
        missing = functional.relu(spread(real) - spread(fake))
        descend(loss + settings.spread_weight * missing, optimisers[0])
        discriminator.requires_grad_(True)

        average.update_parameters(generator)
        for schedule in schedules:
            schedule.step()
    average.module.eval()
    return average.module


if __name__ == "__main__":
    save_weights(train(Settings()), WEIGHTS)
