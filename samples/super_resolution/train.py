"""Train both super-resolution nets: `python -m samples.super_resolution.train`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from samples.super_resolution.model import SuperResolution
from samples.super_resolution.photographs import load_parts, shrink
from samples.training.loop import (
    count_steps,
    descend,
    learning_rate,
    prepare,
    save_weights,
)
from torch import Tensor
from torch.nn import functional

FOLDER = Path(__file__).parent
PLACES = {2: FOLDER, 4: FOLDER / "x4"}
TILE = 64
EXAMPLES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the training depends on."""

    scale: int
    seed: int = 0
    steps: int = 1_500
    batch: int = 16
    crop: int = 24  # of the small picture, in pixels
    rate: float = 1e-3


def train(settings: Settings) -> SuperResolution:
    """Train on random crops, turned and mirrored; return in eval mode."""
    prepare(settings.seed)
    model = SuperResolution(settings.scale)
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, learning_rate(settings.steps))
    crops = draw_crops(settings)
    for _ in count_steps(f"super_resolution x{settings.scale}", settings.steps):
        small, large = next(crops)
        descend(functional.l1_loss(model(small), large), optimiser)
        schedule.step()
    model.eval()
    return model


def draw_crops(settings: Settings) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield small crops (B, 3, c, c) in 0..1 and what they were made from, without end."""
    pairs = [
        (_to_tensor(shrink(part, settings.scale)), _to_tensor(part)) for part in load_parts(False)
    ]
    while True:
        chosen = [_crop(*pairs[i % len(pairs)], settings) for i in range(settings.batch)]
        small, large = zip(*chosen, strict=True)
        yield torch.stack(small), torch.stack(large)


def save_examples(path: Path) -> None:
    """Write tiles (N, 3, 64, 64) uint8 of the photographs, at three sizes, for calibration."""
    random = np.random.RandomState(0)
    tiles, parts = [], [part for part in load_parts(False) if part.shape[1] >= 4 * TILE]
    for index in range(EXAMPLES):
        part = parts[index % len(parts)]
        scale = (1, 2, 4)[index % 3]
        small = shrink(part, scale) if scale > 1 else part
        top, left = (random.randint(side - TILE + 1) for side in small.shape[:2])
        tiles.append(small[top : top + TILE, left : left + TILE].transpose(2, 0, 1))
    np.savez_compressed(path, image=np.stack(tiles))


def _crop(small: Tensor, large: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Return the same random square of both, turned and mirrored alike."""
    size, scale = settings.crop, settings.scale
    top, left = (int(torch.randint(side - size + 1, ())) for side in small.shape[1:])
    turns, mirrored = int(torch.randint(4, ())), bool(torch.randint(2, ()))
    parts = (
        small[:, top : top + size, left : left + size],
        large[:, scale * top : scale * (top + size), scale * left : scale * (left + size)],
    )
    turned = [torch.rot90(part, turns, (1, 2)) for part in parts]
    first, second = (part.flip(2) if mirrored else part for part in turned)
    return first, second


def _to_tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32) / 255)


if __name__ == "__main__":
    save_examples(FOLDER / "examples.npz")
    for scale, folder in PLACES.items():
        save_weights(train(Settings(scale=scale)), folder / "weights.safetensors")
