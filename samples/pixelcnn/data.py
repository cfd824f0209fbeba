"""Digits at half their size and in few grey levels, and back to the size that the judge reads."""

import numpy as np
import torch
from numpy.typing import NDArray
from samples.pixelcnn.model import LEVELS
from samples.training.data import PADDING, Digits
from torch import Tensor
from torch.nn import functional

__all__ = ["SIZE", "enlarge", "reduce", "to_values"]

SIZE = 14


def reduce(digits: Digits) -> Tensor:
    """Return the digits' grey levels (N, 14, 14) int64 in 0..LEVELS-1, the mean of 2x2 pixels."""
    inner = digits.images[:, 0, PADDING:-PADDING, PADDING:-PADDING]
    return torch.round(functional.avg_pool2d(inner, 2) * (LEVELS - 1)).long()


def to_values(levels: Tensor) -> Tensor:
    """Return levels (N, H, W) as images (N, 1, H, W) in -1..1."""
    return (2.0 / (LEVELS - 1) * levels.float() - 1.0).unsqueeze(1)


def enlarge(images: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return images (N, 1, 14, 14) in 0..1 as (N, 1, 32, 32): twice as large, with a border."""
    small = torch.from_numpy(images.astype(np.float32))
    large = functional.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
    padded: NDArray[np.float32] = functional.pad(large, (PADDING,) * 4).numpy()
    return padded
