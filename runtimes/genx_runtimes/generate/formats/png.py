"""A folder of PNG files, with a line of JSON for each in `metadata.jsonl`.

Source: Hugging Face datasets, "Create an image dataset", ImageFolder with metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genx_runtimes.generate.formats import Write
from genx_runtimes.generate.layout import INDEX, Layout
from genx_runtimes.sampler import Batch


@contextmanager
def open_shard(path: Path, layout: Layout, count: int) -> Iterator[Write]:
    """Open a new folder; see `Format.open_shard`."""
    del count
    path.mkdir()
    with (path / "metadata.jsonl").open("xb") as metadata:

        def write(batch: Batch) -> None:
            records, files = layout.list_records(batch), layout.encode(batch)
            for record, data in zip(records, files, strict=True):
                name = f"{layout.key(int(str(record[INDEX])))}.png"
                (path / name).write_bytes(data)
                line = json.dumps({"file_name": name, **record})
                metadata.write(f"{line}\n".encode())

        yield write
