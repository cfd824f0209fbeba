"""Reading a bundle's files, from a directory or from a zip file, without trusting either.

Source: docs/bundle.md, "Shape on disk".
"""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from genx_runtimes.errors import BundleError, IntegrityError, ManifestError, UnsafeBundleError
from genx_runtimes.manifest import MANIFEST_PATH, MAX_MANIFEST_BYTES, FileRef

_ZIP_START = b"PK"
_ENCRYPTED = 0x1


class Storage(Protocol):
    """The files of a bundle, by relative path."""

    def read(self, path: str, *, limit: int) -> bytes:
        """Return a file's bytes, at most `limit + 1` of them, or raise FileNotFoundError."""
        ...


def check_path(path: str) -> str:
    """Return `path` if it is a plain relative path inside the bundle, else raise.

    Raises:
        UnsafeBundleError: absolute, with `..`, a drive letter, a backslash or an empty part.
    """
    parts = path.split("/")
    if (
        PurePosixPath(path).is_absolute()
        or any(part in ("", ".", "..") for part in parts)
        or any(char in path for char in "\\:\0")
    ):
        raise UnsafeBundleError(
            f"the bundle names the path {path!r}, which is not a plain path inside it",
            fix="do not use this bundle unless you trust where it came from; export it again",
        )
    return path


class DirectoryStorage:
    """A bundle that is a directory."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def read(self, path: str, *, limit: int) -> bytes:
        """Return a file's bytes; links may not lead outside the directory."""
        target = (self._root / check_path(path)).resolve()
        if not target.is_relative_to(self._root):
            raise UnsafeBundleError(f"{path} in the bundle is a link to {target}, outside of it")
        with target.open("rb") as file:
            return file.read(limit + 1)


class ZipStorage:
    """A bundle that is one zip file: stored members only, see `open_stored_zip`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, path: str, *, limit: int) -> bytes:
        """Return a member's bytes."""
        with self._path.open("rb") as file, open_stored_zip(file, str(self._path)) as archive:
            try:
                with archive.open(check_path(path)) as member:
                    return member.read(limit + 1)
            except KeyError as err:
                raise FileNotFoundError(path) from err
            except zipfile.BadZipFile as err:
                raise IntegrityError(f"{path} in {self._path} is damaged: {err}") from err


def open_stored_zip(file: io.BufferedIOBase | io.BytesIO, label: str) -> zipfile.ZipFile:
    """Open a zip file whose members are all plain, unique and stored without compression.

    Without compression and with the sum of sizes bounded by the archive's own, there is no
    zip bomb, overlapping members included.

    Raises:
        IntegrityError: not a zip file, truncated, or with data in front.
        UnsafeBundleError: a compressed, encrypted, linked or repeated member, or an unsafe path.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as err:
        raise IntegrityError(
            f"{label} is not a zip file or is truncated", fix="copy it again from where it was made"
        ) from err
    if min((member.header_offset for member in archive.infolist()), default=0):
        # Cut short behind golden.npz, itself a zip, an archive would be opened as that one.
        archive.close()
        raise IntegrityError(
            f"{label} is truncated, or has data before its first member",
            fix="copy it again from where it was made",
        )
    seen: set[str] = set()
    for member in archive.infolist():
        kind = stat.S_IFMT(member.external_attr >> 16)
        reason = ""
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            reason = "is compressed (a bundle's members are stored)"
        elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            reason = "is a link or a special file"
        elif member.flag_bits & _ENCRYPTED:
            reason = "is encrypted"
        elif member.filename in seen:
            reason = "occurs twice"
        if reason:
            archive.close()
            raise UnsafeBundleError(f"{member.filename!r} in {label} {reason}")
        seen.add(member.filename)
        check_path(member.filename.rstrip("/"))
    if sum(member.file_size for member in archive.infolist()) > size:
        archive.close()
        raise UnsafeBundleError(f"{label} claims more bytes than it has: its members overlap")
    return archive


def read_checked(storage: Storage, ref: FileRef) -> bytes:
    """Return a file whose size and SHA-256 are those of the manifest.

    Raises:
        IntegrityError: the file is missing, shorter, longer or altered; the message names it.
    """
    mend = "copy the bundle again from where it was made, or export it again"
    try:
        data = storage.read(ref.path, limit=ref.bytes)
    except FileNotFoundError as err:
        raise IntegrityError(f"{ref.path} is missing from the bundle", fix=mend) from err
    if len(data) != ref.bytes:
        got = f"more than {ref.bytes}" if len(data) > ref.bytes else str(len(data))
        raise IntegrityError(f"{ref.path} has {got} bytes, expected {ref.bytes}", fix=mend)
    digest = hashlib.sha256(data).hexdigest()
    if digest != ref.sha256:
        raise IntegrityError(
            f"{ref.path} was altered: sha256 is {digest[:12]}..., expected {ref.sha256[:12]}...",
            fix=mend,
        )
    return data


def read_manifest_bytes(storage: Storage) -> bytes:
    """Return manifest.json, bounded in size."""
    try:
        data = storage.read(MANIFEST_PATH, limit=MAX_MANIFEST_BYTES)
    except FileNotFoundError as err:
        raise ManifestError(
            f"there is no {MANIFEST_PATH}: this is not a genx bundle",
            fix="make one with: genx export SOURCE -o NAME.genx",
        ) from err
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"{MANIFEST_PATH} is larger than {MAX_MANIFEST_BYTES} bytes")
    return data


def read_arrays(data: bytes, label: str) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of an uncompressed `.npz`, pickling off.

    Raises:
        IntegrityError: not such a file.
        UnsafeBundleError: see `open_stored_zip`; also an array of Python objects.
    """
    with open_stored_zip(io.BytesIO(data), label):
        pass
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except ValueError as err:
        raise UnsafeBundleError(f"{label} cannot be read without unpickling: {err}") from err


def open_storage(path: Path) -> Storage:
    """Return the storage for a bundle at `path`, directory or zip file.

    Raises:
        BundleError: there is none, or a file of another kind.
    """
    if path.is_dir():
        return DirectoryStorage(path)
    if not path.is_file():
        raise BundleError(
            f"there is no bundle at {path}", fix="make one with: genx export SOURCE -o NAME.genx"
        )
    with path.open("rb") as file:
        start = file.read(len(_ZIP_START))
    if not _ZIP_START.startswith(start) and not zipfile.is_zipfile(path):
        raise IntegrityError(
            f"{path} is no bundle: it is neither a folder nor a zip file",
            fix="name the bundle first, NAME.genx",
        )
    return ZipStorage(path)
