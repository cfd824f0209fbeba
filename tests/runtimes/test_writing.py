from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from genx_runtimes.errors import OutputError
from genx_runtimes.writing import make_folder, write_whole

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_whole_files(tmp_path: Path) -> None:
    for text in (b"first", b"second"):
        with write_whole(tmp_path / "x") as file:
            file.write(text)
        assert (tmp_path / "x").read_bytes() == text
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("error", "expected"), [(FULL, OutputError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_interrupted_writing_leaves_what_was_there(
    tmp_path: Path, error: BaseException, expected: type[BaseException]
) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(expected) as caught, write_whole(tmp_path / "x") as file:
        file.write(b"half")
        raise error
    if isinstance(caught.value, OutputError):
        assert caught.value.message.startswith(
            f"the disk is full: {tmp_path / 'x'} was not written"
        )
        assert caught.value.fix == "free some space, or choose another place with -o"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_a_real_limit_on_the_size_of_files(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from genx_runtimes.errors import OutputError
from genx_runtimes.writing import write_whole
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with write_whole(Path("big")) as file:
        file.write(bytes(100_000))
except OutputError as err:
    print(err)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "cannot write big: File too large; choose another place with -o\n"
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, message in [
        (tmp_path / "nowhere" / "x", f"there is no folder {tmp_path / 'nowhere'}; mkdir -p"),
        (tmp_path / "file" / "x", "Not a directory; choose another place with -o"),
    ]:
        for write in (write_whole, make_folder):
            with pytest.raises(OutputError) as caught, write(path):  # type: ignore[operator]
                pass
            assert message in str(caught.value)


def test_folders_appear_at_once(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with make_folder(target) as folder:
        (folder / "a").write_text("a")
        assert not target.exists()
    assert [p.name for p in target.iterdir()] == ["a"]
    with make_folder(target) as folder:
        (folder / "a").write_text("new")
        (folder / "b").write_text("b")
    assert {p.name: p.read_text() for p in target.iterdir()} == {"a": "new", "b": "b"}
    with pytest.raises(KeyboardInterrupt), make_folder(target) as folder:
        (folder / "a").write_text("half")
        raise KeyboardInterrupt
    assert (target / "a").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
