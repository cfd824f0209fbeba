"""VAE-GAN for 32x32 digits: a VAE, and a discriminator that measures its reconstructions."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["VAEGAN", "Decoder", "Discriminator", "Encoder", "reparameterise"]


def reparameterise(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Latent (B, D) of the posterior, with noise (B, D) ~ N(0, 1) given from outside.

    Source: Kingma, Welling 2014, "Auto-Encoding Variational Bayes", arXiv:1312.6114, section 2.4.
    """
    return mean + torch.exp(0.5 * log_variance) * noise


class Encoder(nn.Module):
    """Reads the posterior of the latent from a digit, with strided convolutions.

    Source: Kingma, Welling 2014, arXiv:1312.6114 (Gaussian posterior); Larsen et al. 2016,
    arXiv:1512.09300, table 1 (strided convolutions with batch normalisation).
    """

    def __init__(self, latent_size: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.Conv2d(2 * channels, 2 * channels, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.mean = nn.Linear(2 * channels * 4 * 4, latent_size)
        self.log_variance = nn.Linear(2 * channels * 4 * 4, latent_size)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, both (B, D), for image (B, 1, 32, 32) in 0..1."""
        features = self.layers(image)
        return self.mean(features), self.log_variance(features)


class Decoder(nn.Module):
    """Draws a digit from a latent, with transposed convolutions.

    Source: Radford, Metz, Chintala 2016, "Unsupervised Representation Learning with Deep
    Convolutional Generative Adversarial Networks", arXiv:1511.06434.
    """

    def __init__(self, latent_size: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.project = nn.Sequential(
            nn.Linear(latent_size, 4 * channels * 4 * 4, bias=False),
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
            nn.Sigmoid(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Draw an image (B, 1, 32, 32) in 0..1 from z (B, D) ~ N(0, 1)."""
        image: Tensor = self.layers(self.project(z).view(-1, 4 * self.channels, 4, 4))
        return image


class VAEGAN(nn.Module):
    """Encoder and decoder, which sample and reconstruct apart from each other.

    Source: Larsen, Sønderby, Larochelle, Winther 2016, "Autoencoding beyond pixels using a learned
    similarity metric", arXiv:1512.09300.
    """

    def __init__(self, latent_size: int = 16, channels: int = 32) -> None:
        super().__init__()
        self.encoder = Encoder(latent_size, channels)
        self.decoder = Decoder(latent_size, channels)

    def forward(self, image: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct image (B, 1, 32, 32) with noise (B, D); also mean and log-variance."""
        mean, log_variance = self.encoder(image)
        return self.decoder(reparameterise(mean, log_variance, noise)), mean, log_variance


class Discriminator(nn.Module):
    """Scores how real a digit looks, and gives the features that it saw; used in training only.

    Source: Larsen et al. 2016, arXiv:1512.09300, section 2.3 (features); Miyato, Kataoka, Koyama,
    Yoshida 2018, arXiv:1802.05957 (spectral normalisation).
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.near = nn.Sequential(
            spectral_norm(nn.Conv2d(1, channels, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(channels, 2 * channels, 4, 2, 1)),
            nn.LeakyReLU(0.2),
        )
        self.far = nn.Sequential(
            spectral_norm(nn.Conv2d(2 * channels, 4 * channels, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            spectral_norm(nn.Linear(4 * channels * 4 * 4, 1)),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Score (B,) and features (B, 64, 8, 8) for image (B, 1, 32, 32) in 0..1."""
        features = self.near(2.0 * image - 1.0)
        return self.far(features).squeeze(1), features
