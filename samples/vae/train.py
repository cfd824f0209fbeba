"""Train the beta-VAE: `python -m samples.vae.train`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from samples.training.data import draw_batches, load_digits
from samples.training.loop import (
    count_steps,
    descend,
    lay_out,
    learning_rate,
    prepare,
    save_weights,
)
from samples.training.losses import gaussian_divergence, reconstruction_loss
from samples.vae.model import VAE

WEIGHTS = Path(__file__).parent / "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the training depends on."""

    seed: int = 0
    steps: int = 4_000
    batch: int = 64
    latent_size: int = 12
    rate: float = 1e-3
    beta: float = 1.5


def train(settings: Settings) -> VAE:
    """Train on all images and return encoder and decoder in eval mode."""
    prepare(settings.seed)
    batches = draw_batches(load_digits(), settings.batch)
    model = lay_out(VAE(settings.latent_size))
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, learning_rate(settings.steps))
    for _ in count_steps("vae", settings.steps):
        images, _ = next(batches)
        noise = torch.randn(settings.batch, settings.latent_size)
        reconstruction, mean, log_variance = model(images, noise)
        loss = reconstruction_loss(reconstruction, images)
        loss = loss + settings.beta * gaussian_divergence(mean, log_variance)
        descend(loss, optimiser)
        schedule.step()
    model.eval()
    return model


if __name__ == "__main__":
    save_weights(train(Settings()), WEIGHTS)
