"""Generators of the usual kinds that `samples/` has no trained model of."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Dcgan64", "Kernel5", "KlDecoder", "Residual256"]


class Dcgan64(nn.Module):
    """The generator of the PyTorch DCGAN tutorial, nz = 100 and ngf = 64.

    Source: Radford, Metz, Chintala 2016, "Unsupervised Representation Learning with Deep
    Convolutional Generative Adversarial Networks", arXiv:1511.06434; sizes from
    docs.pytorch.org/tutorials/beginner/dcgan_faces_tutorial.html.
    """

    def __init__(self, latent_size: int = 100, channels: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_transposed(latent_size, 8 * channels, 4, 1, 0),
            *_transposed(8 * channels, 4 * channels, 4, 2, 1),
            *_transposed(4 * channels, 2 * channels, 4, 2, 1),
            *_transposed(2 * channels, channels, 4, 2, 1),
            nn.ConvTranspose2d(channels, 3, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Draw an image (B, 3, 64, 64) in -1..1 from z (B, 100, 1, 1) ~ N(0, 1)."""
        image: Tensor = self.layers(z)
        return image


class Kernel5(nn.Module):
    """A generator of 28x28 digits with transposed convolutions of kernel 5, which 2 divides not.

    Source: Radford et al. 2016, arXiv:1511.06434, in the sizes of
    tensorflow.org/tutorials/generative/dcgan.
    """

    def __init__(self, latent_size: int = 64, channels: int = 64) -> None:
        super().__init__()
        self.channels = channels
        self.project = nn.Linear(latent_size, 2 * channels * 7 * 7, bias=False)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            *_transposed(2 * channels, channels, 5, 2, 2, extra=1),
            nn.ConvTranspose2d(channels, 1, 5, 2, 2, output_padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Draw an image (B, 1, 28, 28) in -1..1 from z (B, 64) ~ N(0, 1)."""
        image: Tensor = self.layers(self.project(z).view(-1, 2 * self.channels, 7, 7))
        return image


class ResnetBlock(nn.Module):
    """Two normalised, activated 3x3 convolutions beside a shortcut.

    Source: Esser, Rombach, Ommer 2021, "Taming Transformers for High-Resolution Image Synthesis",
    arXiv:2012.09841 (the blocks of its autoencoder).
    """

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_activated(width_in),
            nn.Conv2d(width_in, width_out, 3, 1, 1),
            *_activated(width_out),
            nn.Conv2d(width_out, width_out, 3, 1, 1),
        )
        same = width_in == width_out
        self.shortcut = nn.Identity() if same else nn.Conv2d(width_in, width_out, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, width_out, H, W) for features (B, width_in, H, W)."""
        added: Tensor = self.shortcut(features) + self.layers(features)
        return added


class KlDecoder(nn.Module):
    """The decoder of a KL-regularised autoencoder, narrow and without attention.

    Source: Rombach, Blattmann, Lorenz, Esser, Ommer 2022, "High-Resolution Image Synthesis with
    Latent Diffusion Models", arXiv:2112.10752 (f = 8, four latent channels, three blocks a stage).
    """

    def __init__(self, widths: tuple[int, ...] = (128, 128, 64, 32), blocks: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(4, widths[0], 3, 1, 1)]
        width = widths[0]
        for stage, wanted in enumerate(widths):
            if stage:
                layers += [nn.Upsample(scale_factor=2.0), nn.Conv2d(width, width, 3, 1, 1)]
            for _ in range(blocks):
                layers.append(ResnetBlock(width, wanted))
                width = wanted
        self.layers = nn.Sequential(
            *layers, *_activated(width), nn.Conv2d(width, 3, 3, 1, 1), nn.Tanh()
        )

    def forward(self, z: Tensor) -> Tensor:
        """Draw an image (B, 3, 256, 256) in -1..1 from z (B, 4, 32, 32) ~ N(0, 1)."""
        image: Tensor = self.layers(z)
        return image


class Residual256(nn.Module):
    """An image-to-image net: down twice, residual blocks, up twice by nearest neighbour.

    Source: Johnson, Alahi, Fei-Fei 2016, "Perceptual Losses for Real-Time Style Transfer and
    Super-Resolution", arXiv:1603.08155; Zhu, Park, Isola, Efros 2017, arXiv:1703.10593 (CycleGAN);
    Odena, Dumoulin, Olah 2016, Distill (upsampling, then convolution).
    """

    def __init__(self, channels: int = 32, blocks: int = 6) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolved(3, channels, 7, 1),
            *_convolved(channels, 2 * channels, 3, 2),
            *_convolved(2 * channels, 4 * channels, 3, 2),
            *(ResidualBlock(4 * channels) for _ in range(blocks)),
            nn.Upsample(scale_factor=2.0),
            *_convolved(4 * channels, 2 * channels, 3, 1),
            nn.Upsample(scale_factor=2.0),
            *_convolved(2 * channels, channels, 3, 1),
            nn.Conv2d(channels, 3, 7, 1, 3),
            nn.Tanh(),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Another image (B, 3, 256, 256) in -1..1 for image (B, 3, 256, 256) in -1..1."""
        translated: Tensor = self.layers(image)
        return translated


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation beside the identity.

    Source: Johnson et al. 2016, arXiv:1603.08155, supplementary material (no ReLU at the end).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolved(width, width, 3, 1),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, width, H, W) for features (B, width, H, W)."""
        added: Tensor = features + self.layers(features)
        return added


def _transposed(
    width_in: int, width_out: int, kernel: int, stride: int, padding: int, *, extra: int = 0
) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(width_in, width_out, kernel, stride, padding, extra, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(),
    ]


def _convolved(width_in: int, width_out: int, kernel: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(width_in, width_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(),
    ]


def _activated(width: int) -> list[nn.Module]:
    return [nn.GroupNorm(min(32, width // 2), width), nn.SiLU()]
