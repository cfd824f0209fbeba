"""A small StyleGAN for 32x32 digits: mapping network, modulated convolutions, noise, truncation."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["Discriminator", "Generator"]

SLOPE = 0.2


class Noise(nn.Module):
    """Adds noise, one value a pixel, as strong as each layer learns; it is drawn here.

    Source: Karras, Laine, Aila 2019, "A Style-Based Generator Architecture for Generative
    Adversarial Networks", arXiv:1812.04948, section 2.
    """

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """Return features (B, C, H, W) with noise (B, 1, H, W) on them."""
        batch, _, height, width = features.shape
        return features + self.strength * torch.randn(batch, 1, height, width)


class StyledConvolution(nn.Module):
    """A 3x3 convolution whose input channels the style scales.

    Scaling the features instead of the weights is the same, and lets the whole batch share one
    convolution.

    Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN",
    arXiv:1912.04958, section 2.2, equations 1 to 3.
    """

    def __init__(self, style_size: int, channels_in: int, channels: int) -> None:
        super().__init__()
        scale = 1.0 / math.sqrt(9 * channels_in)
        self.weight = nn.Parameter(scale * torch.randn(channels, channels_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.style = nn.Linear(style_size, channels_in)
        self.noise = Noise()
        nn.init.ones_(self.style.bias)

    def forward(self, features: Tensor, w: Tensor) -> Tensor:
        """Return (B, channels, H, W) for features (B, channels_in, H, W) and w (B, W)."""
        style = self.style(w)
        power = style.square() @ self.weight.square().sum(dim=(2, 3)).t()
        made = functional.conv2d(features * style[:, :, None, None], self.weight, padding=1)
        made = made * torch.rsqrt(power + 1e-8)[:, :, None, None]
        return functional.leaky_relu(self.noise(made) + self.bias, SLOPE)


class Mapping(nn.Module):
    """Turns z into w, whose axes are free to follow what varies in the images.

    Source: Karras et al. 2019, arXiv:1812.04948, section 2.
    """

    def __init__(self, latent_size: int, style_size: int, layers: int) -> None:
        super().__init__()
        sizes = (latent_size, *[style_size] * layers)
        parts: list[nn.Module] = []
        for size_in, size_out in pairwise(sizes):
            layer = nn.Linear(size_in, size_out)
            nn.init.kaiming_normal_(layer.weight, SLOPE)
            parts += [layer, nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*parts)

    def forward(self, z: Tensor) -> Tensor:
        """Return w (B, W) for z (B, Z)."""
        scaled = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        w: Tensor = self.layers(scaled)
        return w


class Generator(nn.Module):
    """Draws a digit from a learned constant that styles and noise shape, layer by layer.

    Source: Karras et al. 2020, arXiv:1912.04958.
    """

    def __init__(
        self,
        latent_size: int = 64,
        style_size: int = 64,
        channels: tuple[int, ...] = (64, 48, 32, 16),
    ) -> None:
        super().__init__()
        self.mapping = Mapping(latent_size, style_size, 3)
        self.start = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        self.layers = nn.ModuleList()
        inside = channels[0]
        for width in channels:
            self.layers.append(StyledConvolution(style_size, inside, width))
            self.layers.append(StyledConvolution(style_size, width, width))
            inside = width
        self.output = nn.Conv2d(inside, 1, 1)
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(style_size))

    def forward(self, z: Tensor, truncation: Tensor) -> Tensor:
        """Draw an image (B, 1, 32, 32) in -1..1.

        From z (B, Z) ~ N(0, 1) and truncation (B,) in 0..1: 1 leaves w alone, 0 is its mean.
        """
        w = self.mean + truncation[:, None] * (self.mapping(z) - self.mean)
        return self.synthesise(w)

    def synthesise(self, w: Tensor) -> Tensor:
        """Draw an image (B, 1, 32, 32) in -1..1 from w (B, W)."""
        features = self.start.expand(w.shape[0], -1, -1, -1)
        for index, layer in enumerate(self.layers):
            if index and index % 2 == 0:
                features = functional.interpolate(features, scale_factor=2.0)
            features = layer(features, w)
        return torch.tanh(self.output(features))


class Discriminator(nn.Module):
    """Scores how real a digit looks; used in training only.

    Source: Miyato, Kataoka, Koyama, Yoshida 2018, "Spectral Normalization for Generative
    Adversarial Networks", arXiv:1802.05957 (layers); Karras et al. 2018, "Progressive Growing of
    GANs", arXiv:1710.10196, section 3 (the spread over the batch as a further feature).
    """

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(1, channels, 4, 2, 1)),
            nn.LeakyReLU(SLOPE),
            spectral_norm(nn.Conv2d(channels, 2 * channels, 4, 2, 1)),
            nn.LeakyReLU(SLOPE),
            spectral_norm(nn.Conv2d(2 * channels, 4 * channels, 4, 2, 1)),
            nn.LeakyReLU(SLOPE),
        )
        self.score = nn.Sequential(
            nn.Flatten(),
            spectral_norm(nn.Linear((4 * channels + 1) * 4 * 4, 128)),
            nn.LeakyReLU(SLOPE),
            spectral_norm(nn.Linear(128, 1)),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Score (B,), a logit, for image (B, 1, 32, 32) in -1..1."""
        features = self.layers(image)
        spread = torch.sqrt(features.var(dim=0, unbiased=False) + 1e-8).mean()
        spread_plane = spread.expand(len(features), 1, *features.shape[2:])
        return torch.squeeze(self.score(torch.cat([features, spread_plane], dim=1)), 1)
