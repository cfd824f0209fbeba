"""A tar file: for each sample its file, its record as JSON and, of one class, that as a number.

Source: WebDataset, "The WebDataset Format": members of a sample stand together and share the name
up to the first dot. POSIX.1-1988 (ustar), so that the bytes depend on nothing but the samples.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genx_runtimes.generate.formats import Write
from genx_runtimes.generate.layout import INDEX, Layout
from genx_runtimes.manifest import CategoricalPrior
from genx_runtimes.sampler import Batch


@contextmanager
def open_shard(path: Path, layout: Layout, count: int) -> Iterator[Write]:
    """Open a new tar file; see `Format.open_shard`."""
    del count
    classes = [n for n, p in layout.conditions.items() if isinstance(p, CategoricalPrior)]
    with (
        path.open("xb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):

        def write(batch: Batch) -> None:
            records, files = layout.list_records(batch), layout.encode(batch)
            for record, data in zip(records, files, strict=True):
                key = layout.key(int(str(record[INDEX])))
                _add(archive, f"{key}.{layout.suffix}", data)
                if len(classes) == 1:
                    _add(archive, f"{key}.cls", str(record[classes[0]]).encode())
                _add(archive, f"{key}.json", json.dumps(record).encode())

        yield write


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # owned by 0, of 1970
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
