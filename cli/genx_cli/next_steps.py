"""The commands that are suggested at a command's end; each of them runs as it is printed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genx_runtimes.manifest import Manifest

_PICTURES = 64


def suggest_sampling(bundle: Path, manifest: Manifest, *, setting: str = "") -> str:
    """Return the command that draws a grid, or an array where the output is no image.

    For a bundle that translates pictures: the command that does, on a folder of the user's.

    Args:
        bundle: where it lies.
        manifest: what it says of itself.
        setting: for `--set`, may be empty.
    """
    if manifest.sampler.kind == "translate":
        return f"genx translate {quote(bundle)} pictures/ -o translated/"
    bounds = manifest.batch
    size = choose_batch(manifest)
    rest = _PICTURES % size
    n = _PICTURES if not rest or rest >= bounds.min else max(_PICTURES // size, 1) * size
    ending, stem = (".png", "grid") if manifest.output.kind == "image" else (".npy", "samples")
    path = f"{'balanced' if setting else stem}{ending}"
    fixed = f" --set {shlex.quote(setting)}" if setting else ""
    return f"genx sample {quote(bundle)} -n {n}{fixed} -o {path}"


def choose_batch(manifest: Manifest) -> int:
    """Return the samples a pass where the user names no number."""
    return max(manifest.batch.min, min(16, manifest.batch.max))


def quote(path: Path) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path))
