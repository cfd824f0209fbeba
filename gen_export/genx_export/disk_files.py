"""Files of a bundle in the making, on disk: the forms of a large model fill a memory."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from itertools import count
from pathlib import Path

from genx_runtimes.errors import OutputError


class DiskFiles(MutableMapping[str, bytes]):
    """Bytes by relative path, each read when it is asked for; gone with this object.

    Args:
        files: to start with.

    Raises:
        OutputError: the temporary folder cannot take a file.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="genx-"))
        weakref.finalize(self, shutil.rmtree, self._root, ignore_errors=True)
        self._paths: dict[str, Path] = {}
        self._numbers = count()
        self.update(files or {})

    def __getitem__(self, path: str) -> bytes:
        return self._paths[path].read_bytes()

    def __setitem__(self, path: str, data: bytes) -> None:
        if path not in self._paths:
            self._paths[path] = self._root / str(next(self._numbers))
        try:
            self._paths[path].write_bytes(data)
        except OSError as err:
            raise OutputError(
                f"cannot keep {path} in {self._root} meanwhile: {err.strerror or err}",
                fix="free some space there, or let TMPDIR name another folder",
            ) from err

    def __delitem__(self, path: str) -> None:
        self._paths.pop(path).unlink()

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)
