"""What samples can be written as: a registry by the output's kind and the file's ending."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from genx_runtimes.manifest import OutputKind
    from genx_runtimes.sampler import Batch
    from genx_runtimes.session import Array

# Writes all samples to an open file; a grid of images may be given how many stand in a row.
WriteFile = Callable[[BinaryIO, "Iterator[Batch]", "int | None"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EachAFile:
    """What one sample is written as in a folder.

    Args:
        suffix: the ending of its name.
        encode: yields the contents of a file for each sample of a batch.
    """

    suffix: str
    encode: Callable[[Batch], Iterator[bytes]]


def _write_array(file: BinaryIO, batches: Iterator[Batch], _: int | None) -> None:
    import numpy as np

    for part in _encode_array(np.concatenate([batch.output for batch in batches])):
        file.write(part)


def _write_grid(file: BinaryIO, batches: Iterator[Batch], columns: int | None) -> None:
    import numpy as np

    from genx_runtimes.images import make_grid
    from genx_runtimes.png import encode_png

    images = np.concatenate([batch.images() for batch in batches])
    file.write(encode_png(make_grid(images, columns=columns)))


def _write_sound(file: BinaryIO, batches: Iterator[Batch], _: int | None) -> None:
    from genx_runtimes.audio import encode_wav, join_waves

    rate, waves = 0, []
    for batch in batches:
        rate = batch.spec.sample_rate or 0
        waves += list(batch.waves())
    file.write(encode_wav(join_waves(waves, rate), rate))


def _write_csv(file: BinaryIO, batches: Iterator[Batch], _: int | None) -> None:
    from genx_runtimes.tables import encode_header, encode_samples

    for place, batch in enumerate(batches):
        if not place:
            file.write(encode_header(batch.output, batch.spec))
        file.write(encode_samples(batch.output, batch.spec, batch.start))


def _write_text(file: BinaryIO, batches: Iterator[Batch], _: int | None) -> None:
    from genx_runtimes.text import join_texts

    starts, texts = [], []
    for batch in batches:
        starts.append(batch.start)
        texts += batch.texts()
    file.write(join_texts(texts, starts[0]).encode())


def _write_json_lines(file: BinaryIO, batches: Iterator[Batch], _: int | None) -> None:
    import json

    for batch in batches:
        for index, text in enumerate(batch.texts(), batch.start):
            line = json.dumps({"index": index, "text": text}, ensure_ascii=False)
            file.write(f"{line}\n".encode())


def _each_array(batch: Batch) -> Iterator[bytes]:
    import numpy as np

    from genx_runtimes.npy import encode_array

    for sample in batch.output:
        yield encode_array(np.asarray(sample))


def _each_picture(batch: Batch) -> Iterator[bytes]:
    from genx_runtimes.png import encode_png

    return map(encode_png, batch.images())


def _each_sound(batch: Batch) -> Iterator[bytes]:
    from genx_runtimes.audio import encode_wav

    return (encode_wav(sound, batch.spec.sample_rate or 0) for sound in batch.waves())


def _each_csv(batch: Batch) -> Iterator[bytes]:
    from genx_runtimes.tables import encode_header, encode_samples

    header = encode_header(batch.output, batch.spec)
    for index in range(len(batch.output)):
        sample = batch.output[index : index + 1]
        yield header + encode_samples(sample, batch.spec, batch.start + index)


def _each_text(batch: Batch) -> Iterator[bytes]:
    return (text.encode() for text in batch.texts())


def _encode_array(array: Array) -> tuple[bytes, memoryview]:
    """Return a `.npy` file in parts, so that a large array is not copied."""
    import numpy as np

    from genx_runtimes.npy import encode_header

    return encode_header(array.shape, array.dtype), np.ascontiguousarray(array).data


# The first of each kind is the one that is natural for it.
FILES: dict[tuple[OutputKind, str], WriteFile] = {
    ("image", ".png"): _write_grid,
    ("image", ".npy"): _write_array,
    ("audio", ".wav"): _write_sound,
    ("audio", ".npy"): _write_array,
    ("sequence", ".csv"): _write_csv,
    ("sequence", ".npy"): _write_array,
    ("table", ".csv"): _write_csv,
    ("table", ".npy"): _write_array,
    ("text", ".txt"): _write_text,
    ("text", ".jsonl"): _write_json_lines,
    ("text", ".npy"): _write_array,
    ("voxels", ".npy"): _write_array,
    ("tensor", ".npy"): _write_array,
}

FOLDERS: dict[OutputKind, EachAFile] = {
    "image": EachAFile(suffix=".png", encode=_each_picture),
    "audio": EachAFile(suffix=".wav", encode=_each_sound),
    "sequence": EachAFile(suffix=".csv", encode=_each_csv),
    "table": EachAFile(suffix=".csv", encode=_each_csv),
    "text": EachAFile(suffix=".txt", encode=_each_text),
    "voxels": EachAFile(suffix=".npy", encode=_each_array),
    "tensor": EachAFile(suffix=".npy", encode=_each_array),
}
