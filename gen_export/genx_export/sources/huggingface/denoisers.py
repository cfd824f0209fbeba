"""diffusers networks under the names and in the form that the sampling loops call them."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from genx_export.sources.huggingface.settings import Settings


class Unet(nn.Module):
    """x (B, C, H, W), time (B,) float32 -> prediction (B, C, H, W): a UNet2DModel."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Predict."""
        prediction: Tensor = self.unet(x, time, return_dict=False)[0]
        return prediction


class LabelledUnet(Unet):
    """x (B, C, H, W), time (B,) float32, label (B,) int64 -> prediction (B, C, H, W)."""

    def forward(  # type: ignore[override]
        self, x: Tensor, time: Tensor, label: Tensor
    ) -> Tensor:
        """Predict."""
        prediction: Tensor = self.unet(x, time, class_labels=label, return_dict=False)[0]
        return prediction


class TransformerDenoiser(nn.Module):
    """x (B, C, H, W), time (B,) float32, label (B,) int64 -> prediction (B, C, H, W): a DiT.

    The variance that it may predict in the other half of the channels is left, as DiTPipeline does.

    Source: Peebles & Xie, arXiv:2212.09748, section 3.1.
    """

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer
        self.channels = int(transformer.config.in_channels)

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """Predict."""
        made: Tensor = self.transformer(x, timestep=time, class_labels=label, return_dict=False)[0]
        return made[:, : self.channels]


class ConsistencyGenerator(nn.Module):
    """z (B, C, H, W) ~ N(0, 1) -> image (B, C, H, W) in -1..1: a consistency model's one step.

    Source: Song et al., "Consistency models", arXiv:2303.01469, appendix C.
    """

    def __init__(self, unet: Any, settings: Settings) -> None:
        super().__init__()
        self.unet = unet
        low, high, data = (settings.number(f"sigma_{n}") for n in ("min", "max", "data"))
        if not (0 < low < high and data > 0):
            raise settings.cannot_express("sigma_max")
        self.sigma = high
        self.time = 250.0 * math.log(high)
        self.inner = 1 / math.sqrt(high**2 + data**2)
        self.skip = data**2 / ((high - low) ** 2 + data**2)
        self.outer = (high - low) * data / math.sqrt(high**2 + data**2)
        self.clip = bool(settings.get("clip_denoised"))

    def forward(self, z: Tensor) -> Tensor:
        """Generate."""
        return self.denoise(z)

    def denoise(self, z: Tensor, **labels: Tensor) -> Tensor:
        """Take the step from the largest sigma."""
        x = z * self.sigma
        time = x.new_full((x.shape[0],), self.time)
        made = self.unet(x * self.inner, time, return_dict=False, **labels)[0]
        image: Tensor = self.outer * made + self.skip * x
        return image.clamp(-1, 1) if self.clip else image


class LabelledConsistencyGenerator(ConsistencyGenerator):
    """z (B, C, H, W) ~ N(0, 1), label (B,) int64 -> image (B, C, H, W) in -1..1."""

    def forward(self, z: Tensor, label: Tensor) -> Tensor:  # type: ignore[override]
        """Generate."""
        return self.denoise(z, class_labels=label)
