"""Super-resolution: convolutions on the small picture, one pixel shuffle at the end."""

from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["SuperResolution", "make_x2", "make_x4"]


class SuperResolution(nn.Module):
    """Adds detail to pixels that are repeated `scale` times along each side.

    Source: Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution Using an Efficient
    Sub-Pixel Convolutional Neural Network", arXiv:1609.05158; Du et al. 2021, "Anchor-based Plain
    Net for Mobile Image Super-Resolution", arXiv:2105.09750 (repeated pixels as the residual, which
    keeps its quality in int8).
    """

    def __init__(self, scale: int, channels: int = 32, layers: int = 5) -> None:
        super().__init__()
        self.scale = scale
        widths = [3] + [channels] * layers
        parts: list[nn.Module] = []
        for width_in, width in pairwise(widths):
            parts += [nn.Conv2d(width_in, width, 3, 1, 1), nn.ReLU()]
        self.layers = nn.Sequential(*parts, nn.Conv2d(channels, 3 * scale**2, 3, 1, 1))
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, image: Tensor) -> Tensor:
        """Enlarge an image (B, 3, H, W) in 0..1 to (B, 3, H * scale, W * scale)."""
        repeated = torch.repeat_interleave(image, self.scale**2, dim=1)
        enlarged: Tensor = self.shuffle(self.layers(image) + repeated)
        return enlarged


def make_x2() -> SuperResolution:
    """Twice as many pixels along each side."""
    return SuperResolution(2)


def make_x4() -> SuperResolution:
    """Four times as many pixels along each side."""
    return SuperResolution(4)
