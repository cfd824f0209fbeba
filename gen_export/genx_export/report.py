"""What an export has to say at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genx_export.passes import Decision
from genx_export.quantisation.extend import VariantReport


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentReport:
    """One exported graph.

    Args:
        name: the component.
        parameters: numbers in its weights.
        nodes: operators in its graph.
        bytes: size of its ONNX file.
        passes: graph passes that changed it.
    """

    name: str
    parameters: int
    nodes: int
    bytes: int
    passes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What `export` wrote and how close it is to the original.

    Args:
        path: the bundle.
        name: its name.
        bytes: size of all its files.
        components: its graphs.
        max_error: largest difference from the original model, over the output range.
        tolerance: what was allowed.
        psnr_db: peak signal-to-noise ratio of the output in dB; None where it is no image or equal.
        batch: smallest and largest batch size.
        seconds: time taken.
        warnings: what the user should know.
        variants: what was measured of each, where more than fp32 was asked for.
        decisions: what the rewrites did, by component.
        dropped: variants that were made and are not worth their bytes.
    """

    path: Path
    name: str
    bytes: int
    components: tuple[ComponentReport, ...]
    max_error: float
    tolerance: float
    psnr_db: float | None
    batch: tuple[int, int]
    seconds: float
    warnings: tuple[str, ...]
    variants: tuple[VariantReport, ...] = ()
    decisions: Mapping[str, Sequence[Decision]] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
