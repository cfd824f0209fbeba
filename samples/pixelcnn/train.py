"""Train the gated PixelCNN: `python -m samples.pixelcnn.train`."""

from dataclasses import dataclass
from pathlib import Path

import torch
from samples.pixelcnn.data import reduce, to_values
from samples.pixelcnn.model import PixelCNN
from samples.training.data import load_digits
from samples.training.loop import (
    average_weights,
    count_steps,
    descend,
    lay_out,
    learning_rate,
    prepare,
    save_weights,
)
from torch import nn
from torch.nn import functional

WEIGHTS = Path(__file__).parent / "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the training depends on."""

    seed: int = 0
    steps: int = 3_500
    batch: int = 32
    rate: float = 3e-3
    constant: float = 0.3
    decay: float = 0.995


def train(settings: Settings) -> nn.Module:
    """Train on all digits but the held-out ones and return the averaged model in eval mode."""
    prepare(settings.seed)
    digits, _ = load_digits().split()
    levels = reduce(digits)
    model = lay_out(PixelCNN())
    average = average_weights(model, settings.decay)
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.rate)
    factor = learning_rate(settings.steps, settings.constant)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    for _ in count_steps("pixelcnn", settings.steps, every=250):
        chosen = torch.randint(len(levels), (settings.batch,))
        logits = model(to_values(levels[chosen]), digits.labels[chosen])
        loss = functional.cross_entropy(logits.flatten(0, 2), levels[chosen].flatten())
        descend(loss, optimiser)
        average.update_parameters(model)
        schedule.step()
    average.module.eval()
    return average.module


if __name__ == "__main__":
    save_weights(train(Settings()), WEIGHTS)
