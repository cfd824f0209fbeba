"""Class-conditional U-Net for 32x32 digits, trained as a flow; it denoises a diffusion as well."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["NULL", "TIMES", "Diffusion", "UNet"]

# The class that stands for none, and how far times reach.
NULL = 10
TIMES = 1_000


class UNet(nn.Module):
    """Predicts noise minus digit, from their mixture (1 - t) * digit + t * noise, t and a label.

    It works on pixels of 2x2 brought into channels, which takes a quarter of the time.

    Source: Ronneberger, Fischer, Brox 2015, "U-Net", arXiv:1505.04597; Ho, Jain, Abbeel 2020,
    "Denoising Diffusion Probabilistic Models", arXiv:2006.11239, appendix B (residual blocks, group
    normalisation, sinusoids of the time); Shi et al. 2016, arXiv:1609.05158 (pixel shuffle); Lipman
    et al. 2023, "Flow Matching for Generative Modeling", arXiv:2210.02747 (what it predicts).
    """

    def __init__(self, channels: int = 32, width: int = 128) -> None:
        super().__init__()
        self.embedding = Embedding(width)
        self.first = nn.Conv2d(4, channels, 3, 1, 1)
        self.fine = Block(channels, channels, width)
        self.down = nn.Conv2d(channels, 2 * channels, 3, 2, 1)
        self.coarse = nn.ModuleList(Block(2 * channels, 2 * channels, width) for _ in range(2))
        self.up = nn.Conv2d(2 * channels, channels, 3, 1, 1)
        self.join = Block(2 * channels, channels, width)
        self.last = nn.Sequential(
            nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, 4, 3, 1, 1)
        )

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """Predict (B, 1, 32, 32).

        Args:
            x: (B, 1, 32, 32) noisy digit; digits are in -1..1.
            time: (B,) float32, 1000 t, from 0, the digit, to 1000, the noise.
            label: (B,) int64, 0..9, or 10 for none.
        """
        code = self.embedding(time, label)
        fine = self.fine(self.first(functional.pixel_unshuffle(x, 2)), code)
        coarse = self.down(fine)
        for block in self.coarse:
            coarse = block(coarse, code)
        wide = self.up(functional.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        joined = self.join(torch.cat([fine, wide], dim=1), code)
        return functional.pixel_shuffle(self.last(joined), 2)


class Diffusion(UNet):
    """The same net along the cosine schedule, where squares of signal and noise add up to 1.

    A mixture of signal * digit + noise * e is, over signal + noise, one of the flow.

    Source: Nichol, Dhariwal 2021, "Improved Denoising Diffusion Probabilistic Models",
    arXiv:2102.09672, equation 17; Salimans, Ho 2022, "Progressive Distillation for Fast Sampling",
    arXiv:2202.00512, appendix D (velocity); Kingma, Gao 2023, "Understanding Diffusion Objectives
    as the ELBO with Simple Data Augmentation", arXiv:2303.00848, section 2 (schedules are alike).
    """

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """Predict the velocity signal * e - noise * digit, (B, 1, 32, 32).

        Args:
            x: (B, 1, 32, 32) noisy digit; digits are in -1..1.
            time: (B,) float32, the step in 0..999, from digit to noise.
            label: (B,) int64, 0..9, or 10 for none.
        """
        offset = 0.008
        end = offset / (1 + offset) * math.pi / 2
        angle = ((time + 1) / TIMES + offset) / (1 + offset) * math.pi / 2
        signal = torch.cos(angle) / math.cos(end)
        noise = torch.sqrt(1 - signal.square())
        total = signal + noise
        part = (1 / total)[:, None, None, None]
        flow = super().forward(x * part, TIMES * noise / total, label)
        return ((signal - noise)[:, None, None, None] * x + flow) * part


class Block(nn.Module):
    """Two convolutions beside a skip, with the code of time and label added between them.

    Source: Ho, Jain, Abbeel 2020, arXiv:2006.11239, appendix B.
    """

    def __init__(self, width_in: int, width_out: int, code: int) -> None:
        super().__init__()
        self.before = nn.Sequential(
            nn.GroupNorm(8, width_in), nn.SiLU(), nn.Conv2d(width_in, width_out, 3, 1, 1)
        )
        self.shift = nn.Linear(code, width_out)
        self.after = nn.Sequential(
            nn.GroupNorm(8, width_out), nn.SiLU(), nn.Conv2d(width_out, width_out, 3, 1, 1)
        )
        self.skip = nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        """Features (B, C, H, W) and code (B, D) to features (B, C', H, W)."""
        hidden = self.before(features) + self.shift(code)[:, :, None, None]
        total: Tensor = self.skip(features) + self.after(hidden)
        return total


class Embedding(nn.Module):
    """The code (B, D) of a time and a label.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5 (sinusoids); Ho, Salimans 2022,
    "Classifier-Free Diffusion Guidance", arXiv:2207.12598 (a class for none).
    """

    def __init__(self, width: int, frequencies: int = 32) -> None:
        super().__init__()
        rates = torch.exp(-math.log(TIMES) * torch.arange(frequencies) / frequencies)
        self.register_buffer("rates", rates, persistent=False)
        self.time = nn.Linear(2 * frequencies, width)
        self.label = nn.Embedding(NULL + 1, width)
        self.mix = nn.Linear(width, width)

    def forward(self, time: Tensor, label: Tensor) -> Tensor:
        """Code (B, D) of time (B,) in 0..1000 and label (B,) in 0..10."""
        phase = time[:, None] * self.rates
        waves = torch.cat([torch.sin(phase), torch.cos(phase)], dim=1)
        hidden = self.time(waves) + self.label(label)
        code: Tensor = functional.silu(self.mix(functional.silu(hidden)))
        return code
