"""A Parquet file with a row a sample, which `datasets` reads with its pictures decoded.

Row groups end at whole batches: after 1000 rows, or 64 MB of what is in them.

Source: Hugging Face datasets, `Features`: images and sound are structs of bytes and path, and the
schema's metadata holds the features as JSON under the key "huggingface".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genx_runtimes.generate.formats import Write
from genx_runtimes.generate.layout import INDEX, SEED, Layout, choose_dtype
from genx_runtimes.manifest import CategoricalPrior
from genx_runtimes.sampler import Batch
from genx_runtimes.session import Array

_ROWS = 1000
_BYTES = 64 * 1024 * 1024
_FILES = {"image": {"_type": "Image"}, "audio": {"_type": "Audio"}}


@contextmanager
def open_shard(path: Path, layout: Layout, count: int) -> Iterator[Write]:
    """Open a new Parquet file; see `Format.open_shard`."""
    del count
    rows: list[pa.Table] = []
    writers: list[pq.ParquetWriter] = []
    with path.open("xb") as file:

        def flush() -> None:
            table = pa.concat_tables(rows)
            rows.clear()
            if not writers:
                writers.append(pq.ParquetWriter(file, table.schema, compression="zstd"))
            writers[0].write_table(table, row_group_size=len(table))

        def write(batch: Batch) -> None:
            rows.append(_make_table(layout, batch))
            if sum(map(len, rows)) >= _ROWS or sum(t.nbytes for t in rows) >= _BYTES:
                flush()

        yield write
        if rows:
            flush()
        writers[0].close()


def _make_table(layout: Layout, batch: Batch) -> pa.Table:
    """Return a row for each sample."""
    size = len(batch.output)
    indices = np.arange(batch.start, batch.start + size, dtype=choose_dtype(layout.last))
    columns = {
        INDEX: pa.array(indices),
        SEED: pa.array(np.full(size, layout.seed, choose_dtype(layout.seed))),
    }
    features: dict[str, object] = {name: _describe(array) for name, array in columns.items()}
    for name, values in layout.read_conditions(batch).items():
        columns[name] = _nest(values)
        prior = layout.conditions[name]
        is_named = isinstance(prior, CategoricalPrior) and prior.labels
        features[name] = (
            {"_type": "ClassLabel", "names": list(prior.labels)}  # type: ignore[union-attr]
            if is_named
            else _describe(columns[name])
        )
    for name, made in _make_samples(layout, batch).items():
        columns[name] = made
        features[name] = _FILES.get(layout.column, _describe(made))
    if "audio" in features:
        features["audio"] = {"_type": "Audio", "sampling_rate": batch.spec.sample_rate}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.table(columns, metadata=metadata)


def _make_samples(layout: Layout, batch: Batch) -> dict[str, pa.Array]:
    """Return the columns of the samples themselves."""
    column = layout.column
    if column in _FILES:
        names = [f"{layout.key(batch.start + i)}.{layout.suffix}" for i in range(len(batch.output))]
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        files = zip(layout.encode(batch), names, strict=True)
        return {column: pa.array([{"bytes": b, "path": p} for b, p in files], kind)}
    if column == "text":
        return {column: pa.array(batch.texts(), pa.string())}
    if column == "table" and batch.spec.columns:
        taken = {INDEX, SEED, *layout.conditions}
        if not taken & set(batch.spec.columns):
            values = np.moveaxis(batch.output, -1, 0)
            return {
                name: pa.array(np.ascontiguousarray(value))
                for name, value in zip(batch.spec.columns, values, strict=True)
            }
    return {column: _nest(batch.output)}


def _nest(values: Array) -> pa.Array:
    """Return (B, ...) values as numbers, or as lists of fixed lengths of them."""
    array = pa.array(np.ascontiguousarray(values).reshape(-1))
    for size in reversed(values.shape[1:]):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array


def _describe(array: pa.Array) -> dict[str, object]:
    """Return the feature of a column of numbers, of lists or of text."""

    def describe(kind: pa.DataType) -> dict[str, object]:
        if pa.types.is_fixed_size_list(kind):
            inner = describe(kind.value_type)
            return {"_type": "Sequence", "feature": inner, "length": kind.list_size}
        name = {"float": "float32", "double": "float64", "halffloat": "float16"}
        return {"_type": "Value", "dtype": name.get(str(kind), str(kind))}

    return describe(array.type)
