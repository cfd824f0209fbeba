"""Train the VAE-GAN: `python -m samples.vae_gan.train`."""

from dataclasses import dataclass
from pathlib import Path

import torch
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
from samples.training.losses import discriminator_loss, gaussian_divergence, generator_loss
from samples.vae_gan.model import VAEGAN, Discriminator, reparameterise
from torch import Tensor, nn

WEIGHTS = Path(__file__).parent / "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the training depends on.

    `similarity` weighs the reconstruction in the discriminator's features, `adversarial` its
    judgement, against the Kullback-Leibler divergence.
    """

    seed: int = 0
    steps: int = 2_000
    batch: int = 64
    latent_size: int = 16
    rate: float = 1e-3
    discriminator_rate: float = 4e-4
    momenta: tuple[float, float] = (0.5, 0.99)
    similarity: float = 2.5
    adversarial: float = 20.0
    decay: float = 0.998


def similarity_loss(seen: Tensor, wanted: Tensor) -> Tensor:
    """Negative log-likelihood, up to a constant, of features (B, ...) under N(seen, 1).

    Source: Larsen et al. 2016, arXiv:1512.09300, equation 7.
    """
    return 0.5 * (seen - wanted).square().sum(dim=(1, 2, 3)).mean()


def train(settings: Settings) -> nn.Module:
    """Train on the first 8,000 digits; return averaged encoder and decoder in eval mode.

    Source: Larsen et al. 2016, arXiv:1512.09300, algorithm 1.
    """
    prepare(settings.seed)
    digits, _ = load_digits().split()
    batches = draw_batches(digits, settings.batch)
    model = lay_out(VAEGAN(settings.latent_size))
    discriminator = lay_out(Discriminator())
    average = average_weights(model, settings.decay)
    optimisers = [
        torch.optim.Adam(part.parameters(), lr=rate, betas=settings.momenta)
        for part, rate in (
            (model, settings.rate),
            (discriminator, settings.discriminator_rate),
        )
    ]
    factor = learning_rate(settings.steps)
    schedules = [torch.optim.lr_scheduler.LambdaLR(each, factor) for each in optimisers]
    for _ in count_steps("vae_gan", settings.steps):
        images, _ = next(batches)
        mean, log_variance = model.encoder(images)
        noise = torch.randn(2 * settings.batch, settings.latent_size)
        z = reparameterise(mean, log_variance, noise[: settings.batch])
        fakes = model.decoder(torch.cat([z, noise[settings.batch :]]))

        real_score, _ = discriminator(images)
        fake_score, _ = discriminator(fakes.detach())
        descend(discriminator_loss(real_score, fake_score), optimisers[1])

        discriminator.requires_grad_(False)
        with torch.no_grad():
            _, wanted = discriminator(images)
        fake_score, seen = discriminator(fakes)
        loss = settings.similarity * similarity_loss(seen[: settings.batch], wanted)
        loss = loss + gaussian_divergence(mean, log_variance)
        loss = loss + settings.adversarial * generator_loss(fake_score)
        descend(loss, optimisers[0])
        discriminator.requires_grad_(True)

        average.update_parameters(model)
        for schedule in schedules:
            schedule.step()
    estimate_normalisation(
        average.module,
        lambda: (next(batches)[0], torch.randn(settings.batch, settings.latent_size)),
    )
    return average.module


if __name__ == "__main__":
    save_weights(train(Settings()), WEIGHTS)
