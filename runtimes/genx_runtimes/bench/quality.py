"""How near a variant stays to the model that it was made from."""

from __future__ import annotations

import math

from genx_runtimes.manifest import VariantSpec


def find_psnr(variant: VariantSpec) -> float | None:
    """Return the lower of the two PSNRs that a bundle states: of the graphs, and of whole loops.

    The error of a loop is a root mean square over the range of the output: 0.01 is 40 dB.

    Returns:
        dB; None where the bundle states neither.
    """
    psnr, error = variant.quality.get("psnr_db"), variant.quality.get("loop_error")
    if error and variant.loop_tolerance is not None:
        return min(math.inf if psnr is None else psnr, -20 * math.log10(error))
    return psnr
