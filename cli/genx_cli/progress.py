"""Progress on a terminal, drawn by rich (which Typer brings); imported only when it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class _Shown:
    def __init__(self, progress: Progress, total: int | None, text: str) -> None:
        self._progress = progress
        self._task = progress.add_task(text, total=total)

    def step(self, text: str) -> None:
        self._progress.update(self._task, description=text)

    def advance(self, count: int) -> None:
        self._progress.advance(self._task, count)

    def measure(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)


@contextmanager
def show_progress(text: str, total: int | None) -> Iterator[_Shown]:
    """Draw a spinner, or a bar where a total is known, until the block ends."""
    bar = [BarColumn()] if total is not None else []
    columns = [SpinnerColumn(), TextColumn("{task.description}"), *bar, TimeElapsedColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Shown(progress, total, text)
