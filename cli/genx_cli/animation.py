"""Where a traversal goes: a grid with a row for each value that moves, or a GIF in motion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from genx_runtimes.errors import InputError

if TYPE_CHECKING:
    from genx_runtimes.manifest import Manifest
    from genx_runtimes.sampler import Batch
    from genx_runtimes.traversal import Traversal


def find_writer(
    path: Path, manifest: Manifest, plan: Traversal, *, force: bool
) -> Callable[[Iterator[Batch]], object]:
    """Return the function that writes a traversal's batches to `path`.

    Raises:
        InputError: the ending does not fit the output, or something is in the way.
    """
    from genx_cli import writers
    from genx_runtimes.images import ALPHA
    from genx_runtimes.writing import check_free

    output = manifest.output
    if path.suffix not in (".gif", ".png", ".npy", "") and output.kind == "image":
        raise InputError(
            f"{path} ends in {path.suffix!r}",
            fix="write NAME.png (a grid), NAME.gif, NAME.npy or a folder",
        )
    if path.suffix != ".gif":
        columns = len(plan.values) if path.suffix == ".png" else None
        return writers.find_writer(path, output, columns=columns, force=force)
    if output.kind != "image":
        raise InputError(
            f"the output of this bundle is {output.noun}, not an image",
            fix=f"write an array: -o {path.with_suffix('.npy')}",
        )
    if output.bits != 8 or (output.layout != "NHW" and manifest.sample_spec().shape[1] in ALPHA):
        raise InputError(
            f"a GIF holds grey or RGB of 8 bits, the images of this bundle have "
            f"{'an alpha channel' if output.bits == 8 else '16 bits a channel'}",
            fix=f"write a grid: -o {path.with_suffix('.png')}",
        )
    check_free(path, force=force)
    return lambda batches: _write_gif(path, batches, len(plan.dims))


def _write_gif(path: Path, batches: Iterator[Batch], rows: int) -> None:
    """Write a frame for each value, to the last and back; in a frame the rows are tiles."""
    import numpy as np

    from genx_runtimes.gif import encode_gif
    from genx_runtimes.images import make_grid
    from genx_runtimes.writing import write_whole

    with write_whole(path) as file:
        images = np.concatenate([batch.images() for batch in batches])
        moving = images.reshape(rows, -1, *images.shape[1:])
        frames = [make_grid(moving[:, step]) for step in range(moving.shape[1])]
        file.write(encode_gif(np.stack([*frames, *frames[-2:0:-1]])))
