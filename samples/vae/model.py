"""Convolutional beta-VAE for 32x32 digits: an encoder, a decoder and the reparameterisation."""

import torch
from torch import Tensor, nn

__all__ = ["VAE", "Decoder", "Encoder", "reparameterise"]


def reparameterise(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Latent (B, D) of the posterior, with noise (B, D) ~ N(0, 1) given from outside.

    Source: Kingma, Welling 2014, "Auto-Encoding Variational Bayes", arXiv:1312.6114, section 2.4.
    """
    return mean + torch.exp(0.5 * log_variance) * noise


class Encoder(nn.Module):
    """Reads the posterior of the latent from a digit, with strided convolutions.

    Source: Kingma, Welling 2014, arXiv:1312.6114 (Gaussian posterior); Higgins et al. 2017,
    "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework",
    ICLR 2017, table 1 (4x4 convolutions of stride 2).
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
    """Draws a digit from a latent, with nearest-neighbour upsampling and 3x3 convolutions.

    Source: Odena, Dumoulin, Olah 2016, "Deconvolution and Checkerboard Artifacts", Distill
    (upsampling, then convolution); Kingma, Welling 2014, arXiv:1312.6114 (Bernoulli mean).
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
            *_upsample(4 * channels, 2 * channels),
            *_upsample(2 * channels, 2 * channels),
            *_upsample(2 * channels, channels),
            nn.Conv2d(channels, 1, 3, 1, 1),
            nn.Sigmoid(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Draw an image (B, 1, 32, 32) in 0..1 from z (B, D) ~ N(0, 1)."""
        image: Tensor = self.layers(self.project(z).view(-1, 4 * self.channels, 4, 4))
        return image


class VAE(nn.Module):
    """The two halves of a beta-VAE, which sample and reconstruct apart from each other.

    Source: Higgins et al. 2017, "beta-VAE", ICLR 2017.
    """

    def __init__(self, latent_size: int = 12, channels: int = 32) -> None:
        super().__init__()
        self.encoder = Encoder(latent_size, channels)
        self.decoder = Decoder(latent_size, channels)

    def forward(self, image: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct image (B, 1, 32, 32) with noise (B, D); also mean and log-variance."""
        mean, log_variance = self.encoder(image)
        return self.decoder(reparameterise(mean, log_variance, noise)), mean, log_variance


def _upsample(width_in: int, width_out: int) -> list[nn.Module]:
    return [
        nn.Upsample(scale_factor=2.0, mode="nearest"),
        nn.Conv2d(width_in, width_out, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(),
    ]
