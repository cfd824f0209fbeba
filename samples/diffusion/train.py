"""Train the U-Net as a flow: `python -m samples.diffusion.train`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from samples.diffusion.model import NULL, TIMES, UNet
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
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = Path(__file__).parent / "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the training depends on."""

    seed: int = 0
    steps: int = 1_500
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.995
    dropout: float = 0.15


def mix(digits: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mix digits and noise (B, 1, 32, 32); also return times (B,) in 0..1000, and the difference.

    Source: Lipman et al. 2023, "Flow Matching for Generative Modeling", arXiv:2210.02747; Esser et
    al. 2024, "Scaling Rectified Flow Transformers", arXiv:2403.03206, section 3.1 (times).
    """
    time = torch.sigmoid(torch.randn(len(digits)))
    share = time[:, None, None, None]
    return (1 - share) * digits + share * noise, TIMES * time, noise - digits


def train(settings: Settings) -> nn.Module:
    """Train on all digits and return the averaged U-Net in eval mode."""
    prepare(settings.seed)
    batches = draw_batches(load_digits(), settings.batch)
    model = lay_out(UNet())
    average = average_weights(model, settings.decay)
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, learning_rate(settings.steps))
    for _ in count_steps("diffusion", settings.steps):
        images, labels = next(batches)
        digits = 2.0 * images - 1.0
        noisy, times, difference = mix(digits, torch.randn_like(digits))
        dropped = torch.rand(settings.batch) < settings.dropout
        predicted = model(noisy, times, labels.masked_fill(dropped, NULL))
        descend(functional.mse_loss(predicted, difference), optimiser)
        average.update_parameters(model)
        schedule.step()
    return average.module.eval()


if __name__ == "__main__":
    save_weights(train(Settings()), WEIGHTS)
