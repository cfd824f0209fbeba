"""Class-conditional DCGAN for 32x32 digits: a generator and a projection discriminator."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["Discriminator", "Generator"]


class Generator(nn.Module):
    """Draws a digit from noise and a label, with transposed convolutions and batch normalisation.

    Source: Radford, Metz, Chintala 2016, "Unsupervised Representation Learning with Deep
    Convolutional Generative Adversarial Networks", arXiv:1511.06434 (layers); Mirza, Osindero 2014,
    "Conditional Generative Adversarial Nets", arXiv:1411.1784 (label joined to the noise).
    """

    def __init__(
        self, latent_size: int = 64, classes: int = 10, channels: int = 40, embedding_size: int = 16
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, embedding_size)
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(latent_size + embedding_size, 4 * channels, 4, 1, 0, bias=False),
            nn.BatchNorm2d(4 * channels),
            nn.ReLU(),
            nn.ConvTranspose2d(4 * channels, 2 * channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, 1, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Draw an image (B, 1, 32, 32) in -1..1 from z (B, Z) ~ N(0, 1) and label (B,) int64."""
        code = torch.cat([z, self.embedding(label)], dim=1)
        image: Tensor = self.layers(code[:, :, None, None])
        return image


class Discriminator(nn.Module):
    """Scores how real a digit looks for its label; used in training only.

    Source: Miyato, Kataoka, Koyama, Yoshida 2018, "Spectral Normalization for Generative
    Adversarial Networks", arXiv:1802.05957 (layers); Miyato, Koyama 2018, "cGANs with Projection
    Discriminator", arXiv:1802.05637 (label as an inner product with the features).
    """

    def __init__(self, classes: int = 10, channels: int = 32) -> None:
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
        self.projection = spectral_norm(nn.Embedding(classes, features))

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """Score (B,), a logit, for image (B, 1, 32, 32) in -1..1 and label (B,) int64."""
        features = self.layers(image)
        score: Tensor = self.score(features).squeeze(1)
        agreement: Tensor = (self.projection(label) * features).sum(dim=1)
        return score + agreement
