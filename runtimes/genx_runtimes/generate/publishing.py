"""Shards appear whole or not at all, and can be told from broken ones."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from genx_runtimes.writing import explain_os_error, remove

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")


class Measured(NamedTuple):
    """The size and the hash of a shard."""

    bytes: int
    sha256: str


@contextmanager
def publish(target: Path) -> Iterator[Path]:
    """Give the name of a temporary file or folder that takes its name when the block ends well.

    Its name is of this call alone, on whichever machine; what stood at `target` is replaced.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        yield temporary
        if temporary.is_dir():
            remove(target)  # a folder cannot take the place of one with files in it
        else:
            _flush(temporary)
        temporary.replace(target)
        _flush(target.parent)
    except OSError as err:
        raise explain_os_error(err, target) from err
    finally:
        with suppress(OSError):
            remove(temporary)


def measure(path: Path) -> Measured:
    """Return the size and the SHA-256 of a file, or of a folder with files alone in it.

    That of a folder is the hash of a line `NAME SIZE SHA256` for each file, sorted by name.

    Raises:
        OSError: it cannot be read.
    """
    if not path.is_dir():
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while part := file.read(1 << 20):
                digest.update(part)
            return Measured(file.tell(), digest.hexdigest())
    each = {file.name: measure(file) for file in path.iterdir()}
    lines = [f"{name} {size} {sha256}\n" for name, (size, sha256) in sorted(each.items())]
    total = sum(measured.bytes for measured in each.values())
    return Measured(total, hashlib.sha256("".join(lines).encode()).hexdigest())


def sweep(folder: Path) -> None:
    """Remove what killed processes left behind under temporary names."""
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            remove(path)


def _flush(path: Path) -> None:
    """Have the disk keep a file's bytes, or a folder's names, before anything else is done."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
