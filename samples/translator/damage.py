"""What the digits suffer: noise, or a block that hides a part of them."""

import torch
from torch import Tensor

__all__ = ["NOISE", "add_noise", "damage", "mask"]

NOISE = 0.3
LEAST_NOISE, MOST_NOISE = 0.1, 0.5
HIDDEN = 0.5
LEAST_BLOCK, MOST_BLOCK = 6, 14


def add_noise(images: Tensor, deviation: Tensor | float) -> Tensor:
    """Add Gaussian noise to images (B, 1, H, W) and round them to 256 levels of 0..1."""
    noisy = (images + deviation * torch.randn_like(images)).clamp(0, 1)
    return (255 * noisy).round() / 255


def mask(images: Tensor, least: int = LEAST_BLOCK, most: int = MOST_BLOCK) -> tuple[Tensor, Tensor]:
    """Put a grey block, `least` to `most` pixels high and wide, near the middle of each image.

    Returns:
        the images (B, 1, H, W), and whether each pixel is hidden, likewise.
    """
    count, _, height, width = images.shape
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    size = torch.randint(least, most + 1, (count, 2, 1, 1))
    middle = torch.randint(height // 4, 3 * height // 4, (count, 2, 1, 1))
    inside = [
        (place >= middle[:, k] - size[:, k] // 2) & (place < middle[:, k] + (size[:, k] + 1) // 2)
        for k, place in enumerate((rows, columns))
    ]
    hidden = (inside[0] & inside[1])[:, None]
    return torch.where(hidden, HIDDEN, images), hidden


def damage(images: Tensor) -> Tensor:
    """Damage images (B, 1, H, W) in 0..1: the first half with noise, the rest with a block."""
    half = len(images) // 2
    deviation = LEAST_NOISE + (MOST_NOISE - LEAST_NOISE) * torch.rand(half, 1, 1, 1)
    return torch.cat([add_noise(images[:half], deviation), mask(images[half:])[0]])
