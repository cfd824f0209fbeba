"""Writing a bundle, as a directory or as one zip file, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

import numpy as np

from genx_runtimes.errors import BundleError, ExportError, FormatVersionError, InputError
from genx_runtimes.manifest import (
    MANIFEST_PATH,
    MAX_MANIFEST_BYTES,
    FileRef,
    Manifest,
    decode_manifest,
    encode_manifest,
)
from genx_runtimes.session import Array
from genx_runtimes.storage import open_storage, read_manifest_bytes
from genx_runtimes.writing import (
    check_free,
    explain_os_error,
    put_in_place,
    remove,
    temporary_beside,
)

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def check_target(path: Path, *, force: bool) -> None:
    """Refuse a target that cannot be written, before any work is done.

    Raises:
        InputError: it exists and `force` is off, or it exists and is no bundle.
        OutputError: its folder is missing or not writable.
    """
    check_free(path, force=force, folder=None)
    if path.exists() and not _is_bundle(path):
        raise InputError(f"{path} exists and is no bundle; it is left alone", fix="-o elsewhere")
    probe = temporary_beside(path)
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as err:
        raise explain_os_error(err, path) from err


def _is_bundle(path: Path) -> bool:
    """Whether a genx manifest is there; other zip files, such as weights, are none."""
    try:
        decode_manifest(read_manifest_bytes(open_storage(path)))
    except FormatVersionError:
        return True
    except (BundleError, OSError):
        return False
    return True


def refer(path: str, data: bytes) -> FileRef:
    """Return the manifest's record of a file."""
    return FileRef(path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def pack_arrays(arrays: Mapping[str, Array]) -> bytes:
    """Return an uncompressed `.npz` of the arrays; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def pack_manifest(manifest: Manifest) -> bytes:
    """Return manifest.json.

    Raises:
        ExportError: larger than readers take.
    """
    data = encode_manifest(manifest)
    if len(data) > MAX_MANIFEST_BYTES:
        words = len(manifest.output.vocabulary)
        raise ExportError(
            f"{MANIFEST_PATH} would have {len(data):,} bytes, readers take up to "
            f"{MAX_MANIFEST_BYTES:,}; the vocabulary has {words:,} tokens",
            fix="leave the vocabulary out (--output tensor: samples are the numbers of tokens), or "
            "shorten labels, columns and betas",
        )
    return data


def write_bundle(
    path: Path, manifest: Manifest, files: Mapping[str, bytes], *, as_zip: bool = False
) -> int:
    """Write a bundle under a temporary name and rename it; a bundle at `path` is replaced.

    Returns:
        the size of all its files in bytes.

    Raises:
        ExportError: the manifest is larger than readers take.
        OutputError: it cannot be written; nothing is left behind and what stood there stays.
    """
    contents = chain([(MANIFEST_PATH, pack_manifest(manifest))], files.items())
    temporary = temporary_beside(path)
    try:
        size = (_write_zip if as_zip else _write_directory)(temporary, contents)
        put_in_place(temporary, path)
    except OSError as err:
        raise explain_os_error(err, path) from err
    finally:
        remove(temporary)
    return size


def _write_directory(path: Path, contents: Iterable[tuple[str, bytes]]) -> int:
    size = 0
    for name, data in contents:
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        size += target.write_bytes(data)
    return size


def _write_zip(path: Path, contents: Iterable[tuple[str, bytes]]) -> int:
    size = 0
    with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED) as archive:
        for name, data in contents:
            archive.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), data)
            size += len(data)
    return size
