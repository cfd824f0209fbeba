"""InfoGAN for 32x32 digits: a generator with latent codes, and a discriminator which reads them."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["Discriminator", "Generator"]


class Generator(nn.Module):
    """Draws a digit from noise, a categorical code and two continuous codes.

    Source: Chen, Duan, Houthooft, Schulman, Sutskever, Abbeel 2016, "InfoGAN: Interpretable
    Representation Learning by Information Maximizing Generative Adversarial Nets",
    arXiv:1606.03657 (codes); Radford, Metz, Chintala 2016, arXiv:1511.06434 (layers).
    """

    def __init__(
        self, latent_size: int = 62, classes: int = 10, styles: int = 2, channels: int = 32
    ) -> None:
        super().__init__()
        self.channels = channels
        self.project = nn.Sequential(
            nn.Linear(latent_size + classes + styles, 4 * channels * 4 * 4, bias=False),
            nn.BatchNorm1d(4 * channels * 4 * 4),
            nn.ReLU(),
        )
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(4 * channels, 2 * channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, 1, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, category: Tensor, style: Tensor) -> Tensor:
        """Draw an image (B, 1, 32, 32) in -1..1.

        From z (B, Z) ~ N(0, 1), category (B, 10) one-hot and style (B, 2) ~ U(-1, 1).
        """
        code = torch.cat([z, category, style], dim=1)
        image: Tensor = self.layers(self.project(code).view(-1, 4 * self.channels, 4, 4))
        return image


class Discriminator(nn.Module):
    """Scores how real a digit looks and, in the Q head, reads its codes; used in training only.

    Source: Chen et al. 2016, arXiv:1606.03657 (Q shares the discriminator's layers); Miyato,
    Kataoka, Koyama, Yoshida 2018, arXiv:1802.05957 (spectral normalisation).
    """

    def __init__(self, classes: int = 10, styles: int = 2, channels: int = 32) -> None:
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
        self.category = nn.Linear(128, classes)
        self.style = nn.Linear(128, styles)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score (B,), category logits (B, 10) and style mean (B, 2) for image (B, 1, 32, 32)."""
        features = self.layers(image)
        hidden = self.hidden(features)
        return self.score(features).squeeze(1), self.category(hidden), self.style(hidden)
