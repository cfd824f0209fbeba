"""From the values of an activation to the range that int8 covers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import HistogramCollector

from genx_export.quantisation.calibration import Activation
from genx_export.quantisation.recipe import Estimator

# The lowest and highest value that each tensor keeps; what is beyond is cut off.
Ranges = Mapping[str, tuple[float, float]]

LEVELS = 127
_BINS = 2048
_SHRINKS = np.linspace(0.3, 1.0, 36)


def estimate_ranges(
    activations: Mapping[str, Activation], estimator: Estimator, *, percentile: float = 99.99
) -> Ranges:
    """Return the range that each tensor keeps.

    Args:
        activations: what was seen.
        estimator: "minmax" keeps all; "percentile" of |x|; "entropy" the least Kullback-Leibler
            divergence; "mse" the least mean squared error of rounding and cutting together.
        percentile: for that estimator.

    Source: Nagel et al. 2021, "A white paper on neural network quantization", arXiv:2106.08295,
    section 3.1, for all four; onnxruntime's calibrator for "entropy".
    """
    ranges = {}
    for name, seen in activations.items():
        largest = max(abs(seen.low), abs(seen.high))
        if estimator == "percentile":
            kept = float(np.percentile(np.abs(seen.values), percentile))
        elif estimator == "entropy":
            kept = _minimise_divergence(seen.values)
        elif estimator == "mse":
            kept = minimise_error(seen.values, largest)
        else:
            kept = largest
        limit = min(kept, largest) or largest
        ranges[name] = (max(seen.low, -limit), min(seen.high, limit))
    return ranges


def minimise_error(values: NDArray[np.float32], largest: float) -> float:
    """Return the magnitude whose int8 grid has the least mean squared error on the values."""
    if not largest:
        return 0.0
    errors = []
    for shrink in _SHRINKS:
        step = shrink * largest / LEVELS
        rounded = np.clip(np.rint(values / step), -LEVELS, LEVELS) * step
        errors.append(float(np.mean(np.square(values - rounded, dtype=np.float64))))
    return float(_SHRINKS[int(np.argmin(errors))]) * largest


def _minimise_divergence(values: NDArray[np.float32]) -> float:
    collector = HistogramCollector(
        method="entropy",
        symmetric=True,
        num_bins=_BINS,
        num_quantized_bins=LEVELS + 1,
        percentile=100.0,
        scenario="same",
    )
    collector.collect({"values": [values]})
    low, high = collector.compute_collection_result()["values"][:2]
    return max(abs(float(low)), abs(float(high)))
