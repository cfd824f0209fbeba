"""Giving layers back to float32 until the quality holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from genx_export.quantisation.quality import Quality
from genx_export.quantisation.recipe import QuantisationRecipe
from genx_runtimes.errors import QualityError
from genx_runtimes.progress import Progress

Build = Callable[[Sequence[str]], bytes]
Measure = Callable[[bytes], Quality]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A quantised graph that is good enough.

    Args:
        model: the graph.
        quality: what was measured.
        kept: layers that stayed in float32, the most harmful first.
        layers: how many there are.
    """

    model: bytes
    quality: Quality
    kept: tuple[str, ...]
    layers: int


def holds(quality: Quality, recipe: QuantisationRecipe) -> bool:
    """Whether a quality is not below the recipe's floor."""
    if not quality.psnr_db >= recipe.min_psnr_db:
        return False
    if recipe.min_ssim is None or quality.ssim is None:
        return True
    return quality.ssim >= recipe.min_ssim


def hold_floor(
    what: str,
    layers: Sequence[str],
    build: Build,
    measure: Measure,
    rank: Measure,
    recipe: QuantisationRecipe,
    *,
    progress: Progress = lambda _: None,
) -> Held:
    """Quantise as many layers as the floor allows.

    First all of them. If that is not good enough, each is quantised alone and ranked by what it
    does to the output; then the fewest of the most harmful ones are kept, found by halving.

    Args:
        what: the precision, for messages.
        layers: names, all that can be quantised.
        build: makes the graph that keeps these layers in float32.
        measure: its quality on all fresh samples.
        rank: its quality on a few samples.
        recipe: with the floor.
        progress: called with a few words before each step.

    Raises:
        QualityError: with one layer alone quantised it is still too low.
    """
    progress(f"measuring {what}, all {len(layers)} layers")
    model = build(())
    quality = measure(model)
    if holds(quality, recipe):
        return Held(model=model, quality=quality, kept=(), layers=len(layers))
    harm = {}
    for index, layer in enumerate(layers):
        progress(f"ranking layers, {index + 1} of {len(layers)}")
        harm[layer] = rank(build([other for other in layers if other != layer])).psnr_db
    order = sorted(layers, key=harm.__getitem__)
    best: Held | None = None
    reached = quality
    low, high = 1, len(layers) - 1
    while low <= high:
        count = (low + high) // 2
        progress(f"measuring {what}, {count} of {len(layers)} layers kept in float32")
        model = build(order[:count])
        quality = measure(model)
        if holds(quality, recipe):
            best = Held(model=model, quality=quality, kept=tuple(order[:count]), layers=len(layers))
            high = count - 1
        else:
            reached = max(reached, quality, key=lambda q: q.psnr_db)
            low = count + 1
    if best is None:
        ssim = "" if reached.ssim is None else f", SSIM {reached.ssim:.4f}"
        raise QualityError(
            f"{what} reaches {reached.psnr_db:.1f} dB mean PSNR{ssim} with one of {len(layers)} "
            f"layers left, the floor is {recipe.min_psnr_db:g} dB"
            + ("" if recipe.min_ssim is None else f" and SSIM {recipe.min_ssim:g}"),
            fix=f"--min-psnr {reached.psnr_db:.0f}, or leave {what} out",
        )
    return best
