"""A deep GAN for 32x32 digits: the original game between networks of a dozen layers each."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["Discriminator", "Generator"]

SIDE = 32


class Block(nn.Module):
    """Two normalised layers whose output is added to their input.

    Source: He, Zhang, Ren, Sun 2016, "Identity Mappings in Deep Residual Networks",
    arXiv:1603.05027, figure 4e.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, width) for features (B, width)."""
        return features + self.layers(features)


class BoundedBlock(nn.Module):
    """Two layers of bounded slope whose output is added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Linear(width, width)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Linear(width, width)),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, width) for features (B, width)."""
        return features + self.layers(features)


class Generator(nn.Module):
    """Draws a digit from noise through 12 layers without a convolution.

    Source: Goodfellow et al. 2014, "Generative Adversarial Nets", arXiv:1406.2661.
    """

    def __init__(self, latent_size: int = 64, width: int = 144, blocks: int = 5) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_size, width),
            *(Block(width) for _ in range(blocks)),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, SIDE * SIDE),
            nn.Sigmoid(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Draw an image (B, 1, 32, 32) in 0..1 from z (B, Z) ~ N(0, 1)."""
        image: Tensor = self.layers(z).view(-1, 1, SIDE, SIDE)
        return image


class Discriminator(nn.Module):
    """Scores how real a digit looks, through 12 layers; used in training only.

    Spectral normalisation bounds the slope of each layer, and so the slope of the whole: without it
    a discriminator so deep soon tells all fakes, and its gradient teaches nothing.

    Source: Miyato, Kataoka, Koyama, Yoshida 2018, "Spectral Normalization for Generative
    Adversarial Networks", arXiv:1802.05957.
    """

    def __init__(self, width: int = 192, blocks: int = 5) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            spectral_norm(nn.Linear(SIDE * SIDE, width)),
            *(BoundedBlock(width) for _ in range(blocks)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Linear(width, 1)),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Score (B,), a logit, for image (B, 1, 32, 32) in 0..1."""
        return torch.squeeze(self.layers(image), 1)
