"""Comparing the output contract with what the original model returned.

Source: docs/bundle.md, "Output".
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from genx_runtimes.audio import MAX_CHANNELS
from genx_runtimes.errors import SourceError, suggest
from genx_runtimes.images import CHANNELS
from genx_runtimes.manifest import OutputKind, OutputSpec
from genx_runtimes.manifest_checks import check_output
from genx_runtimes.session import Array

_USUAL_CHANNELS = (1, 3, 4)
_SHAPES: dict[OutputKind, str] = {
    "image": "(B, 1 to 4, H, W)",
    "audio": f"(B, 1 to {MAX_CHANNELS} channels, samples)",
    "sequence": "(B, length, values)",
    "table": "(B, values)",
    "text": "(B, length)",
    "voxels": "(B, C, D, H, W)",
    "tensor": "(B, ...)",
}


def read_output(fields: Mapping[str, object], place: str) -> OutputSpec:
    """Return the output contract that a recipe or a `ModelSpec` spells out.

    Args:
        fields: of an `OutputSpec`; `name` may be left out.
        place: where they stand, for errors.

    Raises:
        SourceError: an unknown field, one of the wrong type, or one that is missing.
    """
    for name in fields:
        if name not in OutputSpec.__struct_fields__:
            raise SourceError(
                f"{place}: unknown field {name!r}",
                fix=suggest(name, OutputSpec.__struct_fields__),
            )
    try:
        output = msgspec.convert({"name": fields.get("kind", ""), **fields}, OutputSpec)
    except msgspec.ValidationError as err:
        raise SourceError(f"{place}: {err}", fix='see docs/bundle.md, "Output"') from err
    for problem in check_output(output):
        raise SourceError(f"{place}: {problem}", fix='see docs/bundle.md, "Output"')
    return output


def check_contract(contract: OutputSpec, samples: Array, *, given: OutputSpec | None) -> list[str]:
    """Compare the output contract with samples (B, ...) of the original model.

    Args:
        contract: what the bundle will say.
        samples: what the model made.
        given: what the user said; None: nothing.

    Returns:
        warnings: values outside the range; an output that looks like an image and isn't called so.

    Raises:
        SourceError: the samples are not what the contract says, or not finite.
    """
    for problem in check_output(contract):
        raise SourceError(problem, fix='see docs/bundle.md, "Output"')
    if not np.isfinite(samples.astype(np.float64)).all():
        raise SourceError(
            f"the original model's output {contract.name!r} holds NaN or infinity",
            fix="check the weights and the prior",
        )
    shape = samples.shape[1:]
    if not _fits(contract, shape):
        raise SourceError(
            f"output {contract.name!r} has shape ({', '.join(map(str, ('B', *shape)))}), "
            f"{contract.noun} has {_expect(contract)}",
            fix=_suggest(contract, shape),
        )
    if contract.kind in ("sequence", "table"):
        _check_columns(contract, samples.shape[-1])
    if contract.kind == "text":
        _check_tokens(contract, samples)
    if contract.kind in ("image", "audio") and contract.range is not None:
        return _warn_of_clipping(contract.range, samples)
    if given is None and len(shape) == 3 and shape[0] in _USUAL_CHANNELS:
        return [
            f"the output looks like images ({' x '.join(map(str, shape))}): with "
            f"--output image:-1..1 (or 0..1) genx draws them"
        ]
    return []


def _fits(contract: OutputSpec, shape: tuple[int, ...]) -> bool:
    """Say whether one sample may have this shape."""
    if contract.kind == "image" and contract.layout != "NHW":
        return len(shape) == 3 and shape[0] in CHANNELS
    if contract.kind == "audio":
        return len(shape) == 2 and 1 <= shape[0] <= MAX_CHANNELS
    axes = {"image": 2, "sequence": 2, "table": 1, "text": 1, "voxels": 4}
    return len(shape) == axes.get(contract.kind, len(shape))


def _expect(contract: OutputSpec) -> str:
    return "(B, H, W) in layout NHW" if contract.layout == "NHW" else _SHAPES[contract.kind]


def _suggest(contract: OutputSpec, shape: tuple[int, ...]) -> str:
    """Return what mends a shape that does not fit."""
    if contract.kind == "image" and contract.range is not None and len(shape) in (2, 3):
        layout = "NHW" if len(shape) == 2 else "NCHW"
        if layout != (contract.layout or "NCHW"):
            low, high = contract.range
            return f'--output image:{low:g}..{high:g}:{layout}, or layout = "{layout}" in a recipe'
    return "reshape it in forward(), or give --output tensor"


def _check_columns(contract: OutputSpec, values: int) -> None:
    if contract.columns and len(contract.columns) != values:
        raise SourceError(
            f"output {contract.name!r} has {values} values, the contract names "
            f"{len(contract.columns)} columns",
            fix="name each of them once, or none",
        )


def _check_tokens(contract: OutputSpec, samples: Array) -> None:
    if samples.dtype != np.int64:
        raise SourceError(
            f"output {contract.name!r} is {samples.dtype}, text is int64 tokens",
            fix="return token numbers, not their logits; or give --output tensor",
        )
    size = len(contract.vocabulary)
    if samples.size and not (samples.min() >= 0 and samples.max() < size):
        raise SourceError(
            f"output {contract.name!r} has tokens {samples.min()} to {samples.max()}, the "
            f"vocabulary has {size}",
            fix="give the text of each token, in their order",
        )


def _warn_of_clipping(limits: tuple[float, float], samples: Array) -> list[str]:
    """Return a warning where more than rounding lies outside the range."""
    low, high = limits
    slack = (high - low) * 1e-3
    values = samples.astype(np.float64)
    outside = float(np.mean((values < low - slack) | (values > high + slack)))
    if not outside:
        return []
    return [
        f"{outside:.1%} of the output lies outside {low:g}..{high:g} (it spans "
        f"{values.min():.3g}..{values.max():.3g}) and is cut off in pictures and sound"
    ]
