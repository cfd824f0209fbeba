"""Fitting the workloads' generators to real images, briefly, so that activations are realistic.

Random weights would make all channels alike, which is kind to INT8 and says little. The images are
the digits in `samples/data` and patches of the two photographs in scikit-learn. Nothing here makes
a good generator: a minute on two cores gives blurred images, with features that respond to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from genx_export.sources.python_callable import find_callable
from workloads import SAMPLES, Workload

RATE = 1e-3
SEED = 0
Draw = Callable[[], tuple[Tensor, Tensor]]  # an input (B, ...) and the image (B, C, H, W) it stands


def fit_workload(workload: Workload, cache: Path) -> Path | None:
    """Return a workload's weights, fitted now unless the cache has them.

    Args:
        workload: what to fit.
        cache: the folder of weights; may not be there yet.

    Returns:
        the `.safetensors` file; None where the source has trained weights of its own.
    """
    if not workload.method:
        return None
    path = cache / f"{workload.name}.safetensors"
    if not path.is_file():
        torch.manual_seed(SEED)
        model = find_callable(workload.source)()
        assert isinstance(model, nn.Module)
        METHODS[workload.method](model, workload.fit_s)
        cache.mkdir(parents=True, exist_ok=True)
        save_file(model.eval().state_dict(), path)
    return path


def fit_photo_latents(model: nn.Module, seconds: float) -> None:
    """Learn a latent (100, 1, 1) for each of 256 patches of 64x64."""
    _fit_latents(model, cut_patches(256, 64), (100, 1, 1), seconds)


def fit_digit_latents(model: nn.Module, seconds: float) -> None:
    """Learn a latent (64,) for each of 512 digits."""
    _fit_latents(model, load_digits(512), (64,), seconds)


def fit_decoding(model: nn.Module, seconds: float, *, size: int = 128, batch: int = 2) -> None:
    """Decode patches from a fixed code of them, smaller than those that will be drawn.

    The code is what an encoder would make at its simplest: 8x8 averages of the colours in four
    fixed mixtures, with the noise of a posterior, of unit variance like the prior.
    """
    patches = cut_patches(128, size)
    mixture = torch.randn(4, 3, 1, 1)
    codes = functional.conv2d(functional.avg_pool2d(patches, 8), mixture)
    axes = (0, 2, 3)
    codes = (codes - codes.mean(axes, keepdim=True)) / codes.std(axes, keepdim=True)

    def draw() -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(patches), (batch,))
        code = codes[chosen]
        return 0.8 * code + 0.6 * torch.randn_like(code), patches[chosen]

    _descend(model, draw, list(model.parameters()), seconds)


def fit_denoising(model: nn.Module, seconds: float, *, size: int = 128, batch: int = 2) -> None:
    """Restore patches in which every pixel has kept a part of its value, the rest being noise."""
    patches = cut_patches(128, size)

    def draw() -> tuple[Tensor, Tensor]:
        image = patches[torch.randint(len(patches), (batch,))]
        kept = torch.rand(batch, 1, 1, 1)
        return kept * image + (1 - kept) * (2 * torch.rand_like(image) - 1), image

    _descend(model, draw, list(model.parameters()), seconds)


def cut_patches(count: int, size: int) -> Tensor:
    """Cut patches (count, 3, size, size) in -1..1 out of the photographs, half of them mirrored."""
    from sklearn.datasets import load_sample_images

    photos = [torch.from_numpy(p.copy()).permute(2, 0, 1) for p in load_sample_images().images]
    patches = []
    for i in range(count):
        photo = photos[i % len(photos)]
        top = int(torch.randint(photo.shape[1] - size + 1, ()))
        left = int(torch.randint(photo.shape[2] - size + 1, ()))
        patch = photo[:, top : top + size, left : left + size]
        patches.append(patch.flip(2) if i // 2 % 2 else patch)
    return torch.stack(patches).float() / 127.5 - 1.0


def write_images(folder: Path, seeds: Sequence[int], count: int, size: int = 256) -> None:
    """Write patches with a fifth of noise, as `SEED/INDEX.png`, unless they are there."""
    from PIL import Image

    for seed in seeds:
        (folder / str(seed)).mkdir(parents=True, exist_ok=True)
        if (folder / str(seed) / f"{count - 1}.png").is_file():
            continue
        torch.manual_seed(seed)
        patches = cut_patches(count, size)
        noisy = 0.8 * patches + 0.2 * (2 * torch.rand_like(patches) - 1)
        pixels = ((noisy + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        for index, image in enumerate(pixels):
            Image.fromarray(image).save(folder / str(seed) / f"{index}.png")


def load_digits(count: int) -> Tensor:
    """Return the first digits (count, 1, 28, 28) in -1..1."""
    digits = find_callable(f"{SAMPLES}/training/data.py:load_digits")()
    images: Tensor = digits.images[:count, :, 2:-2, 2:-2]  # type: ignore[attr-defined]
    return images * 2.0 - 1.0


def _fit_latents(
    model: nn.Module, images: Tensor, shape: tuple[int, ...], seconds: float, *, batch: int = 16
) -> None:
    """Learn one latent an image together with the generator.

    Latents are kept on the sphere that N(0, 1) vectors lie near to.

    Source: Bojanowski, Joulin, Lopez-Paz, Szlam 2018, "Optimizing the Latent Space of Generative
    Networks", arXiv:1707.05776 (GLO).
    """
    latents = nn.Parameter(torch.randn(len(images), *shape))

    def draw() -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(images), (batch,))
        flat = functional.normalize(latents[chosen].flatten(1))
        z = (flat * flat.shape[1] ** 0.5).view(batch, *shape)
        return z, images[chosen]

    _descend(model, draw, [*model.parameters(), latents], seconds)


def _descend(model: nn.Module, draw: Draw, learned: list[nn.Parameter], seconds: float) -> float:
    """Minimise the squared error for some seconds; return the last one."""
    optimiser = torch.optim.Adam(learned, lr=RATE, betas=(0.5, 0.99))
    model.train()
    error = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        given, wanted = draw()
        loss = functional.mse_loss(model(given), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        error = loss.item()
    return error


METHODS: dict[str, Callable[[nn.Module, float], None]] = {
    "photo-latents": fit_photo_latents,
    "digit-latents": fit_digit_latents,
    "decoding": fit_decoding,
    "denoising": fit_denoising,
}
