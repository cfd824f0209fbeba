"""How a graph is quantised: all of it, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from genx_runtimes.errors import InputError

Target = Literal["cpu", "tensorrt"]
TARGETS: tuple[Target, ...] = ("cpu", "tensorrt")
Estimator = Literal["auto", "minmax", "percentile", "entropy", "mse"]
ESTIMATORS: tuple[Estimator, ...] = ("auto", "minmax", "percentile", "entropy", "mse")
_FEWEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisationRecipe:
    """What decides the outcome of quantisation; stored in the manifest.

    Args:
        target: which engines the graph is for; see `int8.quantise`.
        samples: how many samples the quality is measured on.
        calibration: how many the ranges are taken from.
        seed: of the calibration samples; the quality is measured on those of `seed + 1`.
        estimator: how ranges are found; "auto" takes the one that measures best.
        percentile: of |x|, for that estimator.
        min_psnr_db: mean PSNR of images, or of an output over its own spread.
        min_ssim: mean structural similarity of images; None asks for nothing.
        images: files that inputs are taken from, both for ranges and for the quality; 0: all inputs
            are drawn from the prior.
    """

    target: Target = "cpu"
    samples: int = 256
    calibration: int = 64
    seed: int = 2
    estimator: Estimator = "auto"
    percentile: float = 99.99
    min_psnr_db: float = 35.0
    min_ssim: float | None = None
    images: int = 0

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise InputError(f"unknown target {self.target!r}", fix=f"one of {', '.join(TARGETS)}")
        for name in ("samples", "calibration"):
            if getattr(self, name) < _FEWEST:
                raise InputError(f"{name} is {getattr(self, name)}, expected {_FEWEST} or more")
        if self.estimator not in ESTIMATORS:
            raise InputError(
                f"unknown estimator {self.estimator!r}", fix=f"one of {', '.join(ESTIMATORS)}"
            )
        if not 50 < self.percentile <= 100:
            raise InputError(f"percentile is {self.percentile}, expected more than 50, up to 100")
        if self.min_ssim is not None and not 0 < self.min_ssim <= 1:
            raise InputError(f"min_ssim is {self.min_ssim}, expected more than 0, up to 1")

    def to_json(self) -> dict[str, str | float | int | None]:
        """Return the fields as JSON holds them."""
        return asdict(self)
