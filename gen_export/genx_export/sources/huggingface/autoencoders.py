"""diffusers autoencoders by themselves: AutoencoderKL, AutoencoderTiny, VQModel.

The latent z is the scaled one that pipelines work with, of about unit variance, so that a normal
prior of its shape is a usable stand-in for the prior that such a model does not have.

Source: Rombach et al., "High-resolution image synthesis with latent diffusion models",
arXiv:2112.10752, section 3.1 and appendix G.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genx_export.families import find_family
from genx_export.flags import parse_output
from genx_export.model import LoadedModel
from genx_export.sources.huggingface.folder import CONFIG, check_class, load_module
from genx_export.sources.huggingface.settings import Settings
from genx_export.sources.request import SourceRequest
from genx_export.torch_component import ModuleComponent
from genx_runtimes.errors import SourceError
from genx_runtimes.manifest import BatchBounds, NormalPrior, OutputSpec

AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny", "VQModel")
_PICTURES = (1, 3, 4)
# AutoencoderTiny does not say what size it was trained with.
_SIDE = 64


class BoundedComponent(ModuleComponent):
    """A module of diffusers: its upsampling takes another way at batches of 64 and more."""

    @property
    def bounds(self) -> BatchBounds | None:
        """Batches below that."""
        return BatchBounds(min=1, max=63)


class Decoder(nn.Module):
    """latent (B, C, h, w) -> image (B, 3, H, W) in -1..1."""

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latent: Tensor) -> Tensor:
        """Decode; a VQModel takes the nearest entries of its codebook first."""
        own = self.autoencoder
        if type(own).__name__ != "VQModel":
            decoded: Tensor = own.decode(latent).sample
            return decoded
        codes = own.quantize.embedding.weight
        columns = latent.permute(0, 2, 3, 1)
        away = (codes**2).sum(1) - 2 * columns @ codes.T  # + |column|^2, the same for all codes
        nearest = codes[away.argmin(-1)].permute(0, 3, 1, 2)
        quantised: Tensor = own.decode(nearest, force_not_quantize=True).sample
        return quantised


class ScaledDecoder(nn.Module):
    """z (B, C, h, w), scaled -> image (B, 3, H, W) in -1..1."""

    def __init__(self, autoencoder: Any, scaling: float, shift: float) -> None:
        super().__init__()
        self.decoder = Decoder(autoencoder)
        self.scaling, self.shift = scaling, shift

    def forward(self, z: Tensor) -> Tensor:
        """Undo the scaling and decode."""
        decoded: Tensor = self.decoder(z / self.scaling + self.shift)
        return decoded


class ScaledEncoder(nn.Module):
    """image (B, 3, H, W) in -1..1 -> z (B, C, h, w), scaled."""

    def __init__(self, autoencoder: Any, scaling: float, shift: float) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.scaling, self.shift = scaling, shift

    def forward(self, image: Tensor) -> Tensor:
        """Encode and scale."""
        latent: Tensor = self.autoencoder.encode(image, return_dict=False)[0]
        return (latent - self.shift) * self.scaling


class PosteriorEncoder(ScaledEncoder):
    """image (B, 3, H, W) in -1..1 -> mean and log_variance of z, (B, C, h, w) each, scaled."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Encode and scale; nothing is drawn."""
        posterior = self.autoencoder.encode(image, return_dict=False)[0]
        mean = (posterior.mean - self.shift) * self.scaling
        return mean, posterior.logvar + 2 * math.log(self.scaling)


def describe_picture(channels: int) -> OutputSpec:
    """Return the output contract of what diffusers makes: values in -1..1."""
    return parse_output("image:-1..1" if channels in _PICTURES else "image=tensor")


def load_autoencoder(
    folder: Path, config: Mapping[str, Any], request: SourceRequest
) -> LoadedModel:
    """Load a folder with an autoencoder of diffusers.

    Raises:
        SourceError, WeightsError: see `load_huggingface`.
    """
    name = check_class(folder / CONFIG, config["_class_name"], AUTOENCODERS)
    own, warnings = load_module("diffusers", name, folder)
    settings = Settings(folder / CONFIG, own.config)
    own_family = "vae" if name == "AutoencoderKL" else "autoencoder"
    family = find_family(request.family or own_family)
    if family.name != own_family:
        raise SourceError(
            f"{folder} holds a {name}, whose family is {own_family!r}, not {family.name!r}",
            fix="leave --family out",
        )
    prior = NormalPrior(name="z", shape=_measure_latent(name, settings))
    # Scale and shift of the latents that a pipeline works with.
    scaling, shift = settings.number("scaling_factor"), settings.number("shift_factor", default=0)
    if name == "AutoencoderTiny" and not request.priors:
        warnings.append(
            f"{name} does not say its size: {_SIDE} x {_SIDE} latents are taken; for another, "
            f"--prior z=normal:{prior.shape[0]}x32x32"
        )
    encoder = PosteriorEncoder if own_family == "vae" else ScaledEncoder
    components = [
        BoundedComponent("encoder", encoder(own, scaling, shift)),
        BoundedComponent("decoder", ScaledDecoder(own, scaling, shift)),
    ]
    sampler = family.describe_sampler({}, [c.name for c in components])
    return LoadedModel(
        name=request.name or folder.resolve().name,
        family=family,
        sampler=sampler,
        components=components,
        output_names=family.name_outputs(sampler),
        priors=request.merge_priors((prior,)),
        output=request.output or describe_picture(settings.integer("out_channels")),
        description=f"{name} from diffusers",
        reference=f"torch {torch.__version__}",
        warnings=tuple(warnings),
    )


def _measure_latent(name: str, settings: Settings) -> tuple[int, ...]:
    channels = settings.integer("latent_channels")
    if name == "AutoencoderTiny":
        return (channels, _SIDE, _SIDE)
    shrink = 2 ** (len(settings.integers("block_out_channels")) - 1)
    height, width = settings.size("sample_size")
    channels = settings.integer("vq_embed_dim", default=channels)
    return (channels, max(1, height // shrink), max(1, width // shrink))
