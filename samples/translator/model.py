"""Image-to-image net for 32x32 digits: a small U-Net that takes noise and masks away."""

import torch
from torch import Tensor, nn

__all__ = ["Translator"]


class Translator(nn.Module):
    """Three scales down with strided convolutions, three up again, joined at each scale.

    Source: Ronneberger, Fischer, Brox 2015, "U-Net", arXiv:1505.04597; Isola et al. 2017,
    "Image-to-Image Translation with Conditional Adversarial Networks", arXiv:1611.07004,
    section 3.2 (the generator); upsampling by nearest neighbour: Odena et al. 2016, Distill.
    """

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        one, two, three = channels, 2 * channels, 3 * channels
        self.first = nn.Sequential(*_layer(1, one), *_layer(one, one))
        self.down = nn.ModuleList(
            nn.Sequential(*_layer(width_in, width, 2), *_layer(width, width))
            for width_in, width in ((one, two), (two, three), (three, three))
        )
        self.up = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.joins = nn.ModuleList(
            nn.Sequential(*_layer(below + beside, width))
            for below, beside, width in ((three, three, three), (three, two, two), (two, one, one))
        )
        self.last = nn.Sequential(nn.Conv2d(one, 1, 3, 1, 1), nn.Sigmoid())

    def forward(self, image: Tensor) -> Tensor:
        """Restore an image (B, 1, 32, 32) in 0..1, noisy or masked; the same shape and range."""
        features = [self.first(image)]
        for part in self.down:
            features.append(part(features[-1]))
        below = features.pop()
        for join in self.joins:
            below = join(torch.cat([self.up(below), features.pop()], dim=1))
        restored: Tensor = self.last(below)
        return restored


def _layer(width_in: int, width: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(width_in, width, 3, stride, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
