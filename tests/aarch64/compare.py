"""Compares samples of one bundle drawn on x86-64 and on aarch64: `compare.py FOLDER`.

The folder is what tests/run_aarch64.sh makes. The two may differ by what the bundle allows each
of its variants against the original model, and no more.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from genx_runtimes import open_bundle
from genx_runtimes.images import to_pixels

PRECISIONS = ("fp32", "int8")
MACHINES = ("x86_64", "aarch64")


def compare(folder: Path, precision: str) -> bool:
    """Print how far the samples of a variant are apart; return whether that is allowed."""
    bundle = open_bundle(folder / "dcgan.genx")
    output, variant = bundle.manifest.output, bundle.variant(precision)
    assert output.range is not None
    ours, theirs = (np.load(folder / f"{precision}-{machine}.npy") for machine in MACHINES)
    error = np.abs(ours.astype(np.float64) - theirs) / (output.range[1] - output.range[0])
    psnr = -10 * np.log10(np.mean(error**2)) if error.any() else np.inf
    floor = variant.min_psnr_db
    pixels = np.abs(to_pixels(ours, output).astype(int) - to_pixels(theirs, output))
    pngs = {(folder / f"{precision}-{machine}.png").read_bytes() for machine in MACHINES}
    print(f"{precision}: {len(ours)} samples")
    print(f"  largest difference {error.max():.3g} of the range, allowed {variant.tolerance:.3g}")
    print(f"  PSNR {psnr:.2f} dB, " + ("no floor" if floor is None else f"floor {floor:.2f} dB"))
    print(
        f"  pixels: {np.count_nonzero(pixels)} of {pixels.size} differ, at most by {pixels.max()}"
    )
    print(f"  PNG files: {'equal' if len(pngs) == 1 else 'not equal'} byte for byte")
    return bool(error.max() <= variant.tolerance and (floor is None or psnr >= floor))


if __name__ == "__main__":
    failed = [name for name in PRECISIONS if not compare(Path(sys.argv[1]), name)]
    if failed:
        raise SystemExit(f"{', '.join(failed)}: further apart than the bundle allows; see above")
