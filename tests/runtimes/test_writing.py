from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from genx_runtimes.errors import InputError, OutputError
from genx_runtimes.writing import (
    check_file,
    check_free,
    make_folder,
    put_in_place,
    replace_folder,
    write_whole,
)

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_whole_files(tmp_path: Path) -> None:
    for text in (b"first", b"second"):
        with write_whole(tmp_path / "x") as file:
            file.write(text)
        assert (tmp_path / "x").read_bytes() == text
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_places_that_are_taken(tmp_path: Path) -> None:
    (tmp_path / "file.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    check_free(tmp_path / "new", force=False, folder=True)
    for force in (False, True):
        with pytest.raises(InputError, match=r"folder.png is a folder; choose another name"):
            check_free(tmp_path / "folder.png", force=force)
        with pytest.raises(InputError, match=r"file.png is a file; choose another name"):
            check_free(tmp_path / "file.png", force=force, folder=True)
    for name, folder in (("file.png", False), ("folder.png", True), ("folder.png", None)):
        check_free(tmp_path / name, force=True, folder=folder)
        with pytest.raises(InputError, match=r"png exists already; --force replaces it"):
            check_free(tmp_path / name, force=False, folder=folder)


def test_files_of_one_ending(tmp_path: Path) -> None:
    check_file(tmp_path / "new.png", ".png", force=False)
    for name, message in (("new.jpg", r"new.jpg ends in '.jpg'"), ("new", "new has no ending")):
        with pytest.raises(InputError, match=rf"{message}; write NAME.png"):
            check_file(tmp_path / name, ".png", force=True)


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
        for write in (write_whole, make_folder, replace_folder):
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


def test_folders_in_a_folder_are_replaced_as_a_whole(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with make_folder(tmp_path) as folder:
            (folder / "a").mkdir()
            (folder / "a" / text).touch()
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["a", "a/new"]


def test_a_folder_takes_another_s_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out"
    for text in ("old", "new"):
        with replace_folder(target) as folder:
            (folder / text).touch()
    assert [p.name for p in target.iterdir()] == ["new"]
    with pytest.raises(KeyboardInterrupt), replace_folder(target) as folder:
        raise KeyboardInterrupt
    monkeypatch.chdir(target)
    with replace_folder(Path()) as folder:
        (folder / "newer").touch()
    assert [p.name for p in target.iterdir()] == ["newer"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_cannot_be_put_in_place_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "gone", tmp_path / "out")
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["out", "out/old"]
