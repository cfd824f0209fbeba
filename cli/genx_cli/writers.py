"""Where samples go: one grid, a folder of pictures, or an array. All or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from genx_runtimes.errors import InputError

if TYPE_CHECKING:
    from genx_runtimes.manifest import OutputSpec
    from genx_runtimes.sampler import Batch

Writer = Callable[["Iterator[Batch]"], list[str]]


def find_writer(path: Path, output: OutputSpec, *, columns: int | None, force: bool) -> Writer:
    """Return the function that writes batches to `path` and lists the files it made.

    `NAME.npy` takes the raw output of any bundle; `NAME.png` a grid and any name without a suffix
    a folder of PNG files, both of image bundles.

    Raises:
        InputError: unknown ending, an image asked of what is none, or something is in the way.
    """
    if path.suffix not in (".png", ".npy", ""):
        raise InputError(
            f"{path} ends in {path.suffix!r}", fix="write grid.png, out.npy, or a folder: samples/"
        )
    if path.suffix != ".npy" and output.kind != "image":
        raise InputError(
            f"the output of this bundle is a {output.kind}, not an image",
            fix=f"write an array: -o {path.with_suffix('.npy')}",
        )
    if columns is not None and (columns < 1 or path.suffix != ".png"):
        raise InputError(f"--columns {columns} needs 1 or more and a grid", fix="-o grid.png")
    if path.exists() and not force:
        raise InputError(f"{path} exists already", fix="--force replaces it")
    if path.is_dir() != (path.suffix == "") and path.exists():
        kind = "a folder" if path.is_dir() else "a file"
        raise InputError(f"{path} is {kind}", fix="choose another name with -o")
    if path.suffix == ".npy":
        return lambda batches: _write_array(path, batches)
    if path.suffix == ".png":
        return lambda batches: _write_grid(path, batches, columns)
    return lambda batches: _write_folder(path, batches)


def _write_array(path: Path, batches: Iterator[Batch]) -> list[str]:
    import numpy as np
    from numpy.lib import format as npy

    from genx_runtimes.writing import write_whole

    with write_whole(path) as file:  # opened first: what cannot be written is told before the work
        array = np.concatenate([batch.output for batch in batches])
        # As np.save does, which at a full disk would say "5760 requested and 480 written".
        npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(array))
        file.write(np.ascontiguousarray(array).data)
    return [str(path)]


def _write_grid(path: Path, batches: Iterator[Batch], columns: int | None) -> list[str]:
    import numpy as np

    from genx_runtimes.images import make_grid
    from genx_runtimes.png import encode_png
    from genx_runtimes.writing import write_whole

    with write_whole(path) as file:
        images = np.concatenate([batch.images() for batch in batches])
        file.write(encode_png(make_grid(images, columns=columns)))
    return [str(path)]


def _write_folder(path: Path, batches: Iterator[Batch]) -> list[str]:
    """Write `000000.png` ..., named by sample index; interrupted, no new file stays behind."""
    from genx_runtimes.png import encode_png
    from genx_runtimes.writing import make_folder

    names = []
    with make_folder(path) as folder:
        for batch in batches:
            for index, image in enumerate(batch.images(), batch.start):
                names.append(f"{index:06d}.png")
                (folder / names[-1]).write_bytes(encode_png(image))
    return [str(path / name) for name in names]
