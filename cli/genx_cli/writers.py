"""Where samples go: one file, a folder with a file a sample, or the terminal. All or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from genx_cli.formats import FILES, FOLDERS, EachAFile, WriteFile
from genx_runtimes.errors import InputError
from genx_runtimes.writing import TERMINAL, check_free

if TYPE_CHECKING:
    from genx_runtimes.manifest import OutputSpec
    from genx_runtimes.sampler import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of the samples.

    Args:
        files: that were written.
        texts: for the terminal, one a sample.
        notes: what the user should know of them.
    """

    files: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Writer = Callable[["Iterator[Batch]"], Written]


def find_writer(path: Path, output: OutputSpec, *, columns: int | None, force: bool) -> Writer:
    """Return the function that writes batches to `path`, and says what it made.

    What a file may be is in `formats.FILES`, by the output's kind and the name's ending; a name
    without an ending is a folder with a file a sample, and `-` the terminal, for text.

    Raises:
        InputError: an ending that does not fit the output, or something is in the way.
    """
    if path == TERMINAL and output.kind == "text":
        return lambda batches: Written(texts=[t for batch in batches for t in batch.texts()])
    write = FILES.get((output.kind, path.suffix))
    if write is None and (path.suffix or path == TERMINAL):
        got = "-o - is for text" if path == TERMINAL else f"{path} ends in {path.suffix!r}"
        raise InputError(
            f"{got}, the output of this bundle is {output.noun}", fix=_name_files(output)
        )
    if columns is not None and path.suffix != ".png":
        raise InputError("--columns is for a grid", fix="-o grid.png, or leave it out")
    if columns is not None and columns < 1:
        raise InputError(f"--columns is {columns}, expected 1 or more")
    check_free(path, force=force, folder=write is None)
    if write is None:
        return lambda batches: _write_folder(path, batches, FOLDERS[output.kind])
    return lambda batches: _write_file(path, batches, write, columns)


def count_samples(batches: Iterator[Batch], advance: Callable[[int], None]) -> Iterator[Batch]:
    """Pass batches on, and tell a progress display of each that was taken."""
    for batch in batches:
        yield batch
        advance(len(batch.output))


def _name_files(output: OutputSpec) -> str:
    """Say what a bundle's output can be written as."""
    names = [f"NAME{suffix}" for kind, suffix in FILES if kind == output.kind]
    if output.kind == "text":
        return f"write {', '.join(names)}, a folder, or - for the terminal"
    return f"write {', '.join(names)} or a folder"


def _write_file(
    path: Path, batches: Iterator[Batch], write: WriteFile, columns: int | None
) -> Written:
    from genx_runtimes.writing import write_whole

    notes: list[str] = []
    with write_whole(path) as file:  # opened first: what cannot be written is told before the work
        write(file, _note_clipping(batches, notes), columns)
    return Written(files=[str(path)], notes=notes if path.suffix != ".npy" else [])


def _write_folder(path: Path, batches: Iterator[Batch], each: EachAFile) -> Written:
    """Write `000000.png` ..., named by sample index; interrupted, no new file stays behind."""
    from genx_runtimes.writing import make_folder

    names: list[str] = []
    notes: list[str] = []
    with make_folder(path) as folder:
        for batch in _note_clipping(batches, notes):
            for index, data in enumerate(each.encode(batch), batch.start):
                names.append(f"{index:06d}{each.suffix}")
                (folder / names[-1]).write_bytes(data)
    return Written(files=[str(path / name) for name in names], notes=notes)


def _note_clipping(batches: Iterator[Batch], notes: list[str]) -> Iterator[Batch]:
    """Pass batches on; at the end note how much of their sound was cut off."""
    clipped = total = 0
    limits: tuple[float, float] | None = None
    for batch in batches:
        yield batch
        if batch.spec.kind == "audio":
            from genx_runtimes.audio import count_clipped

            limits = batch.spec.range
            clipped += count_clipped(batch.output, batch.spec)
            total += batch.output.size
    if clipped and limits:
        notes.append(
            f"{clipped:,} of {total:,} values lie outside {limits[0]:g}..{limits[1]:g} and were "
            f"cut off"
        )
