"""Random affine distortions, under which a digit stays the same digit."""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["distort"]


def distort(images: Tensor, shear: float, shift: float) -> Tensor:
    """Shear, stretch and shift images (B, 1, 32, 32) in 0..1 a little, each in its own way.

    Source: Simard, Steinkraus, Platt 2003, "Best Practices for Convolutional Neural Networks
    Applied to Visual Document Analysis", ICDAR (affine distortions).
    """
    warp = torch.eye(2) + shear * (2.0 * torch.rand(len(images), 2, 2) - 1.0)
    offset = shift * (2.0 * torch.rand(len(images), 2, 1) - 1.0)
    grid = functional.affine_grid(
        torch.cat([warp, offset], dim=2), list(images.shape), align_corners=False
    )
    return functional.grid_sample(images, grid, align_corners=False)
