"""Train the image-to-image net: `python -m samples.translator.train`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
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
from samples.training.losses import reconstruction_loss
from samples.translator.damage import damage
from samples.translator.model import Translator
from torch.nn import functional

FOLDER = Path(__file__).parent
EXAMPLES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the training depends on."""

    seed: int = 0
    steps: int = 2_500
    batch: int = 32
    rate: float = 2e-3
    square: float = 4.0


def train(settings: Settings) -> Translator:
    """Train on the digits that are not held out, damaged anew each time; return in eval mode."""
    prepare(settings.seed)
    kept, _ = load_digits().split()
    batches = draw_batches(kept, settings.batch)
    model = lay_out(Translator())
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, learning_rate(settings.steps))
    for _ in count_steps("translator", settings.steps):
        images, _ = next(batches)
        restored = model(damage(images))
        loss = reconstruction_loss(restored, images)
        # The square is what PSNR measures; the cross-entropy keeps ink and ground apart.
        square = functional.mse_loss(restored, images, reduction="sum") / len(images)
        descend(loss + settings.square * square, optimiser)
        schedule.step()
    model.eval()
    return model


def save_examples(path: Path) -> None:
    """Write damaged digits, (N, 1, 32, 32) uint8, which int8 is calibrated with."""
    torch.manual_seed(1)
    kept, _ = load_digits().split()
    # Noisy ones and masked ones in turn.
    halves = damage(kept.images[:EXAMPLES]).chunk(2)
    pixels = (255 * torch.stack(halves, dim=1).flatten(0, 1)).round().numpy().astype(np.uint8)
    np.savez_compressed(path, image=pixels)


if __name__ == "__main__":
    save_examples(FOLDER / "examples.npz")
    save_weights(train(Settings()), FOLDER / "weights.safetensors")
