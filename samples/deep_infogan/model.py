"""Deep InfoGAN for 32x32 digits: codes that enter the generator at two depths."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["Codes", "Discriminator", "Generator"]


class Codes(NamedTuple):
    """The codes drawn for images, or what was read of them: logits and means.

    `category` (B, 10) and `style` (B, 2) enter at 4x4, `variant` (B, 3) and `stroke` (B, 1) at
    8x8.
    """

    category: Tensor
    style: Tensor
    variant: Tensor
    stroke: Tensor


class Generator(nn.Module):
    """Draws a digit from noise and codes: those of the digit first, those of its look deeper.

    Source: Chen, Duan, Houthooft, Schulman, Sutskever, Abbeel 2016, "InfoGAN: Interpretable
    Representation Learning by Information Maximizing Generative Adversarial Nets",
    arXiv:1606.03657 (codes); Radford, Metz, Chintala 2016, arXiv:1511.06434 (layers); Denton,
    Chintala, Szlam, Fergus 2015, arXiv:1506.05751 (inputs at several resolutions).
    """

    def __init__(self, latent_size: int = 24, channels: int = 32) -> None:
        super().__init__()
        self.channels = channels
        self.project = nn.Sequential(
            nn.Linear(latent_size + 10 + 2, 4 * channels * 4 * 4, bias=False),
            nn.BatchNorm1d(4 * channels * 4 * 4),
            nn.ReLU(),
        )
        self.first = nn.Sequential(
            nn.ConvTranspose2d(4 * channels, 2 * channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
        )
        self.second = nn.Sequential(
            nn.ConvTranspose2d(2 * channels + 3 + 1, channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, 1, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(
        self, z: Tensor, category: Tensor, style: Tensor, variant: Tensor, stroke: Tensor
    ) -> Tensor:
        """Draw an image (B, 1, 32, 32) in -1..1.

        From z (B, Z) ~ N(0, 1); category (B, 10) and variant (B, 3), one-hot; style (B, 2) and
        stroke (B, 1) ~ U(-1, 1).
        """
        code = torch.cat([z, category, style], dim=1)
        features = self.first(self.project(code).view(-1, 4 * self.channels, 4, 4))
        look = torch.cat([variant, stroke], dim=1)[:, :, None, None].expand(-1, -1, 8, 8)
        image: Tensor = self.second(torch.cat([features, look], dim=1))
        return image


class Discriminator(nn.Module):
    """Scores how real a digit looks and, in the Q head, reads its codes; used in training only.

    Source: Chen et al. 2016, arXiv:1606.03657 (Q shares the discriminator's layers); Miyato,
    Kataoka, Koyama, Yoshida 2018, arXiv:1802.05957 (spectral normalisation).
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        features = 4 * channels * 4 * 4
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(1, channels, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(channels, 2 * channels, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(2 * channels, 4 * channels, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        self.score = spectral_norm(nn.Linear(features, 1))
        self.hidden = nn.Sequential(
            nn.Linear(features, 128), nn.BatchNorm1d(128), nn.LeakyReLU(0.2)
        )
        self.codes = nn.ModuleList(nn.Linear(128, size) for size in (10, 2, 3, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Codes]:
        """Score (B,) and the codes read from image (B, 1, 32, 32) in -1..1."""
        features = self.layers(image)
        hidden = self.hidden(features)
        return self.score(features).squeeze(1), Codes(*(read(hidden) for read in self.codes))
