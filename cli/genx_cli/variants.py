"""What `genx export` and `genx quantize` share: the recipe from flags, the tables at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from genx_cli.sink import Sink
    from genx_export.passes import Decision
    from genx_export.quantisation.extend import VariantReport
    from genx_export.quantisation.recipe import QuantisationRecipe


def parse_precisions(text: str) -> tuple[str, ...]:
    """Split `fp32,int8`; the names are checked by who makes them."""
    return tuple(part.strip() for part in text.split(","))


def parse_images(texts: Sequence[str]) -> dict[str, str]:
    """Split `photo=FOLDER` of each.

    Raises:
        InputError: it is not of that kind, or an input is named twice.
    """
    from genx_runtimes.errors import InputError

    folders: dict[str, str] = {}
    for text in texts:
        name, _, folder = text.partition("=")
        if not name or not folder or name in folders:
            raise InputError(f"--images {text!r}: expected INPUT=FOLDER, each input once")
        folders[name] = folder
    return folders


def name_recipe(target: str) -> str:
    """Return which int8 a target takes: both TensorRTs take the same."""
    return "tensorrt" if target == "tensorrt-rtx" else target


def make_recipe(**fields: Any) -> QuantisationRecipe:
    """Return the recipe of the flags.

    Raises:
        InputError: one is out of range.
    """
    from genx_export import QuantisationRecipe

    return QuantisationRecipe(**fields)


def tell_variants(sink: Sink, variants: Sequence[VariantReport], dropped: Sequence[str]) -> None:
    """Show size, quality and latency of each variant, and say whether it was worth it."""
    from genx_runtimes.memory import read_peak_bytes

    if not variants:
        return
    batches = list(variants[0].fastest)
    columns = ["variant", "form", "MB", "PSNR dB", "worst", "SSIM", "distance"]
    sink.table(
        [*columns, *(f"ms, batch {b}" for b in batches), "in"],
        [_cells(variant, batches) for variant in variants],
    )
    for variant in variants:
        if variant.kept:
            layers = ", ".join(variant.kept)
            sink.say(
                f"  {variant.name}: {len(variant.kept)} of {variant.layers} layers kept in fp32, "
                f"they hurt most: {layers}"
            )
    first = variants[0]
    for variant in variants[1:]:
        slower = [b for b in batches if variant.latency_ms(b) > first.latency_ms(b)]
        smaller = variant.bytes < first.bytes
        if slower and len(slower) == len(batches):
            much = max(variant.latency_ms(b) / first.latency_ms(b) for b in slower)
            but = "it is smaller" if smaller else "it is not smaller either: leave it out"
            sink.warn(f"{variant.name} is slower than {first.name} here, up to {much:.2f} x; {but}")
    for line in dropped:
        sink.say(f"  left out {line}")
    peak = read_peak_bytes()
    if peak is not None:
        sink.say(f"  peak memory {peak / 1e9:.2f} GB")


def tell_decisions(sink: Sink, decisions: Mapping[str, Sequence[Decision]]) -> None:
    """List what the rewrites did, node by node."""
    for component, made in decisions.items():
        for decision in made:
            verb = "fired" if decision.fired else "did not fire"
            sink.say(f"  {component} {decision.node}: {decision.rewrite} {verb}: {decision.reason}")


def _cells(variant: VariantReport, batches: Sequence[int]) -> list[str]:
    quality = variant.quality
    cells = [variant.name, variant.form, f"{variant.bytes / 1e6:.2f}"]
    for name, digits in (("psnr_db", 1), ("worst_psnr_db", 1), ("ssim", 4), ("distance", 3)):
        value = quality.get(name)
        cells.append("-" if value is None else f"{value:.{digits}f}")
    cells += [f"{variant.latency_ms(b):.3f}" for b in batches]
    engines = dict.fromkeys(c.backend for c in variant.fastest.values())
    return [*cells, ", ".join(engines)]
