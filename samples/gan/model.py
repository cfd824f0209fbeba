"""The original GAN for 32x32 digits: two multilayer perceptrons, no convolution."""

from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["Discriminator", "Generator"]

SIDE = 32


class Generator(nn.Module):
    """Draws a digit from noise, with rectified layers and a sigmoid.

    Batch normalisation, which is younger, keeps it from drawing one digit for all noise.

    Source: Goodfellow et al. 2014, "Generative Adversarial Nets", arXiv:1406.2661, section 5;
    Ioffe, Szegedy 2015, "Batch Normalization", arXiv:1502.03167.
    """

    def __init__(self, latent_size: int = 64, widths: tuple[int, ...] = (128, 256)) -> None:
        super().__init__()
        sizes = (latent_size, *widths)
        layers: list[nn.Module] = []
        for size_in, size_out in pairwise(sizes):
            layers += [
                nn.Linear(size_in, size_out, bias=False),
                nn.BatchNorm1d(size_out),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], SIDE * SIDE), nn.Sigmoid())

    def forward(self, z: Tensor) -> Tensor:
        """Draw an image (B, 1, 32, 32) in 0..1 from z (B, Z) ~ N(0, 1)."""
        image: Tensor = self.layers(z).view(-1, 1, SIDE, SIDE)
        return image


class Maxout(nn.Module):
    """The largest of several linear maps, each value on its own.

    Source: Goodfellow et al. 2013, "Maxout Networks", arXiv:1302.4389.
    """

    def __init__(self, size_in: int, size_out: int, pieces: int = 3) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(size_in, size_out * pieces)

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, size_out) for features (B, size_in)."""
        return self.linear(features).unflatten(1, (-1, self.pieces)).amax(dim=2)


class Discriminator(nn.Module):
    """Scores how real a digit looks, with maxout and dropout; used in training only.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, section 5.
    """

    def __init__(self, width: int = 128, dropout: float = 0.3) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.2),
            Maxout(SIDE * SIDE, width),
            nn.Dropout(dropout),
            Maxout(width, width),
            nn.Dropout(dropout),
            nn.Linear(width, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Score (B,), a logit, for image (B, 1, 32, 32) in 0..1."""
        return torch.squeeze(self.layers(image), 1)
