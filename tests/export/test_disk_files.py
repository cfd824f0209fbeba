"""Files in the making, on disk."""

from __future__ import annotations

import errno
import gc
from pathlib import Path

import pytest

from genx_export.disk_files import DiskFiles
from genx_runtimes.errors import OutputError


def test_a_mapping_that_is_gone_with_its_folder() -> None:
    files = DiskFiles({"a/b.onnx": b"one"})
    files["c"] = b"two"
    files["a/b.onnx"] = b"three"
    assert dict(files) == {"a/b.onnx": b"three", "c": b"two"}
    root = Path(files._root)
    assert sum(p.stat().st_size for p in root.iterdir()) == 8
    del files["a/b.onnx"]
    files["d"] = b"four"
    assert dict(files) == {"c": b"two", "d": b"four"}
    with pytest.raises(KeyError):
        files["a/b.onnx"]
    del files
    gc.collect()
    assert not root.exists()


def test_a_full_temporary_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    files = DiskFiles()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OutputError, match=r"cannot keep a in .*No space left.*TMPDIR"):
        files["a"] = b"one"
