"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from genx_runtimes.errors import OutputError
from genx_runtimes.generate.publishing import measure, publish, sweep


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_fails_leaves_nothing(tmp_path: Path, is_folder: bool) -> None:
    with pytest.raises(OutputError, match="the disk is full"), publish(tmp_path / "x") as path:
        if is_folder:
            path.mkdir()
        (path / "a" if is_folder else path).write_bytes(b"half")
        assert not (tmp_path / "x").exists()
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    for data in (b"old", b"new"):
        with publish(tmp_path / "file") as path:
            path.write_bytes(data)
        with publish(tmp_path / "folder") as path:
            path.mkdir()
            (path / data.decode()).write_bytes(data)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["new"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_the_hash_of_a_folder_is_that_of_its_list(tmp_path: Path) -> None:
    hashes = {}
    for name in ("b", "a"):
        (tmp_path / name).write_bytes(name.encode() * 3)
        hashes[name] = hashlib.sha256(name.encode() * 3).hexdigest()
    lines = f"a 3 {hashes['a']}\nb 3 {hashes['b']}\n"
    assert measure(tmp_path) == (6, hashlib.sha256(lines.encode()).hexdigest())
    assert measure(tmp_path / "a") == (3, hashes["a"])


def test_a_sweep_takes_nothing_else(tmp_path: Path) -> None:
    names = (".x.tar.0123456789ab.tmp", ".x.tmp", "x.tar", ".hidden", "x.0123456789ab.tmp")
    for name in names:
        (tmp_path / name).write_bytes(b"")
    sweep(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == set(names[1:])
