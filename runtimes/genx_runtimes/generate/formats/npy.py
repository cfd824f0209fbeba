"""A folder with an array a column: `image.npy`, `index.npy`, `seed.npy`, `label.npy` ...

The samples are what the model returned, in its own range; all arrays can be mapped into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from genx_runtimes.generate.formats import Write
from genx_runtimes.generate.layout import INDEX, SEED, Layout, choose_dtype
from genx_runtimes.npy import encode_header
from genx_runtimes.sampler import Batch
from genx_runtimes.session import Array


@contextmanager
def open_shard(path: Path, layout: Layout, count: int) -> Iterator[Write]:
    """Open a new folder; see `Format.open_shard`."""
    path.mkdir()
    files: dict[str, BinaryIO] = {}
    with ExitStack() as stack:

        def append(name: str, array: Array) -> None:
            if name not in files:
                files[name] = stack.enter_context((path / f"{name}.npy").open("xb"))
                files[name].write(encode_header((count, *array.shape[1:]), array.dtype))
            files[name].write(np.ascontiguousarray(array).data)

        def write(batch: Batch) -> None:
            size = len(batch.output)
            indices = range(batch.start, batch.start + size)
            append(layout.column, batch.output)
            append(INDEX, np.array(indices, choose_dtype(layout.last)))
            append(SEED, np.full(size, layout.seed, choose_dtype(layout.seed)))
            for name, values in layout.read_conditions(batch).items():
                append(name, values)

        yield write
