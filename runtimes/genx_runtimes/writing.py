"""Writing files whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from genx_runtimes.errors import GenxError, InputError, OutputError

TERMINAL = Path("-")


def check_free(path: Path, *, force: bool, folder: bool | None = False) -> None:
    """Refuse a place where something else is, before any work is done.

    Args:
        path: of what is going to be written.
        force: whether what is there may be replaced.
        folder: whether it is going to be a folder; None: either.

    Raises:
        InputError: a file is where a folder is to be, or the reverse; or it exists, without force;
            or it is `-`, the terminal.
    """
    if path == TERMINAL:
        raise InputError(f"{TERMINAL} is the terminal, which is for text", fix="name a file")
    if not path.exists():
        return
    if folder is not None and path.is_dir() != folder:
        what = "a folder" if path.is_dir() else "a file"
        raise InputError(f"{path} is {what}", fix="choose another name")
    if not force:
        raise InputError(f"{path} exists already", fix="--force replaces it")


def check_file(path: Path, ending: str, *, force: bool) -> None:
    """Refuse a file of another ending, or where something is; see `check_free`."""
    if path.suffix != ending:
        got = f"ends in {path.suffix!r}" if path.suffix else "has no ending"
        raise InputError(f"{path} {got}", fix=f"write NAME{ending}")
    check_free(path, force=force)


@contextmanager
def write_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its name when the block ends well.

    Raises:
        OutputError: it cannot be written; nothing is left behind and what stood there stays.
    """
    temporary = temporary_beside(path)
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)
    except OSError as err:
        raise explain_os_error(err, path) from err
    finally:
        with suppress(OSError):  # a parent that is a file: there is nothing to remove
            temporary.unlink(missing_ok=True)


@contextmanager
def make_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder whose files appear in `path` when the block ends well.

    A new folder appears at once. In one that is there already, files and folders of the same name
    are replaced and others are left alone; the temporary one is then inside, on the same disk.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    temporary = temporary_beside(path / "samples" if path.is_dir() else path)
    try:
        temporary.mkdir()
        yield temporary
        if path.is_dir():
            for file in temporary.iterdir():
                put_in_place(file, path / file.name)
        else:
            temporary.rename(path)
    except OSError as err:
        raise explain_os_error(err, path) from err
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the place of `path`, and of all in it, at a good end.

    Raises:
        OutputError: it cannot be written; nothing is left behind and what stood there stays.
    """
    place = path.absolute()  # of `.` the name is needed
    temporary = temporary_beside(place)
    try:
        temporary.mkdir()
        yield temporary
        put_in_place(temporary, place)
    except OSError as err:
        raise explain_os_error(err, path) from err
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename; a folder in the way, or a file in that of a folder, is moved aside first.

    It is put back if that fails.

    Raises:
        OSError: it cannot be renamed.
    """
    if not path.is_dir() and not (path.exists() and temporary.is_dir()):
        temporary.replace(path)
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.rename(aside)
    try:
        temporary.replace(path)
    except BaseException:
        aside.rename(path)
        raise
    remove(aside)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; one that is not there is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """Return a name in the same folder that only this process uses."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def explain_os_error(err: OSError, path: Path) -> GenxError:
    """Say in plain words why `path` cannot be written."""
    if err.errno == errno.ENOSPC:
        free = shutil.disk_usage(_existing_parent(path)).free
        return OutputError(
            f"the disk is full: {path} was not written, {free / 1e6:.1f} MB are free there",
            fix="free some space, or choose another place with -o",
        )
    if isinstance(err, FileNotFoundError) and not path.parent.exists():
        return OutputError(
            f"cannot write {path}: there is no folder {path.parent}",
            fix=f"mkdir -p {path.parent}",
        )
    return OutputError(
        f"cannot write {path}: {err.strerror or err}", fix="choose another place with -o"
    )


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.absolute().parents if parent.exists())
